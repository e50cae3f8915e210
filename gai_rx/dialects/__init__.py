"""Provider languages without I/O: a `Request` becomes HTTP parts, records become events."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from gai_rx.dialects.contract import Call, Decoder, Dialect, ObjectMode, Quirks

__all__ = ["DIALECTS", "Call", "Decoder", "Dialect", "ObjectMode", "Quirks"]

_NAMES = (
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "gemini",
    "ollama",
    "cohere",
)


class _Dialects(Mapping[str, Dialect]):
    """Each dialect is loaded when it is first asked for: nobody speaks all of them."""

    def __getitem__(self, name: str) -> Dialect:
        if name not in _NAMES:
            raise KeyError(name)
        dialect = getattr(import_module(f"gai_rx.dialects.{name}"), name.upper())
        assert isinstance(dialect, Dialect)
        return dialect

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


DIALECTS: Mapping[str, Dialect] = _Dialects()
