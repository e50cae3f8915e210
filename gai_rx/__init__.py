"""Streamed answers of language models as RxPY Observables of typed events."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gai_rx.chat import Chat, Turn
    from gai_rx.errors import (
        AuthenticationError,
        BackpressureError,
        BadRequestError,
        BudgetExceededError,
        ConnectionFailedError,
        ContentFilterError,
        ContextLengthError,
        GaiError,
        Matcher,
        NotFoundError,
        ObjectInvalidError,
        OverloadedError,
        PermissionDeniedError,
        ProtocolError,
        QuotaError,
        RateLimitError,
        ServerError,
        StalledError,
        TimedOutError,
        ToolError,
        TruncatedError,
        connection,
        overloaded,
        quota,
        rate_limit,
        server,
        timeout,
        transient,
        truncated,
    )
    from gai_rx.events import (
        AudioDelta,
        Citation,
        Citations,
        Error,
        Event,
        EventType,
        File,
        Finish,
        ObjectDelta,
        Raw,
        ReasoningDelta,
        RefusalDelta,
        Retry,
        Safety,
        Start,
        StepFinish,
        StreamEvent,
        TextDelta,
        ToolCall,
        ToolCallDelta,
        ToolProgress,
        ToolResult,
        Usage,
        parse_event,
    )
    from gai_rx.health import StreamHealth, StreamMonitor
    from gai_rx.http import Timeouts
    from gai_rx.operators.multiplexing import multiplex, race
    from gai_rx.progress import Progress
    from gai_rx.providers import Provider, connect
    from gai_rx.request import (
        AudioPart,
        FilePart,
        ImagePart,
        Message,
        ProviderPart,
        ReasoningPart,
        RefusalPart,
        Request,
        SafetySetting,
        TextPart,
        ToolCallPart,
        ToolResultPart,
        VideoPart,
        assistant,
        system,
        tool_result,
        user,
    )
    from gai_rx.result import Result, Step
    from gai_rx.result_builder import ResultBuilder
    from gai_rx.steps import pending_calls
    from gai_rx.stopping import (
        RunState,
        StopCondition,
        all_of,
        any_of,
        max_steps,
        no_more_tools,
        until_cost,
        until_elapsed,
        until_error_rate,
        until_result,
        until_text,
        until_tokens,
        until_tool_seen,
        until_tools_in_order,
    )
    from gai_rx.stream import Stream
    from gai_rx.tools import Approval, Tool, ToolContext, tool
else:  # the same, each when it is first used
    from gai_rx.lazy import names_on_demand

    __getattr__, __dir__ = names_on_demand(
        __name__,
        {
            "chat": "Chat Turn",
            "errors": (
                "AuthenticationError BackpressureError BadRequestError BudgetExceededError "
                "ConnectionFailedError ContentFilterError ContextLengthError GaiError Matcher "
                "NotFoundError ObjectInvalidError OverloadedError PermissionDeniedError "
                "ProtocolError QuotaError RateLimitError ServerError StalledError TimedOutError "
                "ToolError TruncatedError connection overloaded quota rate_limit server timeout "
                "transient truncated"
            ),
            "events": (
                "AudioDelta Citation Citations Error Event EventType File Finish ObjectDelta Raw "
                "ReasoningDelta RefusalDelta Retry Safety Start StepFinish StreamEvent TextDelta "
                "ToolCall ToolCallDelta ToolProgress ToolResult Usage parse_event"
            ),
            "health": "StreamHealth StreamMonitor",
            "http": "Timeouts",
            "operators.multiplexing": "multiplex race",
            "progress": "Progress",
            "providers": "Provider connect",
            "request": (
                "AudioPart FilePart ImagePart Message ProviderPart ReasoningPart RefusalPart "
                "Request SafetySetting TextPart ToolCallPart ToolResultPart VideoPart assistant "
                "system tool_result user"
            ),
            "result": "Result Step",
            "result_builder": "ResultBuilder",
            "steps": "pending_calls",
            "stopping": (
                "RunState StopCondition all_of any_of max_steps no_more_tools until_cost "
                "until_elapsed until_error_rate until_result until_text until_tokens "
                "until_tool_seen until_tools_in_order"
            ),
            "stream": "Stream",
            "tools": "Approval Tool ToolContext tool",
        },
    )

__all__ = [
    "Approval",
    "AudioDelta",
    "AudioPart",
    "AuthenticationError",
    "BackpressureError",
    "BadRequestError",
    "BudgetExceededError",
    "Chat",
    "Citation",
    "Citations",
    "ConnectionFailedError",
    "ContentFilterError",
    "ContextLengthError",
    "Error",
    "Event",
    "EventType",
    "File",
    "FilePart",
    "Finish",
    "GaiError",
    "ImagePart",
    "Matcher",
    "Message",
    "NotFoundError",
    "ObjectDelta",
    "ObjectInvalidError",
    "OverloadedError",
    "PermissionDeniedError",
    "Progress",
    "ProtocolError",
    "Provider",
    "ProviderPart",
    "QuotaError",
    "RateLimitError",
    "Raw",
    "ReasoningDelta",
    "ReasoningPart",
    "RefusalDelta",
    "RefusalPart",
    "Request",
    "Result",
    "ResultBuilder",
    "Retry",
    "RunState",
    "Safety",
    "SafetySetting",
    "ServerError",
    "StalledError",
    "Start",
    "Step",
    "StepFinish",
    "StopCondition",
    "Stream",
    "StreamEvent",
    "StreamHealth",
    "StreamMonitor",
    "TextDelta",
    "TextPart",
    "TimedOutError",
    "Timeouts",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolContext",
    "ToolError",
    "ToolProgress",
    "ToolResult",
    "ToolResultPart",
    "TruncatedError",
    "Turn",
    "Usage",
    "VideoPart",
    "all_of",
    "any_of",
    "assistant",
    "connect",
    "connection",
    "max_steps",
    "multiplex",
    "no_more_tools",
    "overloaded",
    "parse_event",
    "pending_calls",
    "quota",
    "race",
    "rate_limit",
    "server",
    "system",
    "timeout",
    "tool",
    "tool_result",
    "transient",
    "truncated",
    "until_cost",
    "until_elapsed",
    "until_error_rate",
    "until_result",
    "until_text",
    "until_tokens",
    "until_tool_seen",
    "until_tools_in_order",
    "user",
]
