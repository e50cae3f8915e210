"""Framing without I/O: bytes in, records out, the same however the bytes are cut."""

RECORD_LIMIT = 32 * 1024 * 1024  # bytes of one record: room for images, no room for a bomb
