"""``presrm eval`` from the outside, with a policy made of a function."""

import json

import pytest

from presrm.assembly import evaluation as eval_assembly
from presrm.cli import main
from presrm.config import load_config
from presrm.engines.scripted import ScriptedEngine
from presrm.protocols import Completion, Sampling
from presrm.types import Checkpoint, Stop

ROWS = [{"id": f"p{n}", "question": f"{n}+1" + " " * (n == 9), "answer": str(n + 1)} for n in range(10)]


@pytest.fixture(autouse=True)
def scripted_policy(monkeypatch):
    engine = ScriptedEngine(lambda prompt, rng: f"#### {rng.choice([4, 5])}")
    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: engine)
    monkeypatch.setattr(eval_assembly, "policy_at", Checkpoint)


@pytest.fixture
def requests(monkeypatch):
    """What a policy that always says 4 was asked."""
    asked = []

    class Engine(ScriptedEngine):
        def generate(self, requests):
            asked.extend(requests)
            return super().generate(requests)

    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: Engine(lambda prompt, rng: "#### 4"))
    return asked


def sets(*settings):
    return [flag for setting in settings for flag in ("--set", setting)]


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_samples_and_results_have_the_shape_of_the_harness(run, problems, tmp_path):
    ended = run("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out", "--samples", "4")
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in (tmp_path / "out/m/samples_sums_sample-4.jsonl").read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == [9, *range(9)], "the longest question comes first"
    assert [row["target"] for row in rows] == ["10", *map(str, range(1, 10))]
    assert len(rows[0]["resps"][0]) == len(rows[0]["filtered_resps"]) == 4
    results = json.loads((tmp_path / "out/m/results.json").read_text())
    assert results["n-samples"]["sums_sample-4"]["effective"] == 10
    assert results["results"]["sums_sample-4"]["pass@4,none"] >= results["results"]["sums_sample-4"]["pass@1,none"]
    assert "maj@4" in ended.out


@pytest.mark.parametrize(
    ("flags", "num", "sampling"),
    [
        ([], 1, Sampling(0.0, 1.0, 77)),
        (["--samples", "3"], 3, Sampling(0.6, 0.8, 77)),
    ],
)
def test_solutions_are_drawn_as_the_settings_say(run, problems, tmp_path, requests, flags, num, sampling):
    settings = ["evaluation.max_tokens=77", "search.temperature=0.6", "search.top_p=0.8", "evaluation.group_size=3"]
    ended = run("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out", *flags, *sets(*settings))
    assert ended.code == 0, ended.err
    assert [(request.num, request.sampling) for request in requests] == [(num, sampling)] * 10
    assert len({request.seed for request in requests}) == 10


@pytest.mark.parametrize("way", ["search.kind=best-of-n", "search.unit=solution"])
def test_whole_solutions_of_a_search_end_with_the_limit_of_an_evaluation(run, problems, tmp_path, requests, way):
    settings = [way, "evaluation.max_tokens=77", "search.max_steps=9", "judge.verdict=explained"]
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out", "--search", "greedy")
    call += (*sets(*settings),)
    assert run(*call).code == 0
    assert {request.sampling.max_tokens for request in requests if request.num == 6} == {77}
    assert run(*call, "--set", "search.max_step_tokens=9").code == 0, "what bounds nothing may change"
    assert "max_tokens: 77 -> 78" in run(*call, "--set", "evaluation.max_tokens=78").err


