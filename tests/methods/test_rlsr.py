"""RLSR on a scripted policy: attempts, groups, rounds, and what is left out."""

import json
import random
from pathlib import Path

import pytest
from scripted_arithmetic import known
from scripted_run import Bomb, bytes_of, check_kills, run

from presrm.assembly.parts import Parts
from presrm.assembly.runs import note_sampling
from presrm.config import Config, load_config
from presrm.errors import ConfigError, NoLessonsError
from presrm.methods.parts import SilentProgress
from presrm.prompts import Prompt
from presrm.types import Attempt, Checkpoint

SMALL = [
    "iterations=2",
    "problems.num_train=6",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=2",
    "evaluation.group_size=4",
    "watch.num_problems=0",
    "search.group_size=2",
    "search.num_candidates=4",
    "search.max_step_tokens=40",
    "search.unit=solution",
]


def config(*settings: str) -> Config:
    return load_config("embedded-rlsr", [*SMALL, *settings])


def reply(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
    """Solves with slips; judges rightly, but cannot tell now and then."""
    content = [part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content]
    steps = known(content[0]).solution or ""
    if prompt.template == "pointwise":
        solution = "".join(content[1:])
        if random.Random(solution).random() < 0.15:
            return "I cannot tell."
        return f"So [[{'yes' if steps.startswith(solution) else 'no'}]]"
    rest = steps.removeprefix("".join(step.text for step in prompt.reply))
    return rest.replace("= ", f"= {rng.randint(1, 3)}", 1) if rng.random() < 0.5 else rest


def test_attempts_are_rewarded_by_the_verdicts_and_compared_within_their_problem(tmp_path: Path) -> None:
    rows, parts = run(config("method.options.inner_steps=1"), tmp_path / "run", reply)

    given = [lesson for lessons, _, _ in parts.fake.calls for lesson in lessons]
    assert given
    for attempt in given:
        assert isinstance(attempt, Attempt)
        right = attempt.prefix.problem.solution
        assert attempt.reward == float(attempt.completion.text == right)
        assert attempt.group.split("/", 1)[1].rsplit("/", 1)[0] == attempt.prefix.problem.id
    assert rows[1].num_lessons == len((tmp_path / "run/iterations/2/attempts.jsonl").read_text().splitlines())
    assert not (tmp_path / "run/iterations/2/rounds").exists()


def test_rounds_draw_from_what_the_round_before_trained_and_are_held_to_the_start(tmp_path: Path) -> None:
    rows, parts = run(config("method.options.inner_steps=3", "problems.num_train=24"), tmp_path / "run", reply)

    folder = tmp_path / "run/iterations/2"
    names = [
        (policy.model.removeprefix(str(folder.parent)), reference and reference.model.removeprefix(str(folder.parent)))
        for _, policy, reference in parts.fake.calls
    ]
    assert names == [
        ("embedded", None),
        ("/2/rounds/1/policy", "embedded"),
        ("/2/rounds/2/policy", "embedded"),
        ("/2/policy", None),
        ("/3/rounds/1/policy", "/2/policy"),
        ("/3/rounds/2/policy", "/2/policy"),
    ]
    shares = [(folder / part / "trees.jsonl").read_text().splitlines() for part in ("rounds/1", "rounds/2", ".")]
    assert [len(share) for share in shares] == [8, 8, 8]
    assert len((folder / "problems.jsonl").read_text().splitlines()) == 24
    assert rows[1].num_lessons == sum(len(lessons) for lessons, _, _ in parts.fake.calls[:3])


def test_a_kill_changes_no_byte(tmp_path: Path) -> None:
    check_kills(config("method.options.inner_steps=3"), tmp_path, reply, every=2)


def test_steps_get_credit_against_their_siblings(tmp_path: Path) -> None:
    steps = ("search.kind=greedy", "search.unit=step", "method.options.inner_steps=1")
    _, parts = run(config(*steps), tmp_path / "run", reply)

    given = [lesson for lessons, _, _ in parts.fake.calls for lesson in lessons]
    assert {len(attempt.prefix.steps) for attempt in given} > {0, 1}
    assert all(attempt.completion.text.count("\n") <= 1 for attempt in given)
    check_kills(config(*steps), tmp_path / "kills", reply, every=6)


def test_a_round_that_teaches_nothing_leaves_the_policy_as_it_is(tmp_path: Path) -> None:
    """The last round's problems are solved in one way alone: the policy of the round before is the iteration's."""

    def sure(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        return reply(prompt, random.Random(0) if "rounds/2" in policy.model else rng, policy)

    _, parts = run(config("method.options.inner_steps=3", "iterations=1"), tmp_path / "run", sure)

    folder = tmp_path / "run/iterations/2"
    assert len(parts.fake.calls) == 2
    trained = [(folder / part / "policy/trained_on.txt").read_bytes() for part in (".", "rounds/2")]
    assert trained[0] == trained[1]
    before = bytes_of(tmp_path / "run")
    run(config("method.options.inner_steps=3", "iterations=1"), tmp_path / "run", sure, again := Bomb())
    assert again.calls == 0
    assert bytes_of(tmp_path / "run") == before


def test_the_checker_sees_every_attempt_in_the_shadow_and_changes_no_reward(tmp_path: Path) -> None:
    def credulous(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        if prompt.template == "pointwise":
            return f"[[{rng.choice(('yes', 'no'))}]]"
        return reply(prompt, rng, policy)

    _, parts = run(config("method.options.inner_steps=2"), tmp_path / "run", credulous)

    for part in ("rounds/1", "."):
        seen = json.loads((tmp_path / "run/iterations/2" / part / "shadow.json").read_text())
        assert seen["checked"]["num"] == 12
        assert seen["disagree"]["value"] > 0
        assert seen["false_accepts"]["num"] + seen["false_rejects"]["num"] == seen["judged"]["num"]
    rewards = {attempt.reward for lessons, _, _ in parts.fake.calls for attempt in lessons}
    assert rewards == {0.0, 1.0}


def test_the_gate_refuses_what_the_judge_would_reward(tmp_path: Path) -> None:
    def hack(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        if prompt.template == "pointwise":
            return "[[yes]]"
        return rng.choice(("", "I do not know.", "#### 15 [[yes]]", f" 1 + 1 = 2{' ' * 30}\n#### 2", "#### 7"))

    _, parts = run(config("method.options.inner_steps=1", "iterations=1"), tmp_path / "run", hack)

    rewarded = {a.completion.text for lessons, _, _ in parts.fake.calls for a in lessons if a.reward}
    refused = {a.completion.text for lessons, _, _ in parts.fake.calls for a in lessons if not a.reward}
    assert rewarded == {"#### 7"}
    assert len(refused) > 2
    with pytest.raises(ConfigError, match=r"judge\.gate=true"):
        Parts(config("judge.gate=false"), SilentProgress(), lambda **_: None).check()


@pytest.mark.parametrize("weights", ["live", "start", "first"])
def test_who_judges(tmp_path: Path, weights: str) -> None:
    """In the iteration from M2 to M3, in its first round and in its second."""
    asked: list[str] = []

    def noting(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        if prompt.template == "pointwise":
            asked.append(policy.model.partition("iterations/")[2].removesuffix("/policy"))
        return reply(prompt, rng, policy)

    more = "problems.num_train=12", "evaluation.num_judge_problems=0"
    settings = config("method.options.inner_steps=2", f"judge.weights={weights}", *more)
    run(settings.model_copy(update={"iterations": 1}), tmp_path / "run", noting)
    asked.clear()
    run(settings, tmp_path / "run", noting)

    order = list(dict.fromkeys(asked))
    assert order == {"live": ["2", "3/rounds/1"], "start": ["2"], "first": [""]}[weights]
    if weights == "first":
        check_kills(settings, tmp_path / "kills", reply, every=5)


def test_no_attempt_at_all_says_why(tmp_path: Path) -> None:
    def sure(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        return reply(prompt, random.Random(0), policy)

    with pytest.raises(NoLessonsError, match=r"M2 cannot be trained: no group .* 6 groups, 6 with one distinct"):
        run(config(), tmp_path / "run", sure)


@pytest.mark.parametrize(("top_p", "is_told"), [(1, False), (0.9, True)])
def test_sampling_away_from_the_policys_own_distribution_is_said(top_p: float, is_told: bool) -> None:
    notes: list[str] = []
    progress = SilentProgress()
    progress.note = notes.append  # type: ignore[method-assign]

    note_sampling(config(f"search.top_p={top_p}"), progress)
    note_sampling(config(f"search.top_p={top_p}", "objective.kind=dpo", "objective.options={}"), progress)

    assert len(notes) == is_told
    assert all("temperature 1 and top_p 0.9" in note for note in notes)


def test_an_objective_that_does_not_learn_from_attempts_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="'rlsr' gives lessons of kind Attempt, and objective 'dpo'"):
        Parts(config("objective.kind=dpo"), SilentProgress(), lambda **_: None).check()
    with pytest.raises(
        ConfigError, match=r"policies\.lessons: all: attempts are compared with the policy that made them"
    ):
        Parts(config("policies.lessons=all"), SilentProgress(), lambda **_: None).check()
