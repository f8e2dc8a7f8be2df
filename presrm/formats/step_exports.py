r"""Judged steps -> rows of tools that train on labelled steps; `presrm.formats.step_labels` reads each of them back.

A step is right if its score is at least a threshold. A step without a score has no label, and none is made up: PRM800K
has null for it; Math-Shepherd and TRL label every step, so there it is joined to the next one that has a label, whose
label says how things stand at its end. What comes behind the last label is left out.

>>> path = JudgedPath("1 + 1 + 1?", ((("1 + 1 = 2\n", True), ("1 + 1 = 3\n", False)), (("2 + 1 = 3", True),)), (0, 0))
>>> [(row["completions"], row["labels"]) for row in to_trl_stepwise(path)]
[(['1 + 1 = 2\n', '2 + 1 = 3'], [True, True]), (['1 + 1 = 3\n'], [False])]
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from presrm.errors import DataError
from presrm.formats.step_labels import PLACEHOLDER
from presrm.types import SearchTree

_NUMBERED = re.compile(r"\s*Step \d+\b")
_SIGNS = {True: "+", False: "-"}
_RATINGS = {True: 1, False: -1, None: None}


@dataclass(frozen=True, slots=True)
class JudgedPath:
    """A solution, and at every step what else was proposed.

    Attributes:
        question: What was to be solved.
        levels: Of every step the candidates, each with whether it is right; none where that is not known.
        chosen: Of every level the number of the candidate that was gone on from.
        answer: The reference answer, or none.
    """

    question: str
    levels: tuple[tuple[tuple[str, bool | None], ...], ...]
    chosen: tuple[int, ...]
    answer: str | None = None

    @property
    def solution(self) -> list[tuple[str, bool | None]]:
        """The steps that were chosen."""
        return [level[number] for level, number in zip(self.levels, self.chosen, strict=True)]


Writer = Callable[[JudgedPath], list[dict[str, Any]]]


def paths_of(tree: SearchTree, threshold: float) -> Iterator[JudgedPath]:
    """Give every solution of a tree; candidates with the same text count once."""
    for end in tree.solutions:
        levels, chosen = [], []
        for number, kept in tree.path(end):
            candidates = tree.expansions[number].candidates
            texts = {candidates[kept].step.text: candidates[kept]}
            for candidate in candidates:
                if candidate.step.is_whole:
                    texts.setdefault(candidate.step.text, candidate)
            scores = [(text, candidate.judgement.score) for text, candidate in texts.items()]
            levels.append(tuple((text, None if score is None else score >= threshold) for text, score in scores))
            chosen.append(0)
        yield JudgedPath(tree.problem.question, tuple(levels), tuple(chosen), tree.problem.answer)


def path_of_judged(question: str, judged: Any, threshold: float) -> JudgedPath:
    """Read what ``presrm judge-steps`` wrote of a solution.

    Raises:
        DataError: naming what was expected.
    """
    if not isinstance(judged, list) or not judged:
        raise DataError("judged: expected what judge-steps writes, a list with an object for every step")
    steps = []
    for number, step in enumerate(judged):
        text, score = (step.get("text"), step.get("score")) if isinstance(step, Mapping) else (None, None)
        is_number = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
        if not isinstance(text, str) or not (score is None or is_number):
            raise DataError(f"judged.{number}: expected a text and a score from 0 to 1 or null")
        steps.append(((text, None if score is None else score >= threshold),))
    return JudgedPath(question, tuple(steps), (0,) * len(steps))


def to_prm800k(path: JudgedPath) -> list[dict[str, Any]]:
    """PRM800K: one row, with all candidates of every step; right is 1, wrong -1, unknown null."""
    steps = [
        {
            "completions": [{"text": text, "rating": _RATINGS[is_right], "flagged": False} for text, is_right in level],
            "human_completion": None,
            "chosen_completion": number,
        }
        for level, number in zip(path.levels, path.chosen, strict=True)
    ]
    question = {"problem": path.question, "ground_truth_answer": path.answer}
    return [{"question": question, "label": {"steps": steps, "finish_reason": "solution"}}]


def to_math_shepherd(path: JudgedPath) -> list[dict[str, Any]]:
    """Math-Shepherd: a row for the solution, and one for every wrong step beside it.

    Raises:
        DataError: if a text holds what the format marks steps with.
    """
    rows = []
    for steps in _labelled_solutions(path):
        numbered = [
            (text if _NUMBERED.match(text) else f"Step {number}: {text}").strip("\n")
            for number, (text, _) in enumerate(steps, 1)
        ]
        if not numbered[0].lstrip().startswith("Step 1:"):
            numbered[0] = f"Step 1: {numbered[0]}"
        if any(PLACEHOLDER in text for text in (path.question, *numbered)) or "Step 1:" in path.question:
            raise DataError(
                f"Math-Shepherd marks steps with {PLACEHOLDER!r} and 'Step 1:', and a text holds one of them"
            )
        signs = [_SIGNS[is_right] for _, is_right in steps]
        row = {"input": [PLACEHOLDER] * len(steps), "label": signs}
        texts = {
            key: "\n".join(f"{text} {mark}" for text, mark in zip(numbered, marks, strict=True))
            for key, marks in row.items()
        }
        rows.append({key: f"{path.question} {text}" for key, text in texts.items()} | {"task": "presrm"})
    return rows


def to_trl_stepwise(path: JudgedPath) -> list[dict[str, Any]]:
    """TRL's stepwise supervision: a row for the solution, and one for every wrong step beside it."""
    return [
        {"prompt": path.question, "completions": [text for text, _ in steps], "labels": [label for _, label in steps]}
        for steps in _labelled_solutions(path)
    ]


STEP_WRITERS: Mapping[str, Writer] = MappingProxyType(
    {"prm800k": to_prm800k, "math-shepherd": to_math_shepherd, "trl-stepwise": to_trl_stepwise}
)
"""The rows of a solution, by the name of the format."""


def _labelled_solutions(path: JudgedPath) -> Iterator[list[tuple[str, bool]]]:
    """Give the steps with labels: of the solution, and up to every wrong step beside it; none without a label."""
    found = [_join(path.solution)]
    for number, level in enumerate(path.levels):
        others = (one for place, one in enumerate(level) if place != path.chosen[number])
        found += [_join([*path.solution[:number], wrong]) for wrong in others if wrong[1] is False]
    return iter([steps for steps in found if steps])


def _join(steps: Sequence[tuple[str, bool | None]]) -> list[tuple[str, bool]]:
    """Join steps without a label to the next one that has one."""
    joined: list[tuple[str, bool]] = []
    before = ""
    for text, is_right in steps:
        before += text
        if is_right is not None:
            joined.append((before, is_right))
            before = ""
    return joined
