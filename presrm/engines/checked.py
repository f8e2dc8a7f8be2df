"""An engine from elsewhere, with what it gives checked, so that what is wrong is told by its name."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, Self

from presrm.errors import EngineError, boundary
from presrm.prompts import Prompt
from presrm.protocols import Completion, Engine, Request
from presrm.types import Stop


class CheckedEngine:
    """Asks an engine, and checks the shape of what it gives. Whatever else the engine has, this has, too.

    Args:
        engine: Asked.
        name: What errors call it.

    Raises:
        EngineError: naming the engine, here if it is none, and from each method if it raises or gives something else.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._culprit = f"engine {name!r}"
        self._engine = self._opened = engine
        for member in ("__enter__", "__exit__", "generate"):
            if not callable(getattr(engine, member, None)):
                raise EngineError(f"{self._culprit} has no {member!r}: expected a context manager with 'generate'")

    def __getattr__(self, name: str) -> Any:
        """Give what else the engine has, such as its counts."""
        return getattr(self._opened, name)

    def __enter__(self) -> Self:
        with boundary(EngineError, self._culprit):
            self._opened = self._engine.__enter__()
        if not callable(getattr(self._opened, "generate", None)):
            raise EngineError(f"{self._culprit} gave {self._opened!r:.80} from '__enter__': expected an engine")
        return self

    def __exit__(self, *exception: object) -> None:
        with boundary(EngineError, self._culprit):
            self._engine.__exit__(*exception)

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request."""
        with boundary(EngineError, self._culprit):
            drawn = self._opened.generate(requests)
        self._check_list(drawn, len(requests), "requests")
        for number, (request, completions) in enumerate(zip(requests, drawn, strict=True), 1):
            if not (_is_list(completions, request.num) and all(map(_is_completion, completions))):
                raise EngineError(
                    f"{self._culprit} gave {completions!r:.80} for request {number} of {len(requests)}: expected a "
                    f"list of Completion, {request.num} long"
                )
        return drawn

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give the log-probability of each option."""
        with boundary(EngineError, self._culprit):
            found = self._opened.logprobs(prompts, options)
        self._check_list(found, len(prompts), "prompts")
        for number, logps in enumerate(found, 1):
            if logps is not None and not (
                _is_list(logps, len(options)) and all(isinstance(logp, Real) for logp in logps)
            ):
                raise EngineError(
                    f"{self._culprit} gave {logps!r:.80} for prompt {number} of {len(prompts)}: expected none, or a "
                    f"tuple of {len(options)} numbers"
                )
        return found

    def _check_list(self, value: object, num: int, what: str) -> None:
        if not _is_list(value, num):
            raise EngineError(f"{self._culprit} gave {value!r:.80} for {num} {what}: expected a list, {num} long")


def _is_list(value: object, num: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == num


def _is_completion(value: object) -> bool:
    return (
        isinstance(value, Completion)
        and isinstance(value.text, str)
        and (value.tokens is None or isinstance(value.tokens, list | tuple))
        and (value.stop is None or isinstance(value.stop, Stop))
    )
