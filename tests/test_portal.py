"""The background loop: for callers that have none, in threads, forks and at interpreter exit."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
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


def test_for_yields_what_had_come_when_the_portal_is_closed() -> None:
    source, read = Source(range(1000)), list[int]()
    items = iter(source.stream)
    read.append(next(items))
    for _ in range(1000):
        if source.pulled >= 64:  # it is held
            break
        time.sleep(0.002)
    Portal.get().close()
    with pytest.raises(PortalClosedError):
        read.extend(items)
    assert read == list(range(source.pulled))


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


forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")

FORK = """
    import os, signal, threading, time, warnings
    from gai_rx.portal import Portal, PortalClosedError
    from tests.operators.sources import Source

    warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads

    def in_a_child(act):
        child = os.fork()
        if not child:
            signal.alarm(10)  # rather than to hang
            os._exit(act())
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def forks(text: str) -> None:
    """Run a script that may fork; it must end well, and in silence."""
    done = script(textwrap.dedent(FORK) + textwrap.dedent(text))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@forking
def test_a_forked_child_starts_its_own_portal() -> None:
    forks(
        """
        assert Source([1]).stream.run() == 1
        assert in_a_child(lambda: Source([1, 2]).stream.run()) == 2
        assert in_a_child(lambda: in_a_child(lambda: len(list(Source([1, 2, 3]).stream)))) == 3
        assert Source([1, 2, 3, 4]).stream.run() == 4
        """
    )


@forking
def test_a_child_that_is_forked_while_another_thread_asks_for_the_portal_does_not_hang() -> None:
    forks(
        """
        asks, forked = threading.Event(), threading.Event()

        def ask():
            with Portal._lock:
                asks.set()
                forked.wait()

        thread = threading.Thread(target=ask)
        thread.start()
        asks.wait()
        assert in_a_child(lambda: Source([1, 2]).stream.run()) == 2
        forked.set()
        thread.join()
        """
    )


@forking
def test_a_child_can_not_read_on_what_its_parent_reads() -> None:
    forks(
        """
        items = iter(Source(endless=True).stream)
        first = next(items)

        def read_on():
            try:
                return next(items)
            except PortalClosedError as error:
                assert "forked" in str(error)
                return Source([77]).stream.run()

        assert in_a_child(read_on) == 77
        assert next(items) == first + 1
        """
    )


@forking
def test_a_child_can_dispose_what_its_parent_has_subscribed_to() -> None:
    forks(
        """
        source = Source(endless=True)
        subscription, portal = source.stream.subscribe(), Portal.get()

        def leave():
            subscription.dispose()
            portal.close()
            try:
                portal.call(int)
            except PortalClosedError:
                return 7

        assert in_a_child(leave) == 7
        assert portal.alive and source.closed == 0
        subscription.dispose()
        """
    )


@forking
def test_a_child_of_the_portals_own_thread_starts_its_own_portal() -> None:
    forks(
        """
        child = []
        Portal.get().call(lambda: child.append(in_a_child(lambda: Source([1, 2]).stream.run())))
        assert child == [2]
        """
    )


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
