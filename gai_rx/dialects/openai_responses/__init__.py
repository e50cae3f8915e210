"""OpenAI's Responses API, and the hosts that speak it.

Source: https://platform.openai.com/docs/api-reference/responses-streaming. Only the last event,
`response.completed` or `response.incomplete`, proves that an answer is complete. What deltas tell
is repeated up to three times after them: it is compared, and told only where no delta came.
"""

from gai_rx.dialects.contract import Dialect
from gai_rx.dialects.openai_responses.decode import ResponsesDecoder
from gai_rx.dialects.openai_responses.request import encode

__all__ = ["OPENAI_RESPONSES", "ResponsesDecoder", "encode"]

OPENAI_RESPONSES = Dialect("openai_responses", encode, ResponsesDecoder)
