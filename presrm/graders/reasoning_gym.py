"""Grades problems of reasoning-gym by the checker of their generator."""

import json
import re

from presrm.answers.find import find_answer
from presrm.answers.worker import Worker
from presrm.errors import DataError
from presrm.types import Grade

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_CODE = re.compile(r"__|\b(?:import|lambda|exec|eval|open|getattr|globals|compile|input|os|sys)\b|[;`\\]")
_LONGEST = 2_000  # characters


class ReasoningGymGrader:
    """Asks the generator that made a problem; only its full score is right.

    Some of its checkers evaluate what they are given as Python. So an answer that could be code is wrong without being
    looked at, and the others are looked at in a process with hard limits.

    Args:
        time_limit: Seconds for one answer.
    """

    def __init__(self, time_limit: float = 10.0) -> None:
        self._worker = Worker(time_limit, "reasoning_gym")

    def extract(self, solution: str) -> str | None:
        r"""Find the final answer: in ``<answer>``, ``\boxed{}`` or after a phrase."""
        tagged = _TAGGED.findall(solution)
        return tagged[-1].strip() if tagged else find_answer(solution)

    def grade(self, solution: str, answer: str) -> Grade:
        """Score the final answer.

        Raises:
            DataError: if `answer` is no entry of a generator.
        """
        try:
            reference = json.loads(answer)
            name, entry = str(reference["generator"]), json.dumps(reference["entry"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the answer {answer[:80]!r} is no entry of reasoning-gym") from error
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        if len(extracted) > _LONGEST or _CODE.search(extracted):
            return Grade.INCORRECT
        score = self._worker.run(_score, name, entry, extracted)
        return Grade.CORRECT if score == 1 else Grade.INCORRECT


def _score(name: str, entry: str, answer: str) -> float:
    """Score in the worker."""
    from reasoning_gym.factory import create_dataset

    return float(create_dataset(name, size=1, seed=0).score_answer(answer, json.loads(entry)))
