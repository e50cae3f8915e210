"""Steps: ask, run the tools that the answer asks for, tell the results, ask again.

`loop.py` goes from step to step, `answers.py` hears one answer and starts its tools, `tool_runs.py`
runs them, `approvals.py` asks who may decide about them, `tool_words.py` tells the model what came
of them.
"""

from gai_rx.steps.loop import (
    Ask,
    PrepareStep,
    Resumed,
    Retry,
    RunSettings,
    pending_calls,
    retrying,
    run_steps,
)

__all__ = [
    "Ask",
    "PrepareStep",
    "Resumed",
    "Retry",
    "RunSettings",
    "pending_calls",
    "retrying",
    "run_steps",
]
