"""A judge's instructions, evolved against labels by GEPA: the library side of ``presrm judge-evolve``.

GEPA chooses which instruction to rewrite, on which cases, and which candidates live on. Judging, reflecting and
refusing are ours, and so is the journal: GEPA's own state is a pickle, which is neither written nor read. Since all is
determined by the request, another start replays what was judged and written, and goes on behind it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from presrm.errors import RequestError
from presrm.files.content import replace_file
from presrm.files.journal import Journal
from presrm.files.jsonl import dump_row
from presrm.files.lock import refuse_link
from presrm.judging.calls import Ask, Calls, Labelled, Split, split_rows
from presrm.judging.card import JudgeCard, make_card
from presrm.judging.evolution import NUM_CASES, Evolution
from presrm.prompts import Prompt, PromptSet
from presrm.prompts.instructions import find_instructions, is_shown
from presrm.protocols import Completion, Engine, Generator, Judge, Request, Sampling, Stage, ask_judge
from presrm.statistics import mcnemar_exact
from presrm.types import Candidates, Judgement, Stop

MakeJudge = Callable[[Engine, PromptSet], Judge]
_JOURNAL = "calls.jsonl"
_NUM_SHOWN = 64
"""Rows by which it is found out what a judge asks."""
REFLECTION = Sampling(temperature=1.0, top_p=0.95, max_tokens=1024)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a judge asks an engine about rows.

    Attributes:
        prompts: The questions.
        num_written: Tokens that the replies have at most.
    """

    prompts: tuple[Prompt, ...]
    num_written: int


@dataclass(frozen=True, slots=True)
class Evolved:
    """What became of the instructions.

    Attributes:
        instructions: The winner's, by template and place.
        winner: Its number among the candidates; 0 is the prompt that was there.
        num_candidates: Prompts judged on the whole validation part.
        num_reflections: Rewritten instructions that were asked for.
        refused: Those that were never run, by reason.
        num_judged: Rows judged in all, each once by one prompt.
        num_unreadable: Those of them of which the judge could not say.
        before: The card on the test part with the prompt that was there.
        after: With the winner.
        num_gained: Rows of the test part that only the winner gets right.
        num_lost: Those that it gets wrong although they were right.
        p_value: Of the exact McNemar test on these.
    """

    instructions: Mapping[str, str]
    winner: int
    num_candidates: int
    num_reflections: int
    refused: Mapping[str, int]
    num_judged: int
    num_unreadable: int
    before: JudgeCard
    after: JudgeCard
    num_gained: int
    num_lost: int
    p_value: float


