"""Google's Gemini: `streamGenerateContent` of the Gemini API and of Vertex AI.

Source: https://ai.google.dev/api/generate-content and the types of the official SDK. The API has no
closing record: an answer is complete when it has named a finish reason and its body has ended.
"""

from gai_rx.dialects.contract import Dialect
from gai_rx.dialects.gemini.decode import GeminiDecoder
from gai_rx.dialects.gemini.request import encode

__all__ = ["GEMINI", "GeminiDecoder", "encode"]

GEMINI = Dialect("gemini", encode, GeminiDecoder, key_header="x-goog-api-key")
