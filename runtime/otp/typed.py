"""TypedServer: a GenServer whose requests are its methods, so that a type checker sees both ends of a call.

    class Store(TypedServer):
        def init(self) -> None:
            self.items: dict[str, int] = {}

        @handles_call
        def fetch(self, key: str) -> int | None:
            return self.items.get(key)

        @handles_cast
        def put(self, key: str, value: int) -> None:
            self.items[key] = value

    pid = Store.start_link(name="store")
    Store.put(pid, "a", 1)                  # through the class: a cast to that process
    Store.fetch("store", "a")               # a call; its type is `int | None`, its arguments are checked
    self.fetch("a")                         # through the object, inside the server: the plain method

A method may also return what handle_call and handle_cast may (Reply, NoReply, Stop): `-> int | Stop` is a call of type
int. Arguments that do not fit the method are a TypeError of the caller, and nothing is sent. A type checker cannot see whether `pid` is a process of that class (a pid says nothing of what runs there, and a
name even less): sent to another, the request is one that it does not know, and ends it as any unknown request does.

Only the method's name and its arguments travel; the method is looked up in the class when the request is handled, so
new code takes effect at the next one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from copy import copy
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, TypeVar, overload

from runtime.kernel import Call, Request, call, cast

from .gen_server import GenServer, send_request
from .outcome import NoReply, Reply, Stop, Undefined
from .reports import format_term

__all__ = ["Asked", "CallOf", "CastOf", "TypedServer", "handles_call", "handles_cast"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="TypedServer")

# --------------------------------------------------------------------------------------------------------- types


class Asked(NamedTuple):
    """The request of a typed call or cast, as it travels and as reports show it."""

    method: str
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]
    """Arguments by name."""


class _Outside:
    """A method of a server, seen from outside: its name, and which arguments it takes."""

    __slots__ = ("_least", "_method", "_most", "_name", "_signature")

    def __init__(self, name: str, method: Callable[..., Any]) -> None:
        self._name = name
        self._method = method
        self._signature = signature = inspect.signature(method)
        self._least: float = 0
        self._most: float = 0
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                self._most = math.inf
            elif parameter.kind is parameter.KEYWORD_ONLY:
                if parameter.default is parameter.empty:
                    self._least = math.inf  # by position alone it cannot be called
            elif parameter.kind is not parameter.VAR_KEYWORD:
                self._most += 1
                self._least += parameter.default is parameter.empty

    def _asked(self, args: tuple[Any, ...], options: dict[str, Any]) -> Asked:
        """The request. Raises TypeError for arguments that do not fit: in the server they would be its end."""
        # The common case is one comparison; `bind` knows the whole rule, and how to say what is wrong.
        if options or not self._least <= len(args) + 1 <= self._most:
            try:
                self._signature.bind(None, *args, **options)
            except TypeError as problem:
                raise TypeError(f"{self._name}: {problem}") from None
        return Asked(self._name, args, tuple(options.items()))


class CallOf(_Outside, Generic[P, R]):
    """A method of a server, seen from outside: calls it in the process that it is given."""

    __slots__ = ("_timeout",)

    def __init__(self, name: str, method: Callable[..., Any], timeout: float | None = 5.0) -> None:
        super().__init__(name, method)
        self._timeout = timeout

    def __call__(self, dest: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the method in the server `dest` and return its answer. Blocks for at most 5 s; raises CallError."""
        return call(dest, self._asked(args, kwargs), self._timeout)  # type: ignore[no-any-return]

    def within(self, seconds: float | None) -> CallOf[P, R]:
        """Return the same call with another time limit (None: without): `Store.fetch.within(30.0)(pid, "a")`."""
        other = copy(self)
        other._timeout = seconds
        return other

    def send_request(self, dest: Any, /, *args: P.args, **kwargs: P.kwargs) -> Request:
        """Call without waiting; take the answer with receive_response. Never blocks."""
        return send_request(dest, self._asked(args, kwargs))


class CastOf(_Outside, Generic[P]):
    """A method of a server, seen from outside: casts to the process that it is given."""

    __slots__ = ()

    def __call__(self, dest: Any, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the server `dest` run the method at its time. Never blocks."""
        cast(dest, self._asked(args, kwargs))


# ----------------------------------------------------------------------------------------------------------- API


class handles_call(Generic[S, P, R]):  # noqa: N801 - used as a decorator
    """Make a method of a TypedServer answer calls. Called through the class, it is the call; see the module."""

    def __init__(self, method: Callable[Concatenate[S, P], R | Reply | NoReply | Stop]) -> None:
        self._method = method
        self._outside: CallOf[P, R] = CallOf(method.__name__, method)
        self.__doc__ = method.__doc__

    def __set_name__(self, _kind: type, name: str) -> None:
        self._outside._name = (
            name  # what the server looks up: of a `__private` method, or one put there by assignment
        )

    @overload
    def __get__(self, server: None, kind: type) -> CallOf[P, R]: ...
    @overload
    def __get__(self, server: S, kind: type) -> Callable[P, R]: ...
    def __get__(self, server: Any, kind: type) -> Any:
        return self._outside if server is None else self._method.__get__(server, kind)


class handles_cast(Generic[S, P]):  # noqa: N801 - used as a decorator
    """Make a method of a TypedServer take casts. Called through the class, it is the cast; see the module."""

    def __init__(self, method: Callable[Concatenate[S, P], NoReply | Stop | None]) -> None:
        self._method = method
        self._outside: CastOf[P] = CastOf(method.__name__, method)
        self.__doc__ = method.__doc__

    def __set_name__(self, _kind: type, name: str) -> None:
        self._outside._name = name

    @overload
    def __get__(self, server: None, kind: type) -> CastOf[P]: ...
    @overload
    def __get__(self, server: S, kind: type) -> Callable[P, None]: ...
    def __get__(self, server: Any, kind: type) -> Any:
        return self._outside if server is None else self._method.__get__(server, kind)


class TypedServer(GenServer):
    """Base class of servers with typed requests. All else (init, handle_info, terminate, ...) as in a GenServer.

    One that also takes other requests overrides handle_call or handle_cast, and passes on what is an `Asked`.
    """

    # Two underscores keep it out of the state that get_state and reports show.
    __slots__ = ("__sender",)
    __sender: Call

    @property
    def sender(self) -> Call:
        """The call that is being handled, to be answered later: keep it, return NoReply(), `reply(sender, value)`.

        Raises RuntimeError where none is.
        """
        try:
            return self.__sender
        except AttributeError:
            raise RuntimeError(
                "`sender` is there only while a method marked handles_call runs in the server"
            ) from None

    def handle_call(self, request: Any, sender: Call) -> Any:
        method = _method(self, request, CallOf, "handle_call")
        self.__sender = sender
        try:
            return method(self, *request.arguments, **dict(request.options))
        finally:
            del self.__sender

    def handle_cast(self, request: Any) -> Any:
        method = _method(self, request, CastOf, "handle_cast")
        return method(self, *request.arguments, **dict(request.options))


# ----------------------------------------------------------------------------------------------------- internals


def _method(server: TypedServer, request: Any, kind: type[Any], callback: str) -> Callable[..., Any]:
    if request.__class__ is not Asked:
        raise Undefined(server, f"{callback} for {format_term(request, chars_limit=200)}")
    found: Any = getattr(type(server), request.method, None)
    if found.__class__ is not kind:  # only what is marked as one: a request must not reach any other method
        raise Undefined(server, f"{callback} named {format_term(request.method, chars_limit=200)}")
    return found._method  # type: ignore[no-any-return]