def test_why_solutions_are_no_answers_is_on_the_screen_and_in_the_results(run, problems, tmp_path, monkeypatch):
    class Engine(ScriptedEngine):
        stops = (Stop.MAX_TOKENS, Stop.NO_ROOM, Stop.FILTERED, Stop.FILTERED, *[Stop.EOS] * 6)

        def generate(self, requests):
            return [[Completion("#### 4", (1,), stop)] for stop in self.stops[: len(requests)]]

    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: Engine(lambda prompt, rng: ""))
    ended = run("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    results = json.loads((tmp_path / "out/m/results.json").read_text())["results"]["sums_greedy"]
    expected = {"no answer": 0.3, "cut off": 0.1, "no room": 0.1, "filtered": 0.2}
    assert {name: results[f"{name},none"] for name in expected} == expected
    shown = [" ".join(line.split()) for line in ended.out.splitlines()]
    for name, value in expected.items():
        assert any(line.startswith(f"{name} {100 * value:.1f} %") for line in shown)


def test_an_evaluation_that_was_killed_comes_to_the_same_rows(run, problems, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    class Mortal(ScriptedEngine):
        lives = 2

        def generate(self, requests):
            self.lives -= 1
            if self.lives < 0:
                raise Killed
            return super().generate(requests)

    def draw(prompt, rng):
        return f"#### {rng.randrange(100)}"

    call = ("eval", "--model", "m", "--problems", problems, "--samples", "2", "--set", "evaluation.group_size=3")
    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: ScriptedEngine(draw))
    assert run(*call, "--out", tmp_path / "whole").code == 0
    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: Mortal(draw))
    with pytest.raises(Killed):
        main([str(argument) for argument in (*call, "--out", tmp_path / "killed")])
    name = "m/samples_sums_sample-2.jsonl"
    assert 0 < (tmp_path / "killed" / name).read_text().count("\n") < 10
    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: ScriptedEngine(draw))
    assert run(*call, "--out", tmp_path / "killed").code == 0
    assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_groups_follow_from_the_work_of_the_first_problem_and_are_kept_on_resume(run, problems, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    class Costly(ScriptedEngine):
        """Twenty seconds a solution, as it says."""

        def __init__(self, lives=99):
            super().__init__(lambda prompt, rng: f"#### {rng.randrange(100)}")
            self.tokens_read = self.tokens_generated = 0
            self.lives, self.sizes = lives, []

        def seconds(self, tokens_read, tokens_generated):
            return 20.0 * tokens_generated

        def generate(self, requests):
            self.lives -= 1
            if self.lives < 0:
                raise Killed
            self.tokens_generated += len(requests)
            self.sizes.append(len(requests))
            return super().generate(requests)

    def go(engine, out):
        monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: engine)
        main([str(argument) for argument in ("eval", "--model", "m", "--problems", problems, "--out", out)])

    whole, first, second = Costly(), Costly(lives=2), Costly()
    with pytest.raises(SystemExit):
        go(whole, tmp_path / "whole")
    assert whole.sizes == [1, 3, 3, 3]
    with pytest.raises(Killed):
        go(first, tmp_path / "killed")
    with pytest.raises(SystemExit):
        go(second, tmp_path / "killed")
    assert first.sizes + second.sizes == whole.sizes
    name = "m/samples_sums_greedy.jsonl"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_runs_own_problems_are_graded_as_the_run_grades_them(problems):
    settings = [f"problems.held_out={problems}", "evaluation.grader=exact"]
    graders = {
        "own": eval_assembly.load_benchmark(str(problems), load_config(None, settings), None, None),
        "unset": eval_assembly.load_benchmark(str(problems), load_config(None, settings[:1]), None, None),
        "other": eval_assembly.load_benchmark(f"jsonl:{problems}", load_config(None, settings[1:]), None, None),
        "named": eval_assembly.load_benchmark(str(problems), load_config(None, settings), None, "math"),
    }
    assert {name: one.grader for name, one in graders.items()} == {
        "own": "exact",
        "unset": "auto",
        "other": "auto",
        "named": "math",
    }


def test_greedy_gives_the_name_that_the_harness_gives_accuracy(run, problems, tmp_path):
    assert run("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out").code == 0
    results = json.loads((tmp_path / "out/m/results.json").read_text())["results"]["sums_greedy"]
    assert 0 <= results["exact_match,none"] <= 0.2


