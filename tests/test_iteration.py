"""The loop on a scripted policy: its artefacts, its refusals, and that a kill anywhere changes no byte."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from presrm.checkers.arithmetic import ArithmeticChecker
from presrm.config import (
    Config,
    EvaluationConfig,
    JudgeConfig,
    PairsConfig,
    PoliciesConfig,
    ProblemsConfig,
    SearchConfig,
    load_config,
)
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import AlarmError, ConfigError, NoLessonsError
from presrm.evaluation.answers import Answer, evaluate
from presrm.files.ledger import Call, Ledger
from presrm.files.run import RunDir
from presrm.graders import GRADERS
from presrm.iteration import IterationSummary, train
from presrm.judges import JUDGES
from presrm.judging.health import Health, LabelledCandidates, judge_pairs, judge_siblings, sample_siblings
from presrm.judging.signs import Shadowed
from presrm.methods.parts import SilentProgress
from presrm.methods.presrm import Presrm
from presrm.problems.arithmetic import load_arithmetic, plan_of
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Engine, Judge, Request, Sampling, Searcher
from presrm.searchers import SEARCHERS
from presrm.seeding import derive_seed
from presrm.splitters import SPLITTERS
from presrm.types import (
    Checkpoint,
    Demonstration,
    Lesson,
    PreferencePair,
    Problem,
    SearchTree,
    Step,
    Trajectory,
)

CONFIG = Config(
    iterations=2,
    prompts="compact",
    search=SearchConfig(num_candidates=3, group_size=4, max_step_tokens=64),
    judge=JudgeConfig(verdict="explained"),
    evaluation=EvaluationConfig(max_tokens=200),
)
PROBLEMS = {problem.question: problem for problem in load_arithmetic(num=54, seed=5)}


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
    steps = plan_of(problem).steps()
    if "Which" in prompt.text:
        before = [part.text for part in prompt.trunk[1:] if part.is_content]
        first = next(part.text for part in prompt.tail if part.is_content)
        return f"[[{'A' if is_right(Trajectory(problem, tuple(map(Step, before))), Step(first)) else 'B'}]]"
    text = "".join(steps[len(prompt.reply) :])
    slip = random.Random(f"{rng.random()} {problem.id}").random() < slips
    if slip and not prompt.reply:  # a whole solution comes out wrong, too
        text = text.replace("#### ", "#### 1")
    return text.replace(" = ", " = 1", 1) if slip else text


class Trainer:
    """Writes what it was given, so that a policy's bytes tell what it was trained on."""

    def __init__(self, bomb: Bomb) -> None:
        self.bomb = bomb
        self.calls: list[tuple[list[Lesson], Checkpoint, Checkpoint | None]] = []

    def fit(
        self, lessons: Sequence[Lesson], policy: Checkpoint, out: Path, *, reference: Checkpoint | None = None
    ) -> Checkpoint:
        self.bomb.tick()
        self.calls.append((list(lessons), policy, reference))
        out.mkdir()
        (out / "trained_on.txt").write_text("\n".join(map(describe, lessons)))
        return Checkpoint(str(out))


def describe(lesson: Lesson) -> str:
    if isinstance(lesson, PreferencePair):
        return f"{lesson.id} {lesson.chosen.text!r} {lesson.rejected.text!r}"
    return f"{lesson.id} {lesson.reply.text!r}"


