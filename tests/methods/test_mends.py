"""What `pairs` asks for that takes a policy: another judge, an earlier judge, an earlier proposer."""

import json
import random
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripted_arithmetic import known
from scripted_run import check_kills, name_of, run

from presrm.assembly.parts import Parts
from presrm.config import Config, PairsConfig, load_config
from presrm.credit.consistency import rank_agreement
from presrm.errors import ConfigError, NoLessonsError, PresrmError
from presrm.judging.problems import Judgements
from presrm.methods.mends import _anchored
from presrm.methods.parts import SilentProgress
from presrm.prompts import Prompt
from presrm.types import (
    Candidates,
    Checkpoint,
    Demonstration,
    Judgement,
    PreferencePair,
    Problem,
    Step,
    Stop,
    Trajectory,
)

SMALL = [
    "iterations=2",
    "problems.num_train=6",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=0",
    "evaluation.group_size=4",
    "watch.num_problems=0",
    "search.group_size=2",
    "search.num_candidates=4",
    "search.max_step_tokens=60",
    "search.temperature=1",
]


def config(*settings: str) -> Config:
    return load_config("embedded", [*SMALL, *settings])


def reply(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
    """Every policy slips in its own way; every judge is right, but for a third of the pairs, of its own."""
    content = [part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content]
    steps, mark = known(content[0]).solution or "", len(name_of(policy)) % 7
    if prompt.subject is not None:
        before, shown = prompt.subject.prefix.text, [step.text for step in prompt.subject.shown]
        is_right = [steps.startswith(before + text) for text in shown]
        odd = random.Random(f"{sorted(shown)}{name_of(policy)}{prompt.template}").random() < 0.35
        if len(shown) == 1:
            return f"So [[{'yes' if is_right[0] != odd else 'no'}]]"
        ahead = is_right[0] > is_right[1] or (is_right[0] == is_right[1] and shown[0] < shown[1])
        return f"So [[{'A' if ahead != odd else 'B'}]]"
    rest = steps.removeprefix("".join(step.text for step in prompt.reply))
    return rest.replace("= ", f"= {mark}{rng.randint(1, 3)}", 1) if rng.random() < 0.5 else rest


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pairs_of(path: Path, *settings: str) -> list[list[PreferencePair]]:
    _, parts = run(config(*settings), path, reply)
    return [[one for one in given if isinstance(one, PreferencePair)] for given, _, _ in parts.fake.calls]


@pytest.mark.parametrize("by", ["set", "pair"])
def test_pairs_are_doubted_as_far_as_the_judge_before_ranks_otherwise(tmp_path: Path, by: str) -> None:
    plain = pairs_of(tmp_path / "plain")
    first, second = pairs_of(tmp_path / "run", f"pairs.consistency={by}")

    assert first == plain[0]  # there is no judge before M1
    assert not (tmp_path / "run/iterations/2/before.jsonl").exists()
    again = rows(tmp_path / "run/iterations/3/before.jsonl")
    assert len(again) == len(second) > 2
    trees = {tree["problem"]["id"]: tree for tree in rows(tmp_path / "run/iterations/3/trees.jsonl")}  # type: ignore[index]
    confidences = []
    for pair, row in zip(second, again, strict=True):
        number = int(pair.id.rpartition("/")[2])
        candidates = trees[pair.prefix.problem.id]["expansions"][number]["candidates"]  # type: ignore[index]
        scores = {one["step"]["text"]: one["judgement"]["score"] for one in candidates}
        confidence = rank_agreement(list(scores.values()), [one["score"] for one in row["judgements"]])  # type: ignore[union-attr,attr-defined]
        assert confidence is not None
        confidences.append(confidence)
    mean = sum(confidences) / len(confidences)
    expected = [1 - (mean if by == "set" else confidence) for confidence in confidences]
    assert [pair.doubt for pair in second] == pytest.approx(expected)
    assert 0 < mean < 1


def test_what_m1_proposes_is_rejected_where_it_scores_lower(tmp_path: Path) -> None:
    (plain, _), (first, second) = pairs_of(tmp_path / "plain"), pairs_of(tmp_path / "run", "pairs.anchor=true")
    for number, found in ((2, first), (3, second)):
        folder = tmp_path / f"run/iterations/{number}"
        anchors, judged = rows(folder / "anchors.jsonl"), rows(folder / "anchored.jsonl")
        assert len(found) == len(anchors) == len(judged)
        for pair, anchor, row in zip(found, anchors, judged, strict=True):
            chosen, rejected, other = (one["score"] for one in row["judgements"])  # type: ignore[attr-defined]
            is_lower = other < rejected <= chosen
            assert (pair.rejected.text == anchor["text"]) >= is_lower
            if is_lower:
                assert pair.margin == pytest.approx(chosen - other)
    before = {pair.id: pair for pair in plain}
    assert all(pair.chosen == before[pair.id].chosen for pair in first)
    assert any(pair.rejected != before[pair.id].rejected for pair in first)


@pytest.mark.parametrize(("ends", "rejected"), [("any", "other"), ("alike", "wrong")])
def test_an_anchor_makes_no_pair_across_an_end_where_none_is_wanted(ends: str, rejected: str) -> None:
    """M1 proposes to end, and its judge scores that lowest."""
    pair = PreferencePair("2/p/0", Trajectory(Problem("p", "?")), Step("right"), Step("wrong"), 0.5)
    judged = Judgements(tuple(Judgement(score) for score in (0.9, 0.4, 0.1)))
    stages = SimpleNamespace(
        propose=lambda *_: [Step("other", stop=Stop.EOS)], start=lambda: None, judge_again=lambda *_: [judged]
    )
    options = PairsConfig.model_validate({"ends": ends})
    (mended,) = _anchored([pair], options, Checkpoint("m"), stages, None)  # type: ignore[arg-type]
    assert mended.rejected.text == rejected


def test_pairs_on_which_a_second_judge_does_not_agree_are_dropped_and_counted(tmp_path: Path) -> None:
    plain, _ = pairs_of(tmp_path / "plain")
    kept, _ = pairs_of(tmp_path / "run", "pairs.second_judge=pointwise")

    judged = rows(tmp_path / "run/iterations/2/second.jsonl")
    scores = [[one["score"] for one in row["judgements"]] for row in judged]  # type: ignore[attr-defined]
    assert kept == [pair for pair, (good, bad) in zip(plain, scores, strict=True) if good > bad]
    assert 0 < len(kept) < len(plain)
    summary = json.loads((tmp_path / "run/iterations/2/scores.json").read_text())
    assert summary["dropped"]["disagreed"] == len(plain) - len(kept)


def test_a_judge_that_needs_options_is_no_reason_to_refuse_a_run() -> None:
    noisy = config("judge.kind=noisy", "judge.options={judge: pairwise, rate: 0.3}", "pairs.second_judge=pointwise")
    Parts(noisy, SilentProgress(), lambda **_: None).check()


def test_a_run_with_all_mends_that_was_killed_gives_the_same_bytes(tmp_path: Path) -> None:
    settings = ["pairs.anchor=true", "pairs.second_judge=pointwise", "pairs.consistency=pair", "problems.num_train=4"]
    check_kills(config(*settings), tmp_path, reply, every=5)


def test_solutions_are_imitated_beside_the_pairs(tmp_path: Path) -> None:
    """Each tree's solution, in a file of its own; the pairs stay as they are, whole answers have theirs."""
    plain = pairs_of(tmp_path / "plain", "pairs.solution_weight=0")
    _, parts = run(config("pairs.solution_weight=0.5"), tmp_path / "run", reply)
    lessons = parts.fake.calls[0][0]
    shown = [one for one in lessons if isinstance(one, Demonstration)]
    assert [one for one in lessons if isinstance(one, PreferencePair)] == plain[0]
    trees = rows(tmp_path / "run/iterations/2/trees.jsonl")
    solved = [tree["problem"]["id"] for tree in trees if tree["solutions"]]  # type: ignore[index]
    assert 0 < len(solved) < len(trees), "a problem that was given up shows nothing"
    assert [one.id for one in shown] == [f"2/{name}/solution/0" for name in solved]
    assert {one.weight for one in shown} == {0.5}
    assert [one.id for one in shown] == [row["id"] for row in rows(tmp_path / "run/iterations/2/demonstrations.jsonl")]
    assert not (tmp_path / "plain/iterations/2/demonstrations.jsonl").exists()


def test_accepted_solutions_alone_and_the_seeds_beside_them(tmp_path: Path) -> None:
    """No pair, only solutions whose every step the judge accepts, and reference solutions of another file."""
    seeds = [
        {"question": f"How much is {i} and 1?", "answer": f"{i + 1}", "solution": f"{i} + 1 = {i + 1}"}
        for i in range(40)
    ]
    (tmp_path / "seed.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in seeds))
    only = ["pairs.max_per_problem=0", "pairs.solution_weight=1", "pairs.solution_min=0.6"]
    replay = ["policies.replay=0.75", "policies.replay_as=solutions", f"policies.replay_from={tmp_path}/seed.jsonl"]
    summaries, parts = run(config("iterations=1", "problems.num_train=12", *only, *replay), tmp_path / "run", reply)

    folder, lessons = tmp_path / "run/iterations/2", parts.fake.calls[0][0]
    assert all(isinstance(one, Demonstration) for one in lessons)
    own = [one for one in lessons if not one.id.startswith("replay/")]
    replayed = [one for one in lessons if one.id.startswith("replay/")]
    trees = rows(folder / "trees.jsonl")
    num_solved = sum(bool(tree["solutions"]) for tree in trees)
    assert 0 < len(own) < num_solved < len(trees), "some are not accepted, and some searches gave up"
    dropped = {"not_accepted": num_solved - len(own), "given_up": len(trees) - num_solved}
    assert (summaries[1].num_lessons, summaries[1].dropped) == (len(own), dropped)
    assert len(replayed) == 3 * len(own)
    for one in replayed:
        assert isinstance(one, Demonstration)
        assert one.reply == Step(f"{one.prefix.problem.solution}", None, Stop.EOS)
    assert [one.id for one in replayed] == [row["id"] for row in rows(folder / "replay.jsonl")]
    assert not (folder / "pairs.jsonl").exists()


def test_several_sources_are_replayed_by_their_weights(tmp_path: Path) -> None:
    """What the seed stage taught is solutions and judgements: each keeps its share, judged steps and all."""
    solved = [
        {"question": f"How much is {i} and 1?", "answer": f"{i + 1}", "solution": f"{i} + 1 = {i + 1}"}
        for i in range(40)
    ]
    problem = Problem("one", "How much is 1 and 1?", answer="2")
    judged = [
        Problem(
            f"one/{i}",
            problem.question,
            answer="yes",
            solution="[[yes]]",
            kind="pointwise",
            shown=Candidates(Trajectory(problem), (Step("1 + 1 = 2\n"),)),
        )
        for i in range(40)
    ]
    (tmp_path / "seed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in solved))
    (tmp_path / "eft.jsonl").write_text("".join(json.dumps(asdict(row)) + "\n" for row in judged))
    only = ["pairs.max_per_problem=0", "pairs.solution_weight=1", "pairs.solution_min=0.6"]
    sources = f"{{{tmp_path}/seed.jsonl: 3, judge:{tmp_path}/eft.jsonl: 1}}"
    replay = ["policies.replay=0.8", "policies.replay_as=solutions", f"policies.replay_from={sources}"]
    settings = config("iterations=1", "problems.num_train=12", *only, *replay)
    _, parts = run(settings, tmp_path / "run", reply)

    lessons = parts.fake.calls[0][0]
    replayed = [one for one in lessons if isinstance(one, Demonstration) and one.id.startswith("replay/")]
    verdicts = [one for one in replayed if one.prefix.problem.shown is not None]
    num_own = len(lessons) - len(replayed)
    assert num_own > 0
    assert (len(replayed) - len(verdicts), len(verdicts)) == (3 * num_own, num_own)
    assert {one.reply for one in verdicts} == {Step("[[yes]]", None, Stop.EOS)}
    assert len({one.id for one in lessons}) == len(lessons)
    other = f"{{{tmp_path}/seed.jsonl: 1.0e+308, judge:{tmp_path}/eft.jsonl: 1.0e+308}}"
    turned = config("policies.replay=0.8", "policies.replay_as=solutions", f"policies.replay_from={other}")
    assert [*turned.policies.replayed_sources.values()] == [0.5, 0.5]
    assert [*turned.policies.replayed_sources] == [*settings.policies.replayed_sources], "whatever the order"


def test_a_run_on_accepted_solutions_that_was_killed_gives_the_same_bytes(tmp_path: Path) -> None:
    seed = {"question": "How much is 1 and 1?", "answer": "2", "solution": "1 + 1 = 2"}
    (tmp_path / "seed.jsonl").write_text(json.dumps(seed) + "\n")
    only = ["pairs.max_per_problem=0", "pairs.solution_weight=1", "pairs.solution_min=0.5"]
    replay = ["policies.replay=0.5", "policies.replay_as=solutions", f"policies.replay_from={tmp_path}/seed.jsonl"]
    check_kills(config(*only, *replay, "problems.num_train=4"), tmp_path, reply, every=5)


def test_what_is_replayed_is_looked_for_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "bare.jsonl").write_text('{"question": "How much is 1 and 1?", "answer": "2"}\n')
    for source, told in (
        (f"{tmp_path}/none.jsonl", r"policies\.replay_from: .*neither a file"),
        (f"{tmp_path}/bare.jsonl", "has a solution"),
        (f"{{{tmp_path}/none.jsonl: 1}}", r"policies\.replay_from: .*neither a file"),
    ):
        replay = ["policies.replay=0.5", "policies.replay_as=solutions", f"policies.replay_from={source}"]
        with pytest.raises(PresrmError, match=told):
            Parts(config(*replay), SilentProgress(), lambda **_: None).check()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["policies.replay=0.5", "policies.replay_as=solutions"], "needs replay_from"),
        (["policies.replay=0.5", "policies.replay_as=solutions", "policies.replay_from={}"], "needs replay_from"),
        (["policies.replay_from={seed.jsonl: 0}"], r"policies\.replay_from\.seed\.jsonl should be greater than 0"),
        (["policies.replay_from={seed.jsonl: true}"], r"policies\.replay_from\.seed\.jsonl should be a valid number"),
        (["policies.replay=0.5", "policies.replay_from=seed.jsonl"], "replay_as: verdicts reads no replay_from"),
        (["pairs.max_per_problem=0", "pairs.solution_weight=0"], "nothing to learn from"),
        (["pairs.solution_min=0.5", "pairs.solution_weight=0"], "set solution_weight"),
    ],
)
def test_settings_that_lack_what_they_are_about(settings: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config(*settings)


def test_no_accepted_solution_is_told_with_what_was_found(tmp_path: Path) -> None:
    only = ["pairs.max_per_problem=0", "pairs.solution_weight=1", "pairs.solution_min=1", "judge.kind=pointwise"]

    def refusing(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        return "So [[no]]" if prompt.subject is not None else reply(prompt, rng, policy)

    with pytest.raises(NoLessonsError, match=r"none of \d+ solutions? of 6 problems scores 1 or more"):
        run(config(*only, "search.kind=beam", "search.options={beam_width: 1}"), tmp_path / "run", refusing)
