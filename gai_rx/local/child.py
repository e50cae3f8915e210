"""The program of the child process: llama.cpp's HTTP server on a loopback port.

It is run by its path, so it imports nothing of ours and starts fast. One JSON line on standard
input says what to serve, with which key: arguments and environment are readable by others. One
line on standard output says where. It ends when standard input does, so with its parent.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from typing import Any

__all__ = ["LISTENING", "main"]

LISTENING = "gai_rx: listening on "
"""What the line that tells the address starts with."""

_LARGE = 1 << 30  # bytes of weights


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C reaches every process of a terminal; the parent may handle it and go on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = json.loads(sys.stdin.readline())
    watch = threading.Thread(target=_end_with_parent, daemon=True)
    watch.start()
    try:
        server = importlib.import_module("xllamacpp").Server(_parameters(**given))
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.write(f"\n{LISTENING}{server.listening_address}\n")
    sys.stdout.flush()
    watch.join()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # llama.cpp's own way out can hang, and the server keeps nothing worth saving


def _parameters(*, model: str, name: str, key: str, context: int, parallel: int) -> Any:
    params = importlib.import_module("xllamacpp").CommonParams()
    params.model.path = model
    params.model_alias = {name}  # else answers name the file, and so the user's folders
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.cors_origins = ""  # by default any web page may ask
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False  # it shows the prompts of others
    params.offline = True
    params.n_ctx = context
    params.n_parallel = parallel
    params.kv_unified = True  # each slot may use the whole context, not its share
    params.cache_ram_mib = 256  # of old prompts; by default 8 GiB
    # Fitting layers into a GPU's memory takes a second, and only large models need it.
    params.fit_params = os.stat(model).st_size > _LARGE
    # The engine's threads wait for each other in a spin: one that lost its core to another program
    # holds up all, and answers came ten times slower on a machine that was busy.
    threads = max(1, (os.cpu_count() or 1) // 2)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity = 1  # errors only
    return params


if __name__ == "__main__":
    main()
