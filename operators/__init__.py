"""Operators for streams of model output: Observable in, `Stream` out; one file per family.

RxPY's own operators compose with these: what RxPY has is not wrapped here.
"""

from typing import TYPE_CHECKING

if __name__ != "gai_rx.operators":  # the folder lies beside the package it belongs to
    raise ImportError("this folder is the package gai_rx.operators; import it by that name")

if TYPE_CHECKING:
    from gai_rx.operators.assembling import Snapshot, accumulate_text, collect, snapshots
    from gai_rx.operators.batching import batch, batch_text
    from gai_rx.operators.falling_back import fallback_to
    from gai_rx.operators.fan_out import Branch, BranchFailed, Dropped, Tagged, branch, fan_out
    from gai_rx.operators.filtering import choice, only, reasoning_only, text_only, where, without
    from gai_rx.operators.flattening import flat_map
    from gai_rx.operators.flowing import map_async, relay, stage
    from gai_rx.operators.handling import on
    from gai_rx.operators.metering import Meter, StageReport, meter
    from gai_rx.operators.monitoring import health, log_health, monitor, progress
    from gai_rx.operators.multiplexing import multiplex, race
    from gai_rx.operators.objects import Partial, elements, field, merge_fields, objects, on_field
    from gai_rx.operators.pacing import limit_rate
    from gai_rx.operators.recovering import errors_as_events, recover
    from gai_rx.operators.retrying import retry_on
    from gai_rx.operators.segmenting import lines, sentences, words
    from gai_rx.operators.smoothing import smooth
    from gai_rx.operators.timing import deadline, timeouts
    from gai_rx.operators.tooling import (
        CalledTool,
        RunningTool,
        WorkflowProgress,
        tool_order,
        tools_running,
        workflow_progress,
    )
else:  # the same, each when it is first used
    from gai_rx.lazy import names_on_demand

    __getattr__, __dir__ = names_on_demand(
        __name__,
        {
            "assembling": "Snapshot accumulate_text collect snapshots",
            "batching": "batch batch_text",
            "falling_back": "fallback_to",
            "fan_out": "Branch BranchFailed Dropped Tagged branch fan_out",
            "filtering": "choice only reasoning_only text_only where without",
            "flattening": "flat_map",
            "flowing": "map_async relay stage",
            "handling": "on",
            "metering": "Meter StageReport meter",
            "monitoring": "health log_health monitor progress",
            "multiplexing": "multiplex race",
            "objects": "Partial elements field merge_fields objects on_field",
            "pacing": "limit_rate",
            "recovering": "errors_as_events recover",
            "retrying": "retry_on",
            "segmenting": "lines sentences words",
            "smoothing": "smooth",
            "timing": "deadline timeouts",
            "tooling": (
                "CalledTool RunningTool WorkflowProgress tool_order tools_running workflow_progress"
            ),
        },
    )

__all__ = [
    "Branch",
    "BranchFailed",
    "CalledTool",
    "Dropped",
    "Meter",
    "Partial",
    "RunningTool",
    "Snapshot",
    "StageReport",
    "Tagged",
    "WorkflowProgress",
    "accumulate_text",
    "batch",
    "batch_text",
    "branch",
    "choice",
    "collect",
    "deadline",
    "elements",
    "errors_as_events",
    "fallback_to",
    "fan_out",
    "field",
    "flat_map",
    "health",
    "limit_rate",
    "lines",
    "log_health",
    "map_async",
    "merge_fields",
    "meter",
    "monitor",
    "multiplex",
    "objects",
    "on",
    "on_field",
    "only",
    "progress",
    "race",
    "reasoning_only",
    "recover",
    "relay",
    "retry_on",
    "sentences",
    "smooth",
    "snapshots",
    "stage",
    "text_only",
    "timeouts",
    "tool_order",
    "tools_running",
    "where",
    "without",
    "words",
    "workflow_progress",
]
