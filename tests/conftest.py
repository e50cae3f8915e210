"""What several tests share."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from gai_rx import http

# As an installed plugin it would import gai_rx before coverage begins to measure.
pytest_plugins = ["gai_rx.simulator.pytest_plugin"]

# In a shell's background job Ctrl-C is ignored, and would be in the commands that tests run.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    # CPython appends to a string in place only where nobody traces, for one.
    if sys.gettrace() is not None and item.get_closest_marker("untraced"):
        pytest.skip("measures what tracing changes")


@pytest.fixture(autouse=True)
async def _no_connection_outlives_its_test() -> AsyncIterator[None]:
    yield
    await http.close_session()
    await asyncio.sleep(0)


@pytest.fixture
def collected() -> None:
    """Garbage of earlier tests must not be counted in this one."""
    gc.collect()
