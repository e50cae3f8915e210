"""A server on loopback that speaks every dialect, from scripts, with faults: no key is needed.

from gai_rx.simulator import Answer, Simulator

async with Simulator(Answer("Hi there.", delay=0.02)) as simulator:
    model = connect("anthropic_messages:any", base_url=simulator.url)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gai_rx.simulator.asking import Asked, OfferedTool, SeenRequest
    from gai_rx.simulator.background import shared
    from gai_rx.simulator.behaviours import MODELS, behave
    from gai_rx.simulator.faults import FAULTS, Fault
    from gai_rx.simulator.script import Answer, Script
    from gai_rx.simulator.server import Simulator

__all__ = [
    "FAULTS",
    "MODELS",
    "Answer",
    "Asked",
    "Fault",
    "OfferedTool",
    "Script",
    "SeenRequest",
    "Simulator",
    "behave",
    "shared",
]

# Loaded on first use: the pytest plugin beside this file is imported by every test run.
_HOMES = {
    "FAULTS": "faults",
    "MODELS": "behaviours",
    "Answer": "script",
    "Asked": "asking",
    "Fault": "faults",
    "OfferedTool": "asking",
    "Script": "script",
    "SeenRequest": "asking",
    "Simulator": "server",
    "behave": "behaviours",
    "shared": "background",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
