"""Server-sent events: the standard, at every cut, in linear time, within limits."""

import base64
import json
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gai_rx.errors import ProtocolError
from gai_rx.wire.sse import SSEDecoder, SSERecord
from tests.corpus import ROOT

SPEC = ROOT / "sse_spec.json"
CASES: list[dict[str, Any]] = json.loads(SPEC.read_text())["cases"] if SPEC.exists() else []

Seen = tuple[str, bytes, str, int | None]


def in_pieces(body: bytes, *cuts: int) -> list[bytes]:
    edges = [0, *sorted(cuts), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


def in_bytes(body: bytes) -> list[bytes]:
    return in_pieces(body, *range(1, len(body)))


def feed_all(feed: Callable[[bytes], Iterable[Any]], pieces: list[bytes], seen: list[Any]) -> None:
    for piece in pieces:
        seen += feed(piece)


def read(pieces: list[bytes]) -> tuple[list[SSERecord], SSEDecoder]:
    decoder = SSEDecoder()
    records = [record for piece in pieces for record in decoder.feed(piece)]
    decoder.remainder()
    return records, decoder


def read_pairs(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    decoder = SSEDecoder()
    return [pair for piece in pieces for pair in decoder.feed_pairs(piece)]


def read_whole(body: bytes) -> list[Seen]:
    """The standard, word for word, over the whole body: what the decoder is compared with."""
    seen: list[Seen] = []
    data: list[bytes] = []
    event, id, retry = b"", b"", None
    for line in re.split(rb"\r\n|\r|\n", body.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        if not line:
            if data:
                name = event.decode("utf-8", "replace") or "message"
                seen.append((name, b"\n".join(data), id.decode("utf-8", "replace"), retry))
            event, data = b"", []
            continue
        field, value = re.fullmatch(rb"([^:]*)(?::[ ]?(.*))?", line, re.DOTALL).groups(b"")  # type: ignore[union-attr]  # every line fits
        if field == b"event":
            event = value
        elif field == b"data":
            data.append(value)
        elif field == b"id" and b"\0" not in value:
            id = value
        elif field == b"retry" and re.fullmatch(rb"[0-9]{1,18}", value):
            retry = int(value)
    return seen


def _id(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.skipif(not CASES, reason="the recorded streams are not here")
@pytest.mark.parametrize("case", CASES, ids=_id)
@pytest.mark.parametrize("how", ["whole", "byte by byte", "at its splits", "at every single cut"])
def test_a_case_of_the_standard_is_read_as_the_standard_says(
    case: dict[str, Any], how: str
) -> None:
    body = base64.b64decode(case["input"])
    ways = {
        "whole": [[body]],
        "byte by byte": [in_bytes(body)],
        "at its splits": [in_pieces(body, *cuts) for cuts in case["splits"]],
        "at every single cut": [in_pieces(body, cut) for cut in range(min(len(body), 300))],
    }
    for pieces in ways[how]:
        records, decoder = read(pieces)
        assert [
            {
                "event": r.event,
                "data": r.data.decode("utf-8", "replace"),
                "id": r.id,
                "retry": r.retry,
            }
            for r in records
        ] == case["expected"]
        final = {"last_event_id": decoder.last_event_id, "retry": decoder.retry}
        assert final == case["final"]
        told = [(e["event"].encode(), e["data"]) for e in case["expected"]]
        pairs = read_pairs(pieces)
        assert [(name, data.decode("utf-8", "replace")) for name, data in pairs] == told


_LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:x",
        b"data",
        b"data:  two",
        b"event: a",
        b"event",
        b"event: message",
        b"id: 7",
        b"id: \0",
        b"id",
        b"retry: 3000",
        b"retry: 1e3",
        b": comment",
        b"\xef\xbb\xbfdata: bom",
        b"data: \xf0\x9f\x98\x80",
        b"data: \xff",
        b"unknown: 1",
        b"",
        b" ",
    ]
)
_BODIES = st.lists(
    st.one_of(
        st.tuples(_LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])).map(b"".join),
        st.sampled_from([b"data: 1\n\n", b"event: a\ndata: 2\n\n", b"\n\n", b"\r"]),
    ),
    max_size=12,
).map(b"".join)


