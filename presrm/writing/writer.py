"""Problems that the policy writes: asked for until there are enough, each kept or left out for a reason."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field

from presrm.config import Section
from presrm.prompts import Prompt
from presrm.protocols import Completion, Generator, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import UNFINISHED, Problem, Stop
from presrm.writing.novelty import diversity, nearest, words_of

Recognise = Callable[[str], Problem | str]
"""Reads a question of one kind: the problem with what is known of it, or a word for why it is none."""
_UNANSWERABLE = re.compile(
    r"\b(?:images?|pictures?|photos?|graphs?|charts?|diagrams?|figures? (?:above|below)|files?|maps?|videos?|audio"
    r"|music|draw|plot|sketch)\b",
    re.IGNORECASE,
)
"""Words of problems that text alone neither poses nor solves (Self-Instruct, arXiv 2212.10560, section 2.2)."""

_CAUSES = {
    "cut_off": "cut off",
    "duplicate": "the same as an earlier one",
    "ill_formed": "not of the seeds' form",
    "keyword": "about what text does not show",
    "near_duplicate": "too like an earlier one",
    "no_room": "without room",
    "over": "more than wanted",
    "same_id": "held out",
    "same_question": "held out, word for word",
    "shared_run": "sharing a run of words with one held out",
    "too_long": "too long",
    "too_short": "too short",
    "unsolvable": "without a solution",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One call for problems.

    Attributes:
        prompt: What the policy is asked.
        sampling: How it writes.
        num: How many problems are drawn.
        made_from: Ids of the problems that it is shown.
        how: In a word or two, what is wanted; nothing for a problem like those shown.
        depth: How far from a seed: 1 for what is made from seeds.
    """

    prompt: Prompt
    sampling: Sampling
    num: int
    made_from: tuple[str, ...]
    how: str = ""
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Written:
    """What the policy wrote for a problem.

    Attributes:
        call: Number of the call.
        made_from: As of `Ask`.
        how: As of `Ask`.
        depth: As of `Ask`.
        text: Verbatim.
        problem: The problem, if it is kept.
        cause: Else why not.
    """

    call: int
    made_from: tuple[str, ...]
    how: str
    depth: int
    text: str
    problem: Problem | None
    cause: str | None


class Filters(Section):
    """What is taken for a new problem, and when to stop asking."""

    max_calls: int = Field(2000, gt=0, description="Number of calls after which writing ends, with fewer problems.")
    max_likeness: float = Field(
        0.7, gt=0, le=1, description="ROUGE-L with an earlier problem from which a new one is a near-duplicate."
    )
    words: tuple[int, int] = Field((3, 150), description="Least and largest number of words in a problem.")


class Way(Protocol):
    """What the policy is asked for, given what it has written so far."""

    def ask(self, call: int, seeds: Sequence[Problem], kept: Sequence[Written]) -> Ask:
        """Make call number `call`; `seeds` are one or more."""
        ...


@dataclass(frozen=True, slots=True)
class Writer:
    """Has problems written until there are `num`.

    Attributes:
        way: What is asked.
        seeds: Problems to begin with; none of them is taken for new.
        twin: Says why a problem may not be trained on, as one that is held out, or none.
        recognise: Reads questions of the seeds' kind, where something can: what it does not read is left out, and what
            it reads is a problem of that kind, with the answer that follows. Without it a problem has no answer.
        name: What ids begin with, as in ``<name>/<call>/<number>``.
        seed: Of the draws.
        num: Problems wanted.
        max_calls: Calls after which it ends with fewer.
        group_size: Calls made at once; what they are shown is what was kept before.
        max_likeness: ROUGE-L with a seed or an earlier problem from which one is a near-duplicate.
        words: Least and most words of a problem.
    """

    way: Way
    seeds: Sequence[Problem]
    twin: Callable[[Problem], str | None]
    recognise: Recognise | None
    name: str
    seed: int
    num: int
    max_calls: int
    group_size: int
    max_likeness: float
    words: tuple[int, int]

    def write(self, generator: Generator, earlier: Sequence[Written]) -> Iterator[list[Written]]:
        """Give what is written, one group of calls after another, behind what was written before.

        What a call is shown depends on the groups before its own alone, so that writing resumes at any group.
        """
        rows = list(earlier)
        while len(kept := [row for row in rows if row.problem]) < self.num:
            first = rows[-1].call + 1 if rows else 0
            calls = range(first, min(first + self.group_size, self.max_calls))
            if not calls:
                return
            asks = [self.way.ask(call, self.seeds, kept) for call in calls]
            requests = [
                Request(ask.prompt, ask.num, ask.sampling, seed=derive_seed(self.seed, "write", call))
                for call, ask in zip(calls, asks, strict=True)
            ]
            known = [*self.seeds, *(row.problem for row in kept if row.problem)]
            group: list[Written] = []
            for call, ask, drawn in zip(calls, asks, generator.generate(requests), strict=True):
                for number, completion in enumerate(drawn):
                    result = self._read(completion, f"{self.name}/{call}/{number}", known)
                    problem, cause = (result, None) if isinstance(result, Problem) else (None, result)
                    if problem is not None and len(kept) + sum(row.problem is not None for row in group) == self.num:
                        problem, cause = None, "over"
                    if problem is not None:
                        known.append(problem)
                    group.append(Written(call, ask.made_from, ask.how, ask.depth, completion.text, problem, cause))
            rows += group
            yield group

    def _read(self, completion: Completion, name: str, earlier: Sequence[Problem]) -> Problem | str:
        """Take what was written for a problem, or say in a word why not.

        What can be recognised is new if no earlier problem is the same: two puzzles of one form are alike in their
        words, and yet differ.
        """
        text = completion.text.strip()
        if completion.stop in UNFINISHED:
            return "no_room" if completion.stop is Stop.NO_ROOM else "cut_off"
        words = words_of(text)
        if not self.words[0] <= len(words) <= self.words[1]:
            return "too_short" if len(words) < self.words[0] else "too_long"
        if _UNANSWERABLE.search(text):
            return "keyword"
        problem = Problem(name, text) if self.recognise is None else self.recognise(text)
        if isinstance(problem, str):
            return problem
        if self.recognise is not None:
            if any(problem.id == one.id for one in earlier):
                return "duplicate"
        elif nearest(words, [words_of(one.question) for one in earlier], at_least=self.max_likeness):
            return "near_duplicate"
        return self.twin(problem) or problem


def summarise(rows: Sequence[Written]) -> dict[str, Any]:
    """Say what writing came to: calls, problems kept, what was left out by cause, and how diverse the kept ones are.

    ``diversity`` is 1 less the mean ROUGE-L of each problem with the one most like it; none for fewer than two.
    """
    kept = [row.problem for row in rows if row.problem]
    return {
        "calls": len({row.call for row in rows}),
        "written": len(rows),
        "kept": len(kept),
        "causes": dict(sorted(Counter(row.cause for row in rows if row.cause).items())),
        "by_depth": dict(sorted(Counter(str(row.depth) for row in rows if row.problem).items())),
        "diversity": diversity([words_of(problem.question) for problem in kept]),
    }


def explain(summary: Mapping[str, Any]) -> str:
    """Say in one line what `summarise` found."""
    causes = sorted(summary["causes"].items(), key=lambda item: (-item[1], item[0]))
    line = f"{summary['kept']} problems of {summary['written']} written"
    if causes:
        line += ", left out: " + ", ".join(f"{num} {_CAUSES.get(cause, cause)}" for cause, num in causes)
    return line if summary["diversity"] is None else f"{line}; diversity {summary['diversity']:.2f}"
