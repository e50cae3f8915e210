"""OpenAI's chat completions, and the many hosts that speak it with an accent.

Source: https://platform.openai.com/docs/api-reference/chat-streaming; the accents are known from
recorded answers, each named where it is handled.
"""

from gai_rx.dialects.contract import Dialect
from gai_rx.dialects.openai_chat.decode import ChatDecoder
from gai_rx.dialects.openai_chat.request import encode

__all__ = ["OPENAI_CHAT", "ChatDecoder", "encode"]

OPENAI_CHAT = Dialect("openai_chat", encode, ChatDecoder)
