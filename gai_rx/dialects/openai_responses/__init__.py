"""OpenAI's Responses API, and the hosts that speak it.

Source: https://platform.openai.com/docs/api-reference/responses-streaming. `response.completed` or
`response.incomplete` proves that an answer is complete; everything that was streamed is repeated
in it and in the `…done` events before it, so only what is new is told.
"""

from gai_rx.dialects.contract import Dialect
from gai_rx.dialects.openai_responses.decode import ResponsesDecoder
from gai_rx.dialects.openai_responses.request import encode

__all__ = ["OPENAI_RESPONSES", "ResponsesDecoder", "encode"]

OPENAI_RESPONSES = Dialect("openai_responses", encode, ResponsesDecoder)
