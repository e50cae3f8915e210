"""The README's part on operators, made from their docstrings.

python -m tests.operator_table        writes it into README.md; a test compares
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gai_rx import operators

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- operators -->\n", "<!-- end of operators -->\n"

# The order of the data path: what one reaches for first comes first.
FILES = (
    "filtering",
    "handling",
    "assembling",
    "segmenting",
    "batching",
    "smoothing",
    "flowing",
    "flattening",
    "pacing",
    "fan_out",
    "multiplexing",
    "retrying",
    "recovering",
    "falling_back",
    "timing",
    "monitoring",
    "metering",
    "objects",
    "tooling",
)


def table() -> str:
    """The whole part, as Markdown."""
    families: dict[str, list[Callable[..., Any]]] = defaultdict(list)
    for name in operators.__all__:
        public = getattr(operators, name)
        if inspect.isfunction(public):
            families[public.__module__.rpartition(".")[2]].append(public)
    unknown = families.keys() - set(FILES)
    assert not unknown, f"a new family of operators: name it in FILES: {unknown}"
    return "\n".join(_family(name, families[name]) for name in FILES if families[name])


def _family(name: str, members: list[Callable[..., Any]]) -> str:
    members = sorted(members, key=lambda one: one.__code__.co_firstlineno)
    rows = "\n".join(f"| `{_call(one)}` | {_effect(one)} |" for one in members)
    diagrams = "\n\n".join(d for one in members if (d := _diagram(one)))
    head = f"**`{name}.py`**\n\n| operator | in short |\n| --- | --- |"
    return f"{head}\n{rows}\n\n```\n{diagrams}\n```\n"


def _call(operator: Callable[..., Any]) -> str:
    shown = []
    for parameter in inspect.signature(operator).parameters.values():
        if parameter.name == "scheduler":
            continue  # of every operator that keeps time
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            name = f"*{name}"
        elif parameter.kind is parameter.VAR_KEYWORD:
            name = f"**{name}"
        elif parameter.kind is parameter.KEYWORD_ONLY:
            name += "="
        shown.append(name)
    return f"{operator.__name__}({', '.join(shown)})"


def _effect(operator: Callable[..., Any]) -> str:
    first = (inspect.getdoc(operator) or "").partition("\n")[0]
    return first.rstrip(".").replace("|", "\\|")


def _diagram(operator: Callable[..., Any]) -> str:
    return "\n".join(_lines(inspect.getdoc(operator) or ""))


def _lines(docstring: str) -> Iterator[str]:
    """The indented block under the first line, if it is a marble diagram."""
    for line in docstring.split("\n\n")[1:2]:
        if re.search(r"^    \S.*?  +[-(]", line):
            yield inspect.cleandoc(line)


def written(readme: str) -> str:
    """The README with a fresh table."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
