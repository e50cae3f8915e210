"""The registry is whole, and what it exempts has a reason."""

import inspect
import re
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from gai_rx import operators
from tests.contract import RULES
from tests.contract.probe import EVENTS, Feed, Probe, text
from tests.contract.registry import REGISTRY, SOURCES, Entry, over
from tests.contract.virtual_loop import run

BESIDE = {"branch": "describes a branch of fan_out, and is no operator"}
"""Public functions of `gai_rx.operators` that are no operators."""


def test_every_public_operator_is_registered() -> None:
    public = {
        name
        for name in operators.__all__
        if inspect.isfunction(getattr(operators, name)) and name not in BESIDE
    }
    missing = (public | SOURCES) - {entry.operator for entry in REGISTRY}
    assert not missing, f"give these an entry in tests/contract/registry.py: {sorted(missing)}"


def test_names_are_unique() -> None:
    twice = [name for name, n in Counter(e.name for e in REGISTRY).items() if n > 1]
    assert not twice


def test_every_exemption_names_a_rule_and_gives_a_reason() -> None:
    for entry in REGISTRY:
        for rule, reason in entry.exempt.items():
            assert rule in RULES, f"{entry.name}: {rule}"
            assert len(reason.split()) >= 5, f"{entry.name}: {rule}: {reason!r}"


def _kinds(events: Iterable[Any]) -> list[type]:
    """The kinds of events, in order; deltas that were cut anew count once."""
    return [kind for kind, _ in groupby(type(event) for event in events)]


def test_every_rule_has_a_test() -> None:
    modules = Path(__file__).parent.glob("test_*.py")
    names = [name for m in modules for name in re.findall(r"def (test_r\d\w+)", m.read_text())]
    tested = {rule.upper() for name in names for rule in re.findall(r"(?<=_)r\d+(?=_)", name)}
    assert tested == set(RULES)


@over("")
def test_every_entry_works(entry: Entry) -> None:
    async def main() -> None:
        feed = Feed(EVENTS)
        probe = await Probe(entry.apply(feed.stream)).end()
        assert probe.completed, probe.error
        assert probe.items
        assert (feed.asked, feed.closed) == (entry.requests, entry.requests)
        if entry.identity:
            passed = entry.of_source(probe.items)
            assert text(passed) == text(EVENTS)
            assert _kinds(passed) == _kinds(EVENTS)

    run(main)
