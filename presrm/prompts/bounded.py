"""Templates from anywhere, that end: in a sandbox, with a bound on loops and on what values may grow to."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MOST_TURNS = 200_000
_LONGEST = 10_000_000  # characters, or members of a list
_TURN = "_presrm_turn"


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox that also stops a template after 200,000 turns of its loops, however they are nested."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.globals[_TURN] = self._turn
        self._num_turns = 0

    def begin(self) -> None:
        """Count anew: a template is about to be rendered."""
        self._num_turns = 0

    def _turn(self) -> str:
        self._num_turns += 1
        if self._num_turns > _MOST_TURNS:
            raise SecurityError(f"its loops do not end within {_MOST_TURNS} turns")
        return ""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            turn = nodes.Output([nodes.Call(nodes.Name(_TURN, "load"), [], [], None, None)])
            loop.body.insert(0, turn.set_lineno(loop.lineno))
            turn.set_environment(self)
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply, unless the result would be too large to hold."""
        sizes = [len(value) if hasattr(value, "__len__") else value for value in (left, right)]
        is_large = all(isinstance(size, int) for size in sizes) and (
            abs(sizes[0] * sizes[1]) > _LONGEST
            if operator == "*"
            else abs(sizes[1]) * abs(sizes[0]).bit_length() > _LONGEST
        )
        if is_large and (operator == "**" or sizes != [left, right]):
            raise SecurityError(f"it makes a value of more than {_LONGEST} members")
        return super().call_binop(context, operator, left, right)


class _DoesNotEndError(Exception):
    """Is raised inside of what is to be stopped."""


@contextmanager
def ends_within(seconds: float, error: Exception) -> Iterator[None]:
    """Stop what is computed in Python inside the block when it takes too long.

    Args:
        seconds: By the clock.
        error: Is raised then.
    """
    thread, is_over = threading.get_ident(), threading.Lock()

    def stop() -> None:
        with is_over:
            if not done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_DoesNotEndError))

    done = False
    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except _DoesNotEndError:
        raise error from None
    finally:
        with is_over:
            done = True
        timer.cancel()
