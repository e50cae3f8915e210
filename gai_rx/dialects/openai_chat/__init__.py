"""OpenAI's chat completions, and the many hosts that speak it with an accent.

Source: https://platform.openai.com/docs/api-reference/chat-streaming; the accents are known from
recorded answers, each named where it is handled.
"""

from gai_rx.dialects.contract import Dialect
from gai_rx.dialects.openai_chat.decode import ChatDecoder
from gai_rx.dialects.openai_chat.request import encode
from gai_rx.dialects.parts import data_url, told_result, unsupported

__all__ = ["OPENAI_CHAT", "ChatDecoder", "data_url", "encode", "told_result", "unsupported"]

OPENAI_CHAT = Dialect("openai_chat", encode, ChatDecoder)
