"""Fan-out: one stream, one request, many readers at their own pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

from reactivex import Observable, abc

from gai_rx.boundary import Overflow, check_policy
from gai_rx.flow import Buffer
from gai_rx.operators._branches import AnyOperator, BranchFailed, Dropped, Fan, Plan, Tagged
from gai_rx.stream import Stream, lift

__all__ = ["Branch", "BranchFailed", "Dropped", "Tagged", "branch", "fan_out"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)

To = Callable[[Observable[Any]], Observable[B]]
"""An operator whose results are of type `B`."""


@dataclass(frozen=True)
class Branch(Generic[T_co]):
    """What `branch` makes: operators, and where this branch differs from its siblings.

    Attributes:
        operators: What the branch's items go through, in this order.
        overflow: Its policy; that of `fan_out` when None.
        queue: Its queue's size; that of `fan_out` when None.
    """

    operators: tuple[AnyOperator, ...]
    overflow: Overflow | None = None
    queue: int | None = None


AnyBranch = AnyOperator | Branch[Any] | Sequence[AnyOperator]


@overload
def branch(
    last: To[B], /, *, overflow: Overflow | None = None, queue: int | None = None
) -> Branch[B]: ...
@overload
def branch(
    a: Callable[[Observable[Any]], A],
    last: Callable[[A], Observable[B]],
    /,
    *,
    overflow: Overflow | None = None,
    queue: int | None = None,
) -> Branch[B]: ...
@overload
def branch(
    a: Callable[[Observable[Any]], A],
    b: Callable[[A], C],
    last: Callable[[C], Observable[B]],
    /,
    *,
    overflow: Overflow | None = None,
    queue: int | None = None,
) -> Branch[B]: ...
@overload
def branch(
    *operators: AnyOperator, overflow: Overflow | None = None, queue: int | None = None
) -> Branch[Any]: ...
def branch(
    *operators: Callable[[Any], Any], overflow: Overflow | None = None, queue: int | None = None
) -> Branch[Any]:
    """One branch of `fan_out` that has a policy or a queue of its own.

    Args:
        operators: What its items go through; none at all hands them on as they are.
        overflow: What happens when its queue is full; that of `fan_out` when None.
        queue: Items that may wait for it; that of `fan_out` when None.

    Raises:
        TypeError: At once, if something else than operators is given.
        ValueError: At once, if the policy is unknown or `queue` is below 1.

    Example:
        >>> branch(queue=20, overflow="conflate").queue
        20
    """
    for operator in operators:
        if not callable(operator):
            raise TypeError(f"a branch is made of operators, got {operator!r}")
    if overflow is not None:
        check_policy(overflow)
    if queue is not None:
        Buffer[Any](queue, "branch(queue=…)")
    return Branch(operators, overflow, queue)


@overload
def fan_out(
    named: Mapping[str, To[B] | Branch[B]] = ...,
    /,
    *,
    queue: int = 64,
    overflow: Overflow = "block",
    report_drops: Literal[False] = False,
    **branches: To[B] | Branch[B],
) -> Callable[[Observable[object]], Stream[Tagged[B] | BranchFailed]]: ...
@overload
def fan_out(
    named: Mapping[str, AnyBranch] = ...,
    /,
    *,
    queue: int = 64,
    overflow: Overflow = "block",
    report_drops: Literal[False] = False,
    **branches: AnyBranch,
) -> Callable[[Observable[object]], Stream[Tagged[Any] | BranchFailed]]: ...
@overload
def fan_out(
    named: Mapping[str, To[B] | Branch[B]] = ...,
    /,
    *,
    queue: int = 64,
    overflow: Overflow = "block",
    report_drops: bool,
    **branches: To[B] | Branch[B],
) -> Callable[[Observable[object]], Stream[Tagged[B] | BranchFailed | Dropped]]: ...
@overload
def fan_out(
    named: Mapping[str, AnyBranch] = ...,
    /,
    *,
    queue: int = 64,
    overflow: Overflow = "block",
    report_drops: bool,
    **branches: AnyBranch,
) -> Callable[[Observable[object]], Stream[Tagged[Any] | BranchFailed | Dropped]]: ...
def fan_out(
    named: Mapping[str, Any] | None = None,
    /,
    *,
    queue: int = 64,
    overflow: Overflow = "block",
    report_drops: bool = False,
    **branches: Any,
) -> Callable[[Observable[object]], Stream[Any]]:
    """Give every item to several named branches, each with a queue and a pace of its own.

        source                        -a-b-c-|
        fan_out(x=upper, y=double)    -A-B-C-|       as `Tagged("x", "A")`, and
                                      -aa-bb-cc-|    as `Tagged("y", "aa")`

    The source is subscribed to once, however many branches there are. What each branch makes of its
    items comes out as `Tagged(branch, value)`, in the order in which it is made.

    A branch that fails ends alone: `BranchFailed(branch, error)` says so, and the others still get
    every item. An error of the source ends all branches, after what waits for them, and then the
    whole. The end comes when all branches have ended, each after its own queue is empty. If all
    have ended before the source, it is disposed. If every single one of them has failed, the whole
    fails with the last of their errors.

    `overflow` is explained at `relay`; it holds for each branch on its own. With `block` the
    slowest branch sets the pace of the source, so it must not wait for what only the end of the
    source brings about: it would hold up what it waits for. The gate that holds a source is called
    `fan_out branch 'summary' (queue 20)`.

    What a branch is made of may subscribe to it more than once, but not after its first item has
    come: who is late is refused, for it would miss items. So `retry_on` belongs above `fan_out`;
    within a branch it could not ask again.

    Args:
        queue: Items that may wait for a branch.
        overflow: What happens when more come.
        report_drops: Whether `Dropped(branch, count, total)` tells of lost items, in front of the
            branch's next item or end.
        branches: Names and what becomes of the items: an operator, several in a tuple or list
            (nothing at all: the items as they are), or a `branch` with options of its own.
        named: More of them, in a mapping: for names that the program makes up, or that are the
            name of an option.

    Raises:
        TypeError: At once, if a branch is not made of operators or a name is no string.
        ValueError: At once, without any branch, for an empty name or one that comes twice, an
            unknown policy or a `queue` below 1.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> from reactivex import operators as ops
        >>> words = Stream.of(rx.of("ab", "cd"))
        >>> for made in words.pipe(fan_out(upper=ops.map(str.upper), length=ops.map(len))):
        ...     print(made.branch, made.value)
        upper AB
        upper CD
        length 2
        length 2
    """
    check_policy(overflow)
    Buffer[Any](queue, "fan_out(queue=…)")
    plans = {
        name: _plan(name, given, queue, overflow)
        for name, given in _by_name({} if named is None else named, branches).items()
    }

    def subscribe(
        source: Observable[object],
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        return Fan(observer, plans, report_drops).start(source, scheduler)

    shown = ", ".join(plans) if len(plans) <= 4 else f"{len(plans)} branches"
    return lift(f"fan_out({shown})", subscribe)


def _by_name(named: Any, branches: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(named, Mapping):
        raise TypeError(f"fan_out() takes branches by name: fan_out(name=operator); got {named!r}")
    for name in named:
        if not isinstance(name, str):
            raise TypeError(f"fan_out() takes names that are strings, got {name!r}")
        if not name:
            raise ValueError("fan_out() takes names that are not empty")
        if name in branches:
            raise ValueError(f"fan_out() has been given two branches of the name {name!r}")
    both = {**named, **branches}
    if not both:
        raise ValueError("fan_out() needs at least one branch: fan_out(name=operator, …)")
    return both


def _plan(name: str, given: Any, queue: int, overflow: Overflow) -> Plan:
    if isinstance(given, Branch):
        made: Branch[Any] = given
    elif isinstance(given, Sequence) and not isinstance(given, str):
        made = branch(*given)
    elif callable(given):
        operators: tuple[Any] = (given,)
        made = branch(*operators)
    else:
        raise TypeError(
            f"fan_out({name}=…) takes an operator, a tuple of operators or branch(…); got {given!r}"
        )
    return Plan(made.operators, made.queue or queue, made.overflow or overflow)
