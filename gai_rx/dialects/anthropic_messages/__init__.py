"""Anthropic's Messages.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming. Only `message_stop` proves
that an answer is complete. New events, deltas and blocks are promised to come: they become `Raw`.
"""

from gai_rx.dialects.anthropic_messages.decode import MessagesDecoder
from gai_rx.dialects.anthropic_messages.request import encode, forces_tools, object_mode
from gai_rx.dialects.contract import Dialect

__all__ = ["ANTHROPIC_MESSAGES", "MessagesDecoder", "encode"]

ANTHROPIC_MESSAGES = Dialect(
    "anthropic_messages",
    encode,
    MessagesDecoder,
    key_header="x-api-key",
    headers={"anthropic-version": "2023-06-01"},
    object_mode=object_mode,
    forces_tools=forces_tools,
)