def test_a_second_extractor_reads_every_solution(run, tmp_path):
    path = tmp_path / "gsm8k.jsonl"
    path.write_text("".join(json.dumps({"question": f"{n}?", "answer": "#### 4"}) + "\n" for n in range(10)))
    out = tmp_path / "out"
    ended = run("eval", "--model", "m", "--problems", f"gsm8k:{path}", "--out", out, "--samples", "2")
    assert ended.code == 0, ended.err
    assert "audit: 0 of 20 solutions are graded differently by the last number" in ended.out
    audit = json.loads((out / "m/results.json").read_text())["audit"]["gsm8k_sample-2"]
    assert (audit["num"], audit["num_unread"], audit["num_graded_differently"]) == (20, 0, 0)
    assert (out / "m/audit_gsm8k_sample-2.jsonl").read_text() == ""


def test_a_second_evaluation_adds_to_the_results(run, problems, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    assert run(*call).code == 0
    assert run(*call, "--search", "best-of-n").code == 0
    assert set(json.loads((tmp_path / "out/m/results.json").read_text())["results"]) == {
        "sums_greedy",
        "sums_best-of-n-6",
    }


def test_the_same_command_on_a_finished_evaluation_only_tells_it_again(run, problems, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    first, second = run(*call), run(*call)
    assert (second.code, second.out) == (0, first.out)


def test_other_settings_in_the_same_folder_are_refused(run, problems, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    assert run(*call).code == 0
    ended = run(*call, "--set", "seed=7")
    assert ended.code == 2
    assert "seed: 0 -> 7" in ended.err
    assert run(*call, "--search", "greedy").code == 0
    assert "(search.top_p: 0.95 -> 0.9)" in run(*call, "--search", "greedy", "--set", "search.top_p=0.9").err


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "worked.jsonl"
    rows = [{"question": f"{n}+10?", "answer": str(n + 10), "solution": f"#### {n + 10}"} for n in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"question": "4+1", "solution": "#### 5"}]))
    return path


def test_the_same_worked_examples_stand_before_every_question(run, problems, examples, tmp_path, monkeypatch):
    seen = []
    engine = ScriptedEngine(lambda prompt, rng: seen.append(prompt) or "#### 5\n\nQuestion: 1+1?\nAnswer: 2")
    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: engine)
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out", "--examples", examples)
    ended = run(*call, "--shots", "3", "--set", "model.chat_template=plain")
    assert ended.code == 0, ended.err
    assert f"{examples}: passed over 1 problem also in sums" in ended.err
    assert {prompt.examples for prompt in seen} == {seen[0].examples}
    assert len(seen[0].examples) == 3
    samples = tmp_path / "out/m/samples_sums_greedy-3-shot.jsonl"
    assert json.loads(samples.read_text().splitlines()[0])["resps"] == [["#### 5\n\n"]]
    results = json.loads((tmp_path / "out/m/results.json").read_text())
    told = results["config"]["examples"]["sums"]
    asked = json.loads(samples.with_name(samples.name + ".state.json").read_text())["request"]
    assert results["n-shot"] == {"sums_greedy-3-shot": asked["num_fewshot"]} == {"sums_greedy-3-shot": 3}
    assert (told["hash"], len(told["ids"]), told["num_evaluated"]) == (asked["examples"], 3, 1)


