"""From a host's name to a provider that streams.

`connecting.py` checks what a caller says of a host, `provider.py` is what the caller gets,
`answering.py` makes one request, and `decoding.py` turns the bytes of its answer into events.
"""

from gai_rx.providers.connecting import connect
from gai_rx.providers.provider import Provider

__all__ = ["Provider", "connect"]
