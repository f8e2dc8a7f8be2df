"""A run folder made on the spot, with the run's own writers, out of any texts: for pages that show it."""

import json
from collections.abc import Sequence
from pathlib import Path

from presrm.config import Config
from presrm.evaluation.answers import Answer, Solution, compare, score
from presrm.files.ledger import Call, short_hash
from presrm.files.run import RunDir
from presrm.iteration import IterationSummary, plain
from presrm.judging.health import Health, JudgeAccuracy, Siblings
from presrm.judging.signs import Signs
from presrm.statistics import Figure, share
from presrm.types import (
    Candidate,
    Expansion,
    Grade,
    Judgement,
    PreferencePair,
    Problem,
    SearchTree,
    Status,
    Step,
    Stop,
    Trajectory,
)

STEPS = ("2 + 3 = 5\n", "2 + 3 = 6\n", "so 5 * 2 = 10\n", "so 5 * 2 = 11\n", "#### 10")
NUM_PROBLEMS = 60


def make_run(
    path: Path,
    texts: Sequence[str] = STEPS,
    *,
    question: str = "What is twice the sum of 2 and 3?",
    reply: str = "The first one adds up. [[A]]",
    iterations: int = 2,
    num_assessed: int = 3,
    swayed: float = 0.1,
    with_ledger: bool = True,
) -> Path:
    """Write a run of which `num_assessed` policies were assessed; M2 and later have trees, pairs, calls and training.

    Args:
        path: The folder.
        texts: Of the steps: right, wrong, right, wrong, and the last one, in turn.
        question: Of every problem.
        reply: Of the judge.
        iterations: That the settings ask for.
        num_assessed: Policies that are finished; the trees of the next one are in progress.
        swayed: Share of wrong steps that the judge of the last policy was talked into.
        with_ledger: Record the calls of the judge.
    """
    config = Config(name="made", prompts="compact", iterations=iterations)
    with RunDir(path, config, {"presrm": "0.1.0"}, {}) as run:
        run.remember({"device": "cpu", "parameters": "1000000"})
        answers: list[list[Answer]] = []
        for number in range(1, num_assessed + 1):
            iteration = run.iteration(number)
            facts: dict[str, object] = {}
            if number > 1:
                trees = [_tree(f"p{place}", texts, question, place) for place in range(4)]
                pairs = [_pair(tree, number) for tree in trees if tree.given_up is None]
                iteration.rows(SearchTree, "trees.jsonl", lambda have, trees=trees: [trees[have:]])
                iteration.rows(PreferencePair, "pairs.jsonl", lambda have, pairs=pairs: [pairs[have:]])
                if with_ledger:
                    run.ledger.record([call for pair in pairs for call in _calls(pair, number, reply)])
                _log_training(run, number)
                facts = {"num_lessons": len(pairs), "dropped": {"tie": 3, "unanimous": 2}, "parent": f"M{number - 1}"}
            answers.append(_answers(20 + 10 * number, texts))
            iteration.rows(Answer, "answers.jsonl", lambda have, rows=answers[-1]: [rows[have:]])
            if number > 1:
                facts |= {"vs_parent": compare(answers[-2], answers[-1]), "vs_first": compare(answers[0], answers[-1])}
            health = _health(swayed if number == num_assessed else 0.1)
            summary = IterationSummary(f"M{number}", score(answers[-1]), health, **facts)  # type: ignore[arg-type]
            iteration.value("health.json", lambda health=health: plain(health))
            iteration.value("scores.json", lambda summary=summary: plain(summary))
            counts = {"tokens_generated": 4000, "tokens_read": 8000, "tokens_recalled": 2000}
            run.log(stage="answers", iteration=number, seconds=12.5, **counts)
        if num_assessed <= iterations:
            _begin(run, num_assessed + 1, texts, question)
    return path


