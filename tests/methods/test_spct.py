"""SPCT on a scripted policy: rejective fine-tuning, hints, reinforcement, pairs, every source of labels, and kills."""

import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from scripted_arithmetic import known
from scripted_run import Bomb, bytes_of, check_kills, run

from presrm.config import Config, load_config
from presrm.errors import ConfigError, NoLessonsError
from presrm.problems.arithmetic import load_arithmetic
from presrm.prompts import Part, Prompt
from presrm.seeding import derive_seed
from presrm.types import Attempt, Checkpoint, Demonstration, PreferencePair

SMALL = [
    "iterations=2",
    "problems.num_train=6",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=0",
    "evaluation.group_size=4",
    "watch.num_problems=0",
    "search.group_size=2",
    "search.max_step_tokens=40",
    "evaluation.max_tokens=400",
]


def config(*settings: str, name: str = "embedded-spct") -> Config:
    return load_config(name, [*SMALL, *settings])


def reply(prompt: Prompt, rng: random.Random, policy: Checkpoint, noise: float = 0.25) -> str:
    """Solves with slips; judges rightly three times in four, but some pairs never, unless it is told."""
    content = [part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content]
    steps = known(content[0]).solution or ""
    if prompt.template in ("pairwise", "pointwise"):
        assert prompt.subject is not None
        before, shown = prompt.subject.prefix.text, [step.text for step in prompt.subject.shown]
        is_right = [steps.startswith(before + text) for text in shown]
        verdict = ("A" if is_right[0] else "B") if len(shown) == 2 else ("yes" if is_right[0] else "no")
        if "The right verdict is known" in prompt.text:
            return f"As told [[{verdict}]]"
        other = {"A": "B", "B": "A", "yes": "no", "no": "yes"}[verdict]
        is_hard = random.Random(before + shown[0]).random() < 0.3
        return f"So [[{other if is_hard or rng.random() < noise else verdict}]]"
    written = "".join(step.text for step in prompt.reply)
    if not steps.startswith(written):
        return "#### 0"
    rest = steps.removeprefix(written)
    if rng.random() < 0.5:
        return rest
    head, mark, _ = rest.replace("= ", f"= {rng.randint(1, 3)}", 1).partition("#### ")
    return f"{head}{mark}0"


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_right_verdicts_are_imitated_first_and_reinforced_then(tmp_path: Path) -> None:
    summaries, parts = run(config(), tmp_path / "run", reply)

    (first, *_), (second, *_) = parts.fake.calls
    demonstrations = [one for one in first if isinstance(one, Demonstration)]
    assert demonstrations == first
    traces = [one for one in first if one.prefix.problem.shown is not None]
    assert traces
    assert all(f"[[{one.prefix.problem.answer}]]" in one.reply.text for one in traces)  # type: ignore[union-attr]
    assert not any(one.prefix.problem.kind.endswith("-hinted") for one in traces)  # learned without the hint
    told = [one for one in traces if one.id.endswith("/hinted")]
    assert told
    assert all("As told" in one.reply.text for one in told)  # type: ignore[union-attr]
    solutions = [one for one in first if one.prefix.problem.shown is None]
    assert solutions
    assert all(one.reply.text == one.prefix.problem.solution for one in solutions)  # type: ignore[union-attr]

    assert second
    assert all(isinstance(one, Attempt) for one in second)
    for one in second:
        assert isinstance(one, Attempt)
        assert one.reward == float(f"[[{one.prefix.problem.answer}]]" in one.completion.text)
    assert summaries[2].num_lessons == len(second)