@given(_BODIES, st.data())
def test_any_cut_gives_the_records_of_a_parser_that_sees_the_whole_body(
    body: bytes, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    expected = read_whole(body)
    for pieces in ([body], in_pieces(body, *cuts), in_bytes(body)):
        records, _ = read(pieces)
        assert [tuple(r) for r in records] == expected
        assert read_pairs(pieces) == [(name.encode(), told) for name, told, _, _ in expected]


@given(_BODIES, st.data())
def test_the_end_of_the_body_gives_the_same_at_any_cut(body: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    ends = []
    for pieces in ([body], in_pieces(body, *cuts), in_bytes(body)):
        decoder = SSEDecoder()
        for piece in pieces:
            decoder.feed(piece)
        ends.append((decoder.remainder(), decoder.last_event_id, decoder.retry))
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize(
    ("body", "record"),
    [
        (b"data: [DONE]", SSERecord("message", b"[DONE]")),
        (b"data: {}\n", SSERecord("message", b"{}")),
        (b"event: end\ndata: 1\r", SSERecord("end", b"1")),
        (b"data: 1\n\n: ping", None),
        (b"data: 1\n\n", None),
        (b"", None),
        (b"\xef\xbb", None),
    ],
)
def test_an_event_without_its_blank_line_is_offered_at_the_end(
    body: bytes, record: SSERecord | None
) -> None:
    decoder = SSEDecoder()
    decoder.feed(body)
    assert decoder.remainder() == record


def test_what_the_end_cut_off_is_offered_once() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: 1")
    assert decoder.remainder() is not None
    assert decoder.remainder() is None


def test_a_line_that_was_cut_off_sets_nothing() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"id: 1\ndata: 1\n\nid: 2\nretry: 10\nretry: 200")
    assert decoder.remainder() is None
    assert decoder.last_event_id == "1"
    assert decoder.retry == 10


def test_a_retry_that_was_cut_off_does_not_count() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"retry: 200")
    assert decoder.remainder() is None
    assert decoder.retry is None


@pytest.mark.parametrize(
    "body",
    [
        b"event: a\ndata: 0\nevent: b\ndata: 1\n\n",
        b"event: a\ndata: 1\n\n: ping\nevent: b\ndata: 2\n\n",
        b"event: a\ndata: 1\n\n\nevent: b\ndata: 2\n\n",
        b"event: a\ndata: 1\ndata: 2\n\n",
        b"event: a\ndata: 1\n\ndata: 2\n\n",
        b"event: a\n\nevent: b\ndata: 2\n\n",
        b"data: 1\n\ndata: 2\nevent: a\n\n",
        b"data: 1\n\nevent: a\ndata: 2\n\n",
        b"data: 1\n\ndata\n\n",
        b"data: 1\n\n\ndata: 2\n\n",
    ],
)
def test_what_only_resembles_the_quick_forms_is_read_by_the_standard(body: bytes) -> None:
    assert read_pairs([body]) == [(name.encode(), data) for name, data, _, _ in read_whole(body)]


def test_the_id_of_an_event_that_was_cut_off_is_told_with_it() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"id: 2\ndata: 1")
    assert decoder.remainder() == SSERecord("message", b"1", "2")
    assert decoder.last_event_id == ""


@pytest.mark.parametrize("feed", ["feed", "feed_pairs"])
@pytest.mark.parametrize("cut", [0, 5, 11, 12, 13, 14, 30])
def test_an_event_over_the_limit_fails_after_the_events_before_it_are_out(
    feed: str, cut: int
) -> None:
    body = b"data: one\n\n" + b"data: " + b"x" * 60 + b"\n\ndata: three\n\n"
    decoder = SSEDecoder(limit=50)
    seen: list[Any] = []
    with pytest.raises(ProtocolError, match="limit of 50 bytes"):
        feed_all(getattr(decoder, feed), [*in_pieces(body, cut), b"", b""], seen)
    assert [s[1] for s in seen] == [b"one"]


