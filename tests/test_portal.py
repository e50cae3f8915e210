"""The background loop: for callers that have none, in threads, forks and at interpreter exit."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from reactivex.disposable import Disposable

from gai_rx.portal import Portal, PortalClosedError, refuse_blocking, running_loop
from tests.operators.sources import Source

ROOT = Path(__file__).parents[1]


def script(text: str) -> subprocess.CompletedProcess[str]:
    """Run a script in its own interpreter, where every warning is an error."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_there_is_one_portal_for_all_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        portals = set(pool.map(lambda _: Portal.get(), range(32)))
    assert portals == {Portal.get()}
    assert Portal.get().thread.daemon


def test_call_runs_on_the_portals_thread_and_returns() -> None:
    portal = Portal.get()
    assert portal.call(threading.current_thread) is portal.thread
    assert portal.call(lambda: portal.call(running_loop)) is portal.loop


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_call_hands_back_what_was_raised(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        Portal.get().call(fail)
    assert caught.value is error
    assert Portal.get().alive


def test_a_closed_portal_takes_no_calls_and_the_next_get_starts_another() -> None:
    closed = Portal.get()
    closed.close()
    assert not closed.alive
    with pytest.raises(PortalClosedError):
        closed.call(int)
    closed.dispose(Disposable())
    closed.close()
    assert Portal.get() is not closed
    assert Source([1, 2]).stream.run() == 2


def test_who_waits_when_the_portal_is_closed_is_told() -> None:
    source = Source(endless=True)
    closer = threading.Timer(0.05, Portal.get().close)
    closer.start()
    with pytest.raises(PortalClosedError):
        source.stream.run()
    closer.join()
    assert source.closed == 1


def test_subscriptions_of_a_closed_portal_can_be_disposed() -> None:
    source = Source(endless=True)
    subscription = source.stream.subscribe()
    Portal.get().close()
    subscription.dispose()
    assert source.closed == source.asked


async def test_blocking_is_refused_in_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match=r"^this would block"):
        refuse_blocking("this")


async def test_blocking_is_allowed_in_a_notebook_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    shell: Any = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert Source([1, 2]).stream.run() == 2
    assert list(Source([1, 2]).stream) == [1, 2]
    shell = SimpleNamespace()  # IPython in a terminal has no kernel
    with pytest.raises(RuntimeError):
        refuse_blocking("this")


def test_blocking_is_allowed_without_a_loop() -> None:
    assert running_loop() is None
    refuse_blocking("this")


async def test_a_thread_of_a_program_that_has_a_loop_may_block() -> None:
    assert await asyncio.to_thread(Source([1, 2]).stream.run) == 2


def test_a_forked_child_starts_its_own_portal() -> None:
    done = script(
        """
        import os
        from tests.operators.sources import Source

        assert Source([1]).stream.run() == 1
        child = os.fork()
        if not child:
            os._exit(Source([1, 2]).stream.run())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        assert Source([1, 2, 3]).stream.run() == 3
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_at_interpreter_exit_live_streams_are_closed() -> None:
    done = script(
        """
        import asyncio
        from gai_rx import Stream
        from gai_rx.flow import produce

        async def make():
            try:
                yield [1]
                await asyncio.sleep(60)
            finally:
                print("closed")

        live = Stream(produce(make, "source"))
        next(items := iter(live))
        live.subscribe()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["closed"] * 2


def test_an_interpreter_that_exits_with_live_streams_is_silent() -> None:
    done = script(
        """
        from gai_rx.operators import batch, map_async, relay
        from tests.operators.sources import Source
        import asyncio

        async def slow(item):
            await asyncio.sleep(60)

        source = Source(endless=True)
        source.stream.subscribe()
        source.stream.pipe(batch(10_000_000, seconds=60), relay(4)).subscribe()
        source.stream.pipe(map_async(slow, 3)).subscribe()
        items = iter(source.stream)
        next(items)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