class FakeParts:
    """`presrm.methods.parts.Parts` without a model."""

    def __init__(self, bomb: Bomb, slips: float = 0.4, config: Config = CONFIG) -> None:
        self.config = config
        self.bomb = bomb
        self.slips = slips
        self.prompts = PromptSet("compact")
        self.runner = None
        self.splitter = SPLITTERS.create("newline")
        self.trainer = Trainer(bomb)
        self.opened: list[Checkpoint] = []

    def searcher(self, purpose: int | str) -> Searcher:
        return SEARCHERS.create(
            "greedy",
            prompts=self.prompts,
            splitter=self.splitter,
            settings=self.config.search,
            tie_tolerance=0.0,
            seed=derive_seed(self.config.seed, purpose),
        )

    def problems(self, iteration: int) -> list[Problem]:
        return list(PROBLEMS.values())[6 * (iteration - 2) : 6 * (iteration - 1)]

    def held_out(self) -> list[Problem]:
        return list(PROBLEMS.values())[12:24]

    def validation(self) -> list[Problem]:
        return list(PROBLEMS.values())[24 : 24 + self.config.problems.num_validation]

    def seed(self, out: Path) -> Checkpoint | None:
        return None

    def engine(self, policy: Checkpoint) -> Engine:
        self.opened.append(policy)
        return Policy(self.bomb, self.slips)

    def judge_lessons(self, engine: Engine, num: int, iteration: int) -> list[Demonstration]:
        self.bomb.tick()
        return [
            Demonstration(f"replay/{iteration}/{i}", Trajectory(Problem("j", "?")), Step("[[A]]")) for i in range(num)
        ]

    def solution_lessons(self, name: str, iteration: int) -> dict[str, list[Demonstration]]:
        shown = [Demonstration(f"{name}/{i}", Trajectory(Problem("s", "?")), Step("2")) for i in range(1000)]
        return dict.fromkeys(self.config.policies.replayed_sources, shown)

    def average(self, policies: Sequence[Checkpoint], out: Path) -> Checkpoint:
        self.bomb.tick()
        out.mkdir()
        (out / "of.txt").write_text("\n".join(Path(policy.model).parent.name for policy in policies))
        return Checkpoint(str(out))

    def judge(self, engine: Engine) -> Judge:
        return JUDGES.create("pairwise", engine=engine, prompts=self.prompts)

    def answers(self, problems: Sequence[Problem], engine: Engine, start: int) -> Iterator[list[Answer]]:
        grader, sampling = GRADERS.create("gsm8k"), Sampling()
        return evaluate(
            problems,
            engine,
            self.prompts,
            grader,
            sampling=sampling,
            splitter=self.splitter,
            group_size=4,
            start=start,
        )

    labeller = staticmethod(is_right)

    def testing(self) -> list[Problem]:
        return self.held_out()[:4]

    def watched(self) -> list[Problem]:
        return self.held_out()[:1]

    def siblings(self, problems: Sequence[Problem], engine: Engine) -> Iterator[list[LabelledCandidates]]:
        return sample_siblings(
            problems,
            engine,
            self.prompts,
            self.splitter,
            is_right,
            num=3,
            sampling=Sampling(0.5),
            max_steps=5,
            seed=0,
        )

    def health(
        self,
        judge: Callable[[str], Judge],
        trees: Sequence[SearchTree],
        calls: Iterable[Call],
        last: Sequence[SearchTree],
        own: Sequence[LabelledCandidates],
        first: Sequence[LabelledCandidates],
        shadow: Callable[[Sequence[SearchTree]], Shadowed] | None = None,
    ) -> Health:
        same = judge_siblings(first, judge("siblings of M1")).accuracy
        own_siblings = judge_siblings(own, judge("own siblings"))
        return Health(judge_pairs([], judge("fixed pairs")), own_siblings, first_siblings=same)


def run(out: Path, bomb: Bomb | None = None, config: Config = CONFIG, **parts: float) -> list[object]:
    with RunDir(out, config) as opened:
        return list(loop(opened, FakeParts(bomb or Bomb(), config=config, **parts)))


def loop(run: RunDir, parts: FakeParts) -> list[IterationSummary]:
    return train(parts.config, Presrm(parts.config.pairs), parts, run, SilentProgress())


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
    assessed = {"answers.jsonl", "scores.json", "siblings.jsonl", "health.json"}
    assert {path.name for path in (folder / "1").iterdir()} == assessed
    made = {"problems.jsonl", "trees.jsonl", "pairs.jsonl", "policy", *assessed}
    assert {path.name for path in (folder / "3").iterdir()} == made
    assert summaries[0].vs_first is None
    assert summaries[2].vs_first.difference.num == 12
    assert summaries[1].num_lessons == len((folder / "2/pairs.jsonl").read_text().splitlines())


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


