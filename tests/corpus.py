"""Where recorded answers of real providers are, for the tests that use them.

The recordings belong to other projects and are no part of this one: tests skip where they are not.
"""

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("GAI_RX_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
DIALECT_OF = {
    "openai_chat": "openai_chat",
    "mistral": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic_messages",
    "gemini": "gemini",
    "ollama": "ollama",
    "cohere": "cohere",
}


def streams(*, cautioned: bool = False) -> list[dict[str, Any]]:
    """The recorded answers that began with status 200, of the dialects spoken here."""
    manifest = ROOT / "manifest.json"
    if not manifest.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(manifest.read_text())["streams"]
    return [
        entry
        for entry in entries
        if entry["api"] in DIALECT_OF
        and (entry["http_status"] or 200) == 200
        and (cautioned or not entry["caution"])
    ]


def body(entry: dict[str, Any]) -> bytes:
    """The bytes of a recorded answer."""
    path: Path = ROOT / entry["file"]
    return path.read_bytes()
