"""What GEPA (arXiv 2507.19457) asks of us to evolve a judge's instructions: to score, to explain and to rewrite."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from presrm.errors import ConfigError
from presrm.judging.calls import LONGEST_REPLY, NUM_REPLIES, Calls, Labelled, Split, shorten
from presrm.judging.card import JudgedSolution, make_card
from presrm.judging.verdicts import without_thoughts
from presrm.prompts import PromptSet
from presrm.prompts.escaping import escape_controls
from presrm.prompts.instructions import ask_to_rewrite, read_rewritten, why_refused, with_instructions
from presrm.types import Stop

_LOGGER = logging.getLogger(__name__)
NUM_CASES = 3
"""Rows that one reflection is shown, as in GEPA."""
_LONGEST_CASE = 2000
LONGEST_CASES = NUM_CASES * (_LONGEST_CASE + NUM_REPLIES * LONGEST_REPLY)
"""Characters of the cases of one reflection."""


class Evolution:
    """What GEPA asks of us, as its adapter, its callback and its logger.

    Attributes:
        candidates: The instructions of every candidate, in the order found.
        history: Candidates and proposals, in their order.
        refused: Proposals that were never run, by reason.
    """

    def __init__(
        self,
        calls: Calls,
        rows: Sequence[Labelled],
        split: Split,
        prompts: PromptSet,
        start: Mapping[str, str],
        budget: int,
        seed: int,
    ) -> None:
        self._calls = calls
        self.rows = rows
        self._split = split
        self._first = prompts
        self._start = start
        self._budget = budget
        self._seed = seed
        self._failure: Exception | None = None
        self._parent = 0
        self.candidates: list[Mapping[str, str]] = []
        self.history: list[dict[str, Any]] = []
        self.refused = Counter[str]()

    def prompts(self, candidate: Mapping[str, str]) -> PromptSet:
        """Give the prompt set of a candidate.

        Raises:
            ValueError: if an instruction changes what is around it.
        """
        changed: dict[str, dict[int, str]] = {}
        for name, text in candidate.items():
            stem, _, place = name.rpartition("/")
            changed.setdefault(stem, {})[int(place)] = text
        sources = self._first.sources
        return self._first.edited({stem: with_instructions(sources[stem], texts) for stem, texts in changed.items()})

    def test(self, prompts: PromptSet) -> list[JudgedSolution]:
        """Judge the test part."""
        self._calls.judge(prompts, self._split.test)
        return self._judged(prompts, self._split.test)

    def worth(self, number: int) -> float:
        """What a candidate is chosen by."""
        found = self._judged(self.prompts(self.candidates[number]), self._split.validation)
        f1 = make_card(found).f1.value
        return sum(one.first_error == one.label for one in found) / len(found) if f1 is None else f1

    def _judged(self, prompts: PromptSet, places: Sequence[int]) -> list[JudgedSolution]:
        judged = self._calls.judged
        return [JudgedSolution.of_row(judged[prompts.hash, at], self.rows[at].label) for at in places]

    def evaluate(self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """Score a candidate on rows: 1 where the first error is named exactly, else 0."""
        from gepa.core.adapter import EvaluationBatch

        judged = self._calls.judge(self.prompts(candidate), batch)
        scores = [float(row["first_error"] == self.rows[at].label) for at, row in zip(batch, judged, strict=True)]
        return EvaluationBatch(list(judged), scores, list(zip(batch, judged, strict=True)))

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> dict[str, list[dict[str, str]]]:
        """Say of each row what the judge was shown, what it wrote, what was read in that, and what is right."""
        cases = [{"case": _case(self.rows[place], row)} for place, row in eval_batch.trajectories]
        return dict.fromkeys(components_to_update, cases)

    def propose_new_texts(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """Have instructions rewritten; those that cannot stand in their place are left out.

        GEPA tries again where this raises, and then passes over it, so the error is kept for `is_over`: an engine that
        fails is no bad proposal.
        """
        if self._failure is not None:
            raise self._failure
        try:
            proposed = {
                name: self._propose(candidate, name, [case["case"] for case in reflective_dataset[name]])
                for name in components_to_update
            }
        except Exception as error:
            self._failure = error
            raise
        return {name: text for name, text in proposed.items() if text is not None}

    def _propose(self, candidate: dict[str, str], name: str, cases: Sequence[str]) -> str | None:
        reply = self._calls.reflect(ask_to_rewrite(name, candidate[name], cases), self._seed)
        text = read_rewritten(without_thoughts(reply["reply"]))
        reason = self._why_refused(candidate, name, text, reply["stop"])
        number = self._calls.num_reflections
        outcome = None if reason is None else f"refused: {reason}"
        row = {"proposal": number, "parent": self._parent, "instruction": name, "outcome": outcome, "text": text}
        self.history.append(row)
        if reason is None:
            return text
        self.refused[reason] += 1
        return None

    def _why_refused(self, candidate: dict[str, str], name: str, text: str, stop: str | None) -> str | None:
        if stop == Stop.NO_ROOM:
            return "the cases leave no room for a reply"
        if stop in (Stop.MAX_TOKENS, Stop.FILTERED):
            return "the reply was cut off"
        if text == candidate[name]:
            return "it changes nothing"
        if reason := why_refused(self._start[name], text):
            return reason
        try:
            self.prompts({**candidate, name: text})
        except (ValueError, ConfigError) as error:
            return str(error)
        return None

    def is_over(self, state: Any) -> bool:
        """Stop before the budget could be exceeded, and where reflection failed."""
        if self._failure is not None:
            raise self._failure
        return bool(state.total_num_evals + 2 * NUM_CASES + len(self._split.validation) > self._budget)

    def on_candidate_selected(self, event: Mapping[str, Any]) -> None:
        """Remember whose instruction is rewritten next."""
        self._parent = event["candidate_idx"]

    def on_candidate_rejected(self, event: Mapping[str, Any]) -> None:
        """Note what became of the last proposal."""
        before, after = event["old_score"], event["new_score"]
        self.history[-1]["outcome"] = f"no better on its cases: {before:g} right before, {after:g} after"

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """Note a candidate, and that the last proposal became it."""
        number = event["candidate_idx"]
        if number:
            self.history[-1]["outcome"] = f"candidate {number}"
        self.candidates.append(dict(event["candidate"]))
        found = self._judged(self.prompts(event["candidate"]), self._split.validation)
        card = make_card(found)
        self.history.append(
            {
                "candidate": number,
                "parents": list(event["parent_ids"]),
                "rows": len(found),
                "right": sum(one.first_error == one.label for one in found),
                "unreadable": sum(one.first_error is None for one in found),
                "f1": card.f1.value,
                "judged": len(self._calls.judged),
                "instructions": self.candidates[-1],
            }
        )

    def log(self, message: str) -> None:
        """Take what GEPA tells."""
        _LOGGER.debug("%s", escape_controls(message))


def _case(row: Labelled, judged: Mapping[str, Any]) -> str:
    """Tell a row and what the judge made of it, for a reflection."""
    steps = "\n".join(f"Step {number}: {step.strip()}" for number, step in enumerate(row.solution.steps))
    shown = f"Question: {row.solution.question.strip()}\n{steps}"
    first_error = judged["first_error"]
    if first_error is None:
        reasons = sorted({step["status"] for step in judged["judged"] if step["score"] is None})
        read = f"no verdict ({', '.join(reasons)}): what it wrote does not end in the form that is asked for"
    else:
        read = _named(first_error)
    wrote = "\n\n".join(judged["wrote"]) or "(nothing)"
    verdict = "" if first_error is None else f" The judge is {'right' if first_error == row.label else 'wrong'}."
    return (
        f"{shorten(shown, _LONGEST_CASE)}\n\n"
        f"What the judge wrote:\n{wrote}\n\n"
        f"What was read in it: {read}. The truth: {_named(row.label)}.{verdict}"
    )


def _named(first_error: int) -> str:
    return "no step is wrong" if first_error < 0 else f"step {first_error} is the first wrong one"
