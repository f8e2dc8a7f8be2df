"""Why a preference pair is one: problem, prefix, both steps, every verdict behind them, and the rule that made it.

Read from a run folder without its lock, so that a run can be asked while it is going on. All text is from outside: it
is drawn as plain text with control characters spelt out.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from presrm.credit.pairs import contradicts
from presrm.errors import DataError, RequestError
from presrm.files.jsonl import load_typed
from presrm.files.ledger import Call, Ledger, short_hash
from presrm.files.run import LEDGER
from presrm.prompts.escaping import escape_controls
from presrm.types import Expansion, Judgement, PreferencePair, SearchTree

_WIDE = 120
"""Columns from which the two steps stand side by side, and the most that are used: longer lines are hard to read."""
_VALUES = {"pairwise": "P(A better)", "pointwise": "P(right)"}
_STYLES = {"chosen": "green", "rejected": "red"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one pair.

    Attributes:
        iteration: T of the M(T) that the pair was made for; M(T - 1) judged it.
        pair: As in ``pairs.jsonl``.
        expansion: Where it comes from: all candidates and their judgements.
        tie_tolerance: Spread of scores up to which they would have been tied.
        calls: Every question to the judge about the candidates; none if the run has no ledger.
    """

    iteration: int
    pair: PreferencePair
    expansion: Expansion
    tie_tolerance: float
    calls: tuple[Call, ...] | None

    @property
    def names(self) -> dict[str, str]:
        """What each candidate is called, by `short_hash` of its text: of equal ones the first counts."""
        found: dict[str, str] = {}
        for i, candidate in enumerate(self.expansion.candidates):
            found.setdefault(short_hash(candidate.step.text), f"candidate {i}")
        return found | {short_hash(self.pair.rejected.text): "rejected", short_hash(self.pair.chosen.text): "chosen"}

    @property
    def contradicts(self) -> bool | None:
        """Whether both orders name the step shown first, or both the other; none where not both were asked and read."""
        told = contradicts(self.expansion, self.pair)
        if told is not None or self.calls is None:
            return told
        values: dict[tuple[str, ...], list[float]] = {}
        for call in self.calls:
            if call.template == "pairwise" and call.value is not None:
                values.setdefault(self.shown(call), []).append(call.value)
        orders = [values.get(("chosen", "rejected")), values.get(("rejected", "chosen"))]
        first, second = (fmean(found) - 0.5 if found else None for found in orders)
        return None if first is None or second is None else first * second > 0

    def candidate(self, text: str) -> int:
        """Give the number of the first candidate with a text."""
        return next(i for i, one in enumerate(self.expansion.candidates) if one.step.text == text)

    def judgement(self, text: str) -> Judgement:
        """Give the judgement of the candidates with a text."""
        return self.expansion.candidates[self.candidate(text)].judgement

    def shown(self, call: Call) -> tuple[str, ...]:
        """Name the steps that a call asked about; of a question on a whole solution, the step that it ends with."""
        names = self.names
        if call.shown:
            return tuple(names[digest] for digest in call.shown)
        before = self.pair.prefix.text
        return tuple(
            names[short_hash(candidate.step.text)]
            for candidate in self.expansion.candidates
            if short_hash(before + candidate.step.text) == call.prefix
        )[:1]


def pairs_of(run: Path) -> list[tuple[int, PreferencePair]]:
    """Give all pairs of a run, each with the T of the M(T) that it was made for.

    Raises:
        DataError: if `run` is no run folder, or has no pairs yet.
    """
    if not (run / "manifest.json").is_file():
        raise DataError(f"{run} is no run folder; expected what 'presrm train --out' made")
    files = [path for path in run.glob("iterations/*/pairs.jsonl") if path.parent.name.isdecimal()]
    found = [
        (int(path.parent.name), pair)
        for path in sorted(files, key=lambda path: int(path.parent.name))
        if path.stat().st_size
        for pair in load_typed(PreferencePair, path)
    ]
    if not found:
        raise DataError(f"{run} has no pairs yet, or takes none (pairs.max_per_problem: 0, and methods without pairs)")
    return found


