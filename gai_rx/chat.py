"""Chat: a conversation that goes on from turn to turn, and is as it was when a turn fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict
from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable

from gai_rx.events import Event, Finish, StreamEvent, Usage
from gai_rx.portal import running_loop
from gai_rx.providers import connect
from gai_rx.request import Message, Prompt, user
from gai_rx.request import system as system_message
from gai_rx.result_builder import ResultBuilder
from gai_rx.stream import Stream
from gai_rx.turns import Said, Turn, as_messages, not_run, readable

__all__ = ["Chat", "Said", "Turn"]

_OURS = {
    "messages": "the chat has the history; say what is new with send()",
    "resume": "the chat goes on from its own history",
}


class Answering(Protocol):
    """Who answers: a `Provider`, or what can be asked like one."""

    @property
    def name(self) -> str:
        """The host."""
        ...

    @property
    def model(self) -> str:
        """The model, where a request names none."""
        ...

    def stream_text(self, request: Prompt, **settings: Any) -> Stream[Event]:
        """The answer as a cold stream of events."""
        ...


class _Saved(BaseModel):
    """A conversation as JSON."""

    model_config = ConfigDict(
        extra="forbid", ser_json_bytes="base64", val_json_bytes="base64", defer_build=True
    )

    version: Literal[1] = 1
    model: str
    system: Message | None
    turns: tuple[Turn, ...]


class Chat:
    """A conversation with a model: what it answers stays in the history, what fails does not.

    A turn begins when the stream of `send` is subscribed to, and is in the history from its
    `Finish` on. When it fails the history is as it was before; so it is when the answer had nothing
    in it. When it is disposed of in the middle of the answer, what had come stays, marked as
    interrupted. Its tool calls that had no result yet do not go to the model again.

    There is one turn at a time. The history may be read from any thread.

    Args:
        provider: Who answers: a `Provider`, or `"host:model"` to connect to. It may be exchanged
            between turns: what only the old host can read (signed thinking) is not sent to the new.
        system: What the model shall be and do.
        settings: For every turn, as `Provider.stream_text` takes them: `max_tokens=500`, `tools=…`.

    Raises:
        pydantic.ValidationError: If a setting is none.
        ValueError: If a setting is the chat's own affair: `messages`, `resume`.

    Example:
        >>> chat = Chat("simulator:echo", system="You are terse.")
        >>> for event in chat.send("Good morning"):
        ...     if event.type == "text_delta":
        ...         print(event.text, end="")
        This is the simulator of gai_rx, no model. You said: Good morning
        >>> [message.role for message in chat.messages]
        ['system', 'user', 'assistant']
    """

    def __init__(
        self, provider: Answering | str, *, system: str | Message | None = None, **settings: Any
    ) -> None:
        self.provider: Answering = connect(provider) if isinstance(provider, str) else provider
        self.system = system
        self.settings = dict(settings)
        self._turns: tuple[Turn, ...] = ()
        self._underway: _Underway | None = None
        self._lock = threading.RLock()
        self._asked(self.provider, (user("check"),), settings)  # a misspelt setting fails here

    @property
    def system(self) -> Message | None:
        """What the model shall be and do; text can be assigned, for the turns that follow."""
        return self._system

    @system.setter
    def system(self, given: str | Message | None) -> None:
        told = system_message(given) if isinstance(given, str) else given
        if told is not None and told.role != "system":
            raise ValueError(f"system is text or a system message, got one of role {told.role!r}")
        self._system = told if told is None or told.parts else None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns, oldest first, each with its result and usage."""
        with self._lock:
            self._settle()
            return self._turns

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns, by another name."""
        return self.turns

    @property
    def messages(self) -> tuple[Message, ...]:
        """What the next request begins with: the system message, and those of all turns."""
        return self._messages(self.provider)

    @property
    def interrupted(self) -> bool:
        """Whether the last turn was interrupted."""
        turns = self.turns
        return bool(turns) and turns[-1].interrupted

    @property
    def running(self) -> bool:
        """Whether a turn is under way."""
        with self._lock:
            self._settle()
            return self._underway is not None

    @property
    def usage(self) -> Usage | None:
        """The tokens of all turns; of counts that some tell and some do not, those that are told.

        A turn that failed is not among them, though it may have cost something.
        """
        return Usage.added_up(turn.usage for turn in self.turns)

    def send(self, *said: Said | Sequence[Said], **settings: Any) -> Stream[Event]:
        """Say something: the answer as a cold stream of events; each subscription is a turn.

        Args:
            said: Text and parts, or lists of them, which make one message of the user; or messages
                of the user, or of tools, where the model waits for results that you have. Calls
                that it still waits for are told to it as not run.
            settings: For this turn, beside those of the chat.

        Raises:
            ValueError: At once, if nothing is said, or for the model or the system.
            TypeError: At once, if something can not be said.
            RuntimeError: Through on_error, if another turn is under way.
            GaiError: Through on_error, if the answer did not arrive whole.
        """
        sent = as_messages(said)
        asked = self._asked(self.provider, sent, {**self.settings, **settings})

        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            return _Underway(self, observer, sent).start(settings, scheduler)

        return Stream(subscribe, stages=(*asked.stages, "chat"), of_events=True)

    def undo(self) -> Turn | None:
        """Take the last turn back; the turn, or None if there is none.

        Raises:
            RuntimeError: While a turn is under way.
        """
        with self._lock:
            self._check_idle()
            last = self._turns[-1] if self._turns else None
            self._turns = self._turns[:-1]
            return last

    def clear(self) -> None:
        """Forget all turns; the system message stays.

        Raises:
            RuntimeError: While a turn is under way.
        """
        with self._lock:
            self._check_idle()
            self._turns = ()

    def to_json(self, *, indent: int | None = None) -> str:
        """The conversation as JSON: system message and turns; no key and no setting is in it."""
        model = f"{self.provider.name}:{self.provider.model}"
        saved = _Saved(model=model, system=self._system, turns=self.turns)
        return saved.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, saved: str | bytes, provider: Answering | str, **settings: Any) -> Chat:
        """A conversation that goes on from its JSON, with whoever shall answer.

        Args:
            saved: What `to_json` made.
            provider: Who answers from now on; the JSON connects to nobody.
            settings: For every turn.

        Raises:
            pydantic.ValidationError: If it is no conversation.
        """
        read = _Saved.model_validate_json(saved)
        chat = cls(provider, system=read.system, **settings)
        chat._turns = read.turns
        return chat

    def __repr__(self) -> str:
        count = len(self.turns)
        turns = f"{count} turn{'s' if count != 1 else ''}"
        return f"Chat('{self.provider.name}:{self.provider.model}', {turns})"

    # What a turn does.

    def _begin(self, turn: _Underway) -> tuple[Answering, tuple[Message, ...]]:
        """Let a turn begin: who answers, and the history before it.

        Raises:
            RuntimeError: While another one is under way.
        """
        with self._lock:
            self._check_idle()
            self._underway = turn
            return self.provider, self._messages(self.provider)

    def _end(self, turn: _Underway, kept: Turn | None = None) -> None:
        """A turn is over; it stays in the history if there is something to keep."""
        with self._lock:
            if self._underway is turn:
                self._underway = None
                if kept is not None and kept.said_something:
                    self._turns = (*self._turns, kept)

    def _check_idle(self) -> None:
        self._settle()
        if self._underway is not None:
            raise RuntimeError(
                "a turn of this chat is under way: wait for its end or dispose of it; a second "
                "conversation at the same time is a second Chat"
            )

    def _settle(self) -> None:
        """A turn whose loop was closed in the middle of it was interrupted; nobody said so."""
        turn = self._underway
        if turn is not None and turn.abandoned:
            self._end(turn, turn.interrupted())

    def _messages(self, provider: Answering) -> tuple[Message, ...]:
        head = () if self._system is None else (self._system,)
        turns = (
            message
            for turn in self.turns
            for message in readable(turn.messages, turn.model.partition(":")[0] == provider.name)
        )
        return (*head, *turns)

    def _asked(
        self, provider: Answering, messages: Sequence[Message], settings: dict[str, Any]
    ) -> Stream[Event]:
        for name, why in _OURS.items():
            if name in settings:
                raise ValueError(f"{name}=… can not be set in a chat: {why}")
        return provider.stream_text(messages, **settings)


class _Underway(abc.DisposableBase):
    """One turn, from its subscription to its end."""

    def __init__(
        self, chat: Chat, observer: abc.ObserverBase[Any], sent: tuple[Message, ...]
    ) -> None:
        self._chat = chat
        self._observer = observer
        self._emit = observer.on_next
        self._sent = sent
        self._model = ""
        self._loop = running_loop()
        self._received = ResultBuilder()
        self._inner = SingleAssignmentDisposable()

    def start(
        self, settings: dict[str, Any], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        """Ask."""
        try:
            provider, history = self._chat._begin(self)
            given = {**self._chat.settings, **settings}
            self._model = f"{provider.name}:{given.get('model') or provider.model}"
            self._sent = (*not_run(history, self._sent), *self._sent)
            answer = provider.stream_text((*history, *self._sent), **given)
        except Exception as error:
            self._on_error(error)
            return self
        self._inner.disposable = answer.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=scheduler
        )
        return self

    @property
    def abandoned(self) -> bool:
        """Whether its event loop was closed before it could end."""
        return self._loop is not None and self._loop.is_closed()

    def interrupted(self) -> Turn:
        """The turn with what has come of the answer so far."""
        return self._turn(interrupted=True)

    def dispose(self) -> None:
        """Interrupt the turn, unless it is over."""
        self._inner.dispose()
        if self._chat._underway is self:
            self._chat._end(self, self.interrupted())

    def _on_next(self, event: StreamEvent) -> None:
        self._received.add(event)
        if event.__class__ is Finish:  # before it goes on: who hears of the end sees the history
            self._chat._end(self, self._turn())
        self._emit(event)

    def _on_error(self, error: Exception) -> None:
        self._chat._end(self)
        self._observer.on_error(error)

    def _on_completed(self) -> None:
        self._chat._end(self)
        self._observer.on_completed()

    def _turn(self, *, interrupted: bool = False) -> Turn:
        return Turn(
            sent=self._sent,
            result=self._received.result(),
            interrupted=interrupted,
            model=self._model,
        )
