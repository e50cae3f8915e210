"""What is secret in headers, and how texts and errors are freed of it."""

import json
import urllib.parse
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from gai_rx.hiding import bare, hidden, one_line, secret_values


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("authorization", "Bearer abcdefgh", ["abcdefgh"]),
        ("authorization", "abcdefgh", ["abcdefgh"]),
        ("authorization", "Basic dXNlcjpwYXNz", ["dXNlcjpwYXNz", "pass"]),
        ("authorization", "Basic bG9uZ25hbWU6cHc=", ["bG9uZ25hbWU6cHc=", "longname"]),
        ("authorization", "Basic abcde", []),
        ("x-api-key", "abcdefg", []),
        ("x-api-key", " abcdefgh ", ["abcdefgh"]),
        ("cookie", "a=12345678; b=1; 123456789", ["12345678"]),
        ("user-agent", "my-application/1.0", []),
        ("content-type", "application/json", []),
        ("anthropic-version", "2023-06-01", []),
        ("accept-language", "en-GB,en;q=0.5", []),
    ],
)
def test_what_is_secret_in_a_header_goes_by_a_rule(
    name: str, value: str, secret: list[str]
) -> None:
    found = secret_values({name: SecretStr(value)})
    assert [each.get_secret_value() for each in found] == secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key abcdefgh-123456 is odd", "key *** is odd"),
        ("cut abcdefgh-1", "cut ***"),
        ("fgh-123456 was cut", "*** was cut"),
        ("abcdefgh-123456abcdefgh-123456", "******"),
        ("abcdefg is short", "abcdefg is short"),
        ("see https://me:pw@host/a@b and a@b", "see https://[user]@host/a@b and a@b"),
        ("see https://host/?a=me@b", "see https://host/?a=me@b"),
    ],
)
def test_secrets_and_what_is_left_of_them_are_hidden(text: str, shown: str) -> None:
    assert hidden(text, [SecretStr("abcdefgh-123456"), SecretStr("")]) == shown


@pytest.mark.parametrize("write", [json.dumps, repr, urllib.parse.quote])
def test_a_secret_is_hidden_however_it_is_written(write: Callable[[str], str]) -> None:
    secret = "quo\"ted\\and'more"
    assert secret[8:] not in (told := hidden(write(secret), [SecretStr(secret)]))
    assert "***" in told
    assert "more" not in told


def fail() -> None:
    try:
        json.loads("abcdefgh-123456")
    except ValueError as cause:
        raise LookupError("odd abcdefgh-123456", 7) from cause


def test_an_error_is_freed_of_secrets_with_all_that_it_came_from() -> None:
    with pytest.raises(LookupError) as caught:
        fail()
    error, came_from = caught.value, caught.value.__cause__
    assert isinstance(came_from, json.JSONDecodeError)
    came_from.__cause__ = error  # a circle must end
    bare(error, [SecretStr("abcdefgh-123456")])
    assert error.args == ("odd ***", 7)
    assert came_from.doc == "***"
    assert error.__traceback__ is came_from.__traceback__ is None


@pytest.mark.parametrize(
    "text",
    [
        "unknown option 'skip_special_tokens'; did you mean keyword_filter? see skeleton.py",
        "skipping the keyboard_layout",
    ],
)
def test_ordinary_words_are_not_hidden(text: str) -> None:
    assert one_line(text, []) == text


@pytest.mark.parametrize(
    "key", ["sk-proj-abc123XYZ", "sk-ant-api03-x_y", "sk-ab******yz", "AIzaSyD4eXY"]
)
def test_what_looks_like_a_key_is_hidden(key: str) -> None:
    assert one_line(f"bad key {key}", []) == "bad key ***"


def test_a_password_beyond_ascii_is_hidden_as_it_is() -> None:
    told = {"authorization": SecretStr("Basic p\u00e4sswort")}
    assert [value.get_secret_value() for value in secret_values(told)] == ["p\u00e4sswort"]
