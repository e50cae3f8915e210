"""Paths of JSON documents: how they are written, and which places they mean."""

import pytest

from gai_rx.wire.json_path import JsonPath, Watch, Wild, parse_path, shown_path

ANY, DEEP = Wild.ANY, Wild.DEEP


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("$.a.b", ("a", "b")),
        ("$['a']", ("a",)),
        ("['a']", ("a",)),
        ('$["a b"].c', ("a b", "c")),
        ("$['it\\'s'][\"back\\\\slash\"]", ("it's", "back\\slash")),
        ("$['']", ("",)),
        ("$['*']", ("*",)),
        ("$['0']", ("0",)),
        ("items[0]", ("items", 0)),
        ("[12][0]", (12, 0)),
        ("$.items[*].name", ("items", ANY, "name")),
        ("$.*", (ANY,)),
        ("*", (ANY,)),
        ("$..name", (DEEP, "name")),
        ("..name", (DEEP, "name")),
        ("$..*", (DEEP, ANY)),
        ("$..[*]", (DEEP, ANY)),
        ("$.a..[0]", ("a", DEEP, 0)),
        ("$.a..['b c'].d", ("a", DEEP, "b c", "d")),
        ("größe.x-y.z_1", ("größe", "x-y", "z_1")),
    ],
)
def test_a_path_is_read_and_shown_so_that_it_reads_the_same(
    text: str, steps: tuple[str | int | Wild, ...]
) -> None:
    path = parse_path(text)
    assert path.steps == steps
    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a path such as '$.items[*].name', got an empty one"),
        ("$a", "path '$a': expected '.' or '[' at offset 1, got 'a'"),
        ("a.", "path 'a.': expected a key or * at offset 2, got its end"),
        ("a..", "expected a key or * at offset 3, got its end"),
        ("a...b", "expected a key or * at offset 3, got '.'"),
        ("a b", "expected '.' or '[' at offset 1, got ' '"),
        (" a", "expected a key or * at offset 0, got ' '"),
        ("a[", "expected *, an index or a quoted key at offset 2, got its end"),
        ("a[]", "expected *, an index or a quoted key at offset 2, got ']'"),
        ("a[b]", "expected *, an index or a quoted key at offset 2, got 'b'"),
        ("a[-1]", "expected *, an index or a quoted key at offset 2, got '-'"),
        ("a[?(@.x)]", "expected *, an index or a quoted key at offset 2, got '?'"),
        ("a[1:2]", "expected ']' at offset 3, got ':'"),
        ("a[0", "expected ']' at offset 3, got its end"),
        ("a['b", 'expected *, an index or a quoted key at offset 2, got "\'"'),
        ("a['b'", "expected ']' at offset 5, got its end"),
        ("a['b','c']", "expected ']' at offset 5, got ','"),
        ("a.0", "expected [0] for an index or ['0'] for a key at offset 2, got '0'"),
        ("a]", "expected '.' or '[' at offset 1, got ']'"),
        ("$$", "expected '.' or '[' at offset 1, got '$'"),
    ],
)
def test_what_is_no_path_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="path") as caught:
        parse_path(text)
    assert message in str(caught.value)


def test_a_path_is_text() -> None:
    with pytest.raises(TypeError, match="expected a path as a str, got int"):
        parse_path(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "meant", "not_meant"),
    [
        ("$", [()], [("a",)]),
        ("a", [("a",)], [(), ("b",), ("a", "a"), (0,)]),
        ("a.*", [("a", "x"), ("a", 3)], [("a",), ("a", "x", "y")]),
        ("[0]", [(0,)], [("0",), (1,)]),
        ("['0']", [("0",)], [(0,)]),
        ("$..a", [("a",), ("a", "a"), ("x", 0, "a")], [(), ("x",), ("a", "x")]),
        ("$..*", [("a",), (0,), ("a", 0, "b")], [()]),
        ("$..a..b", [("a", "b"), ("x", "a", "y", "b"), ("a", "b", "b")], [("b", "a"), ("b",)]),
        ("a[*].b", [("a", 0, "b"), ("a", 9, "b")], [("a", "b"), ("a", 0)]),
    ],
)
def test_a_path_means_its_places_and_no_others(
    text: str, meant: list[tuple[str | int, ...]], not_meant: list[tuple[str | int, ...]]
) -> None:
    path = parse_path(text)
    assert [place for place in meant if not path.matches(place)] == []
    assert [place for place in not_meant if path.matches(place)] == []


def test_paths_can_be_compared_and_kept_in_sets() -> None:
    assert {parse_path("$.a"), parse_path("a"), parse_path("$['a']")} == {JsonPath(("a",))}


def test_a_place_is_shown_as_the_path_that_means_it() -> None:
    assert shown_path(()) == "$"
    assert shown_path(("a", 0, "b c", "d'e\\")) == "$.a[0]['b c']['d\\'e\\\\']"


def test_watching_any_depth_takes_no_more_room_in_a_larger_document() -> None:
    watch = Watch([parse_path("$..a"), parse_path("$..b.c"), parse_path("$.x[*]")])
    keys = ("a", "b", "c", "x", "y", 0, 1)
    seen = {id(watch)}
    fringe = [watch]
    for _ in range(12):
        fringe = [node.child(key) for node in fringe[:50] for key in keys]
        seen |= {id(node) for node in fringe}
    assert len(seen) < 40


def test_a_place_below_which_nothing_is_meant_is_not_live() -> None:
    watch = Watch([parse_path("$.a.b")])
    assert watch.live
    assert watch.child("a").live
    below = watch.child("a").child("b")
    assert (below.live, below.within, below.child("c").within) == (False, True, True)
    assert (watch.child("z").live, watch.child("z").within) == (False, False)
