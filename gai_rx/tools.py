"""Tools: a function with a schema that the model can read and its arguments are checked by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from gai_rx.errors import ToolError

__all__ = ["Tool", "tool"]


class Tool:
    """A function the model may call.

    Args:
        name: What the model calls it.
        description: When and how to use it, for the model.
        parameters: JSON schema of its arguments, an object.
        function: What runs; None for a tool whose calls are only delivered.
        timeout: Seconds one call may take.
        eager: Start when the call closes, before the answer is complete: only for tools without
            side effects, since the result is discarded if the answer fails.
    """

    def __init__(
        self,
        name: str,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        function: Callable[..., Any] | None = None,
        *,
        timeout: float = 30.0,
        eager: bool = False,
    ) -> None:
        if not name:
            raise ValueError("a tool needs a name")
        self.name = name
        self.description = description
        self.parameters: dict[str, Any] = dict(parameters or {"type": "object", "properties": {}})
        self.function = function
        self.timeout = timeout
        self.eager = eager
        self._arguments: type[BaseModel] | None = None

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float = 30.0,
        eager: bool = False,
    ) -> Tool:
        """Make a tool from a typed function: its signature is the schema.

        Raises:
            TypeError: If a parameter has no type, or takes `*args` or `**kwargs`.
        """
        title = name or function.__name__
        model = _arguments_model(title, function)
        made = cls(
            title,
            inspect.getdoc(function) or "" if description is None else description,
            model.model_json_schema(),
            function,
            timeout=timeout,
            eager=eager,
        )
        made._arguments = model
        return made

    def declaration(self) -> dict[str, Any]:
        """What the model is told of it: name, description and parameters."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Check what the model sent; the keyword arguments for the function.

        Raises:
            ToolError: If they do not fit the schema; the message says where.
        """
        if self._arguments is None:
            return dict(arguments)
        try:
            checked = self._arguments.model_validate(dict(arguments))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}"
                for e in error.errors(include_url=False, include_input=False)
            )
            raise ToolError(f"the arguments of {self.name!r} do not fit: {faults}") from error
        return {field: getattr(checked, field) for field in type(checked).model_fields}

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def _arguments_model(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    signature = inspect.signature(function, eval_str=True)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"tool {name!r}: {parameter} has no schema; name every argument")
        if parameter.annotation is parameter.empty:
            raise TypeError(f"tool {name!r}: parameter {parameter.name!r} needs a type")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (parameter.annotation, Field(default))
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = ...,
    description: str | None = ...,
    timeout: float = ...,
    eager: bool = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float = 30.0,
    eager: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a `Tool` from a typed function; its docstring tells the model what it does.

    Example:
        >>> @tool
        ... def weather(city: str, days: int = 1) -> str:
        ...     "The weather forecast of a city."
        ...     return f"sun in {city}"
        >>> weather.validate({"city": "Paris"})
        {'city': 'Paris', 'days': 1}
    """

    def make(f: Callable[..., Any]) -> Tool:
        return Tool.of(f, name=name, description=description, timeout=timeout, eager=eager)

    return make if function is None else make(function)
