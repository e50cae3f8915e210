"""NDJSON: one JSON text a line."""

from gai_rx.errors import ProtocolError
from gai_rx.wire import RECORD_LIMIT

__all__ = ["NDJSONDecoder"]


class NDJSONDecoder:
    r"""Cuts a body into lines; fed in any pieces, in linear time. Blank lines are passed over.

    Args:
        limit: Most bytes one line may have; a longer one is a `ProtocolError`.

    Example:
        >>> decoder = NDJSONDecoder()
        >>> decoder.feed(b'{"a": 1}\n{"a"')
        [b'{"a": 1}']
        >>> decoder.remainder()
        b'{"a"'
    """

    def __init__(self, *, limit: int = RECORD_LIMIT) -> None:
        self._limit = limit
        self._pending: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes of the body; returns the lines that they complete.

        Raises:
            ProtocolError: If a line grows past the limit.
        """
        self._raise_if_too_long()
        complete, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            self._hold(chunk)
            return []
        if self._pending:
            self._pending.append(complete)
            complete = b"".join(self._pending)
            self._pending.clear()
        self._size = 0
        lines = [line for line in complete.split(b"\n") if line and not line.isspace()]
        if len(complete) > self._limit:
            long = next((n for n, line in enumerate(lines) if len(line) > self._limit), None)
            if long is not None:
                self._size = len(lines[long])
                return lines[:long]
        self._hold(rest)
        return lines

    def remainder(self) -> bytes | None:
        """At the end of the body: the last line, if it lacks its line end."""
        self._raise_if_too_long()
        rest = b"".join(self._pending)
        self._pending.clear()
        return rest if rest and not rest.isspace() else None

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._pending.append(piece)
            self._size += len(piece)

    def _raise_if_too_long(self) -> None:
        """Raise one call late: the lines before the long one must get out first."""
        if self._size > self._limit:
            self._pending.clear()
            raise ProtocolError(
                f"a line grew past the limit of {self._limit:,} bytes; "
                "the server sends no line ends, or the limit is too low"
            )
