"""Labelled rows in three parts, and what a judge and a writer say of them: asked once, then replayed from a journal."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from presrm.errors import DataError, RequestError
from presrm.files.journal import Journal
from presrm.files.jsonl import BadRow, NoGoodRowError
from presrm.files.tables import read_table
from presrm.formats.solutions import Solution, find_first_error, read_solution
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Generator, Request, Sampling, StepSplitter
from presrm.seeding import derive_seed
from presrm.types import Candidates, Judgement

NUM_REPLIES, LONGEST_REPLY = 2, 1000
"""Replies of a judge to one row that are kept to be shown, and their characters."""
Ask = Callable[[Iterable[Sequence[Candidates]], PromptSet], Iterator[list[tuple[Judgement, ...]]]]
"""Batches and the prompts to ask with -> what a judge says of each batch, in order."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A solution whose first wrong step is known, and the line where it stands."""

    line: int
    solution: Solution
    label: int

    @property
    def items(self) -> list[Candidates]:
        """What a judge is asked about it: every step after those before."""
        return self.solution.candidates(f"line {self.line}")


@dataclass(frozen=True, slots=True)
class Split:
    """Places of rows, all rows of a problem in one part: a quarter of the problems, a quarter, and half.

    Attributes:
        train: Those that reflections are shown.
        validation: Those that candidates are chosen by.
        test: Those that only the first and the last prompt are asked about.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def read_labelled(source: Path, splitter: StepSplitter) -> tuple[list[Labelled], list[BadRow]]:
    """Read the rows of a file whose first wrong step is known, and those that have to be set aside.

    Raises:
        NoGoodRowError: if there are none of the first.
    """
    rows: list[Labelled] = []
    rejected: list[BadRow] = []
    for row in read_table(source):
        if isinstance(row, BadRow):
            rejected.append(row)
            continue
        try:
            solution = read_solution(row.value, splitter)
        except DataError as error:
            rejected.append(BadRow(row.line, str(error), ""))
            continue
        if solution.label is None:
            rejected.append(BadRow(row.line, "no label says which step is the first wrong one", ""))
        else:
            rows.append(Labelled(row.line, solution, solution.label))
    if not rows:
        raise NoGoodRowError(source, rejected)
    return rows, rejected


def split_rows(rows: Sequence[Labelled], seed: int) -> Split:
    """Split rows by problem, in an order that depends on the seed and the questions alone.

    Raises:
        RequestError: if there are fewer than four problems.
    """
    problems: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        problems.setdefault(" ".join(row.solution.question.split()), []).append(place)
    if len(problems) < 4:
        raise RequestError(f"{len(problems)} problems cannot be split into three parts; expected four or more")
    order = sorted(problems, key=lambda question: derive_seed(seed, "part", question))
    quarter, half = len(order) // 4, len(order) // 2
    parts = (order[:quarter], order[quarter:half], order[half:])
    return Split(*(tuple(sorted(place for question in part for place in problems[question])) for part in parts))


class Calls:
    """Judgements and reflections, each made once: what the journal holds is replayed.

    Attributes:
        judged: What a set of prompts (its hash) said of a row (its place), as the journal keeps it.
        num_reflections: Asked for so far.
    """

    def __init__(
        self,
        journal: Journal,
        rows: Sequence[Labelled],
        ask: Ask,
        reflector: Callable[[], Generator],
        advance: Callable[[int], None],
        reflection: Sampling,
        threshold: float,
        group_size: int,
    ) -> None:
        self._journal = journal
        self._rows = rows
        self._ask = ask
        self._reflector = reflector
        self._advance = advance
        self._reflection = reflection
        self._threshold = threshold
        self._group_size = group_size
        self.judged: dict[tuple[str, int], Mapping[str, Any]] = {}
        self.num_reflections = 0
        self._num_before = 0
        self._is_replay = True
        kept = list(_read(journal))
        self._kept = {(row["prompts"], row["row"]): row for row in kept if "row" in row}
        self._replies = [row for row in kept if "reply" in row]

    def judge(self, prompts: PromptSet, places: Sequence[int]) -> list[Mapping[str, Any]]:
        """Judge rows, by their places."""
        name = prompts.hash
        for place in places:
            if (name, place) in self._kept:
                self.judged[name, place] = self._kept[name, place]
        missing = [place for place in dict.fromkeys(places) if (name, place) not in self.judged]
        self._count(len(places) - len(missing), is_new=bool(missing))
        groups = [missing[at : at + self._group_size] for at in range(0, len(missing), self._group_size)]
        batches = ([item for place in group for item in self._rows[place].items] for group in groups)
        for group, judged in zip(groups, self._ask(batches, prompts) if groups else (), strict=True):
            made = self._as_rows(prompts, group, judged)
            self._journal.append(made)
            self.judged |= {(name, place): row for place, row in zip(group, made, strict=True)}
            self._count(len(group), is_new=True)
        return [self.judged[name, place] for place in places]

    def _as_rows(
        self, prompts: PromptSet, places: Sequence[int], judged: Sequence[tuple[Judgement, ...]]
    ) -> list[dict[str, Any]]:
        """What a judge said of the steps of rows, as the journal keeps it."""
        judgements = iter([one for (one,) in judged])
        made = []
        for place in places:
            found = list(islice(judgements, len(self._rows[place].items)))
            first_error = find_first_error(found, self._threshold)
            unread = next((at for at, one in enumerate(found) if one.score is None), None)
            told = (first_error, self._rows[place].label, unread, len(found) - 1)
            wrote = dict.fromkeys(found[at].rationale for at in told if at is not None and at >= 0)
            made.append(
                {
                    "prompts": prompts.hash,
                    "row": place,
                    "first_error": first_error,
                    "judged": [{"score": one.score, "status": one.status} for one in found],
                    "wrote": [shorten(text, LONGEST_REPLY) for text in islice(filter(None, wrote), NUM_REPLIES)],
                }
            )
        return made

    def _count(self, num: int, *, is_new: bool) -> None:
        """Tell of rows done; the first count, before anything new, is what an earlier start had done."""
        if self._is_replay:
            self._num_before += num
            if is_new:
                self._is_replay = False
                self._advance(self._num_before)
        else:
            self._advance(num)

    def reflect(self, prompt: Prompt, seed: int) -> Mapping[str, Any]:
        """Have an instruction rewritten; gives ``reply`` and ``stop``."""
        self.num_reflections += 1
        if self.num_reflections > len(self._replies):
            request = Request(prompt, 1, self._reflection, seed=derive_seed(seed, "reflection", self.num_reflections))
            [[written]] = self._reflector().generate([request])
            row = {
                "reflection": self.num_reflections,
                "asked": prompt.text,
                "reply": written.text,
                "stop": written.stop,
            }
            self._journal.append([row])
            self._replies.append(row)
        return self._replies[self.num_reflections - 1]


def _read(journal: Journal) -> Iterator[dict[str, Any]]:
    """Read the finished rows of a journal."""
    if journal.num_rows:
        with journal.path.open("rb") as file:
            yield from map(json.loads, islice(file, journal.num_rows))


def shorten(text: str, longest: int) -> str:
    """Leave out the middle of a text that is longer than so many characters."""
    half = longest // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]} [... {left_out} characters left out ...] {text[-half:]}"
