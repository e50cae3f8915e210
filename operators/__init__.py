"""Operators for streams of model output: Observable in, `Stream` out; one file per family.

RxPY's own operators compose with these: what RxPY has is not wrapped here.
"""

if __name__ != "gai_rx.operators":  # the folder lies beside the package it belongs to
    raise ImportError("this folder is the package gai_rx.operators; import it by that name")

from gai_rx.operators.assembling import accumulate_text, collect
from gai_rx.operators.batching import batch
from gai_rx.operators.filtering import only, text_only, where, without
from gai_rx.operators.flowing import map_async, relay
from gai_rx.operators.retrying import retry_on

__all__ = [
    "accumulate_text",
    "batch",
    "collect",
    "map_async",
    "only",
    "relay",
    "retry_on",
    "text_only",
    "where",
    "without",
]
