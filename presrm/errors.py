"""The failures a caller can tell apart, and how they end a command.

Every error of ours is a `PresrmError`; a subclass also inherits the standard error that it specialises, so that
``except ValueError`` keeps working. ``exit_code`` is what the command line ends with. Code of users (a splitter, a
judge, a problem set) raises ordinary errors: `boundary` names the part that raised. Bad generations and unreadable
verdicts are data, not errors. `counted` is how all messages say how many there are.
"""

from collections.abc import Iterator
from contextlib import contextmanager


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
    """An engine could not load or run its policy, or broke its law."""


class WorkerError(PresrmError, RuntimeError):
    """A process that computes for a grader cannot start, or is killed again and again."""


class JudgeError(PresrmError, RuntimeError):
    """A judge raised."""


class SearcherError(PresrmError, RuntimeError):
    """A searcher broke its law or raised."""


class AlarmError(PresrmError):
    """A sign of the judge lies outside its bounds, and ``watch.on_alarm`` is ``stop``."""


class NoLessonsError(PresrmError):
    """There is nothing to train on; the message says why, with counts."""


class DivergedError(PresrmError):
    """Training met a loss, a gradient, a weight or a log-probability that is not finite; nothing is written."""


class RunError(PresrmError):
    """A run folder is locked, damaged, or was made by another configuration."""


class RunnerError(PresrmError, RuntimeError):
    """Work that was given to other processes cannot be done there."""


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
        PresrmError: of class `error`, chained to the original, which may be a `SystemExit`: no part ends our process.
            Our own errors pass unchanged.
    """
    try:
        yield
    except PresrmError:
        raise
    except (Exception, SystemExit) as exception:
        raise error(f"{culprit} raised {type(exception).__name__}: {exception}") from exception


@contextmanager
def named(key: str) -> Iterator[None]:
    """Say which key of the config names what is wrong, where reading it raises a `RequestError`.

    Raises:
        DataError: the same, behind the key.
    """
    try:
        yield
    except RequestError as error:
        raise DataError(f"{key}: {error}") from error


def counted(num: int, noun: str) -> str:
    """Say how many of something there are, for a sentence.

    >>> counted(1, "row"), counted(0, "row"), counted(2000, "row")
    ('1 row', '0 rows', '2,000 rows')
    """
    return f"{num:,} {noun}{'' if num == 1 else 's'}"
