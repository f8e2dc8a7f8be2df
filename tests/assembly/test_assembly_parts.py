"""Config -> parts, and the shipped policy through the whole loop."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from presrm.assembly.engines import check_engine, open_engine, versions
from presrm.assembly.judge_parts import step_labeller
from presrm.assembly.judges import tie_tolerance
from presrm.assembly.parts import Parts
from presrm.assembly.runs import fit_pairs, train
from presrm.config import Config, JudgeConfig, ModelConfig, SeedConfig, load_config, shipped_configs
from presrm.errors import ConfigError, DataError, RequestError, RunConfigError
from presrm.types import Checkpoint, Problem, Step, Trajectory

SHARED = "also in the evaluation set, by id, by question or by 13 words in a row"
SMALL = [
    "threads=1",
    "iterations=1",
    "problems.num_train=12",
    "problems.num_held_out=12",
    "evaluation.num_judge_problems=6",
    "search.group_size=6",
]


class Quiet:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, total: int | None) -> nullcontext[Callable[[int], None]]:
        return nullcontext(lambda units: None)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def watch(self, worker: object) -> None:
        pass


def parts(*overrides: str) -> Parts:
    return Parts(load_config("embedded", overrides), Quiet(), lambda **row: None)


def test_every_iteration_takes_new_problems_and_none_that_is_held_out() -> None:
    made = parts("problems.num_train=50", "problems.num_held_out=50")
    second, third = ({problem.id for problem in made.problems(number)} for number in (2, 3))
    assert not second & third
    assert not (second | third) & {problem.id for problem in made.held_out()}


def test_a_problem_that_is_held_out_too_is_removed_and_said(tmp_path: Path) -> None:
    rows = [{"id": str(n), "question": f"How much is {n} and {n}?", "answer": str(2 * n)} for n in range(4)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test.jsonl").write_text(json.dumps(rows[1] | {"id": "other"}) + "\n")
    made = parts(f"problems.train=jsonl:{tmp_path}/train.jsonl", f"problems.held_out=jsonl:{tmp_path}/test.jsonl")
    assert {problem.id for problem in made.problems(2)} == {"0", "2", "3"}
    assert made.progress.notes == [f"removed 1 problem of jsonl:{tmp_path}/train.jsonl: {SHARED}"]


def test_what_the_seed_stage_learns_from_is_decontaminated_and_counted_too(tmp_path: Path) -> None:
    long = "A train leaves the station at noon and travels sixty miles an hour towards the city"
    questions = {"How much is 1 and 1?": "2", "How much is 2 and 2?": "4", f"{long}: when?": "5"}
    solved = [{"question": q, "answer": a, "solution": f"Step 1: {a}\n"} for q, a in questions.items()]
    judged = [
        {"input": f"{q} Step 1: {a} ки\nStep 2: 9 ки", "label": f"{q} Step 1: {a} +\nStep 2: 9 -"}
        for q, a in questions.items()
    ]
    held_out = [{"question": "how much is 2, and 2", "answer": "4"}, {"question": f"{long}. Why?", "answer": "6"}]
    for name, rows in (("solved", solved), ("judged", judged), ("held_out", held_out)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    logged: list[dict[str, object]] = []
    overrides = [
        f"problems.train=jsonl:{tmp_path}/solved.jsonl",
        f"problems.held_out=jsonl:{tmp_path}/held_out.jsonl",
        f"seed_stage={{eft: rows, eft_path: {tmp_path}/judged.jsonl}}",
        "threads=1",
    ]
    made = Parts(load_config("embedded", overrides), Quiet(), lambda **row: logged.append(row))
    made.seed(tmp_path / "M1")
    removed = {"same_id": 0, "same_question": 1, "shared_run": 1}
    assert [row for row in logged if row["stage"] == "problems"] == [
        {"stage": "problems", "iteration": 1, "source": source, "kept": 1, "removed": removed}
        for source in (f"jsonl:{tmp_path}/solved.jsonl", f"{tmp_path}/judged.jsonl")
    ]
    assert len(made.progress.notes) == 2
    (counts,) = [row for row in logged if row["stage"] == "seed" and "seed/ift" in row]
    assert (counts["seed/ift"], counts["seed/pointwise"]) == (1, 2)


def test_held_out_problems_without_answers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": "Why?"}\n')
    with pytest.raises(DataError, match="1 of 1 held-out problems have no answer"):
        parts(f"problems.held_out=jsonl:{tmp_path}/test.jsonl").held_out()


def test_steps_are_labelled_where_a_checker_exists() -> None:
    problem = parts("problems.num_held_out=1").held_out()[0]
    label = step_labeller([problem])
    assert label is not None
    first = (problem.solution or "").splitlines(keepends=True)[0]
    assert label(Trajectory(problem), Step(first)) is True
    assert label(Trajectory(problem), Step("7 + 7 = 15\n")) is False
    assert step_labeller([Problem("gsm8k/1", "Why?")]) is None


@pytest.mark.parametrize(
    ("verdict", "given", "expected"), [("explained", None, 0), ("direct", None, 0.02), ("direct", 0.1, 0.1)]
)
def test_what_counts_as_a_tie(verdict: str, given: float | None, expected: float) -> None:
    assert tie_tolerance(JudgeConfig(verdict=verdict, tie_tolerance=given)) == expected


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_shipped_configs_are_valid_and_set_every_section(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    text = shipped_configs()[name]
    assert all(
        f"\n{section}:" in text for section in ("model", "problems", "search", "judge", "training", "evaluation")
    )


def test_versions_are_recorded() -> None:
    assert {"python", "torch", "transformers"} <= versions().keys()


def test_the_embedded_policy_goes_round_and_the_same_command_gives_the_same_bytes(tmp_path: Path) -> None:
    config = load_config("embedded", SMALL)
    first = train(config, tmp_path / "a", Quiet())
    assert [summary.name for summary in first] == ["M1", "M2"]
    assert first[0].health.siblings is not None
    assert first[1].num_lessons
    report = (tmp_path / "a/report.json").read_bytes()
    about = json.loads(report)["about"]
    assert (about["device"], about["dtype"]) == ("cpu", "float32")
    assert 500_000 < int(about["parameters"]) < 2_000_000
    assert train(config, tmp_path / "a", Quiet()) == first
    assert (tmp_path / "a/report.json").read_bytes() == report
    train(config, tmp_path / "b", Quiet())
    for path in (tmp_path / "a/iterations").rglob("*"):
        if path.is_file():
            other = tmp_path / "b/iterations" / path.relative_to(tmp_path / "a/iterations")
            assert path.read_bytes() == other.read_bytes(), path.name
    assert (tmp_path / "a/report.md").read_bytes() == (tmp_path / "b/report.md").read_bytes()
    with pytest.raises(RunConfigError, match="seed: 0 -> 1"):
        train(load_config("embedded", [*SMALL, "seed=1"]), tmp_path / "a", Quiet())


def test_an_engine_is_opened_as_the_settings_say() -> None:
    with open_engine(Checkpoint("embedded"), Config(model={"dtype": "float32", "device": "cpu"}).model) as engine:
        assert engine.describe()["parameters"] < 2_000_000


def test_a_server_is_not_trained(tmp_path: Path) -> None:
    config = load_config("embedded", ["model.id=http://localhost:1/v1#tiny"])

    with pytest.raises(RequestError, match="its weights cannot be trained"):
        train(config, tmp_path / "run", Quiet())
    with pytest.raises(RequestError, match="its weights cannot be trained"):
        fit_pairs([], config, tmp_path / "policy", Quiet())

    assert not list(tmp_path.iterdir())


def test_options_of_a_server_are_those_of_the_engine_that_an_address_names() -> None:
    model = {"id": "http://localhost:1/v1#tiny", "engine_options": {"concurrency": 2}}
    check_engine(ModelConfig(**model))
    with pytest.raises(ConfigError, match=r"model\.engine_options\.python"):
        check_engine(ModelConfig(**model | {"engine": "vllm", "engine_options": {"python": "python"}}))


def test_what_a_server_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presrm.assembly.engines.find_spec", lambda name: None)

    with pytest.raises(RequestError, match=r"presrm\[server\]"):
        open_engine(Checkpoint("http://localhost:1/v1#tiny"), ModelConfig())


@pytest.mark.parametrize("ift", ["none", "arithmetic"])
def test_the_seed_stage_reads_the_training_problems_with_their_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ift: str
) -> None:
    asked = []

    def load(source: str, **options: object) -> list[Problem]:
        asked.append((source, options.get("fields")))
        return [Problem(source, "How much is 1 and 1?", "2", "1 + 1 = 2")]

    monkeypatch.setattr("presrm.assembly.parts.load_problems", load)
    monkeypatch.setattr("presrm.training.seed.SeedStage.fit", lambda stage, policy, problems, out: policy)
    made = parts("seed_stage={}", "problems.train=jsonl:x", "problems.train_options={fields: y}")
    made = Parts(
        made.config.model_copy(update={"seed_stage": SeedConfig(ift=None if ift == "none" else ift)}), Quiet(), made.log
    )
    made.__dict__["_scored"] = []

    made.seed(tmp_path / "M1")

    assert asked == [("jsonl:x", "y") if ift == "none" else ("arithmetic", None)]


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
@pytest.mark.parametrize("verdict", ["direct", "explained"])
def test_judge_lessons_teach_the_right_verdicts_of_the_judge_in_use(kind: str, verdict: str) -> None:
    made = parts("threads=1", "problems.num_train=12", f"judge.kind={kind}", f"judge.verdict={verdict}")
    steps = {problem.question: made.splitter.split(problem.solution or "") for problem in made.problems(2)}
    with made.engine(Checkpoint("embedded")) as engine:
        lessons = made.judge_lessons(engine, 8, 2)

    assert 4 <= len(lessons) <= 8
    assert [lesson.id for lesson in lessons] == [f"replay/2/{number}" for number in range(len(lessons))]
    problems = [lesson.prefix.problem for lesson in lessons]
    assert {problem.kind for problem in problems} == {kind if verdict == "explained" else f"{kind}-direct"}
    assert {problem.answer for problem in problems} == ({"A", "B"} if kind == "pairwise" else {"yes", "no"})
    for problem, lesson in zip(problems, lessons, strict=True):
        assert problem.shown is not None
        are_right = [step.text in steps[problem.question] for step in problem.shown.steps]
        expected = {(True, False): "A", (False, True): "B", (True,): "yes", (False,): "no"}[tuple(are_right)]
        assert problem.answer == expected
        ending = expected if verdict == "direct" else f"[[{expected}]]"
        assert lesson.reply.text.endswith(ending)
        assert (lesson.reply.text == ending) == (verdict == "direct")


def test_without_solutions_there_is_nothing_to_replay(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"question": "How much is 1 and 1?", "answer": "2"}\n')
    made = parts(f"problems.train=jsonl:{tmp_path}/train.jsonl")
    with (
        made.engine(Checkpoint("embedded")) as engine,
        pytest.raises(DataError, match=r"policies\.replay: no problem of"),
    ):
        made.judge_lessons(engine, 8, 2)


def test_a_run_trains_on_its_share_of_judge_lessons(tmp_path: Path) -> None:
    train(load_config("embedded", [*SMALL, "policies.replay=0.4"]), tmp_path / "run", Quiet())

    folder = tmp_path / "run/iterations/2"
    num_pairs, num_solutions, num_replayed = (
        len((folder / f"{name}.jsonl").read_text().splitlines()) for name in ("pairs", "demonstrations", "replay")
    )
    assert num_solutions > 0
    assert num_replayed == round((num_pairs + num_solutions) * 0.4 / 0.6)
    metrics = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    steps = [row for row in metrics if "step/lessons" in row]
    assert sum(row["step/lessons"] for row in steps) == num_pairs + num_solutions + num_replayed
    assert any(row.get("step/loss/imitation", 0) > 0 for row in steps)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("{labels: rows}", "labels: rows needs path"),
        ("{path: rows.jsonl}", "labels: perturbed reads no path; with a path set labels to rows"),
    ],
)
def test_a_file_of_judge_problems_goes_with_its_labels(settings: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config("embedded", [f"judge_problems={settings}"])


def test_a_file_of_judge_problems_is_read_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    made = parts(f"judge_problems={{labels: rows, path: {path}}}")
    for told, text in (
        ("no file", None),
        ("empty", ""),
        ("line 1: .*labels", '{"question": "1 + 1?", "steps": ["2"]}'),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(DataError, match=rf"^judge_problems\.path: .*{told}"):
            made.check()
    path.write_text('{"question": "1 + 1?", "steps": ["2"], "labels": [true]}')
    made.check()