class _Listener:
    """An engine that leaves no room for a reply, and remembers what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []
        self.num_written = 0

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.prompts += [request.prompt for request in requests]
        self.num_written += sum(request.num * request.sampling.max_tokens for request in requests)
        return [[Completion("", (), Stop.NO_ROOM)] * request.num for request in requests]

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        self.prompts += prompts
        return [None] * len(prompts)


def ask_nobody(rows: Sequence[Labelled], prompts: PromptSet, make_judge: MakeJudge) -> Asked:
    """Find out what a judge would ask about rows, without an engine."""
    listener: Any = _Listener()
    ask_judge(make_judge(listener, prompts), [item for row in rows for item in row.items])
    return Asked(tuple(listener.prompts), listener.num_written)


def instructions_of(prompts: PromptSet, asked: Asked) -> dict[str, str]:
    """Give the instructions that stand in what a judge asks, as ``template/place``.

    Raises:
        RequestError: if there are none.
    """
    shown = {prompt.template: prompt.text for prompt in reversed(asked.prompts) if prompt.template}
    found = {
        f"{stem}/{place}": text
        for stem in sorted(shown.keys() & prompts.sources.keys())
        for place, text in find_instructions(prompts.sources[stem]).items()
        if is_shown(text, shown[stem])
    }
    if not found:
        raise RequestError(f"the judge asks nothing for which prompt set {prompts.name!r} holds an instruction")
    return found


def least_budget(split: Split) -> int:
    """The fewest judged rows with which one rewritten instruction can be tried."""
    return 2 * (len(split.validation) + NUM_CASES)


def evolve(
    rows: Sequence[Labelled],
    prompts: PromptSet,
    make_judge: MakeJudge,
    engine: Callable[[], Engine],
    reflector: Callable[[], Generator],
    out: Path,
    settings: Mapping[str, Any],
    stage: Stage,
    *,
    budget: int,
    reflection: Sampling = REFLECTION,
    seed: int = 0,
    threshold: float = 0.5,
    group_size: int = 64,
    elsewhere: Ask | None = None,
) -> Evolved:
    """Evolve the instructions of a judge, or go on with it, and test the winner on rows that evolution never saw.

    Candidates are chosen by F1 on the validation part (where it holds one kind of solution only, by the share of right
    ones); of equals the earliest is the winner.

    Args:
        rows: Solutions whose first wrong step is known.
        prompts: What the judge is asked with now.
        make_judge: Makes it of an engine and prompts.
        engine: Gives the engine that judges; called only if something is left to judge.
        reflector: Gives the engine that rewrites; called only if something is left to rewrite.
        out: Gets the winner as a prompt set, ``evolution.jsonl`` (candidates and proposals in their order),
            ``result.json`` and ``calls.jsonl``, all that was judged and written.
        settings: What judgements and reflections depend on, as plain JSON values; another start with other ones is
            refused.
        stage: Where to tell what is going on.
        budget: Rows judged at most, before the test part; one judged again by the same prompt counts again.
        reflection: How rewritten instructions are drawn: not greedily, so that another try may differ.
        seed: Of the split, of GEPA and of reflections.
        threshold: A step scored below is wrong.
        group_size: Rows judged together at most.
        elsewhere: Has groups judged by other processes, in order; none: the engine does.

    Raises:
        RequestError: without GEPA, if the budget lets nothing be tried, or `out` holds something else.
        RunConfigError: if `out` was begun with other settings.
    """
    try:
        from gepa import api
    except ImportError as error:
        raise RequestError("judge-evolve needs: pip install 'presrm[gepa]'") from error
    optimize: Any = api.optimize  # its protocols name members as needed that it does without
    split = split_rows(rows, seed)
    if budget < least_budget(split):
        raise RequestError(
            f"--budget {budget}: the validation part has {len(split.validation)} rows, which are judged for the prompt "
            f"there is and for each better one; expected {least_budget(split)} or more"
        )
    start = instructions_of(prompts, ask_nobody(rows[:_NUM_SHOWN], prompts, make_judge))
    _refuse_foreign(out)
    request = {**settings, "prompts": prompts.hash, "budget": budget, "seed": seed, "threshold": threshold}
    request["reflection"] = asdict(reflection)
    journal = Journal(out / _JOURNAL, {**request, "gepa": version("gepa")})

    def here(batches: Iterable[Sequence[Candidates]], prompts: PromptSet) -> Iterator[list[tuple[Judgement, ...]]]:
        judge = make_judge(engine(), prompts)
        return (ask_judge(judge, batch) for batch in batches)

    with stage("evolve the instructions", budget + 2 * len(split.test)) as advance, journal:
        ask = elsewhere or here
        calls = Calls(journal, rows, ask, reflector, advance, reflection, threshold, group_size)
        evolution = Evolution(calls, rows, split, prompts, start, budget, seed)
        optimize(
            start,
            trainset=list(split.train),
            valset=list(split.validation),
            adapter=evolution,
            stop_callbacks=evolution.is_over,
            callbacks=[evolution],
            logger=evolution,
            reflection_minibatch_size=NUM_CASES,
            seed=seed,
        )
        winner = max(range(len(evolution.candidates)), key=lambda number: (evolution.worth(number), -number))
        evolved = _test(evolution, calls, winner)
        if not journal.is_done:
            _write(out, evolution, evolved, split)
            journal.finish()
    return evolved


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds something that is not ours."""
    is_ours = (out / f"{_JOURNAL}.state.json").exists()
    if out.exists() and not is_ours and (not out.is_dir() or any(path.name[0] != "." for path in out.iterdir())):
        raise RequestError(f"--out {out} is there already; choose a new folder, because its content would be lost")


def _test(evolution: "Evolution", calls: "Calls", winner: int) -> Evolved:
    """Judge the test part with the first prompt and the winner, and compare them row by row."""
    first, last = evolution.prompts(evolution.candidates[0]), evolution.prompts(evolution.candidates[winner])
    before, after = evolution.test(first), evolution.test(last)
    are_right = [
        (one.first_error == one.label, other.first_error == other.label)
        for one, other in zip(before, after, strict=True)
    ]
    num_gained, num_lost = are_right.count((False, True)), are_right.count((True, False))
    return Evolved(
        instructions=evolution.candidates[winner],
        winner=winner,
        num_candidates=len(evolution.candidates),
        num_reflections=calls.num_reflections,
        refused=dict(sorted(evolution.refused.items())),
        num_judged=len(calls.judged),
        num_unreadable=sum(row["first_error"] is None for row in calls.judged.values()),
        before=make_card(before),
        after=make_card(after),
        num_gained=num_gained,
        num_lost=num_lost,
        p_value=mcnemar_exact(num_lost, num_gained),
    )


def _write(out: Path, evolution: "Evolution", evolved: Evolved, split: Split) -> None:
    lines = {name: [evolution.rows[place].line for place in part] for name, part in asdict(split).items()}
    files = {f"{stem}.jinja": text for stem, text in evolution.prompts(evolved.instructions).sources.items()}
    history: list[dict[str, Any]] = evolution.history
    files["evolution.jsonl"] = b"".join(map(dump_row, history)).decode()
    files["result.json"] = json.dumps({**asdict(evolved), "lines": lines}, indent=1) + "\n"
    for name, text in files.items():
        refuse_link(out / name)
        replace_file(out / name, text)