class Costly(Policy):
    """Says that every call for a solution takes ten seconds."""

    def __init__(self, bomb: Bomb, slips: float) -> None:
        super().__init__(bomb, slips)
        self.tokens_read = self.tokens_generated = 0

    def seconds(self, tokens_read: int, tokens_generated: int) -> float:
        return 20.0 * tokens_generated

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        drawn = super().generate(requests)
        self.tokens_generated += len({request.prompt.trunk[0].text for request in requests})
        return drawn


class CostlyParts(FakeParts):
    def engine(self, policy: Checkpoint) -> Engine:
        return Costly(self.bomb, self.slips)


def test_groups_follow_from_the_work_of_the_first_problem_and_a_kill_changes_no_byte(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"iterations": 1})

    def go(out: Path, at: int | None = None) -> Bomb:
        bomb = Bomb(at)
        with RunDir(out, config) as opened:
            loop(opened, CostlyParts(bomb, config=config))
        return bomb

    calls = go(tmp_path / "whole").calls
    manifest = json.loads((tmp_path / "whole/manifest.json").read_text())
    sizes = {name: entry["group_size"] for name, entry in manifest["artefacts"].items() if "group_size" in entry}
    sampled = {"1/siblings.jsonl", "2/siblings.jsonl"}
    assert sizes.keys() == {"1/answers.jsonl", "2/trees.jsonl", "2/answers.jsonl", *sampled}
    assert sizes["1/answers.jsonl"] == 3
    assert sizes["2/trees.jsonl"] == 1, "a search takes several calls a problem"
    for at in range(1, calls, 5):
        out = tmp_path / f"killed-{at}"
        with pytest.raises(Killed):
            go(out, at)
        again = go(out).calls
        assert again <= calls - at + 12, "what a group of a few problems takes, in the health of the judge, too"
        assert bytes_of(out) == bytes_of(tmp_path / "whole"), f"killed at call {at}"


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
    with pytest.raises(NoLessonsError, match=r"M2 cannot be trained.*distinct candidate") as caught:
        run(tmp_path / "run", slips=0.0)
    assert caught.value.exit_code == 1
    assert len((tmp_path / "run/iterations/2/trees.jsonl").read_text().splitlines()) == 6


def test_a_margin_that_no_pair_reaches_is_named(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"pairs": PairsConfig(min_margin=1.0), "judge": CONFIG.judge})
    summaries = run(tmp_path / "run", config=config)
    assert summaries[1].num_lessons > 0


def with_policies(**options: object) -> Config:
    """Three iterations with 30 validation problems."""
    problems = ProblemsConfig(num_validation=30)
    return CONFIG.model_copy(
        update={"iterations": 3, "problems": problems, "policies": PoliciesConfig(**options)}  # type: ignore[arg-type]
    )


class Schedule(FakeParts):
    """A run whose policies slip as often as a table says, by the number of the iteration."""

    slips_of: tuple[float, ...]

    def engine(self, policy: Checkpoint) -> Engine:
        parent = Path(policy.model).parent.name
        self.slips = self.slips_of[int(parent) - 1 if parent.isdecimal() else 0]
        return super().engine(policy)


def run_schedule(out: Path, config: Config, *slips: float) -> tuple[list[IterationSummary], Schedule]:
    parts = Schedule(Bomb(), config=config)
    parts.slips_of = slips
    with RunDir(out, config) as opened:
        return loop(opened, parts), parts


