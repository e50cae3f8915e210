"""Every Python block of the README runs, and every name that it lists is there."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gai_rx import operators
from gai_rx.hosts import HOSTS
from tests.operator_table import written

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_runs_without_a_warning(number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKS[number]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.strip()


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 7


def test_the_operators_are_told_as_their_docstrings_tell_them() -> None:
    assert written(README) == README, "run python -m tests.operator_table"


OPERATORS = [n for n in operators.__all__ if inspect.isfunction(getattr(operators, n))]


@pytest.mark.parametrize("name", OPERATORS)
def test_the_table_names_every_operator_with_a_diagram(name: str) -> None:
    assert f"`{name}(" in README
    if name != "branch":  # which is a part of fan_out
        assert re.search(rf"^{name}\(|^\w.*\n{name}\(", README, re.MULTILINE)


@pytest.mark.parametrize("name", [n for n in HOSTS if "_" not in n])
def test_the_list_names_every_host(name: str) -> None:
    assert f"`{name}`" in README
