"""From a typed function to what a model needs to call it: a schema, with words for each argument.

The types come from the signature, the words from the docstring: its first part tells what the tool
does, an `Args:` section in Google's style what each argument is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

__all__ = ["Signature", "read_docstring", "read_signature"]

_HEADER = re.compile(r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?):\s*")
_ARGUMENTS = frozenset(("Args", "Arguments", "Parameters"))
_UNTOLD = frozenset(("Raises", "Example", "Examples", "Yields", "Yield"))
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^()]*\))?:(?:\s+(.*))?")


class Signature(NamedTuple):
    """What a function takes."""

    model: type[BaseModel]
    """Its arguments; the fields have the arguments' names as aliases."""
    contexts: tuple[str, ...]
    """The parameters that are given a context instead of an argument."""


def read_signature(
    name: str, function: Callable[..., Any], context: type, words: Mapping[str, str]
) -> Signature:
    """A function's arguments as a model that checks them.

    Args:
        name: The tool's name.
        function: What runs.
        context: A parameter of this type is none of the model's business.
        words: Descriptions of arguments, by name; one in the annotation itself wins.

    Raises:
        TypeError: If a parameter has no type, or can not be passed by name.
    """
    fields: dict[str, Any] = {}
    contexts: list[str] = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"tool {name!r}: {parameter} has no schema; name every argument")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"tool {name!r}: {parameter.name!r} can not be given by name")
        if parameter.annotation is parameter.empty:
            raise TypeError(f"tool {name!r}: parameter {parameter.name!r} needs a type")
        if _is_context(parameter.annotation, context):
            contexts.append(parameter.name)
            continue
        # Any argument's name will do: those of fields may be none of pydantic's own words.
        fields[f"argument_{len(fields)}"] = (
            parameter.annotation,
            _field(parameter, words.get(parameter.name)),
        )
    model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return Signature(model, tuple(contexts))


def _field(parameter: inspect.Parameter, words: str | None) -> Any:
    default = ... if parameter.default is parameter.empty else parameter.default
    if words and FieldInfo.from_annotation(parameter.annotation).description is None:
        return Field(default, alias=parameter.name, description=words)
    return Field(default, alias=parameter.name)


def _is_context(annotation: Any, context: type) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return context in get_args(annotation)
    return annotation is context


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    r"""What a docstring says of the whole and of each argument.

    Example:
        >>> read_docstring("Adds.\n\nArgs:\n    a: One.\n    b: The\n        other.")
        ('Adds.', {'a': 'One.', 'b': 'The other.'})
    """
    told: list[str] = []
    arguments: list[str] = []
    section = ""
    for line in inspect.cleandoc(text).splitlines():
        header = _HEADER.fullmatch(line)
        if header:
            section = header[1]
        elif line and not line[0].isspace():
            section = ""
        if section in _ARGUMENTS:
            arguments += [] if header else [line]
        elif section not in _UNTOLD:
            told.append(line)
    description = re.sub(r"\n{3,}", "\n\n", "\n".join(told)).strip()
    return description, _entries(arguments)


def _entries(lines: list[str]) -> dict[str, str]:
    """The entries of an `Args` section; deeper lines go on with the entry above them."""
    filled = [line for line in lines if line.strip()]
    depth = min((len(line) - len(line.lstrip()) for line in filled), default=0)
    words: dict[str, list[str]] = {}
    name = ""
    for line in filled:
        entry = _ENTRY.fullmatch(line.strip()) if len(line) - len(line.lstrip()) == depth else None
        if entry:
            name = entry[1]
            words[name] = [entry[2] or ""]
        elif name:
            words[name].append(line.strip())
    return {name: " ".join(filter(None, said)) for name, said in words.items()}