def test_a_policy_is_loaded_once_for_its_answers_its_health_and_the_next_search(tmp_path: Path) -> None:
    parts = FakeParts(Bomb())
    with RunDir(tmp_path / "run", CONFIG) as opened:
        loop(opened, parts)
    assert [Path(policy.model).parent.name for policy in parts.opened] == ["", "2", "3"]
    again = FakeParts(Bomb())
    with RunDir(tmp_path / "run", CONFIG) as opened:
        loop(opened, again)
    assert again.opened == []


class Adopting(Policy):
    """An engine that can take on another adapter, as a server of the base can."""

    can_adopt = True

    def __init__(self, bomb: Bomb, slips: float) -> None:
        super().__init__(bomb, slips)
        self.adopted: list[Checkpoint] = []

    def adopt(self, policy: Checkpoint) -> bool:
        self.adopted.append(policy)
        return True


def test_an_engine_that_can_adopt_a_policy_stays(tmp_path: Path) -> None:
    class Server(FakeParts):
        def engine(self, policy: Checkpoint) -> Engine:
            self.opened.append(policy)
            self.server = Adopting(self.bomb, self.slips)
            return self.server

    parts = Server(Bomb())
    with RunDir(tmp_path / "run", CONFIG) as opened:
        loop(opened, parts)
    assert len(parts.opened) == 1
    assert [Path(policy.model).parent.name for policy in parts.server.adopted] == ["2", "3"]


def test_the_report_is_written_after_every_assessment_however_the_run_ends(tmp_path: Path) -> None:
    reports: list[list[str]] = []

    def note(rows: Sequence[IterationSummary]) -> None:
        reports.append([row.name for row in rows])

    def go(out: Path, slips: float) -> None:
        parts = FakeParts(Bomb(), slips)
        with RunDir(out, CONFIG) as opened:
            train(CONFIG, Presrm(CONFIG.pairs), parts, opened, SilentProgress(), note)

    go(tmp_path / "whole", 0.4)
    assert reports == [["M1"], ["M1", "M2"], ["M1", "M2", "M3"]]
    reports.clear()
    with pytest.raises(NoLessonsError):
        go(tmp_path / "sure", 0.0)
    assert reports == [["M1"]]


def test_a_problem_that_comes_back_is_not_drawn_alike_again(tmp_path: Path) -> None:
    class Same(FakeParts):
        def problems(self, iteration: int) -> list[Problem]:
            return list(PROBLEMS.values())[:6]

    with RunDir(tmp_path / "run", CONFIG) as opened:
        loop(opened, Same(Bomb()))
        second, third = (opened.iteration(t).rows(SearchTree, "trees.jsonl", lambda _: []) for t in (2, 3))
    assert [tree.problem for tree in second] == [tree.problem for tree in third]
    assert [tree.expansions for tree in second] != [tree.expansions for tree in third]


def test_pairs_of_different_iterations_have_different_ids(tmp_path: Path) -> None:
    run(tmp_path / "run")
    names = [
        json.loads(line)["id"].split("/")[0]
        for number in (2, 3)
        for line in (tmp_path / f"run/iterations/{number}/pairs.jsonl").read_text().splitlines()
    ]
    assert set(names) == {"2", "3"}


def test_the_best_policy_is_gone_on_from_and_its_ledger_entries_say_so(tmp_path: Path) -> None:
    rows, parts = run_schedule(tmp_path / "run", with_policies(go_on_from="best"), 0.5, 0.3, 0.8, 0.4)
    assert [row.parent for row in rows] == [None, "M1", "M2", "M2"]
    assert [Path(policy.model).parent.name for _, policy, _ in parts.trainer.calls] == ["", "2", "2"]
    searched = {(call.policy, call.iteration) for call in calls_of(tmp_path / "run").values() if call.stage == "search"}
    assert searched == {("M1", 2), ("M2", 3), ("M2", 4)}
    assert rows[3].vs_parent is not None
    assert all(row.validation is not None and row.validation.accuracy.num == 30 for row in rows)


