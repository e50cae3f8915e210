"""What must never be shown, and texts without it.

Secret are the key, the credentials of a proxy, and of the headers that a caller gives each value
of eight characters or more, except in headers that are known to hold no secret (`_HARMLESS`,
`_HARMLESS_ENDS`). Of a value such as `Bearer abc` or `session=abc` it is what follows the scheme
or the name. A server may repeat any of them, whole or cut off, in what it says of a failure.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr

__all__ = ["bare", "hidden", "one_line", "secret_values"]

_MESSAGE_LIMIT: Final = 2048
"""Most characters of a provider's own message that an error repeats."""

_LEAST_VALUE: Final = 8  # characters of a header's value; shorter ones are settings
_LEAST_PASSWORD: Final = 4  # characters of what is a password for certain
_TELLING: Final = 8  # characters at an end of a secret that give nothing away: "sk-proj-"

_HARMLESS: Final = frozenset(
    (
        "cache-control",
        "connection",
        "date",
        "expect",
        "host",
        "http-referer",
        "idempotency-key",
        "openai-organization",
        "openai-project",
        "origin",
        "pragma",
        "prefer",
        "priority",
        "referer",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-client-request-id",
        "x-goog-user-project",
        "x-request-id",
        "x-title",
    )
)
_HARMLESS_BEGINNINGS: Final = ("accept", "content-", "x-stainless-")
_HARMLESS_ENDS: Final = ("-beta", "-version")

_SCHEME = re.compile(r"(basic|bearer|token|key|apikey|api-key|digest|negotiate|dpop)\s+", re.I)
# A digit or a mask in it tells a key from a word such as keyboard_layout or skip_special_tokens.
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|gsk|xai|key|AIza)[-_]?(?=[A-Za-z_.\-]*[0-9*])[A-Za-z0-9_*.\-]{6,}|\bBearer\s+\S+"
)
_USER = re.compile(r"""(?<=://)[^\s/?#"<>]*@""")


def secret_values(headers: Mapping[str, SecretStr]) -> tuple[SecretStr, ...]:
    """What is secret in headers that a caller gives; names in lower case.

    Example:
        >>> told = {"x-team": SecretStr("search"), "cookie": SecretStr("a=1; id=8f0c2b7d91")}
        >>> [value.get_secret_value() for value in secret_values(told)]
        ['8f0c2b7d91']
    """
    return tuple(
        SecretStr(value)
        for name, given in headers.items()
        if not _harmless(name)
        for value in _values(name, given.get_secret_value().strip())
    )


def _harmless(name: str) -> bool:
    return (
        name in _HARMLESS or name.startswith(_HARMLESS_BEGINNINGS) or name.endswith(_HARMLESS_ENDS)
    )


def _values(name: str, value: str) -> Iterator[str]:
    if name == "cookie":
        told = [pair.partition("=")[2].strip() for pair in value.split(";")]
    else:
        told = [_SCHEME.sub("", value, count=1)]
    yield from (each for each in told if len(each) >= _LEAST_VALUE)
    if value[:6].lower() == "basic ":
        yield from _user_and_password(told[0])


def _user_and_password(encoded: str) -> Iterator[str]:
    try:
        decoded = base64.b64decode(encoded).decode("utf-8", "replace")
    except ValueError:  # binascii.Error is one, and so is what is said of text beyond ASCII
        return
    user, _, password = decoded.partition(":")
    if len(user) >= _LEAST_VALUE:
        yield user
    if len(password) >= _LEAST_PASSWORD:
        yield password


def hidden(text: str, secrets: Iterable[SecretStr]) -> str:
    """A text without these secrets, wherever it repeats one, and without the users of its URLs.

    A secret that was cut off at an end is hidden too, unless all that is left is short.

    Example:
        >>> hidden("odd: my-secret-12345, my-secret-1", [SecretStr("my-secret-12345")])
        'odd: ***, ***'
        >>> hidden("no way to http://me:pass@proxy:3128", [])
        'no way to http://[user]@proxy:3128'
    """
    text = _USER.sub("[user]@", text)
    for form in sorted({f for s in secrets for f in _forms(s)}, key=len, reverse=True):
        text = _without_beginnings(text, form)
        text = _without_beginnings(text[::-1], form[::-1])[::-1]
    return text


def _forms(secret: SecretStr) -> set[str]:
    """A secret as it is, and as it may be written: in JSON, in Python, in a URL."""
    plain = secret.get_secret_value()
    return {plain, json.dumps(plain)[1:-1], repr(plain)[1:-1], quote(plain, safe="")} - {""}


def _without_beginnings(text: str, secret: str) -> str:
    """A text without the secret, and without its beginnings that tell more than its kind."""
    head = secret[:_TELLING]
    kept: list[str] = []
    at = 0
    while (found := text.find(head, at)) >= 0:
        kept += (text[at:found], "***")
        length = len(head)
        while secret[length : length + 1] == text[found + length : found + length + 1] != "":
            length += 1
        at = found + length
    return "".join((*kept, text[at:]))


def one_line(text: str, secrets: Iterable[SecretStr]) -> str:
    """One line, without control characters, keys and excess."""
    text = _KEY_LIKE.sub("***", hidden(text, secrets))
    text = "".join(c if c.isprintable() else " " for c in text[: 2 * _MESSAGE_LIMIT])
    return text if len(text) <= _MESSAGE_LIMIT else text[:_MESSAGE_LIMIT] + "..."


def bare(error: BaseException, secrets: Iterable[SecretStr]) -> None:
    """Take the secrets out of an error and of all that it came from, and forget their frames.

    What shows the locals of frames, as debuggers and crash reports do, would show requests.
    """
    secrets = tuple(secrets)
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        left += (one.__cause__, one.__context__)
        one.__traceback__ = None
        args = tuple(hidden(a, secrets) if isinstance(a, str) else a for a in one.args)
        if args != one.args:
            one.args = args
        for name, value in getattr(one, "__dict__", {}).items():
            if isinstance(value, str):
                setattr(one, name, hidden(value, secrets))
