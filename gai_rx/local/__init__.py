"""A real small model on this machine: no key, no account, no hub.

The weights are those of SmolLM2-135M-Instruct (Apache-2.0, 98 MB), which a package of the Python
index ships; the engine is llama.cpp, with its own HTTP server, in a child process. At 135 million
parameters it answers simply and is often wrong: it is there to try and to test with. Any other GGUF
file is a path away.

    weights.py   where the weights are kept, and how they get there
    shown.py     what a user sees of a download
    server.py    the child process that serves
    child.py     the program that the child runs
    shared.py    one server for each model, started on first use
"""

from gai_rx.local.server import Endpoint, LocalServer
from gai_rx.local.shared import close_all, serve, serve_model
from gai_rx.local.weights import default_model_path, pull

__all__ = [
    "Endpoint",
    "LocalServer",
    "close_all",
    "default_model_path",
    "pull",
    "serve",
    "serve_model",
]