def test_problems_that_are_too_easy_are_dropped_and_counted(tmp_path: Path) -> None:
    def easy(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        told = replace(prompt, tail=(*prompt.tail, Part("The right verdict is known")))
        return reply(prompt if prompt.subject is None else told, rng, policy)

    with pytest.raises(NoLessonsError, match="all of whose verdicts are right"):
        run(config("iterations=1"), tmp_path / "run", easy)


def labelled(folder: Path) -> Path:
    """Rows of solutions, each once as it is and once with another last step, as TRL has them."""
    path = folder / "labelled.jsonl"
    with path.open("w") as file:
        for problem in load_arithmetic(split="train", num=24, seed=derive_seed(0, "train")):
            steps = (problem.solution or "").splitlines()
            for last, is_right in ((steps[-1], True), ("#### wrong", False)):
                row = {"prompt": problem.question, "completions": [*steps[:-1], last]}
                file.write(json.dumps({**row, "labels": [*[True] * (len(steps) - 1), is_right]}) + "\n")
    return path


@pytest.mark.parametrize("labels", ["perturbed", "rollouts", "agreement", "checker", "rows"])
def test_every_source_of_labels_gives_verdicts_that_the_exact_checker_would_give(tmp_path: Path, labels: str) -> None:
    settings = [
        f"judge_problems.labels={labels}",
        "iterations=1",
        "problems.num_train=24",
        "judge_problems.balance=false",
    ]
    if labels != "agreement":
        settings.append("judge_problems.kinds=[pairwise,pointwise]")
    if labels == "rows":
        settings.append(f"judge_problems.path={labelled(tmp_path)}")
    run(config(*settings), tmp_path / "run", partial(reply, noise=0.1))

    made = rows(tmp_path / "run/iterations/2/judge_problems.jsonl")
    found = []
    for one in made:
        shown = one["shown"]
        assert isinstance(shown, dict)
        before = "".join(step["text"] for step in shown["prefix"]["steps"])
        steps = f"{known(str(one['question'])).solution}\n"  # rows of a file end in a line break
        is_right = [steps.startswith(before + step["text"]) for step in shown["steps"]]
        if len(is_right) == 1 or is_right[0] != is_right[1]:
            expected = ("A" if is_right[0] else "B") if len(is_right) == 2 else ("yes" if is_right[0] else "no")
            found.append(one["answer"] == expected)
    assert found
    if labels == "agreement":  # the policy's own opinion, where it is of one mind: often, and not always, right
        assert sum(found) > len(found) / 2
    else:
        assert all(found)
        assert len(found) == len(made)


def test_dpo_on_its_own_traces_prefers_right_verdicts(tmp_path: Path) -> None:
    _, parts = run(config(name="embedded-r-prm"), tmp_path / "run", reply)
    pairs = parts.fake.calls[1][0]
    assert pairs
    for pair in pairs:
        assert isinstance(pair, PreferencePair)
        assert f"[[{pair.prefix.problem.answer}]]" in pair.chosen.text
        assert f"[[{pair.prefix.problem.answer}]]" not in pair.rejected.text


def test_verdicts_on_single_steps_are_balanced(tmp_path: Path) -> None:
    run(config("iterations=1", "problems.num_train=12", name="embedded-stepwiser"), tmp_path / "run", reply)
    answers = [row["answer"] for row in rows(tmp_path / "run/iterations/2/judge_problems.jsonl")]
    assert answers.count("yes") == answers.count("no") > 0


def test_judging_is_replayed_beside_the_lessons_of_another_method(tmp_path: Path) -> None:
    for how, kind in (("traces", Demonstration), ("pairs", PreferencePair)):
        settings = ["policies.replay=0.4", f"policies.replay_as={how}", "judge_problems.labels=checker"]
        _, parts = run(config(*settings, "iterations=1", name="embedded"), tmp_path / how, reply)
        given = parts.fake.calls[0][0]
        replayed = [one for one in given if one.prefix.problem.shown is not None]
        assert replayed
        assert len(replayed) <= round((len(given) - len(replayed)) * 0.4 / 0.6)
        assert all(isinstance(one, kind) for one in replayed)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("embedded-spct", []),
        ("embedded-spct", ["method.options.rejective=0", "judge_problems.labels=rollouts"]),
        ("embedded", ["policies.replay=0.4", "policies.replay_as=pairs", "judge_problems.labels=agreement"]),
    ],
)
def test_a_run_that_was_killed_anywhere_gives_the_same_bytes(tmp_path: Path, name: str, settings: list[str]) -> None:
    check_kills(config(*settings, "problems.num_train=4", name=name), tmp_path, reply, every=7)


def test_unknown_kinds_are_refused_before_any_work(tmp_path: Path) -> None:
    _, parts = run(config("iterations=0"), tmp_path / "run", reply, Bomb())
    parts.config = config("judge_problems.kinds=[pairwize]")
    with pytest.raises(ConfigError, match="did you mean 'pairwise'"):
        parts.check()
    assert bytes_of(tmp_path / "run")
