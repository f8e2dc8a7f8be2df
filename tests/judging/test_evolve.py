"""Evolution of a judge's instructions by GEPA, with a policy made of functions."""

import json
import sys
from contextlib import contextmanager
from itertools import chain, repeat

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import EngineError, RequestError, RunConfigError, RunError
from presrm.files.journal import Journal
from presrm.judges.pointwise import PointwiseJudge
from presrm.judging.calls import read_labelled, split_rows
from presrm.judging.evolve import ask_nobody, evolve, instructions_of, least_budget
from presrm.prompts import PromptSet
from presrm.protocols import silent_stage
from presrm.report.verdicts import evolution_verdict
from presrm.splitters import SPLITTERS

pytest.importorskip("gepa")

GOOD = "Check each step carefully. Then end with [[yes]] if it is right, [[no]] if it is not."
LOST = "Check each step carefully and say whether it is right."
CODE = "{% for i in range(99999) %}on {% endfor %} end with [[yes]] or [[no]]."


def make_rows(path, num=40):
    """Half of the solutions have a wrong second step; one in four has a step that cannot be judged."""
    rows = [
        {
            "problem": f"What is {number} + 1?",
            "steps": [f"take {number}", f"{number} + 1 = {number + 1 + number % 2}", *["mumble"] * (number % 4 == 0)],
            "label": 1 if number % 2 else -1,
        }
        for number in range(num)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_labelled(path, SPLITTERS.create("newline"))[0]


def judge_or_write(proposals):
    """A policy that finds errors if it is told to be careful, and writes these proposals, then the last one again."""
    waiting = chain(proposals, repeat(proposals[-1] if proposals else ""))

    def reply(prompt, rng):
        if prompt.template == "rewrite":
            return f"```\n{next(waiting)}\n```"
        step = prompt.subject.shown[0].text
        if "mumble" in step:
            return "I cannot say."
        left, _, right = step.partition(" = ")
        is_wrong = "=" in step and eval(left) != int(right)
        return "[[no]]" if is_wrong and "carefully" in prompt.text else "[[yes]]"

    return reply


def make_judge(engine, prompts):
    return PointwiseJudge(engine, prompts)


class Policy:
    """Opens an engine that breaks at a call, if it is told to; counts what it was asked."""

    def __init__(self, proposals, breaks_at=None, error=KeyboardInterrupt):
        self.reply = judge_or_write(proposals)
        self.breaks_at, self.error = breaks_at, error
        self.num_calls = self.num_judged = 0

    def open(self):
        policy = self

        class Counting(ScriptedEngine):
            def generate(self, requests):
                policy.num_calls += 1
                if policy.num_calls == policy.breaks_at:
                    raise policy.error("the machine is gone")
                policy.num_judged += sum(request.prompt.template != "rewrite" for request in requests)
                return super().generate(requests)

        return Counting(self.reply)


def run(rows, out, policy, *, budget=200, settings=None, stage=silent_stage, **options):
    return evolve(
        rows,
        PromptSet("plain"),
        make_judge,
        policy.open,
        policy.open,
        out,
        settings or {},
        stage,
        budget=budget,
        **options,
    )


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def rows(tmp_path):
    return make_rows(tmp_path / "rows.jsonl")


def test_evolution_finds_the_word_that_the_judge_needs(rows, tmp_path):
    out = tmp_path / "out"
    evolved = run(rows, out, Policy([LOST, CODE, GOOD]))
    split = split_rows(rows, 0)
    wrong = [place for place in split.test if rows[place].label == 1]
    assert evolved.winner == 1
    assert (evolved.before.erroneous.value, evolved.after.erroneous.value) == (0.0, 1.0)
    assert (evolved.num_gained, evolved.num_lost) == (len(wrong), 0)
    assert evolved.p_value == pytest.approx(2 * 0.5 ** len(wrong))
    assert 0 < evolved.p_value < 0.05
    assert evolution_verdict(evolved).endswith("better.")
    assert f"on {len(split.test)} rows that evolution never saw" in evolution_verdict(evolved)


def test_a_proposal_that_loses_what_it_must_keep_is_refused_and_never_run(rows, tmp_path):
    policy = Policy([CODE])
    evolved = run(rows, tmp_path / "out", policy)
    assert evolved.winner == 0
    assert evolved.num_candidates == 1
    assert sum(evolved.refused.values()) == evolved.num_reflections > 1
    assert evolved.refused.keys() == {"it loses {{ fence }}", "it holds code of a template"}
    judged = {row["prompts"] for row in read(tmp_path / "out" / "calls.jsonl") if "row" in row}
    assert judged == {PromptSet("plain").hash}
    assert "no rewritten instruction did better" in evolution_verdict(evolved)
    assert PromptSet(str(tmp_path / "out")).hash == PromptSet("plain").hash


def test_unreadable_verdicts_are_kept_apart(rows, tmp_path):
    asked = []
    policy = Policy([GOOD])
    tell = policy.reply
    policy.reply = lambda prompt, rng: (asked.append(prompt.text), tell(prompt, rng))[1]
    evolved = run(rows, tmp_path / "out", policy, budget=400)
    split = split_rows(rows, 0)
    mumbled = [place for place in split.test if len(rows[place].solution.steps) == 3]
    assert mumbled
    assert evolved.after.unknown.num_hits == len(mumbled)
    assert evolved.num_unreadable >= 2 * len(mumbled)
    shown = [text for text in asked if "takes for wrong" in text]
    assert any("no verdict (unreadable)" in text and "I cannot say." in text for text in shown)
    assert any("The truth: step 1 is the first wrong one. The judge is wrong." in text for text in shown)
    history = read(tmp_path / "out" / "evolution.jsonl")
    firsts = [row for row in history if row.get("candidate") == 0]
    validation = [len(rows[place].solution.steps) == 3 for place in split.validation]
    assert firsts[0]["unreadable"] == sum(validation)


def test_no_row_of_the_test_part_is_seen_before_the_end(rows, tmp_path):
    run(rows, tmp_path / "out", Policy([LOST, LOST, GOOD]))
    calls = read(tmp_path / "out" / "calls.jsonl")
    split = split_rows(rows, 0)
    test = set(split.test)
    ends = [row["row"] in test for row in calls if "row" in row]
    assert ends == sorted(ends)
    assert sum(ends) == 2 * len(test)
    asked = "".join(row["asked"] for row in calls if "asked" in row)
    assert not any(f"{rows[place].solution.question}" in asked for place in (*test, *split.validation))


def test_problems_are_never_split(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"problem": f"p{number // 3}", "steps": ["a"], "label": -1} for number in range(60)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, _ = read_labelled(path, SPLITTERS.create("newline"))
    split = split_rows(rows, 0)
    parts = [{rows[place].solution.question for place in part} for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [5, 5, 10]
    assert not parts[0] & parts[1] | parts[1] & parts[2] | parts[0] & parts[2]
    assert split_rows(list(rows), 0) == split != split_rows(rows, 1)
    with pytest.raises(RequestError, match="3 problems cannot be split"):
        split_rows(rows[:9], 0)


FILES = ("calls.jsonl", "evolution.jsonl", "result.json", "pointwise.jinja", "solve.jinja")


@pytest.mark.parametrize("breaks_at", range(1, 30, 3))
def test_a_killed_evolution_resumes_to_the_byte(rows, tmp_path, breaks_at):
    proposals = [LOST, CODE, GOOD] + [GOOD + " Be strict." * number for number in range(1, 40)]
    whole = Policy(proposals)
    run(rows, tmp_path / "whole", whole, group_size=3)
    assert whole.num_calls > 30
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(rows, out, Policy(proposals, breaks_at), group_size=3)
    written = sum("reply" in row for row in read(out / "calls.jsonl")) if (out / "calls.jsonl").exists() else 0
    rest = Policy(proposals[written:])
    told = []

    @contextmanager
    def stage(name, total):
        yield told.append

    evolved = run(rows, out, rest, group_size=3, stage=stage)
    assert whole.num_calls == breaks_at - 1 + rest.num_calls
    for name in FILES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sum(told) <= 200 + 2 * len(split_rows(rows, 0).test)
    again = Policy([])
    assert run(rows, out, again, group_size=3) == evolved
    assert again.num_calls == 0


def test_a_reflector_that_fails_ends_the_command(rows, tmp_path):
    """GEPA passes over what a proposer raises; a machine that failed must not count as a bad proposal."""
    first = len(split_rows(rows, 0).validation)
    policy = Policy([GOOD], breaks_at=3, error=EngineError)
    with pytest.raises(EngineError, match="the machine is gone"):
        run(rows, tmp_path / "out", policy)
    calls = read(tmp_path / "out" / "calls.jsonl")
    assert len(calls) == first + 3
    assert not any("reply" in row for row in calls)


def test_another_request_and_a_foreign_folder_are_refused(rows, tmp_path):
    out = tmp_path / "out"
    run(rows, out, Policy([GOOD]))
    with pytest.raises(RunConfigError, match="budget: 200 -> 300"):
        run(rows, out, Policy([GOOD]), budget=300)
    with pytest.raises(RunConfigError, match="judge"):
        run(rows, out, Policy([GOOD]), settings={"judge": "other"})
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "pointwise.jinja").write_text("mine")
    with pytest.raises(RequestError, match="is there already"):
        run(rows, tmp_path / "foreign", Policy([GOOD]))
    least = least_budget(split_rows(rows, 0))
    with pytest.raises(RequestError, match=f"expected {least} or more"):
        run(rows, tmp_path / "new", Policy([GOOD]), budget=least - 1)
    assert not (tmp_path / "new").exists()


def test_a_folder_has_one_owner(rows, tmp_path):
    with (
        Journal(tmp_path / "out" / "calls.jsonl", {}),
        pytest.raises(RunError, match="is working on"),
    ):
        run(rows, tmp_path / "out", Policy([GOOD]))


def test_the_budget_is_a_bound(rows, tmp_path):
    policy = Policy([GOOD + " Be strict." * number for number in range(60)])
    evolved = run(rows, tmp_path / "out", policy, budget=100)
    tested = (1 + (evolved.winner > 0)) * len(split_rows(rows, 0).test)
    assert evolved.num_judged - tested <= 100


def test_no_room_for_a_reflection_is_counted(rows, tmp_path):
    policy = Policy([GOOD])
    evolved = evolve(
        rows,
        PromptSet("plain"),
        make_judge,
        policy.open,
        lambda: ScriptedEngine(policy.reply, context=100),
        tmp_path / "out",
        {},
        silent_stage,
        budget=100,
    )
    assert evolved.refused == {"the cases leave no room for a reply": evolved.num_reflections}


def test_without_gepa_one_line_says_what_to_install(rows, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gepa", None)
    with pytest.raises(RequestError, match=r"judge-evolve needs: pip install 'presrm\[gepa\]'"):
        run(rows, tmp_path / "out", Policy([]))
    assert not (tmp_path / "out").exists()


def test_only_the_instructions_of_the_verdict_in_use_are_rewritten(rows):
    prompts = PromptSet("plain")
    found = instructions_of(prompts, ask_nobody(rows[:1], prompts, make_judge))
    assert [text[:11] for text in found.values()] == ["You are an ", "First check"]
    direct = ask_nobody(rows[:1], prompts, lambda engine, shown: PointwiseJudge(engine, shown, verdict="direct"))
    assert [text[:11] for text in instructions_of(prompts, direct).values()] == ["You are an ", "Reply with "]
    assert direct.num_written == 0
    bare = prompts.edited(
        {"pointwise": "{% block trunk %}{{ question }}{% endblock %}{% block tail %}{{ step }}{% endblock %}"}
    )
    with pytest.raises(RequestError, match="holds an instruction"):
        instructions_of(bare, ask_nobody(rows[:1], bare, make_judge))