def test_a_regression_is_rolled_back_or_stops_the_run_only_where_it_is_asked_for(tmp_path: Path) -> None:
    slips = (0.3, 0.8, 0.3, 0.3)
    rows, _ = run_schedule(tmp_path / "on", with_policies(), *slips)
    assert [row.parent for row in rows] == [None, "M1", "M2", "M3"]
    assert [row.regression is not None for row in rows] == [False, True, False, False]
    rows, _ = run_schedule(tmp_path / "back", with_policies(on_regression="rollback"), *slips)
    assert [row.parent for row in rows] == [None, "M1", "M1", "M3"]
    with pytest.raises(AlarmError, match="M2 solves fewer validation problems than M1"):
        run_schedule(tmp_path / "stop", with_policies(on_regression="stop"), *slips)


def test_answers_choose_policies_only_with_problems_that_are_not_reported() -> None:
    with pytest.raises(ConfigError, match=r"need problems\.num_validation"):
        load_config(None, ["policies.go_on_from=best"])


@pytest.mark.parametrize("lessons", ["fresh", "all", "mix"])
def test_what_an_iteration_is_trained_on(tmp_path: Path, lessons: str) -> None:
    _, parts = run_schedule(tmp_path / "run", with_policies(lessons=lessons), 0.4, 0.4, 0.4, 0.4)
    fresh = [len((tmp_path / f"run/iterations/{number}/pairs.jsonl").read_text().splitlines()) for number in (2, 3, 4)]
    trained = [len(given) for given, _, _ in parts.trainer.calls]
    expected = {
        "fresh": fresh,
        "all": [fresh[0], fresh[0] + fresh[1], sum(fresh)],
        "mix": [fresh[0], fresh[1] + min(fresh[0], fresh[1]), fresh[2] + min(fresh[0] + fresh[1], fresh[2])],
    }
    assert trained == expected[lessons]
    assert len({lesson.id for lesson in parts.trainer.calls[2][0]}) == trained[2]


@pytest.mark.parametrize("how", [{}, {"replay_as": "solutions", "replay_from": "seed.jsonl"}])
def test_replay_mixes_in_its_share_of_other_lessons(tmp_path: Path, how: dict[str, str]) -> None:
    _, parts = run_schedule(tmp_path / "run", with_policies(replay=0.25, **how), 0.4, 0.4, 0.4, 0.4)
    for given, _, _ in parts.trainer.calls:
        replayed = sum(isinstance(lesson, Demonstration) for lesson in given)
        assert replayed == round((len(given) - replayed) / 3)


@pytest.mark.parametrize("reference", ["previous", "initial", "ema"])
def test_what_the_objective_is_held_to(tmp_path: Path, reference: str) -> None:
    _, parts = run_schedule(tmp_path / "run", with_policies(reference=reference), 0.4, 0.4, 0.4, 0.4)
    held_to = [None if to is None else to.model for _, _, to in parts.trainer.calls]
    first, folder = CONFIG.model.id, tmp_path / "run" / "iterations"
    averages = [str(folder / number / "reference") for number in ("3", "4")]
    expected = {"previous": [None] * 3, "initial": [None, first, first], "ema": [None, *averages]}
    assert held_to == expected[reference]
    if reference == "ema":
        assert (folder / "4/reference/of.txt").read_text().splitlines() == ["", "2", "3"]


def test_a_kill_at_any_call_changes_no_byte_whatever_the_policies_are_made_of(tmp_path: Path) -> None:
    config = with_policies(go_on_from="best", lessons="mix", replay=0.2, reference="ema")
    whole = Bomb()
    run(tmp_path / "whole", whole, config)
    expected = bytes_of(tmp_path / "whole")
    for at in range(1, whole.calls + 1, 7):
        out = tmp_path / f"killed-{at}"
        with pytest.raises(Killed):
            run(out, Bomb(at), config)
        run(out, config=config)
        assert bytes_of(out) == expected, f"killed at call {at}"
