import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import (
    BackpressureError,
    Finish,
    ReasoningDelta,
    Start,
    StepFinish,
    Stream,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from gai_rx.flow import Buffer
from gai_rx.operators import map_async
from gai_rx.operators.segmenting import ABBREVIATIONS, lines, sentences, words
from tests.operators.marbles import check, diagram
from tests.operators.sources import Source, settle

ERROR = ZeroDivisionError("mine")
ALL = [words, sentences, lines]
Make = Callable[[], Any]


def said(text: str, **fields: Any) -> TextDelta:
    return TextDelta(text=text, **fields)


def cut(operator: Any, *items: Any) -> list[str]:
    """What an operator makes of items."""
    made: list[str] = Stream.of(rx.from_iterable(items)).pipe(operator).to_list().run()
    return made


def marbles(*texts: str) -> dict[str, str]:
    """The texts under the letters a, b, c …"""
    return dict(zip("abcdefgh", texts, strict=False))


def results(*texts: str) -> dict[str, str]:
    """The texts under the letters A, B, C …"""
    return dict(zip("ABCDEFGH", texts, strict=False))


# Words.


def test_words_are_put_together_across_deltas() -> None:
    check(
        words(),
        *diagram(words),
        values=marbles("On", "ce up", "on ", "a"),
        into=results("Once ", "upon ", "a"),
    )


@pytest.mark.parametrize(
    "units",
    [
        ["a  ", "b\n\n", "c"],
        ["  a ", "b"],  # whitespace before the first word goes with it
        ["   "],
        ["don't ", "stop—now, ", "3.14 ", "x"],
        ["10\u00a0000 ", "€"],  # a space that does not break
        ["你", "好。", "世", "界"],
        ["「模", "型」", "GPT", "是", "3", "个 ", "ok"],
        ["コー", "ヒー", "を", "飲", "む"],
        ["he ", "said ", "“你", "好” ", "ok"],
        ["cafe\u0301 ", "か\u3099", "き"],
    ],
)
def test_a_word_goes_up_to_the_next_one(units: list[str]) -> None:
    assert cut(words(), "".join(units)) == units


# Sentences.


def test_a_sentence_goes_on_with_the_first_character_after_it() -> None:
    check(
        sentences(),
        *diagram(sentences),
        values=marbles("Hello", " there.", " How", " are you?"),
        into=results("Hello there. ", "How are you?"),
    )


def test_a_sentence_is_held_back_no_longer_than_that() -> None:
    letters = marbles("Hi", ".", " ", "N", "o")
    check(
        sentences(), "-a-b-c-d-e-|", "-------A---(B|)", values=letters, into=results("Hi. ", "No")
    )
    letters = marbles("好", "。", "我")
    check(sentences(), "-a-b-c-|", "-----A-(B|)", values=letters, into=results("好。", "我"))


@pytest.mark.parametrize(
    "units",
    [
        ["Hello there. ", "How are you? ", "Fine!"],
        ["It is 3.14 or 1,000.50 now. ", "Yes."],
        ["Dr. Who met Mrs. Smith, e.g. on Jan. 5 at 5 p.m. ", "They spoke."],
        ["J. R. R. Tolkien and the U.S. Army. ", "Then I. ", "Then you."],
        ["No. 5 is alive. ", "Is it? ", "No. ", "Then what?"],
        ["see Fig. 3 (cf. Smith et al. 2020). ", "Next."],
        ["He said etc. and so on etc. ", "Then he left."],
        ["“Really?” she asked. ", "“Yes!” ", "He left."],
        ["It works (really.) ", "**Truly.** ", "_Yes._ ", "`x.`"],
        ["Wait... what? ", "Hm… ", "No. ", "Why?! ", "So."],
        ["1. First. ", "2. Second."],
        ["A. First. ", "B. Second."],
        ["# A title\n", "- one\n", "- two\r\n\n", "Text. ", "More."],
        ["One.\n\n", "Two\u2028", "Three"],
        ["See http://a.b/c?d=e.f for more. ", "Or www.x.org. ", "Bye."],
        ["他说。", "“你好!”", "我们走吧。", "（真的。）", "对"],  # noqa: RUF001
        ["「行く。」", "と言った。", "好的!", "走"],
        ["यह है। ", "वह है।"],
        ["هل هذا؟ ", "نعم"],
        ["Wow! ", "that is nice. ", "Yes"],
        ["it is here. and goes on: yes. ", "No"],
        ["Great! ", "🦆 Next."],
        ["A number: 5. ", "The end."],
        [" Lead. ", "End"],
        ["...and so. ", "It"],
        ["It was J... ", "Then."],
        ["a title\n", "and text"],
        ["He said (no.) , then. ", "Yes"],
    ],
)
def test_a_sentence_ends_where_a_reader_ends_it(units: list[str]) -> None:
    assert cut(sentences(), "".join(units)) == units


def test_abbreviations_can_be_named() -> None:
    text = "The Bros. Grimm met Dr. Who. Then."
    assert cut(sentences(), text) == ["The Bros. ", "Grimm met Dr. Who. ", "Then."]
    usual_too = sentences(abbreviations={*ABBREVIATIONS, "Bros."})
    assert cut(usual_too, text) == ["The Bros. Grimm met Dr. Who. ", "Then."]
    assert cut(sentences(abbreviations=["bros"]), text)[1] == "Who. "


def test_short_sentences_go_on_together() -> None:
    text = "Hi. How are you? I am. Well."
    assert cut(sentences(min_chars=10), text) == ["Hi. How are you? ", "I am. Well."]


# Lines.


def test_a_line_goes_on_with_its_end() -> None:
    check(
        lines(),
        *diagram(lines),
        values=marbles("one\ntw", "o\n", "three"),
        into=results("one\n", "two\n", "three"),
    )


def test_lines_end_with_a_newline_and_nothing_else() -> None:
    text = "a\r\n\nb\rc\u2028d\x0be\x85f\n"
    assert cut(lines(), text) == ["a\r\n", "\n", "b\rc\u2028d\x0be\x85f\n"]
    assert cut(lines(keep_ends=False), text) == ["a", "", "b\rc\u2028d\x0be\x85f"]
    assert cut(lines(keep_ends=False), "a\r", "\nb") == ["a", "b"]
    assert cut(lines(keep_ends=False), "a\r") == ["a\r"]


# All of them.

LETTERS = "ab. .!?\n\r ”“\"'）。你ー「AI1 e.g,\u0301\u00a0"  # noqa: RUF001


@pytest.mark.parametrize("make", ALL)
def test_the_units_are_the_text_wherever_it_was_cut(make: Make) -> None:
    random.seed(1)
    for _ in range(300):
        text = "".join(random.choice(LETTERS) for _ in range(random.randrange(1, 25)))
        whole = cut(make(), text)
        assert "".join(whole) == text
        for size in (1, 2, 3):
            pieces = [text[n : n + size] for n in range(0, len(text), size)]
            assert cut(make(), *pieces) == whole, (text, size)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("unit", ["a", ".", " ", '."', "e.g. ", "你", "\u0301"])
def test_hostile_text_costs_its_length(make: Make, unit: str) -> None:
    def cost(length: int) -> float:
        text = unit * (length // len(unit))
        costs = []
        for _ in range(3):
            seen: list[str] = []
            subject = Subject[str]()
            subject.pipe(make()).subscribe(seen.append, scheduler=TestScheduler())
            begun = time.process_time()
            subject.on_next(text)
            for char in text:
                subject.on_next(char)
            subject.on_completed()
            costs.append(time.process_time() - begun)
            assert sum(map(len, seen)) == 2 * len(text)
        return min(costs)

    assert cost(16_000) < 8 * cost(4_000) + 0.05  # 16 times, if each piece cost the whole


@pytest.mark.parametrize("make", ALL)
def test_the_rest_goes_on_before_an_error(make: Make) -> None:
    check(make(), "-a-b-#", "-----(A#)", values=marbles("a", "b"), into={"A": "ab"}, error=ERROR)


@pytest.mark.parametrize("make", ALL)
def test_nothing_is_sent_where_nothing_was_said(make: Make) -> None:
    check(make(), "-S-e-|", "-----|", values={"S": Start(), "e": ""})


@pytest.mark.parametrize("make", ALL)
def test_events_are_read_for_the_first_choices_text(make: Make) -> None:
    items = [Start(), said("a"), said("x", choice=1), ReasoningDelta(text="r"), said("b")]
    assert cut(make(), *items) == ["ab"]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    "turn",
    [
        ToolCallDelta(id="1"),
        ToolCall(id="1", name="f"),
        StepFinish(number=0),
        Finish(reason="stop"),
    ],
    ids=lambda turn: type(turn).__name__,
)
def test_the_rest_goes_on_when_the_answer_says_something_else(make: Make, turn: Any) -> None:
    check(
        make(),
        "-a-T-b-|",
        "---A---(B|)",
        values={"a": said("a"), "T": turn, "b": said("b")},
        into={"A": "a", "B": "b"},
    )


@pytest.mark.parametrize("make", ALL)
def test_the_text_of_another_step_is_another_text(make: Make) -> None:
    assert cut(make(), said("a"), said("b", step=1), said("c", step=1)) == ["a", "bc"]


@pytest.mark.parametrize("make", ALL)
def test_the_texts_of_streams_do_not_mix(make: Make) -> None:
    one: dict[str, Any] = {"stream_id": "1"}
    two: dict[str, Any] = {"stream_id": "2"}
    items = [said("a", **one), said("x", **two), said("b", **one), Finish(reason="stop", **one)]
    assert cut(make(), *items, said("y", **two)) == ["ab", "xy"]


@pytest.mark.parametrize("make", ALL)
def test_what_is_held_of_an_answer_that_begins_anew_is_dropped(make: Make) -> None:
    assert cut(make(), said("void"), Start(attempt=2), said("new")) == ["new"]
    assert cut(make(), said("a"), Start(), said("b")) == ["ab"]
    other = said("other", stream_id="2")
    assert cut(make(), said("void"), other, Start(attempt=2), said("new")) == ["other", "new"]
    kept = [said("kept"), Start(attempt=2, step=1), said("new", step=1)]
    assert cut(make(), *kept) == ["kept", "new"]


@pytest.mark.parametrize("make", ALL)
async def test_two_subscriptions_share_no_text(make: Make) -> None:
    stream = Source(["a", "b\nC. ", "D"]).stream.pipe(make())
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert first == second
    assert "".join(first) == "ab\nC. D"


async def test_many_units_of_one_delta_do_not_overrun_a_slow_consumer() -> None:
    source, seen = Source(["x " * 500, "y " * 500, "z"]), list[str]()

    async def slow(word: str) -> None:
        await asyncio.sleep(0)
        seen.append(word)

    await source.stream.pipe(words(), map_async(slow)).to_list()
    assert seen == ["x "] * 500 + ["y "] * 500 + ["z"]


async def test_the_source_is_held_until_all_units_have_found_room() -> None:
    source, seen = Source(["x " * 500, "y ", "z", "more"]), list[str]()
    open_gate = asyncio.Event()

    async def held(word: str) -> None:
        await open_gate.wait()
        seen.append(word)

    subscription = source.stream.pipe(words(), map_async(held)).subscribe()
    await settle(50)
    assert source.pulled == 1
    open_gate.set()
    await settle(3000)
    assert (len(seen), source.pulled) == (502, 4)
    subscription.dispose()


async def test_an_error_comes_after_the_units_that_wait_for_room() -> None:
    seen = list[Any]()

    async def slow(word: str) -> str:
        await asyncio.sleep(0)
        return word

    done = asyncio.Event()

    def on_error(error: Exception) -> None:
        seen.append(error)
        done.set()

    stream = Source(["x " * 100], error=ERROR).stream.pipe(words(), map_async(slow))
    stream.subscribe(seen.append, on_error)
    await asyncio.wait_for(done.wait(), 5)
    assert seen == ["x "] * 100 + [ERROR]


async def test_units_that_just_fit_hold_the_source_all_the_same() -> None:
    source, below = Source(["a\nb\n"] * 9), Buffer[str](2, "below")
    subscription = source.stream.pipe(lines()).subscribe(below.push)
    await settle(50)
    assert (len(below.items), source.pulled) == (2, 1)
    subscription.dispose()


def test_the_end_comes_after_the_units_that_wait_for_room() -> None:
    subject, seen, below = Subject[str](), list[str](), Buffer[str](1, "below")
    ends = list[bool]()
    stream = subject.pipe(lines())
    stream.subscribe(below.push, None, lambda: ends.append(True), scheduler=TestScheduler())
    subject.on_next("a\nb\nc")
    subject.on_completed()
    while below.items:
        assert not ends or len(seen) == 2
        seen.append(below.pop())
    assert (seen, ends) == (["a\n", "b\n", "c"], [True])


def test_a_subscriber_that_raises_at_the_end_gets_no_second_end() -> None:
    subject, errors, below = Subject[str](), list[Exception](), Buffer[str](1, "below")

    def on_completed() -> None:
        raise ERROR

    stream = subject.pipe(lines())
    stream.subscribe(below.push, errors.append, on_completed, scheduler=TestScheduler())
    subject.on_next("a\nb\n")
    subject.on_completed()
    with pytest.raises(ZeroDivisionError):
        below.pop()
    assert not errors


async def test_disposed_while_units_wait_nothing_more_comes() -> None:
    source, seen, open_gate = Source(["x " * 500, "y"]), list[str](), asyncio.Event()

    async def held(word: str) -> None:
        await open_gate.wait()
        seen.append(word)

    subscription = source.stream.pipe(words(), map_async(held)).subscribe()
    await settle(50)
    subscription.dispose()
    open_gate.set()
    await settle(50)
    assert (seen, source.closed) == ([], 1)


def test_a_source_that_can_not_be_held_overruns_loudly() -> None:
    subject, errors, below = Subject[str](), list[Exception](), Buffer[str](1, "below")
    subject.pipe(words()).subscribe(below.push, errors.append, scheduler=TestScheduler())
    for _ in range(100):
        subject.on_next("x y z ")
    assert len(below.items) == 1
    assert str(errors[0]).startswith("words(): 69 items wait where 1 may")
    assert isinstance(errors[0], BackpressureError)


@pytest.mark.parametrize("waits", [False, True])
async def test_a_subscriber_that_raises_gets_its_own_error(waits: bool) -> None:
    source, errors, seen = (
        Source(["a b c d ", "e f"], endless=False),
        list[Exception](),
        list[str](),
    )

    def on_next(word: str) -> None:
        seen.append(word)
        if len(seen) == 2:
            raise ERROR

    async def same(word: str) -> str:
        return word

    operators: list[Any] = [words(), map_async(same)] if waits else [words()]
    source.stream.pipe(*operators).subscribe(on_next, errors.append)
    await settle(50)
    assert (seen, errors, source.closed) == (["a ", "b "], [ERROR], 1)


@pytest.mark.parametrize("wrong", [{"abbreviations": "dr"}, {"abbreviations": [1]}])
def test_abbreviations_that_are_no_words_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="abbreviations"):
        sentences(**wrong)


def test_a_length_below_one_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="min_chars"):
        sentences(min_chars=0)


def test_segmenting_shows_its_settings() -> None:
    stream = Source().stream.pipe(sentences(min_chars=9))
    assert repr(stream) == "Stream(source | sentences(min_chars=9))"
    assert repr(Source().stream.pipe(words())) == "Stream(source | words())"
    keep_ends = Source().stream.pipe(lines(keep_ends=False))
    assert repr(keep_ends) == "Stream(source | lines(keep_ends=False))"