def explain_pair(run: Path, name: str, tie_tolerance: float) -> list[Explanation]:
    """Explain the pair called `name`: one explanation for each iteration that has such a pair.

    Raises:
        RequestError: naming the nearest, if there is no such pair.
        DataError: if the run's files do not fit together.
    """
    pairs = pairs_of(run)
    found = [(iteration, pair) for iteration, pair in pairs if pair.id == name]
    if not found:
        ids = dict.fromkeys(pair.id for _, pair in pairs)
        near = " or ".join(map(repr, get_close_matches(name, ids, n=3)))
        meant = f"did you mean {near}?" if near else f"known are {len(ids)}, as {next(iter(ids))!r}"
        raise RequestError(f"no pair {name!r} in {run}; {meant} ('presrm explain {run}' lists all)")
    return [_explain(run, iteration, pair, tie_tolerance) for iteration, pair in found]


def _explain(run: Path, iteration: int, pair: PreferencePair, tie_tolerance: float) -> Explanation:
    problem, path = pair.prefix.problem.id, run / "iterations" / str(iteration) / "trees.jsonl"
    if not path.exists():  # of a method that learns to judge
        path = path.with_name("traces.jsonl")
    number = pair.id.removeprefix(f"{iteration}/{problem}/").split("/")[0]
    for tree in load_typed(SearchTree, path):
        if tree.problem.id == problem and number.isdecimal() and int(number) < len(tree.expansions):
            expansion = tree.expansions[int(number)]
            if {pair.chosen.text, pair.rejected.text} <= {candidate.step.text for candidate in expansion.candidates}:
                return Explanation(
                    iteration, pair, expansion, tie_tolerance, _calls(run / LEDGER, iteration, pair, expansion)
                )
            if pair.chosen.text in {candidate.step.text for candidate in expansion.candidates}:
                raise RequestError(
                    f"pair {pair.id!r} rejects a step that M1 proposed beside the candidates (pairs.anchor); "
                    f"{path.parent / 'anchored.jsonl'} has what the judge said of it"
                )
    raise DataError(f"{path} holds no expansion that pair {pair.id!r} could come from")


def _calls(ledger: Path, iteration: int, pair: PreferencePair, expansion: Expansion) -> tuple[Call, ...] | None:
    """Give every call about candidates of an expansion, or on a solution that ends with one."""
    if not ledger.is_file():
        return None
    prefix, steps = pair.prefix.text, {candidate.step.text for candidate in expansion.candidates}
    candidates, solutions = {short_hash(text) for text in steps}, {short_hash(prefix + text) for text in steps}
    before = short_hash(prefix)

    def belongs(call: Call) -> bool:
        if not call.shown:
            return call.prefix in solutions
        return call.prefix == before and candidates.issuperset(call.shown)

    with Ledger(ledger, read_only=True) as opened:
        asked = opened.calls(iteration=iteration, stage="search", problem=pair.prefix.problem.id)
        return tuple(call for call in asked if belongs(call))


def to_plain(explanation: Explanation) -> dict[str, Any]:
    """Give an explanation as plain data."""
    pair, made = explanation.pair, explanation.expansion
    candidates = [
        {"text": one.step.text, "stop": one.step.stop, "kept": i in made.kept, **asdict(one.judgement)}
        for i, one in enumerate(made.candidates)
    ]
    calls = None
    if explanation.calls is not None:
        calls = [{**asdict(call), "shown_as": explanation.shown(call)} for call in explanation.calls]
    return {
        "pair": pair.id,
        "iteration": explanation.iteration,
        "problem": asdict(pair.prefix.problem),
        "prefix": [step.text for step in pair.prefix.steps],
        "chosen": explanation.candidate(pair.chosen.text),
        "rejected": explanation.candidate(pair.rejected.text),
        "margin": pair.margin,
        "tie_tolerance": explanation.tie_tolerance,
        "orders_contradict": explanation.contradicts,
        "why": why(explanation),
        "candidates": candidates,
        "calls": calls,
    }