def test_evaluations_with_and_without_examples_stand_side_by_side(run, problems, examples, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out", "--examples", examples)
    for shots in ("0", "2"):
        assert run(*call, "--shots", shots).code == 0
    assert run(*call, "--shots", "2", "--search", "best-of-n").code == 0
    results = json.loads((tmp_path / "out/m/results.json").read_text())
    assert results["n-shot"] == {"sums_greedy": 0, "sums_greedy-2-shot": 2, "sums_best-of-n-6-2-shot": 2}


def test_a_search_has_to_know_where_a_base_model_ends(run, problems, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path, "--set", "model.chat_template=plain")
    assert "use --samples" in run(*call, "--search", "best-of-n").err
    ended = run(*call, "--search", "greedy")
    assert ended.code == 2
    assert "search.answer_marks" in ended.err
    ended = run(*call, "--search", "greedy", "--set", 'search.answer_marks=["####"]', "--set", "judge.kind=pointwise")
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("setting", ["evaluation.grader=exact", "evaluation={grader: exact}"])
def test_a_grader_that_is_set_replaces_the_benchmarks_own(run, problems, tmp_path, setting):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out", "--set", setting)
    assert run(*call).code == 0
    state = json.loads((tmp_path / "out/m/samples_sums_greedy.jsonl.state.json").read_text())
    assert state["request"]["grader"] == "exact"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "m"), "--problems"),
        (("--model", "m", "--problems", "gsm9k"), "gsm8k"),
        (("--samples", "2", "--search", "beam"), "exclude each other"),
        (("--shots", "2"), "need each other"),
        (("--examples", "gsm8k"), "need each other"),
        (("--problems", "FILE", "--shots", "2", "--examples", "FILE"), "only 0 of 10 problems can be shown"),
        (("--model", "a/m", "--model", "a/m", "--problems", "FILE"), "share a folder"),
    ],
)
def test_a_request_that_makes_no_sense_is_told(run, problems, arguments, told):
    ended = run("eval", *(problems if argument == "FILE" else argument for argument in arguments))
    assert ended.code == 2
    assert told in ended.err


def test_a_problem_without_an_answer_cannot_be_scored(run, tmp_path):
    path = tmp_path / "open.jsonl"
    path.write_text('{"question": "why?"}\n')
    ended = run("eval", "--model", "m", "--problems", path)
    assert ended.code == 2
    assert "no answer" in ended.err


def test_several_policies_and_benchmarks_come_in_one_table(run, problems, tmp_path):
    other = tmp_path / "more.jsonl"
    other.write_text(problems.read_text())
    models = ("--model", "m1", "--model", "m2")
    ended = run("eval", *models, "--problems", problems, "--problems", other, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    table = [line.split() for line in ended.out.splitlines() if line.startswith(("m1 ", "m2 ")) and " on " not in line]
    assert [row[:3] for row in table] == [[m, b, "accuracy"] for m in ("m1", "m2") for b in ("sums", "more")]
    assert {"policy", "benchmark", "share"} <= set(ended.out.split())


def test_the_table_of_several_policies_shows_what_a_search_answered_and_not_its_samples(
    run, problems, tmp_path, monkeypatch
):
    engine = ScriptedEngine(lambda prompt, rng: "[[yes]]" if "[[yes]]" in prompt.text else f"#### {rng.choice([4, 5])}")
    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: engine)
    models = ("--model", "m1", "--model", "m2")
    ended = run("eval", *models, "--problems", problems, "--out", tmp_path / "out", "--search", "best-of-n")
    assert ended.code == 0, ended.err
    table = [line for line in ended.out.splitlines() if line.startswith(("m1 ", "m2 ")) and " on " not in line]
    assert [line.split()[2:5] for line in table] == [["best", "of", "6"]] * 2


def test_rows_set_aside_are_written_and_told(run, problems, tmp_path):
    with problems.open("a") as file:
        file.write('{"answer": "3"}\n{\n')
    ended = run("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    path = tmp_path / "out/sums.rejected.jsonl"
    assert f"presrm: {problems}: 2 rows set aside, see {path}; line 11: expected a question" in ended.err
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == [11, 12]


def test_reasons_are_written_even_if_no_row_can_be_used(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    ended = run("eval", "--model", "m", "--problems", path, "--out", tmp_path / "out")
    assert ended.code == 2
    assert f"see {tmp_path / 'out/problems.rejected.jsonl'}" in ended.err


def test_files_of_one_name_in_two_folders_do_not_share_their_samples(run, problems, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other/sums.jsonl"
    other.write_text(json.dumps({"question": "3+1", "answer": "3 + 1 = 4\n#### 4"}))
    ended = run("eval", "--model", "m", "--problems", problems, "--problems", other, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    [samples] = (tmp_path / "out/m").glob("samples_*other-sums_greedy.jsonl")
    assert json.loads(samples.read_text())["target"] == "4"
    assert len(list((tmp_path / "out/m").glob("samples_*sums_greedy.jsonl"))) == 2
