r"""Mathematical equality, by math-verify.

>>> with MathGrader() as grader:
...     grader.grade(r"Half of it: \boxed{0.5}", r"\frac{1}{2}").value
'correct'
"""

import logging
import re
import sys
from multiprocessing import get_context
from threading import Lock
from types import TracebackType
from typing import Self
from weakref import finalize

from pebble import ProcessExpired, ProcessPool

from presrm.answers import after_hashes, find_numbers, last_boxed
from presrm.errors import DataError
from presrm.types import Grade

_MAX_MEMORY = 4 * 2**30  # bytes
_PHRASE = re.compile(r"\banswer\s*+(?:\*\*)?\s*+(?:is|:|=)([^\n]++)", re.IGNORECASE)
_FORMULA_DELIMITER = re.compile(r"\$\$|\\[\[\]()]")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_EXPRESSION = re.compile(r"\s*[^\s=][^\n=]*\s*")  # an equation may be a step
_SPACING = re.compile(r"\\[!,;: ]|\\left(?![a-z])|\\right(?![a-z])|[\s~]+")
_NO_SPACE = re.compile(r"\\!\s*+")
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")


class MathGrader:
    r"""Compares mathematical values: ``1/2`` is ``\frac12`` is ``0.5``, sets have no order, tuples and intervals have.

    The answer is what the last ``\boxed{}`` holds, else what follows ``####``, else ``the answer is``, else a solution
    that is nothing but an expression, else the last formula, else the last number.

    Comparing runs in one worker process, started by the first comparison and used again, because an expression such as
    ``9^{9^{9^9}}`` can only be stopped by killing whoever evaluates it. What cannot be compared within the limits could
    not be read, and is no answer. In a script, guard the entry point by ``if __name__ == "__main__"``, as for every use
    of `multiprocessing`.

    Args:
        time_limit: Seconds for one comparison.
    """

    def __init__(self, time_limit: float = 5.0) -> None:
        self._time_limit = time_limit
        self._lock = Lock()
        self._pool: ProcessPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the worker; the next comparison starts another."""
        with self._lock:
            if self._pool is not None:
                _stop(self._pool)
                self._pool = None

    def extract(self, solution: str) -> str | None:
        """Find the final answer."""
        found = last_boxed(solution) or after_hashes(solution)
        if found:
            return found
        if phrases := _PHRASE.findall(solution):
            return _last_formula(phrases[-1]) or _without_prose(phrases[-1])
        if _EXPRESSION.fullmatch(solution) and not _PROSE.search(solution):
            return solution.strip()
        return _last_formula(solution) or next(reversed(find_numbers(solution)), None)

    def grade(self, solution: str, answer: str) -> Grade:
        """Compare the final answer with `answer`: an expression, or a reference solution with a box.

        Raises:
            DataError: if `answer` is blank.
        """
        reference = (last_boxed(answer) or answer).strip()
        if not reference:
            raise DataError("the answer is blank")
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        if _bare(extracted) == _bare(reference):
            return Grade.CORRECT
        try:
            is_equal = self._worker().schedule(_are_equal, (reference, extracted), timeout=self._time_limit).result()
        except (TimeoutError, ProcessExpired):
            is_equal = None
        if is_equal is None:
            return Grade.NO_ANSWER
        return Grade.CORRECT if is_equal else Grade.INCORRECT

    def _worker(self) -> ProcessPool:
        with self._lock:
            if self._pool is None:
                # Spawned: a fork would copy locks that threads of this process hold, and the memory of its device.
                self._pool = ProcessPool(max_workers=1, initializer=_start_worker, context=get_context("spawn"))
                finalize(self, _stop, self._pool)
            return self._pool


def _stop(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _last_formula(text: str) -> str | None:
    r"""Give what stands between the last two dollar signs, or in the last ``\(...\)`` or ``\[...\]``."""
    pieces = _FORMULA_DELIMITER.sub("$", text.replace("\\$", "")).rsplit("$", 2)
    is_formula = len(pieces) == 3 and not pieces[2][:1].isdigit()  # else an amount of dollars
    return (pieces[1].strip() or None) if is_formula else None


def _without_prose(phrase: str) -> str | None:
    """Give the number in ``18 dollars.``, and text without a number or without words as it is."""
    bare = phrase.strip(" \t\r*:").rstrip(".")
    numbers = find_numbers(bare)
    return numbers[0] if numbers and _PROSE.search(bare) else bare or None


def _bare(expression: str) -> str:
    """Take out what only concerns looks, and what math-verify stumbles over."""
    bare = expression.replace("\u2212", "-").replace("\\$", "").replace("$", "").replace("{,}", ",")
    bare = _SPACING.sub(" ", _NO_SPACE.sub("", bare)).strip().removesuffix(".")
    return bare if _elements(bare) else _THOUSANDS.sub(lambda found: found[0].replace(",", ""), bare)


def _elements(expression: str) -> tuple[str, list[str]] | None:
    """Split a tuple or an interval into its two brackets and its elements; none for other expressions."""
    if expression[:1] not in ("(", "[") or expression[-1:] not in (")", "]"):
        return None
    elements, depth, start = [], 0, 1
    for position, character in enumerate(expression):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and position < len(expression) - 1:
            return None  # the first bracket closes before the end, as in (1,2),(3,4)
        if character == "," and depth == 1:
            elements.append(expression[start:position])
            start = position + 1
    return (expression[0] + expression[-1], [*elements, expression[start:-1]]) if elements else None


def _start_worker() -> None:
    """Prepare a worker: load what takes long outside the time limit, and bound its memory."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    import math_verify  # noqa: F401

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns that the time limit is left to its caller


def _are_equal(reference: str, answer: str) -> bool | None:
    """Compare in the worker; none if the answer cannot be evaluated."""
    try:
        return _is_equal(_bare(reference), _bare(answer))
    except (MemoryError, RecursionError):
        return None


def _is_equal(reference: str, answer: str) -> bool:
    expected, given = _elements(reference.strip()), _elements(answer.strip())
    if expected and given:  # math-verify reads (1,2) as an open interval, and takes it for the set {1,2}
        is_alike = expected[0] == given[0] and len(expected[1]) == len(given[1])
        return is_alike and all(map(_is_equal, expected[1], given[1]))
    from math_verify import parse, verify

    # The box makes math-verify read all of it, and the reference comes first: the comparison has a direction.
    left, right = (parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in (reference, answer))
    return bool(verify(left, right, timeout_seconds=None))