def why(explanation: Explanation) -> str:
    """Say in words how the scores made the pair."""
    pair, made = explanation.pair, explanation.expansion
    chosen, rejected = explanation.candidate(pair.chosen.text), explanation.candidate(pair.rejected.text)
    scores = made.scores.values()
    high, low = explanation.judgement(pair.chosen.text).score, explanation.judgement(pair.rejected.text).score
    if high is None or low is None or not scores:
        return "The tree and the pair do not fit together: one of the two steps has no score."
    spread = max(scores) - min(scores)
    rank = "the lowest readable score" if low == min(scores) else "a lower score"
    tolerance = explanation.tie_tolerance
    lines = [
        f"Chosen is candidate {chosen}, which the search kept for the highest score, {high:.4g}."
        if pair.chosen.text in {made.candidates[i].step.text for i in made.kept}
        else f"Chosen is candidate {chosen}, the shortest in the tier of the highest score, {high:.4g}.",
        f"Rejected is candidate {rejected}, with {rank}, {low:.4g}.",
        f"The margin is {pair.margin:.4g}."
        + (f" The probability that the two are the wrong way round is put at {pair.doubt:.4g}." if pair.doubt else ""),
        f"The readable scores are {spread:.4g} apart, more than the tie tolerance {tolerance:g}, so it was no tie."
        if spread > tolerance
        else f"The readable scores are {spread:.4g} apart, within the tie tolerance {tolerance:g} as it is set now.",
    ]
    if explanation.contradicts:
        lines.append(
            "The two orders contradict each other: both verdicts name the step in the same place, whichever it is, so "
            "the margin says more of the order than of the steps (pairs.require_both_orders drops such pairs)."
        )
    if num := len(made.candidates) - len(scores):
        lines.append(f"{num} of {len(made.candidates)} candidates have no score and had no say.")
    return " ".join(lines)


def draw(explanation: Explanation, width: int) -> RenderableType:
    """Draw an explanation for a terminal of `width` columns."""
    pair = explanation.pair
    made_for = f"  made for M{explanation.iteration}, judged by M{explanation.iteration - 1}"
    heading = Text.assemble(("Pair ", "bold"), (_safe(pair.id), "bold cyan"), made_for)
    steps = [Text(_safe(step.text).strip()) for step in pair.prefix.steps]
    drawn = Group(
        heading,
        *_section("Problem", [Text(_safe(pair.prefix.problem.question))]),
        *_section("Steps before", steps or [Text("none: this is the first step", "dim")]),
        Text(),
        _both_steps(explanation, width),
        *_section("Why it is a pair", [Text(why(explanation))]),
        *_section("Candidates", [_candidates(explanation)]),
        *_section("Verdicts on the two", list(_verdicts(explanation))),
        *_matrix(explanation),
        Text(),
    )
    return Constrain(drawn, _WIDE)


def _safe(text: str) -> str:
    return escape_controls(text).replace("\r\n", "\n")


def _section(title: str, inside: Sequence[RenderableType]) -> Iterator[RenderableType]:
    yield Text()
    yield Text(title, "bold")
    for each in inside:
        yield Padding(each, (0, 0, 0, 2), expand=False)


def _score(judgement: Judgement) -> str:
    return judgement.status.value if judgement.score is None else f"{judgement.score:.3f}"


def _both_steps(explanation: Explanation, width: int) -> RenderableType:
    """Draw chosen and rejected: side by side where there is room."""
    drawn = [
        Group(
            Text.assemble((title, f"bold {style}"), f"  score {_score(explanation.judgement(step.text))}"),
            Padding(
                Text(_safe(step.text).strip() or "(empty: the solution ends here)", style),
                (0, 0, 0, 2),
                expand=False,
            ),
        )
        for title, style, step in (
            ("Chosen", "green", explanation.pair.chosen),
            ("Rejected", "red", explanation.pair.rejected),
        )
    ]
    if width < _WIDE:
        return Group(drawn[0], Text(), drawn[1])
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(*drawn)
    return table


def _candidates(explanation: Explanation) -> Table:
    made, names = explanation.expansion, explanation.names
    table = Table("", "score", "step", box=None, pad_edge=False, header_style="dim")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    table.columns[2].overflow = "ellipsis"
    table.columns[2].no_wrap = True
    for i, candidate in enumerate(made.candidates):
        step = candidate.step
        name = names[short_hash(step.text)]
        first = explanation.candidate(step.text)
        label = f"{i} same as {first}" if first < i else f"{i} {name}" if name in _STYLES else str(i)
        label += ", kept" if i in made.kept else ""
        line = " ".join(_safe(step.text).split())
        table.add_row(Text(label, _STYLES.get(name, "")), Text(_score(candidate.judgement)), Text(line))
    return table


