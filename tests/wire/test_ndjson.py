"""NDJSON: lines at every cut, in linear time, within limits."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gai_rx.errors import ProtocolError
from gai_rx.wire.ndjson import NDJSONDecoder


def read(pieces: list[bytes], *, limit: int = 1000) -> list[bytes]:
    decoder = NDJSONDecoder(limit=limit)
    lines = [line for piece in pieces for line in decoder.feed(piece)]
    rest = decoder.remainder()
    return lines if rest is None else [*lines, rest]


def feed_all(decoder: NDJSONDecoder, pieces: list[bytes], lines: list[bytes]) -> None:
    for piece in pieces:
        lines += decoder.feed(piece)


def read_whole(body: bytes) -> list[bytes]:
    return [line for line in body.split(b"\n") if line.strip()]


def cut(body: bytes, *cuts: int) -> list[bytes]:
    edges = [0, *sorted(cuts), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


_BODIES = st.lists(
    st.sampled_from(
        [b'{"a": 1}', b"\n", b"\r\n", b" ", b"\r", b'{"b": "\xf0\x9f\x98\x80"}', b"\xe2\x80\xa8"]
    ),
    max_size=14,
).map(b"".join)


@given(_BODIES, st.data())
def test_any_cut_gives_the_lines_of_the_whole_body(body: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    expected = read_whole(body)
    for pieces in ([body], cut(body, *cuts), cut(body, *range(len(body)))):
        assert read(pieces) == expected


def test_a_character_that_python_takes_for_a_line_end_is_none() -> None:
    line = '"a\u2028b\u0085c\x0bd"'.encode()
    assert read([line + b"\n"]) == [line]


def test_lines_come_out_as_soon_as_they_are_whole() -> None:
    decoder = NDJSONDecoder()
    assert decoder.feed(b"1\n2") == [b"1"]
    assert decoder.feed(b"2") == []
    assert decoder.feed(b"\n\n\r\n3\n") == [b"22", b"3"]
    assert decoder.remainder() is None


def test_the_last_line_may_lack_its_line_end() -> None:
    decoder = NDJSONDecoder()
    assert decoder.feed(b"1\n{}") == [b"1"]
    assert decoder.remainder() == b"{}"
    assert decoder.remainder() is None


@pytest.mark.parametrize("at", [0, 4, 5, 6, 20, 30, 31])
def test_a_line_over_the_limit_fails_after_the_lines_before_it_are_out(at: int) -> None:
    body = b"one\n\n" + b"x" * 25 + b"\nthree\n"
    decoder = NDJSONDecoder(limit=20)
    seen: list[bytes] = []
    with pytest.raises(ProtocolError, match="limit of 20 bytes"):
        feed_all(decoder, [*cut(body, at), b""], seen)
    assert seen == [b"one"]


def test_an_endless_line_fails_when_it_has_grown_past_the_limit() -> None:
    decoder = NDJSONDecoder(limit=100)
    feed_all(decoder, [b"x" * 10] * 11, [])
    with pytest.raises(ProtocolError, match="sends no line ends"):
        decoder.feed(b"x")


def test_a_last_line_over_the_limit_is_not_offered() -> None:
    decoder = NDJSONDecoder(limit=10)
    decoder.feed(b"x" * 20)
    with pytest.raises(ProtocolError):
        decoder.remainder()


def test_many_lines_that_are_longer_than_the_limit_together_pass() -> None:
    assert read([b"x" * 8 + b"\n" + b"y" * 8 + b"\n"], limit=10) == [b"x" * 8, b"y" * 8]


class Counted(NDJSONDecoder):
    """Counts the bytes that are held back, so each byte that waits for its line counts once."""

    held = 0

    def _hold(self, piece: bytes) -> None:
        self.held += len(piece)
        super()._hold(piece)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_work_grows_with_the_body_not_with_its_square(size: int) -> None:
    body = b"x" * 20_000 + b"\n" + b"y\n" * 500
    decoder = Counted()
    for at in range(0, len(body), size):
        decoder.feed(body[at : at + size])
    assert decoder.held <= len(body)
