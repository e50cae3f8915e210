"""Steps: ask, run the tools that the answer asks for, tell the results, ask again.

`loop.py` goes from step to step, `answers.py` hears one answer and starts its tools, `tool_runs.py`
runs them, each a job of `jobs.py`, `approvals.py` asks who may decide about them, `tool_words.py`
tells the model what came of them, `resuming.py` says what there is to go on with after a stop.
"""

from gai_rx.steps.loop import Ask, PrepareStep, Retry, RunSettings, retrying, run_steps
from gai_rx.steps.resuming import Resumed, pending_calls

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
