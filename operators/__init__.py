"""Operators for streams of model output: Observable in, `Stream` out; one file per family."""

if __name__ != "gai_rx.operators":  # the folder lies beside the package it belongs to
    raise ImportError("this folder is the package gai_rx.operators; import it by that name")

from gai_rx.operators.filtering import text_only

__all__ = ["text_only"]
