"""Where the network cuts a body never changes what it says; half an answer never looks whole."""

import random
import re
import zlib
from typing import Any

import pytest

from gai_rx.dialects import DIALECTS, Quirks
from gai_rx.errors import GaiError
from gai_rx.events import Finish, StreamEvent, TextDelta, ToolCall
from tests import corpus

SMALL = 20_000  # bytes of a body that is fed byte by byte
ONE_CUTS = 1_000  # of all bodies together, in one run
PREFIXES = 6  # of each body, beside those around its proof of completion

ENTRIES = corpus.streams(cautioned=True)
pytestmark = pytest.mark.skipif(not ENTRIES, reason="the recorded answers are not here")

# What must be in a body before its answer may count as complete.
PROOF = {
    "openai_chat": rb'"finish_reason":\s*"[^"]',
    "openai_responses": rb'"type":\s*"response\.(completed|incomplete)"',
    "anthropic_messages": rb'"type":\s*"message_stop"',
    "gemini": rb'"finishReason":',
    "ollama": rb'"done":\s*true',
    "cohere": rb'"type":\s*"message-end"|event:\s*message-end',
}


def decode(entry: dict[str, Any], pieces: list[bytes]) -> tuple[list[StreamEvent], GaiError | None]:
    decoder = DIALECTS[corpus.DIALECT_OF[entry["api"]]].decoder(Quirks(provider="host"))
    events: list[StreamEvent] = []
    for piece in pieces:
        events += decoder.feed(piece)
        if decoder.done or decoder.fault is not None:
            break
    events += decoder.close()
    assert decoder.done != (decoder.fault is not None)
    return events, decoder.fault


def outcome(entry: dict[str, Any], pieces: list[bytes]) -> tuple[list[StreamEvent], str | None]:
    events, fault = decode(entry, pieces)
    return events, None if fault is None else f"{type(fault).__name__}: {fault}"


def whole(entry: dict[str, Any]) -> tuple[list[StreamEvent], str | None]:
    return outcome(entry, [corpus.body(entry)])


def check(got: object, expected: object, how: str) -> None:
    same = got == expected
    assert same, f"{how}: other events"  # a diff of thousands of events would take minutes


def generator(entry: dict[str, Any]) -> random.Random:
    return random.Random(zlib.crc32(entry["id"].encode()))


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e["bytes"] < SMALL], ids=lambda e: e["id"])
def test_a_small_body_says_the_same_byte_by_byte(entry: dict[str, Any]) -> None:
    data = corpus.body(entry)
    pieces = [data[i : i + 1] for i in range(len(data))]
    check(outcome(entry, pieces), whole(entry), "byte by byte")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["id"])
def test_a_body_cut_once_says_the_same(entry: dict[str, Any]) -> None:
    data, expected = corpus.body(entry), whole(entry)
    for at in generator(entry).sample(
        range(len(data)), k=min(len(data), ONE_CUTS // len(ENTRIES) + 1)
    ):
        check(outcome(entry, [data[:at], data[at:]]), expected, f"cut at {at}")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["id"])
def test_a_body_in_many_pieces_says_the_same(entry: dict[str, Any]) -> None:
    data, rng = corpus.body(entry), generator(entry)
    pieces, at = [], 0
    while at < len(data):
        size = rng.choice((1, 2, 3, 7, 61, 500, 4000))
        pieces.append(data[at : at + size])
        at += size
    check(outcome(entry, pieces), whole(entry), "in many pieces")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["id"])
def test_a_prefix_never_looks_complete(entry: dict[str, Any]) -> None:
    data = corpus.body(entry)
    events, fault = decode(entry, [data])
    proof = re.search(PROOF[corpus.DIALECT_OF[entry["api"]]], data)
    end = proof.end() if proof else len(data)
    rng = generator(entry)
    places = {rng.randrange(end) for _ in range(PREFIXES)} | {0, end // 2, end - 1}
    for at in sorted(places):
        cut, broken = decode(entry, [data[:at]])
        assert broken is not None, f"a prefix of {at} bytes counts as complete"
        assert not any(isinstance(e, Finish) for e in cut)
        runnable = [e for e in cut if isinstance(e, ToolCall) and not e.provider_executed]
        assert [c for c in runnable if c not in events] == []
        said = "".join(e.text for e in cut if isinstance(e, TextDelta))
        all_said = "".join(e.text for e in events if isinstance(e, TextDelta))
        assert all_said.startswith(said) or fault is not None


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["id"])
def test_every_single_cut_says_the_same(entry: dict[str, Any]) -> None:
    data, expected = corpus.body(entry), whole(entry)
    for at in range(len(data)):
        check(outcome(entry, [data[:at], data[at:]]), expected, f"cut at {at}")
