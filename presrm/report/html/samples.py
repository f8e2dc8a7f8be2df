"""Which trees and lessons the page carries, and how: a sample of each, stratified and seeded, as plain data.

Every file is read through once, row by row, to count and to note where each row begins; then only the rows that were
drawn are read again. So a run of a million pairs takes no more memory than a place and a stratum for each.
"""

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from presrm.errors import RunError
from presrm.files.ledger import Call, Ledger, short_hash
from presrm.files.run import LEDGER
from presrm.report.facts import LESSONS, SEARCHES, Artefact, RunFacts
from presrm.report.html.text import Run, markup, runs

MAX_TREES, MAX_LESSONS = 2_000, 10_000
"""Most that a page carries; it says how many there are."""
MAX_BYTES = 7_000_000
"""Most bytes of JSON for the trees, and for the lessons: long texts make it fewer."""
_SEED = 20
_NUM_BINS = 10
_KINDS = dict(zip(LESSONS, ("pair", "demonstration", "attempt"), strict=True))


class Texts:
    """Texts by number, each kept once: a question, a prefix and a step stand in many pairs and trees.

    Attributes:
        rows: The texts, as runs of text and formulas (`presrm.report.html.text.runs`); a plain one as it is.
        num_bytes: Their size as JSON, nearly.
    """

    def __init__(self) -> None:
        self.rows: list[str | list[Run]] = []
        self.num_bytes = 0
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Give the number of a text, which is added if it is new."""
        if text not in self._numbers:
            self._numbers[text] = len(self.rows)
            found = runs(text)
            self.rows.append(found[0] if len(found) == 1 and isinstance(found[0], str) else found)
            self.num_bytes += len(json.dumps(self.rows[-1], ensure_ascii=False).encode("utf-8", "replace")) + 2
        return self._numbers[text]

    def markup(self, number: int) -> Markup:
        """Give a text as HTML."""
        row = self.rows[number]
        return markup([row] if isinstance(row, str) else row)


@dataclass
class Index:
    """Where the rows of some artefacts begin, and the stratum of each.

    Attributes:
        artefacts: The files.
        stratum: Says which stratum a row is of.
        read: Called with every row, to count more.
        counts: Rows of each stratum, exact.
        starts: The byte at which each row begins.
    """

    artefacts: Sequence[Artefact]
    stratum: Callable[[Artefact, Mapping[str, Any]], Hashable]
    read: Callable[[Artefact, Mapping[str, Any]], None] = lambda artefact, row: None
    counts: Counter[Hashable] = field(default_factory=Counter)
    starts: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def num(self) -> int:
        """Rows in all, once they were drawn from."""
        return len(self.starts)

    def draw(self, num: int) -> list[tuple[int, int]]:
        """Draw rows, by number of the artefact and byte: one of each stratum, then all in proportion.

        Any beginning of what is drawn is stratified as well.
        """
        files, strata = array("I"), array("I")
        numbers: dict[Hashable, int] = {}
        for file, artefact in enumerate(self.artefacts):
            for start, row in artefact.rows():
                stratum = self.stratum(artefact, row)
                self.read(artefact, row)
                self.counts[stratum] += 1
                files.append(file)
                self.starts.append(start)
                strata.append(numbers.setdefault(stratum, len(numbers)))
        rng = np.random.default_rng(_SEED)
        strata_N, turns_N = np.array(strata, int), np.zeros(self.num)
        for number in range(len(numbers)):
            (inside,) = np.nonzero(strata_N == number)
            turns_N[rng.permutation(inside)] = np.arange(len(inside)) / len(inside)
        drawn = np.argsort(turns_N, kind="stable")[:num]
        return [(files[place], self.starts[place]) for place in drawn.tolist()]


@dataclass(frozen=True)
class Sample:
    """What the page carries of the trees or the lessons.

    Attributes:
        rows: As `trees` or `lessons` gives them, in the order of the files.
        num: How many there are in all.
        counts: How many of each stratum there are in all.
    """

    rows: list[Any]
    num: int
    counts: Mapping[Hashable, int]


def note(sample: Sample, what: str, names: Sequence[str]) -> str:
    """Say how many there are of `what`, how many of them the page carries, and which files hold all."""
    listed = ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]}"
    if len(sample.rows) == sample.num:
        return f"All {sample.num:,} {what} ({listed})."
    return (
        f"{len(sample.rows):,} of {sample.num:,} {what}, drawn so that every kind is among them; all are in {listed}."
    )


def sample_trees(facts: RunFacts, texts: Texts, max_bytes: int = MAX_BYTES) -> Sample:
    """Draw the trees of the page: strata are the iteration and how the search ended."""
    index = Index(facts.artefacts(*SEARCHES), lambda artefact, row: (artefact.iteration, _ending(row)))
    drawn = index.draw(MAX_TREES)
    return Sample(
        fill(index, drawn, lambda artefact, _, row: tree(artefact, row, texts), texts, max_bytes),
        index.num,
        index.counts,
    )


def _ending(row: Mapping[str, Any]) -> str:
    if row.get("given_up") is not None:
        return "given up"
    return "with roll-backs" if row.get("dropped") else "solved"


def tree(artefact: Artefact, row: Mapping[str, Any], texts: Texts) -> list[Any]:
    """Give a tree: iteration, id, question, answer, expansions, solutions, dropped, why it was given up.

    An expansion is its parent (or nothing), its candidates (text, score or status, why it ended, worth) and the kept.
    """
    problem = row["problem"]
    expansions = [
        [
            made["parent"],
            [_candidate(candidate, texts) for candidate in made["candidates"]],
            made["kept"],
        ]
        for made in row["expansions"]
    ]
    ends = [row["solutions"], row["dropped"], row["given_up"]]
    answer = None if problem["answer"] is None else texts.number(problem["answer"])
    return [
        artefact.iteration,
        texts.number(problem["id"]),
        texts.number(problem["question"]),
        answer,
        expansions,
        *ends,
    ]


def _candidate(candidate: Mapping[str, Any], texts: Texts) -> list[Any]:
    judgement, step = candidate["judgement"], candidate["step"]
    score = judgement["status"] if judgement["score"] is None else round(judgement["score"], 4)
    worth = candidate.get("worth")
    shown = [texts.number(step["text"]), score]
    if step["stop"] is not None or worth is not None:
        shown.append(step["stop"])
    return shown if worth is None else [*shown, round(worth, 4)]


def sample_lessons(facts: RunFacts, texts: Texts, max_bytes: int = MAX_BYTES) -> Sample:
    """Draw the lessons of the page, with the verdicts behind pairs: strata are iteration, kind and tenth of margin."""
    index = Index(facts.artefacts(*LESSONS), lambda artefact, row: (artefact.iteration, *_level(artefact, row)))
    drawn = index.draw(MAX_LESSONS)
    calls = _calls(facts, _wanted(index, drawn))
    rows = fill(index, drawn, lambda artefact, _, row: lesson(artefact, row, texts, calls), texts, max_bytes)
    return Sample(rows, index.num, index.counts)


def _level(artefact: Artefact, row: Mapping[str, Any]) -> tuple[str, int]:
    kind = _KINDS[artefact.path.name]
    value = row.get({"pair": "margin", "attempt": "reward"}.get(kind, ""), None)
    return kind, -1 if value is None else min(_NUM_BINS - 1, int(max(0.0, value) * _NUM_BINS))


def lesson(
    artefact: Artefact, row: Mapping[str, Any], texts: Texts, calls: "Mapping[_Place, Sequence[Call]]"
) -> list[Any]:
    """Give a lesson: kind, iteration, id, value, question, steps before, its one or two steps, status, verdicts.

    The value is the margin of a pair, the reward of an attempt or the weight of a demonstration. A verdict is template,
    what was shown in which order, verdict, value, status and reply.
    """
    kind, prefix = _KINDS[artefact.path.name], row["prefix"]
    value, steps, status, verdicts = None, [], "", []
    match kind:
        case "pair":
            value, steps = row["margin"], [row["chosen"]["text"], row["rejected"]["text"]]
            found = _of_pair(artefact, row, calls)
            status = _status(found)
            verdicts = [
                [
                    call.template,
                    shown,
                    texts.number(call.verdict),
                    call.value and round(call.value, 4),
                    call.status or "untold",
                    texts.number(call.reply),
                ]
                for call, shown in found
            ]
        case "attempt":
            value, steps = row["reward"], [row["completion"]["text"]]
            status = "no reward" if value is None else "rewarded"
        case _:
            value, steps = row["weight"], [row["reply"]["text"]]
    before = [texts.number(step["text"]) for step in prefix["steps"]]
    question = texts.number(prefix["problem"]["question"])
    rounded = None if value is None else round(value, 4)
    return [
        kind,
        artefact.iteration,
        texts.number(row["id"]),
        rounded,
        question,
        before,
        [texts.number(one) for one in steps],
        status,
        verdicts,
    ]


_Place = tuple[int, str, str]
"""Iteration, id of a problem, hash of a prefix: where the calls about the candidates of an expansion are."""


def _places(artefact: Artefact, row: Mapping[str, Any]) -> list[_Place]:
    """Where calls about a pair may be: at its prefix, or, on whole solutions, at those that end with its steps."""
    prefix = "".join(step["text"] for step in row["prefix"]["steps"])
    texts = (prefix, prefix + row["chosen"]["text"], prefix + row["rejected"]["text"])
    return [(artefact.iteration, row["prefix"]["problem"]["id"], short_hash(text)) for text in texts]


def _wanted(index: Index, drawn: Sequence[tuple[int, int]]) -> set[_Place]:
    return {
        place
        for artefact, row in _rows(index, drawn)
        if artefact.path.name == "pairs.jsonl"
        for place in _places(artefact, row)
    }


def _calls(facts: RunFacts, wanted: set[_Place]) -> dict[_Place, list[Call]]:
    """Read the calls of the search about what is wanted, in one pass through the ledger."""
    found: defaultdict[_Place, list[Call]] = defaultdict(list)
    path = facts.path / LEDGER
    if not wanted or not path.is_file():
        return found
    try:
        with Ledger(path, read_only=True) as ledger:
            for call in ledger.calls(stage="search", problems={problem for _, problem, _ in wanted}):
                if call.iteration is not None and (place := (call.iteration, call.problem, call.prefix)) in wanted:
                    found[place].append(call)
    except RunError:  # a ledger of another version, or of a run that is just being copied: the pairs stand without it
        found.clear()
    return found


def _of_pair(
    artefact: Artefact, row: Mapping[str, Any], calls: Mapping[_Place, Sequence[Call]]
) -> list[tuple[Call, str]]:
    """Give the calls on the two steps of a pair, with what was shown: ``cr`` is chosen first, ``c`` chosen alone."""
    letters = {short_hash(row["rejected"]["text"]): "r", short_hash(row["chosen"]["text"]): "c"}
    at, with_chosen, with_rejected = _places(artefact, row)
    found = [
        (call, "".join(letters[digest] for digest in call.shown))
        for call in calls.get(at, ())
        if call.shown and letters.keys() >= set(call.shown)
    ]
    for place, letter in ((with_chosen, "c"), (with_rejected, "r")):
        found += [(call, letter) for call in calls.get(place, ()) if not call.shown]
    return sorted(found, key=lambda item: (item[0].template, item[1], item[0].number, item[0].key))


def _status(found: Sequence[tuple[Call, str]]) -> str:
    """Say in a word what the verdicts on a pair come to."""
    if not found:
        return "no verdict recorded"
    if any(call.value is None for call, _ in found):
        return "a verdict is unreadable"
    both = {shown: call.value for call, shown in found if shown in ("cr", "rc") and call.value is not None}
    if len(both) == 2:
        return "both orders agree" if (both["cr"] > 0.5) == (both["rc"] < 0.5) else "the orders disagree"
    return "all verdicts readable"


def _rows(index: Index, drawn: Iterable[tuple[int, int]]) -> Iterator[tuple[Artefact, dict[str, Any]]]:
    by_file: defaultdict[int, list[int]] = defaultdict(list)
    for file, start in drawn:
        by_file[file].append(start)
    for file, starts in sorted(by_file.items()):
        for row in index.artefacts[file].rows_at(sorted(starts)):
            yield index.artefacts[file], row


def fill(
    index: Index,
    drawn: Sequence[tuple[int, int]],
    make: Callable[[Artefact, int, dict[str, Any]], Any],
    texts: Texts,
    max_bytes: int,
) -> list[Any]:
    """Make the rows that were drawn, in turn, until they take `max_bytes`; give them in the order of the files."""
    begun, num_bytes, made = texts.num_bytes, 0, list[tuple[tuple[int, int], Any]]()
    for file, start in drawn:
        artefact = index.artefacts[file]
        (row,) = artefact.rows_at([start])
        made.append(((file, start), make(artefact, start, row)))
        num_bytes += len(json.dumps(made[-1][1]))
        if num_bytes + texts.num_bytes - begun > max_bytes:
            break
    return [row for _, row in sorted(made, key=lambda item: item[0])]
