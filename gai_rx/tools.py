"""Tools: a function with a schema that the model can read and its arguments are checked by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, overload

from pydantic import BaseModel, ValidationError

from gai_rx.approving import Approval, Approve, Decisions, check_approve
from gai_rx.errors import ToolError
from gai_rx.signatures import read_docstring, read_signature

__all__ = ["Approval", "Approve", "Decisions", "Tool", "ToolContext", "tool"]

_MOST_FAULTS = 10
_LONGEST_FAULTS = 2000  # characters; a fault repeats the names that the model made up


class ToolContext:
    """What a tool may know of the call that it serves.

    A parameter that is annotated with this class receives it; the model does not see the parameter.

    Attributes:
        call_id: The model's name for the call.
        name: The tool's.
        step: The step of the run that asked for it, from 0.
        attempt: Which attempt of the step's request asked for it, from 1.
        idempotency_key: The same whenever this call is made again, in a resumed run too: for
            services that take such a key, so that nothing is done twice.

    Example:
        >>> @tool
        ... def book(seat: str, context: ToolContext) -> str:
        ...     "Book a seat."
        ...     context.progress({"seat": seat, "state": "asking"})
        ...     return context.idempotency_key
        >>> list(book.parameters["properties"])
        ['seat']
    """

    def __init__(
        self,
        call_id: str = "",
        name: str = "",
        *,
        step: int = 0,
        attempt: int = 1,
        idempotency_key: str = "",
        report: Callable[[Any], None] | None = None,
    ) -> None:
        self.call_id = call_id
        self.name = name
        self.step = step
        self.attempt = attempt
        self.idempotency_key = idempotency_key
        self._report = report
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more; a sync tool should look now and then."""
        return self._cancelled

    def cancel(self) -> None:
        """Tell the tool that nobody waits any more."""
        self._cancelled = True

    def progress(self, value: Any) -> None:
        """Tell how far the tool has come: a `ToolProgress` event, from any thread.

        When the subscribers are slower than the tool, the latest value replaces the one before it.

        Raises:
            ValueError: If JSON can not carry the value.
        """
        if self._report is not None and not self._cancelled:
            self._report(value)


class Tool:
    """A function the model may call.

    Args:
        name: What the model calls it.
        description: When and how to use it, for the model.
        parameters: JSON schema of its arguments, an object. Without a typed function only the
            names are checked by it.
        function: What runs; None for a tool whose calls are only delivered.
        timeout: Seconds one call may take; None for no limit.
        eager: Start when the call closes, before the answer is complete: only for tools without
            side effects, since the result is discarded if the answer fails.
        approve: Whose yes a call needs. True: that of the run's `approve`, and the run stops where
            it has none. False: nobody's, even if the run has one. None: the run's, if it has one.
        max_result: Most bytes of the result as JSON; a longer one is told to the model as an error.
    """

    def __init__(
        self,
        name: str,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        function: Callable[..., Any] | None = None,
        *,
        timeout: float | None = 30.0,
        eager: bool = False,
        approve: Approve | bool | None = None,
        max_result: int = 100_000,
    ) -> None:
        if not name:
            raise ValueError("a tool needs a name")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"tool {name!r}: timeout is in seconds above 0, got {timeout!r}")
        if max_result < 1:
            raise ValueError(f"tool {name!r}: max_result is at least 1 byte, got {max_result!r}")
        if not (approve is None or isinstance(approve, bool)):
            check_approve(approve, f"tool {name!r}")
        self.name = name
        self.description = description
        self.parameters: dict[str, Any] = dict(parameters or {"type": "object", "properties": {}})
        self.function = function
        self.timeout = timeout
        self.eager = eager
        self.approve = approve
        self.max_result = max_result
        self.contexts: tuple[str, ...] = ()
        self._arguments: type[BaseModel] | None = None

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = 30.0,
        eager: bool = False,
        approve: Approve | bool | None = None,
        max_result: int = 100_000,
    ) -> Tool:
        """Make a tool from a typed function: its signature is the schema.

        Raises:
            TypeError: If a parameter has no type, or takes `*args` or `**kwargs`.
        """
        title = name or function.__name__
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"tool {title!r} is a generator; a tool returns one result, and tells how far it "
                "has come by ToolContext.progress"
            )
        said, words = read_docstring(inspect.getdoc(function) or "")
        model, contexts = read_signature(title, function, ToolContext, words)
        made = cls(
            title,
            said if description is None else description,
            model.model_json_schema(),
            function,
            timeout=timeout,
            eager=eager,
            approve=approve,
            max_result=max_result,
        )
        made._arguments, made.contexts = model, contexts
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, unchecked.

        Raises:
            ToolError: If there is none.
        """
        if self.function is None:
            raise ToolError(f"{self.name!r} has no function; its calls are only delivered")
        return self.function(*args, **kwargs)

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
            return self._named(arguments)
        try:
            checked = self._arguments.model_validate(dict(arguments))
        except ValidationError as error:
            told = error.errors(include_url=False, include_input=False, include_context=False)
            faults = "; ".join(
                f"{'.'.join(str(p)[:100] for p in e['loc']) or 'arguments'}: {e['msg']}"
                for e in told[:_MOST_FAULTS]
            )
            raise self._misfit(faults, len(told) - _MOST_FAULTS) from error
        fields = type(checked).model_fields
        return {info.alias or field: getattr(checked, field) for field, info in fields.items()}

    def _named(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, if those that the schema asks for are there, and no forbidden ones."""
        known, required = self.parameters.get("properties"), self.parameters.get("required")
        faults = [f"{n}: Field required" for n in required or () if n not in arguments]
        if self.parameters.get("additionalProperties") is False:
            faults += [
                f"{n[:100]}: Extra inputs are not permitted"
                for n in arguments
                if n not in (known or ())
            ]
        if faults:
            raise self._misfit("; ".join(faults[:_MOST_FAULTS]), len(faults) - _MOST_FAULTS)
        return dict(arguments)

    def _misfit(self, faults: str, more: int) -> ToolError:
        more_told = f"; and {more} more" if more > 0 else ""
        return ToolError(
            f"the arguments of {self.name!r} do not fit: {faults[:_LONGEST_FAULTS]}{more_told}"
        )

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = ...,
    description: str | None = ...,
    timeout: float | None = ...,
    eager: bool = ...,
    approve: Approve | bool | None = ...,
    max_result: int = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = 30.0,
    eager: bool = False,
    approve: Approve | bool | None = None,
    max_result: int = 100_000,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a `Tool` from a typed function, sync or async; its docstring tells the model its use.

    The arguments have the meaning that `Tool` gives them. Sync functions run in a thread each.

    Raises:
        TypeError: If a parameter has no type, or takes `*args` or `**kwargs`.
        ValueError: If a limit is none.

    Example:
        >>> @tool
        ... def weather(city: str, days: int = 1) -> str:
        ...     '''The weather forecast of a city.
        ...
        ...     Args:
        ...         city: Its name in English.
        ...     '''
        ...     return f"sun in {city}"
        >>> weather.validate({"city": "Paris"})
        {'city': 'Paris', 'days': 1}
        >>> weather.parameters["properties"]["city"]["description"]
        'Its name in English.'
        >>> weather("Oslo")
        'sun in Oslo'
    """

    def make(f: Callable[..., Any]) -> Tool:
        return Tool.of(
            f,
            name=name,
            description=description,
            timeout=timeout,
            eager=eager,
            approve=approve,
            max_result=max_result,
        )

    return make if function is None else make(function)