def _verdicts(explanation: Explanation) -> Iterator[RenderableType]:
    """Draw every call on the two steps, with what the judge wrote."""
    if explanation.calls is None:
        yield Text("This run has no ledger (it is from an older version): what the judge said stands with the steps.")
        for title, step in (("Chosen", explanation.pair.chosen), ("Rejected", explanation.pair.rejected)):
            said = explanation.judgement(step.text).rationale
            yield Text(title, "underline")
            yield Padding(Text(_safe(said).rstrip("\n") or "nothing", "dim"), (0, 0, 0, 2), expand=False)
        return
    both, is_first = {"chosen", "rejected"}, True
    asked = [(call, explanation.shown(call)) for call in explanation.calls]
    for call, shown in sorted(asked, key=lambda item: item[1] != ("chosen", "rejected")):
        if not shown or not (both.issuperset(shown) or both.issubset(shown)):
            continue
        if not is_first:
            yield Text(" ")  # an empty text has no line where it is padded
        is_first = False
        yield _call_heading(call, shown)
        yield Padding(Text(_said(call), "dim"), (0, 0, 0, 2), expand=False)
    if is_first:
        yield Text("The ledger holds no call on them: the judge asks no policy.", "dim")


def _call_heading(call: Call, shown: Sequence[str]) -> Text:
    marks = "AB" if call.template == "pairwise" else "123456789"
    text = Text.assemble((_safe(call.template), "bold"), ": ")
    for i, name in enumerate(shown):
        mark = f"{marks[i]} = " if len(shown) > 1 and i < len(marks) else ""
        text.append(f"{', ' if i else ''}{mark}").append(name, _STYLES.get(name, ""))
    if call.status is None:
        return text.append("  verdict unknown: the judge did not tell what it read", "yellow")
    if not call.verdict:
        return text.append(f"  {call.status.value}: counts for nothing", "yellow")
    text.append("  verdict ").append(_safe(call.verdict), "bold")
    meaning = _VALUES.get(call.template, "score")
    return text if call.value is None else text.append(f", {meaning} {call.value:.3f}")


def _said(call: Call) -> str:
    """Give a reply to be shown; of a direct verdict the probabilities."""
    if "options" in json.loads(call.sampling):
        logps = json.loads(call.reply)
        return ", ".join(
            f"P({word}) {'unknown' if logp is None else f'= {math.exp(logp):.4f}'}" for word, logp in logps.items()
        )
    return _safe(call.reply).strip() or "(empty reply)"


def _matrix(explanation: Explanation) -> Iterator[RenderableType]:
    """Draw all comparisons where there are more than one: rows were shown first, columns second."""
    values: dict[tuple[str, str], list[float | None]] = {}
    for call in explanation.calls or ():
        if call.template == "pairwise" and len(call.shown) == 2:
            values.setdefault((call.shown[0], call.shown[1]), []).append(call.value)
    if len(values) <= 2:
        return
    numbers: dict[str, int] = {}
    for i, candidate in enumerate(explanation.expansion.candidates):
        numbers.setdefault(short_hash(candidate.step.text), i)
    asked = [digest for digest in numbers if any(digest in shown for shown in values)]
    table = Table("first", *(f"vs {numbers[digest]}" for digest in asked), box=None, pad_edge=False, header_style="dim")
    for first in asked:
        cells = (_mean(values.get((first, second), [])) for second in asked)
        table.add_row(Text(str(numbers[first])), *map(Text, cells))
    meaning = "Probability that the candidate shown first (row) is better than the one shown second (column)"
    yield from _section("All comparisons", [Text(f"{meaning}; ? is unreadable.", "dim"), table])


def _mean(values: Sequence[float | None]) -> str:
    readable = [value for value in values if value is not None]
    if not readable:
        return "?" if values else ""
    return f"{fmean(readable):.2f}"


def draw_list(pairs: Sequence[tuple[int, PreferencePair]]) -> Table:
    """Draw a line for each pair of a run."""
    table = Table("pair", "for", "margin", "before", "chosen step", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[:4]:
        column.no_wrap = True
    table.columns[4].no_wrap, table.columns[4].overflow = True, "ellipsis"
    for iteration, pair in pairs:
        num, line = len(pair.prefix.steps), " ".join(_safe(pair.chosen.text).split())
        cells = (_safe(pair.id), f"M{iteration}", f"{pair.margin:.3f}", f"{num} step{'s' * (num != 1)}", line)
        table.add_row(*map(Text, cells))
    return table
