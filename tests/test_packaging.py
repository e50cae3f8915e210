"""What is installed is what is here."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_named_for_a_wheel() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(folder.relative_to(ROOT).parts)
        for folder in [ROOT / "gai_rx", *(ROOT / "gai_rx").rglob("*")]
        if (folder / "__init__.py").exists()
    }
    assert set(told) == found | {"gai_rx.operators"}
