"""The loop on a scripted policy: its artefacts, its refusals, and that a kill anywhere changes no byte."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from presrm.checkers.arithmetic import ArithmeticChecker
from presrm.config import Config, EvaluationConfig, JudgeConfig, PairsConfig, SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import NoPairsError
from presrm.evaluation.answers import Answer, evaluate
from presrm.files.ledger import Call, Ledger
from presrm.files.run import RunDir
from presrm.graders import GRADERS
from presrm.iteration import groups, train
from presrm.judges import JUDGES
from presrm.judging.health import Health, judge_pairs, judge_siblings
from presrm.problems.arithmetic import Plan, load_arithmetic
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Engine, Judge, Request, Sampling
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.types import Checkpoint, PreferencePair, Problem, SearchTree, Step, Trajectory

CONFIG = Config(
    iterations=2,
    prompts="compact",
    search=SearchConfig(num_candidates=3, group_size=4, max_step_tokens=64),
    judge=JudgeConfig(verdict="explained"),
    evaluation=EvaluationConfig(max_tokens=200),
)
PROBLEMS = {problem.question: problem for problem in load_arithmetic(num=24, seed=5)}


class Killed(BaseException):
    """As sudden as a signal."""


class Bomb:
    """Goes off at one of the calls that a run makes."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.calls = 0

    def tick(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise Killed


class Policy(ScriptedEngine):
    """Solves with a slip now and then; judges by working the step out."""

    def __init__(self, bomb: Bomb, slips: float) -> None:
        super().__init__(lambda prompt, rng: reply(prompt, rng, slips))
        self.bomb = bomb

    def describe(self) -> dict[str, object]:
        return {"device": f"device {self.bomb.at}", "dtype": "float32", "parameters": 12, "adapter": None}

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.bomb.tick()
        return super().generate(requests)


def is_right(prefix: Trajectory, step: Step) -> bool | None:
    return ArithmeticChecker().check([prefix.extend(step)])[0][-1]


def reply(prompt: Prompt, rng: random.Random, slips: float) -> str:
    problem = PROBLEMS[prompt.trunk[0].text]
    steps = Plan.of(problem).steps()
    if "Which" in prompt.text:
        before = [part.text for part in prompt.trunk[1:] if part.is_content]
        first = next(part.text for part in prompt.tail if part.is_content)
        return f"[[{'A' if is_right(Trajectory(problem, tuple(map(Step, before))), Step(first)) else 'B'}]]"
    text = "".join(steps[len(prompt.reply) :])
    return text.replace(" = ", " = 1", 1) if rng.random() < slips else text


class Trainer:
    """Writes what it was given, so that a policy's bytes tell what it was trained on."""

    def __init__(self, bomb: Bomb) -> None:
        self.bomb = bomb

    def fit(self, pairs: Sequence[PreferencePair], policy: Checkpoint, out: Path) -> Checkpoint:
        self.bomb.tick()
        out.mkdir()
        (out / "trained_on.txt").write_text("\n".join(f"{p.id} {p.chosen.text!r} {p.rejected.text!r}" for p in pairs))
        return Checkpoint(str(out))


class Parts:
    """`presrm.iteration.Stages` without a model."""

    def __init__(self, bomb: Bomb, slips: float = 0.4, config: Config = CONFIG) -> None:
        self.config = config
        self.bomb = bomb
        self.slips = slips
        self.prompts = PromptSet("compact")
        self.splitter = SPLITTERS.create("newline")
        self.trainer = Trainer(bomb)
        self.searcher = SEARCHERS.create(
            "greedy",
            prompts=self.prompts,
            splitter=self.splitter,
            options=config.search,
            tie_tolerance=0.0,
            seed=config.seed,
        )

    def problems(self, iteration: int) -> list[Problem]:
        return list(PROBLEMS.values())[6 * (iteration - 2) : 6 * (iteration - 1)]

    def held_out(self) -> list[Problem]:
        return list(PROBLEMS.values())[12:]

    def seed(self, out: Path) -> Checkpoint | None:
        return None

    def engine(self, policy: Checkpoint) -> Engine:
        return Policy(self.bomb, self.slips)

    def judge(self, engine: Engine) -> Judge:
        return JUDGES.create("pairwise", engine=engine, prompts=self.prompts)

    def answers(self, problems: Sequence[Problem], engine: Engine) -> Iterator[list[Answer]]:
        grader = GRADERS.create("gsm8k")
        found = evaluate(
            problems, engine, self.prompts, grader, sampling=Sampling(), splitter=self.splitter, group_size=4
        )
        return groups(found, 4)

    def health(self, engine: Engine, judge: Judge, calls: Iterable[Call], last: Sequence[SearchTree]) -> Health:
        siblings = judge_siblings(
            self.held_out()[:4],
            engine,
            judge,
            self.prompts,
            self.splitter,
            is_right,
            num=3,
            sampling=Sampling(0.5),
            max_steps=5,
            seed=0,
        )
        return Health(judge_pairs([], judge), siblings)


class Quiet:
    def stage(self, name: str, total: int | None) -> nullcontext[Callable[[int], None]]:
        return nullcontext(lambda units: None)

    def note(self, text: str) -> None: ...


def run(out: Path, bomb: Bomb | None = None, config: Config = CONFIG, **parts: float) -> list[object]:
    with RunDir(out, config) as opened:
        return list(train(config, Parts(bomb or Bomb(), config=config, **parts), opened, Quiet()))


def bytes_of(out: Path) -> dict[str, bytes]:
    """Everything of a run but what holds clocks."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes().replace(str(out).encode(), b"RUN")
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in {"manifest.json", "metrics.jsonl", "ledger.sqlite", ".lock"}
    }


def test_the_loop_leaves_its_artefacts(tmp_path: Path) -> None:
    summaries = run(tmp_path / "run")
    assert [summary.name for summary in summaries] == ["M1", "M2", "M3"]
    folder = tmp_path / "run" / "iterations"
    assert {path.name for path in (folder / "1").iterdir()} == {"answers.jsonl", "scores.json", "health.json"}
    made = {"trees.jsonl", "pairs.jsonl", "policy", "answers.jsonl", "scores.json", "health.json"}
    assert {path.name for path in (folder / "3").iterdir()} == made
    assert summaries[0].vs_first is None
    assert summaries[2].vs_first.difference.num == 12
    assert summaries[1].num_pairs == len((folder / "2/pairs.jsonl").read_text().splitlines())


def test_every_pair_prefers_the_step_that_the_judge_found_right(tmp_path: Path) -> None:
    run(tmp_path / "run")
    trained_on = (tmp_path / "run/iterations/2/policy/trained_on.txt").read_text().splitlines()
    assert trained_on
    assert all(line.count(" = 1") >= 1 for line in trained_on)


def test_a_kill_at_any_call_changes_no_byte(tmp_path: Path) -> None:
    whole = Bomb()
    run(tmp_path / "whole", whole)
    assert whole.calls > 20
    expected = bytes_of(tmp_path / "whole")
    for at in range(1, whole.calls + 1):
        out = tmp_path / f"killed-{at}"
        with pytest.raises(Killed):
            run(out, Bomb(at))
        run(out)
        assert bytes_of(out) == expected, f"killed at call {at}"


def calls_of(out: Path) -> dict[bytes, Call]:
    """All calls of a run, without the time that they took."""
    with Ledger(out / "ledger.sqlite", read_only=True) as ledger:
        return {call.key: replace(call, seconds=0.0) for call in ledger.calls()}


def test_every_question_to_the_judge_is_in_the_ledger(tmp_path: Path) -> None:
    run(tmp_path / "run")
    calls = calls_of(tmp_path / "run").values()
    trained_on = {(call.policy, call.iteration) for call in calls if call.stage == "search"}
    assert trained_on == {("M1", 2), ("M2", 3)}
    assert {(call.policy, call.iteration) for call in calls if call.stage == "health"} == {
        ("M1", 1),
        ("M2", 2),
        ("M3", 3),
    }
    assert {call.verdict for call in calls} == {"A", "B"}


def test_a_kill_loses_no_call_of_finished_work(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    expected = calls_of(tmp_path / "whole")
    for at in (2, 7, 11, 16):
        out = tmp_path / f"killed-{at}"
        with pytest.raises(Killed):
            run(out, Bomb(at))
        run(out)
        assert calls_of(out) == expected, f"killed at call {at}"


def test_what_m1_ran_on_is_kept_whatever_the_later_starts_run_on(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path / "run", Bomb(2))
    run(tmp_path / "run")
    with RunDir(tmp_path / "run", CONFIG) as opened:
        assert opened.facts == {"device": "device 2", "dtype": "float32", "parameters": "12"}
    logged = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["device"] for row in logged if "device" in row] == ["device None"] * 3


def test_a_finished_run_is_read_without_a_single_call(tmp_path: Path) -> None:
    first = run(tmp_path / "run")
    again = Bomb(1)
    assert run(tmp_path / "run", again) == first
    assert again.calls == 0


def test_more_iterations_extend_a_run(tmp_path: Path) -> None:
    run(tmp_path / "short", config=CONFIG.model_copy(update={"iterations": 1}))
    run(tmp_path / "short")
    run(tmp_path / "long")
    assert bytes_of(tmp_path / "short") == bytes_of(tmp_path / "long")


def test_no_pairs_says_why_and_keeps_the_trees(tmp_path: Path) -> None:
    with pytest.raises(NoPairsError, match=r"M2 cannot be trained.*distinct candidate") as caught:
        run(tmp_path / "run", slips=0.0)
    assert caught.value.exit_code == 1
    assert len((tmp_path / "run/iterations/2/trees.jsonl").read_text().splitlines()) == 6


def test_a_margin_that_no_pair_reaches_is_named(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"pairs": PairsConfig(min_margin=1.0), "judge": CONFIG.judge})
    summaries = run(tmp_path / "run", config=config)
    assert summaries[1].num_pairs > 0
