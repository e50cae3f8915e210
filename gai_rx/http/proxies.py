"""A proxy: where it is, and what it alone is told."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from pydantic import SecretStr

from gai_rx.hiding import secret_values

__all__ = ["Proxy", "is_loopback", "proxy_fault"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADER = "proxy-authorization"


def _is_tunnelled(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    return urlsplit(url).hostname in _LOOPBACK


@dataclass(frozen=True)
class Proxy:
    """A proxy, apart from what it is told: aiohttp repeats the URL in its errors.

    Attributes:
        url: Its URL, without user and password.
        authorization: The header that tells them.
    """

    url: str
    authorization: SecretStr | None = None

    @classmethod
    def of(cls, url: SecretStr) -> Proxy:
        """The proxy at a URL that `proxy_fault` finds nothing wrong with."""
        parts = urlsplit(url.get_secret_value())
        place = parts.netloc.rpartition("@")[2]
        return cls(f"{parts.scheme}://{place}", _basic(parts))

    def serves(self, url: str) -> bool:
        """Whether a request goes this way: one in the clear must not leave this machine."""
        return _is_tunnelled(url) or is_loopback(self.url)

    def reads(self, url: str) -> bool:
        """Whether the proxy reads the request itself, rather than one for a tunnel."""
        return not _is_tunnelled(url)

    @property
    def headers(self) -> dict[str, SecretStr]:
        """What the proxy is told of who asks."""
        return {} if self.authorization is None else {_HEADER: self.authorization}

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """What no error may show."""
        return secret_values(self.headers)


def proxy_fault(url: SecretStr) -> str | None:
    """What is wrong with the URL of a proxy, if anything, without repeating what is secret."""
    wanted = "proxy must be like 'http://user:password@host:3128'"
    try:
        parts = urlsplit(url.get_secret_value())
        port = parts.port
    except ValueError:  # which repeats what it could not read
        return f"{wanted}, got a URL whose host or port can not be read; is it percent-encoded?"
    if "://" not in url.get_secret_value():
        return f"{wanted}, got one without 'http://'"
    if parts.scheme not in ("http", "https"):
        return f"{wanted}, got scheme {parts.scheme!r}"
    if not parts.hostname or port == 0:
        return f"{wanted}, got one without a host or port"
    return None


def _basic(parts: SplitResult) -> SecretStr | None:
    if parts.username is None and parts.password is None:
        return None
    told = b":".join(unquote_to_bytes(part or "") for part in (parts.username, parts.password))
    return SecretStr(f"Basic {base64.b64encode(told).decode()}")
