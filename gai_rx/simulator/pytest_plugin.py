"""The fixture `gai_simulator`, for tests that need a model and no key.

def test_my_pipe(gai_simulator):
    simulator = gai_simulator(Answer("Hi there.", fault="cut:at=400"))
    model = connect("openai_chat:any", base_url=simulator.url + "/v1")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gai_rx.simulator.script import Script
    from gai_rx.simulator.server import Simulator

__all__ = ["gai_simulator"]


@pytest.fixture
def gai_simulator() -> Iterator[Callable[..., Simulator]]:
    """Make simulators: `gai_simulator(script, seed=0)` gives a running one, with its `url`.

    They run in threads of their own, so that tests of any kind can use them, and stop when the
    test is over.
    """
    with ExitStack() as running:

        def make(script: Script | None = None, *, seed: int = 0) -> Simulator:
            from gai_rx.simulator.server import Simulator  # here: a plugin must load fast

            return running.enter_context(Simulator(script, seed=seed))

        yield make