def _tree(name: str, texts: Sequence[str], question: str, place: int) -> SearchTree:
    """A tree with a roll-back; every fourth one is given up."""
    right, wrong, second, worse, last = texts
    problem = Problem(name, question, "10")
    reading = [_candidate(right, 1.0), _candidate(wrong, 0.0), _candidate(right, 1.0)]
    tied = Expansion((0, 0), (_candidate(second, 0.5), _candidate(worse, 0.5)))
    again = Expansion(None, (_candidate(right, 0.9), _candidate(wrong, 0.2)), (0,))
    then = Expansion((2, 0), (_candidate(second, 0.75), _candidate(worse, None)), (0,))
    end = Expansion((3, 0), (Candidate(Step(last, stop=Stop.EOS), Judgement(None, Status.UNREADABLE)),), (0,))
    expansions = (Expansion(None, tuple(reading), (0,)), tied, again, then, end)
    if place % 4 == 3:
        return SearchTree(problem, expansions[:2], given_up="ties after 5 roll-backs")
    return SearchTree(problem, expansions, solutions=((4, 0),), dropped=(0, 1))


def _candidate(text: str, score: float | None) -> Candidate:
    status = Status.OK if score is not None else Status.UNREADABLE
    return Candidate(Step(text, (1, 2, 3)), Judgement(score, status, "because"))


def _pair(tree: SearchTree, number: int) -> PreferencePair:
    chosen, rejected = (candidate.step for candidate in tree.expansions[2].candidates)
    return PreferencePair(f"{number}/{tree.problem.id}/2", Trajectory(tree.problem), chosen, rejected, 0.7)


def _calls(pair: PreferencePair, number: int, reply: str) -> list[Call]:
    sides = (pair.chosen.text, pair.rejected.text)
    return [
        Call(
            template="pairwise",
            template_hash="0",
            policy=f"M{number - 1}",
            iteration=number,
            stage="search",
            problem=pair.prefix.problem.id,
            prefix=short_hash(pair.prefix.text),
            shown=tuple(map(short_hash, shown)),
            sampling="{}",
            seed=0,
            reply=reply,
            verdict="A" if shown == sides else "B",
            value=1.0 if shown == sides else 0.0,
            status=Status.OK,
            tokens_read=None,
            tokens_generated=None,
            seconds=0.1,
        )
        for shown in (sides, sides[::-1])
    ]


def _log_training(run: RunDir, number: int) -> None:
    for step in range(1, 9):
        row = {"loss": 0.7 - 0.01 * step, "rewards/margins": 0.02 * step, "rewards/accuracies": 0.5 + 0.05 * step}
        row |= {"rewards/chosen": 0.01 * step, "rewards/rejected": -0.01 * step}
        run.log(stage="fit", optimiser_step=step, **row)
    run.log(stage="fit", optimiser_step=8, train_loss=0.65)
    run.log(stage="fit", iteration=number, seconds=33.0)


def _answers(num_right: int, texts: Sequence[str]) -> list[Answer]:
    return [
        Answer(
            Problem(f"h{place}", "How many?", "10"),
            (
                Solution(
                    "".join(text[:200] for text in texts),
                    30,
                    3,
                    Stop.EOS,
                    "10",
                    Grade.CORRECT if place < num_right else Grade.INCORRECT,
                ),
            ),
            0,
            number=place,
        )
        for place in range(NUM_PROBLEMS)
    ]


def _health(swayed: float) -> Health:
    accuracy = JudgeAccuracy(share([True] * 45 + [False] * 5), 2, 1)
    return Health(
        accuracy,
        Siblings(accuracy, 100, 40),
        Signs(
            readable=share([True] * 50),
            order_flips=share([True] * 2 + [False] * 48),
            first_shown=share([True] * 26 + [False] * 24),
            caught=accuracy.right,
            talked_into=share([place < 50 * swayed for place in range(50)]),
            by_length=Figure(50, -0.1, (-0.3, 0.1)),
            spread=Figure(50, 0.4),
            agreement=Figure(40, 0.8, (0.6, 0.9)),
        ),
    )


def _begin(run: RunDir, number: int, texts: Sequence[str], question: str) -> None:
    """Leave the search of the next iteration half done, with half a line behind what is finished."""
    iteration = run.iteration(number)

    class _Stopped(Exception):  # noqa: N818 - a kill, not an error
        pass

    def one_group(have: int) -> object:
        yield [_tree("p0", texts, question, 0)]
        raise _Stopped

    try:
        iteration.rows(SearchTree, "trees.jsonl", one_group)  # type: ignore[arg-type]
    except _Stopped:
        with (iteration.path / "trees.jsonl").open("a") as file:
            file.write('{"problem": {"id": ')
    (run.path / "metrics.jsonl").open("a").write(json.dumps({"stage": "fit"})[:5])
