"""The failures a caller can tell apart, and how they end a command.

Every error of ours is a `PresrmError`; a subclass also inherits the standard error that it specialises, so that
``except ValueError`` keeps working. ``exit_code`` is what the command line ends with. Code of users (a splitter, a
judge, a problem set) raises ordinary errors: `boundary` names the part that raised. Bad generations and unreadable
verdicts are data, not errors.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self


class PresrmError(Exception):
    """The work failed: exit code 1."""

    exit_code = 1


class RequestError(PresrmError, ValueError):
    """What was asked for is wrong (a flag, a key, a file, a name): exit code 2."""

    exit_code = 2


class ConfigError(RequestError):
    """A setting is unknown, missing or contradicts another."""


class UnknownNameError(RequestError, KeyError):
    """A name stands in no registry; the message gives the nearest valid ones."""

    def __str__(self) -> str:
        """Give the bare message (`KeyError` would quote it)."""
        return str(self.args[0]) if self.args else ""


class DataError(RequestError):
    """A file is missing, empty, or holds no row that can be used."""


class SplitterError(PresrmError):
    """A splitter broke its law or raised."""


class EngineError(PresrmError, RuntimeError):
    """An engine could not load or run its policy."""


class PromptTooLongError(EngineError):
    """Prompts leave the model no room for a reply. They are data, so whoever asked may go on with the others.

    Args:
        reasons: What is wrong with each such prompt, by its index in the call.

    Attributes:
        reasons: The same.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        first = next(iter(reasons.values()))
        super().__init__(f"{first}; shorten the problem or choose a model with a longer context")
        self.reasons = dict(reasons)

    @classmethod
    def of_lengths(cls, lengths: Mapping[int, int], longest: int) -> Self:
        """Say how many tokens each has, and how many the model reads and writes at most."""
        return cls({i: f"the prompt has {length} tokens, the model reads {longest}" for i, length in lengths.items()})


class WorkerError(PresrmError, RuntimeError):
    """A process that computes for a grader cannot start, or is killed again and again."""


class JudgeError(PresrmError, RuntimeError):
    """A judge raised."""


class AlarmError(PresrmError):
    """A sign of the judge lies outside its bounds, and ``watch.on_alarm`` is ``stop``."""


class NoPairsError(PresrmError):
    """An iteration mined no preference pairs; the message says why, with counts."""


class RunError(PresrmError):
    """A run folder is locked, damaged, or was made by another configuration."""


class RunConfigError(RunError, ConfigError):
    """A setting that a run fixes was changed between two starts of it."""

    exit_code = 2


@contextmanager
def boundary(error: type[PresrmError], culprit: str) -> Iterator[None]:
    """Turn what user code raises inside into `error`, naming the culprit.

    Args:
        error: The class to raise.
        culprit: What ran, as in ``"judge 'mine'"``.

    Raises:
        PresrmError: of class `error`, chained to the original. Our own errors pass unchanged.
    """
    try:
        yield
    except PresrmError:
        raise
    except Exception as exception:
        raise error(f"{culprit} raised {type(exception).__name__}: {exception}") from exception
