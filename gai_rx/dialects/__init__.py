"""Provider languages without I/O: a `Request` becomes HTTP parts, records become events."""

from gai_rx.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gai_rx.dialects.cohere import COHERE
from gai_rx.dialects.contract import Call, Decoder, Dialect, Quirks
from gai_rx.dialects.gemini import GEMINI
from gai_rx.dialects.ollama import OLLAMA
from gai_rx.dialects.openai_chat import OPENAI_CHAT
from gai_rx.dialects.openai_responses import OPENAI_RESPONSES

__all__ = ["DIALECTS", "Call", "Decoder", "Dialect", "Quirks"]

DIALECTS = {
    d.name: d for d in (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI, OLLAMA, COHERE)
}