def test_an_event_of_just_the_limit_passes() -> None:
    event = b"data: " + b"x" * 44
    assert SSEDecoder(limit=50).feed(event + b"\n\n" + event + b"\n\n")[1].data == b"x" * 44
    assert len(list(SSEDecoder(limit=50).feed_pairs(event + b"\n\n" + event + b"\n\n"))) == 2


def test_an_endless_event_fails_when_it_has_grown_past_the_limit() -> None:
    decoder = SSEDecoder(limit=1000)
    feed_all(decoder.feed, [b"data: " + b"x" * 94] * 11, [])
    with pytest.raises(ProtocolError, match="sends no blank lines"):
        decoder.feed(b"x")


def test_an_event_over_the_limit_is_not_offered_at_the_end() -> None:
    decoder = SSEDecoder(limit=10)
    decoder.feed(b"data: " + b"x" * 20)
    with pytest.raises(ProtocolError):
        decoder.remainder()


def test_both_forms_that_providers_send_are_read_without_looking_at_each_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(self: SSEDecoder, block: bytes) -> None:
        raise AssertionError(f"read line by line: {block!r}")

    monkeypatch.setattr(SSEDecoder, "_event", slow)
    assert read_pairs([b"data: 1\n\ndata: 2\n\n"]) == [(b"message", b"1"), (b"message", b"2")]
    named = b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n"
    assert read_pairs([named]) == [(b"a", b"1"), (b"b", b"2")]
    assert read_pairs([named.replace(b"\n", b"\r\n")]) == [(b"a", b"1"), (b"b", b"2")]


class Counted(SSEDecoder):
    """Counts the bytes that are held back, so each byte that waits for its event counts once."""

    held = 0

    def _hold(self, piece: bytes) -> None:
        self.held += len(piece)
        super()._hold(piece)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_work_grows_with_the_body_not_with_its_square(size: int) -> None:
    body = b"data: " + b"x" * 20_000 + b"\n" + b"data: y\n\n" * 100
    decoder = Counted()
    for at in range(0, len(body), size):
        decoder.feed(body[at : at + size])
    assert decoder.held <= len(body)


@given(
    records=st.lists(st.text("ab\u2028 {:\\", max_size=6), max_size=6),
    ends=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    form=st.sampled_from([b"", b"event: x", b": note", b"id: 7"]),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_the_quick_way_finds_what_the_plain_one_does(
    records: list[str], ends: bytes, form: bytes, cuts: list[int]
) -> None:
    body = b"".join(
        (form + ends if form else b"") + b"data: " + r.encode() + ends + ends for r in records
    )
    quick, plain = SSEDecoder(), SSEDecoder()
    places = [0, *sorted(c for c in cuts if c < len(body)), len(body)]
    pieces = [body[a:b] for a, b in pairwise(places)]
    found = [pair for piece in pieces for pair in quick.feed_pairs(piece)]
    assert found == [(r.event.encode(), r.data) for r in plain.feed(body)]


def test_the_quick_way_keeps_the_limit() -> None:
    for end in (b"\n\n", b"\r\n\r\n"):
        decoder = SSEDecoder(limit=20)
        body = b"data: a" + end + b"data: " + b"b" * 30 + end + b"data: c" + end
        assert list(decoder.feed_pairs(body)) == [(b"message", b"a")]
        with pytest.raises(ProtocolError):
            decoder.feed_pairs(b"")


@pytest.mark.parametrize(
    "body",
    [
        b"event: a\ndata: 1\n\nevent: a\ndata: 2\n\n",
        b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n",
        b"event: a\nid: 3\ndata: 1\n\nevent: a\nid: 3\ndata: 2\n\n",
        b"event: a\ndata: 1\ndata: 2\n\nevent: a\ndata: 3\n\n",
        b"event: a\ndata: 1\n\n\nevent: a\ndata: 2\n\n",
        b"event: a\ndata:1\n\nevent: a\ndata: 2\n\n",
        b"event: a\n\nevent: a\ndata: 2\n\n",
    ],
)
def test_events_of_one_name_are_cut_as_all_others_are(body: bytes) -> None:
    wanted = [(r.event.encode(), r.data) for r in SSEDecoder().feed(body)]
    assert list(SSEDecoder().feed_pairs(body)) == wanted
