"""`connect`: who answers, checked before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from gai_rx.errors import AuthenticationError, BadRequestError
from gai_rx.hosts import HOSTS, Host
from gai_rx.http import Proxy, Timeouts
from gai_rx.http.proxies import is_loopback, proxy_fault
from gai_rx.providers.answering import Asker
from gai_rx.providers.provider import Provider

__all__ = ["connect"]

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def connect(
    model: str,
    *,
    api_key: str | SecretStr | None = None,
    base_url: str | None = None,
    headers: Mapping[str, str | SecretStr] | None = None,
    timeouts: Timeouts | None = None,
    lenient: bool | None = None,
    proxy: str | SecretStr | None = None,
    **options: Any,
) -> Provider:
    """Choose who answers; nothing is sent before a stream is subscribed to.

    Args:
        model: `"host:model"`, split at the first colon; the host alone takes its default model.
        api_key: Instead of the host's environment variable.
        base_url: Instead of the host's; it ends where the provider's own SDKs' base URL ends.
        headers: Sent with every request. Their values are kept and hidden as the key is, but for
            short ones and headers that hold no secret, such as `anthropic-beta`.
        timeouts: Limits in seconds; `Timeouts()` when None.
        lenient: Take an answer that ends properly but names no finish reason as complete; the
            host's habit when None.
        proxy: URL of an HTTP proxy, with user and password if it wants them; those of the
            environment are not used. Plain http, which is for this machine, goes to no proxy
            elsewhere.
        options: Settings for every request, as `Request` has them: `temperature=0.2`.

    Raises:
        AuthenticationError: If the host needs a key and there is none; names the variable.
        BadRequestError: If the host is unknown, the base URL is not https (loopback excepted), or
            a header or the proxy's URL is none.

    Example:
        >>> connect("anthropic:claude-sonnet-4-5", api_key="sk-...")
        Provider('anthropic:claude-sonnet-4-5', base_url='https://api.anthropic.com')
    """
    key = SecretStr(api_key) if isinstance(api_key, str) else api_key
    url = SecretStr(base_url) if base_url else None
    told = _wrapped(headers or {})
    way = SecretStr(proxy) if isinstance(proxy, str) else proxy
    api_key = base_url = headers = proxy = None  # from here on no local holds a secret itself
    name, _, wanted = model.partition(":")
    host = HOSTS.get(name)
    if host is None:
        known = ", ".join(HOSTS)
        raise BadRequestError(
            f"no host is called {name!r}; known are {known}. Any OpenAI-compatible server is "
            "'compat:model' with base_url=…"
        )
    chosen = wanted or host.default_model
    if chosen is None:
        raise BadRequestError(f"{name!r} has no default model; write '{name}:model'")
    quirks = replace(host.quirks, provider=name)
    if lenient is not None:
        quirks = replace(quirks, finish_optional=lenient)
    asker = Asker(
        name=name,
        host=host,
        model=chosen,
        quirks=quirks,
        key=_key(name, host, key),
        base_url=_base_url(name, host, url),
        headers=_checked(told),
        timeouts=timeouts or Timeouts(),
        proxy=_proxy(way),
    )
    return Provider(asker, options)


def _wrapped(headers: Mapping[str, str | SecretStr]) -> dict[str, SecretStr]:
    return {
        str(name).lower(): value if isinstance(value, SecretStr) else SecretStr(value)
        for name, value in headers.items()
    }


def _checked(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """The headers, if HTTP can carry them."""
    for name, value in headers.items():
        if not isinstance(value.get_secret_value(), str):
            kind = type(value.get_secret_value()).__name__
            raise TypeError(f"the value of header {name!r} must be a str, got {kind}")
        if not _NAME.fullmatch(name):
            raise BadRequestError(f"{name[:40]!r} can not be the name of a header")
        if _CONTROL.search(value.get_secret_value()):
            raise BadRequestError(
                f"the value of header {name!r} has line ends or other control characters; was it "
                "copied whole?"
            )
    return headers


def _proxy(url: SecretStr | None) -> Proxy | None:
    if not url:
        return None
    if fault := proxy_fault(url):
        raise BadRequestError(fault)
    return Proxy.of(url)


def _key(name: str, host: Host, given: SecretStr | None) -> SecretStr | None:
    key = given
    if key is None and host.key_variable is not None:
        key = SecretStr(os.environ.get(host.key_variable, ""))
    if key:
        if not _may_be_a_key(key):
            raise AuthenticationError(
                f"the key for {name!r} has spaces, line ends or other characters that no key has; "
                "was it copied whole?",
                provider=name,
            )
        return key
    if host.key_variable is None or host.key_optional:
        return None
    raise AuthenticationError(
        f"{name!r} needs a key: set the environment variable {host.key_variable} or pass api_key=…",
        provider=name,
    )


def _may_be_a_key(key: SecretStr) -> bool:
    return key.get_secret_value().isascii() and not any(
        c.isspace() or not c.isprintable() for c in key.get_secret_value()
    )


def _base_url(name: str, host: Host, given: SecretStr | None) -> str | None:
    told = os.environ.get(host.url_variable) if host.url_variable else None
    url = given or SecretStr(told or host.base_url or "")
    told = None
    if not url:
        if host.start is not None:
            return None
        hint = f", or set {host.url_variable}" if host.url_variable else ""
        raise BadRequestError(f"{name!r} needs base_url=…{hint}")
    if fault := _url_fault(url):
        raise BadRequestError(fault)
    return url.get_secret_value().rstrip("/")


def _url_fault(url: SecretStr) -> str | None:
    """What is wrong with a base URL, if anything, without repeating what may be secret."""
    try:
        parts = urlsplit(url.get_secret_value())
        valid = parts.port != 0
    except ValueError:  # which repeats what it could not read
        return "base_url must be like 'https://host/v1', got one with a host or port that is none"
    if parts.scheme not in ("http", "https") or not parts.hostname or not valid:
        return f"base_url must be like 'https://host/v1', got scheme {parts.scheme!r}"
    if parts.username is not None or parts.password is not None:
        return "base_url must not hold a user or password; use api_key or headers"
    if parts.scheme == "http" and not is_loopback(url.get_secret_value()):
        return (
            f"base_url must be https, got http to {parts.hostname!r}: the key would travel in the "
            "clear; plain http is for this machine only"
        )
    return None
