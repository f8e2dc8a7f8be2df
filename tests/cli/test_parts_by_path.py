"""Parts that a user names by where their code is: on the command line, in a config, and nowhere else."""

import json

import pytest

from presrm.assembly import evaluation
from presrm.cli.settings import settings_for
from presrm.config import load_config
from presrm.errors import RequestError, UnknownNameError
from presrm.judges import JUDGES
from presrm.registry import load_code, split_code
from presrm.splitters import SPLITTERS

CODE = '''
import re
from pathlib import Path

from helper import FINAL
from presrm import Judgement, Problem, SearchTree, Status
from presrm.engines.scripted import ScriptedEngine
from presrm.types import Candidate, Expansion

Path("was_run").touch()


class ArithJudge:
    """Recomputes sums; a step without one has nothing that could be wrong."""

    scale = "absolute"

    def judge(self, batch):
        return [tuple(self.one(step.text) for step in item.steps) for item in batch]

    def one(self, text):
        sums = re.findall(r"(\\d+)\\+(\\d+)=(\\d+)", text)
        if not sums:
            return Judgement(None, Status.UNREADABLE, "no sum")
        return Judgement(float(all(int(a) + int(b) == int(c) for a, b, c in sums)))


class Semicolons:
    stop = (";",)

    def split(self, text):
        return re.findall(r"[^;]*;|[^;]+$", text)


semicolons = Semicolons()


def load_sums(path=None, *, split="train", num=None, seed=0):
    lines = ["1 2", "3 4"] if path is None else Path(path).read_text().splitlines()
    pairs = [tuple(map(int, line.split())) for line in lines]
    return [Problem(f"{a}+{b}", f"{a}+{b}?", str(a + b)) for a, b in pairs]


class Scripted(ScriptedEngine):
    def __init__(self):
        super().__init__(lambda prompt, rng: f"1+2=3\\n{FINAL} 3")


class First:
    """One candidate a step, kept whatever it is."""

    def __init__(self, prompts, splitter, settings, suffix: str = ""):
        self.prompts, self.splitter = prompts, splitter

    def search(self, problems, generator, judge, start=0):
        from presrm import Candidates, Request, Trajectory
        from presrm.types import Step, Stop

        for problem in problems:
            request = Request(self.prompts.solve(Trajectory(problem)))
            [[reply]] = generator.generate([request])
            step = Step(reply.text, reply.tokens, Stop.EOS)
            [[judgement]] = judge.judge([Candidates(Trajectory(problem), (step,))])
            yield SearchTree(problem, (Expansion(None, (Candidate(step, judgement),), (0,)),), ((0, 0),))
'''
ROWS = [{"question": "q", "solution": "1+1=2\n2+2=5"}, {"question": "q", "solution": "3+3=6;no sum"}]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("presrm.registry._typed", set())
    (tmp_path / "my.py").write_text(CODE)
    (tmp_path / "helper.py").write_text('FINAL = "####"\n')
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_judge_and_a_splitter_of_yours_judge_a_file(run, folder):
    ended = run("judge-steps", "rows.jsonl", "--judge", "my.py:ArithJudge", "--splitter", "my.py:Semicolons")
    assert ended.code == 0, ended.err
    first, second = read(folder / "rows.judged.jsonl")
    assert [step["score"] for step in first["judged"]] == [0.0]
    assert [(step["text"], step["score"]) for step in second["judged"]] == [("3+3=6;", 1.0), ("no sum", None)]


def test_an_edit_of_the_code_is_another_request(run, folder):
    command = ("judge-steps", "rows.jsonl", "--judge", "my.py:ArithJudge")
    assert run(*command).code == 0
    (folder / "my.py").write_text(CODE + "\n")
    assert "the code of judge.kind has changed" in run(*command).err


def test_an_object_is_a_part_too(run):
    ended = run("split", "rows.jsonl", "--splitter", "my.py:semicolons")
    assert json.loads(ended.out.splitlines()[1])["steps"] == ["3+3=6;", "no sum"]


def test_a_module_of_the_working_directory_is_importable(run, folder):
    ended = run("split", "rows.jsonl", "--splitter", "helper_parts:Whole")
    assert ended.code == 2
    code = "class Whole:\n    stop = ()\n    def split(self, text):\n        return [text] if text else []\n"
    (folder / "helper_parts.py").write_text(code)
    ended = run("split", "rows.jsonl", "--splitter", "helper_parts:Whole")
    assert json.loads(ended.out.splitlines()[0])["steps"] == ["1+1=2\n2+2=5"]


def test_problems_an_engine_a_searcher_and_a_judge_of_yours_make_an_evaluation(run, folder):
    (folder / "sums.txt").write_text("1 2\n2 1\n5 5\n")
    parts = ("--engine", "my.py:Scripted", "--searcher", "my.py:First", "--judge", "my.py:ArithJudge")
    ended = run("eval", *parts, "--problems", "my.py:load_sums:sums.txt", "--out", "out")
    assert ended.code == 0, ended.err
    [samples] = (folder / "out/embedded").glob("samples_load_sums_First-*.jsonl")
    assert [row["target"] for row in read(samples)] == ["3", "3", "10"]
    assert "66.7 %" in ended.out


def test_solve_takes_them_too(run):
    parts = ("--engine", "my.py:Scripted", "--searcher", "my.py:First", "--judge", "my.py:ArithJudge")
    ended = run("solve", "1+2?", *parts)
    assert ended.code == 0, ended.err
    assert "#### 3" in ended.out


def test_options_of_your_part_are_checked_like_ours(run):
    parts = ("--engine", "my.py:Scripted", "--searcher", "my.py:First", "--judge", "my.py:ArithJudge")
    ended = run("solve", "1+2?", *parts, "--set", "search.options.sufix=x")
    assert ended.code == 2
    assert "did you mean 'search.options.suffix'" in ended.err


def test_a_config_that_the_user_names_may_name_code(folder):
    (folder / "mine.yaml").write_text("splitter: my.py:Semicolons\njudge: {kind: 'my.py:ArithJudge'}\n")
    config = load_config("mine.yaml")
    assert SPLITTERS.create(config.splitter).split("a;b") == ["a;", "b"]
    assert config.judge.kind in JUDGES


def test_the_folder_of_a_run_may_not(run, folder):
    policy = folder / "run/iterations/2/policy"
    policy.mkdir(parents=True)
    (folder / "run/config.yaml").write_text("splitter: my.py:Semicolons\nsearch: {kind: 'my.py:First'}\n")
    config = settings_for([str(policy)], [])
    assert config.splitter == "my.py:Semicolons"
    with pytest.raises(UnknownNameError, match="nobody typed that name here"):
        SPLITTERS.create(config.splitter)
    ended = run("solve", "q", "--model", policy, "--engine", "scripted")
    assert ended.code == 2
    assert not (folder / "was_run").exists()

    settings_for([str(policy)], ["splitter=my.py:Semicolons"])
    assert SPLITTERS.create("my.py:Semicolons")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none.py:A", "no file none.py"),
        ("my.py:Semicolon", "has no 'Semicolon'; did you mean 'Semicolons'?"),
        ("broken.py:A", "importing 'broken.py' raised ZeroDivisionError"),
        ("newlin:e", "unknown splitter 'newlin:e'; did you mean 'newline'?"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line(run, folder, name, told):
    (folder / "broken.py").write_text("1 / 0\n")
    ended = run("split", "rows.jsonl", "--splitter", name)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert told in ended.err


@pytest.mark.parametrize("verb", ["split", "judge-steps"])
@pytest.mark.parametrize(
    ("gives", "told"),
    [
        ("[text[:2]]", "the pieces do not join to the text"),
        ("['', text]", "a piece is empty"),
        ("text", "expected a list of strings"),
        ("{}[text]", "raised KeyError"),
        ("exit(3)", "raised SystemExit: 3"),
    ],
)
def test_a_splitter_that_breaks_its_law_is_told_in_one_line(run, folder, verb, gives, told):
    (folder / "cuts.py").write_text(f"class Cuts:\n    stop = ()\n    def split(self, text):\n        return {gives}\n")
    judge = () if verb == "split" else ("--judge", "my.py:ArithJudge")
    ended = run(verb, "rows.jsonl", "--splitter", "cuts.py:Cuts", *judge)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("presrm: splitter Cuts ")
    assert told in ended.err


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("scale = 'abs'", "has scale 'abs' and composition 'product': expected one of absolute, relative"),
        ("pass", "has scale None"),
        ("scale = 'absolute'\n    def __init__(self):\n        1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_a_judge_that_cannot_be_one_is_told_by_its_name(run, folder, code, told):
    (folder / "odd.py").write_text(f"class Odd:\n    {code}\n")
    ended = run("solve", "1+2?", "--engine", "my.py:Scripted", "--searcher", "my.py:First", "--judge", "odd.py:Odd")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith(f"presrm: judge 'odd.py:Odd' {told}")


EVAL = ("eval", "--problems", "my.py:load_sums", "--judge", "my.py:ArithJudge", "--out", "out")
SOLVE = ("solve", "1+2?", "--judge", "my.py:ArithJudge")


@pytest.mark.parametrize("command", [EVAL, SOLVE], ids=["eval", "solve"])
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def generate(self, requests): return None", "gave None for"),
        ("def generate(self, requests): return []", "gave [] for"),
        ("def generate(self, requests): return ['a' for _ in requests]", "expected a list of Completion, 1 long"),
        ("def generate(self, requests): return [['a'] for _ in requests]", "expected a list of Completion, 1 long"),
        ("def generate(self, requests): return [[] for _ in requests]", "expected a list of Completion, 1 long"),
        ("def generate(self, requests): 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("def generate(self, requests): exit(3)", "raised SystemExit: 3"),
        ("def __init__(self): 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("def __enter__(self): pass", "gave None from '__enter__': expected an engine"),
        ("__enter__ = None", "has no '__enter__': expected a context manager"),
        ("generate = None", "has no 'generate'"),
    ],
)
def test_an_engine_that_breaks_its_law_is_told_by_its_name(run, folder, command, body, told):
    (folder / "odd.py").write_text(f"from my import Scripted\nclass Odd(Scripted):\n    {body}\n")
    ended = run(*command, "--engine", "odd.py:Odd", "--searcher", "my.py:First")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("presrm: engine 'odd.py:Odd' "), ended.err
    assert told in ended.err


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def grade(self, solution, answer): return None", "gave None from 'grade': expected a Grade"),
        ("def grade(self, solution, answer): 1 / 0", "raised ZeroDivisionError"),
        ("def extract(self, solution): return 5", "gave 5 from 'extract': expected text, or none"),
        ("def __init__(self): exit(3)", "raised SystemExit: 3"),
        ("grade = None", "has no 'grade'"),
    ],
)
def test_a_grader_that_breaks_its_law_is_told_by_its_name(run, folder, body, told):
    evaluation._grader.cache_clear()  # of the same name in another folder
    sound = "from presrm import Grade\nclass Odd:\n    def extract(self, solution): return solution\n"
    sound += "    def grade(self, solution, answer): return Grade.CORRECT\n"
    (folder / "odd.py").write_text(f"{sound}    {body}\n")
    ended = run(
        *EVAL, "--engine", "my.py:Scripted", "--searcher", "my.py:First", "--set", "evaluation.grader=odd.py:Odd"
    )
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith(f"presrm: grader 'odd.py:Odd' {told}"), ended.err


@pytest.mark.parametrize("verb", ["search", "eval", "solve"])
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return None", "gave None: expected one SearchTree for each problem, in order"),
        ("return {'a': 1}", "gave {'a': 1}: expected one SearchTree for each problem"),
        ("1 / 0", "raised ZeroDivisionError"),
        ("yield 1 / 0", "raised ZeroDivisionError"),
        ("yield from ()", "gave nothing for problem 1 of"),
        ("yield 'a'", "gave 'a' for problem 1 of"),
        ("yield SearchTree(Problem('other', '?'), (), given_up='so')", "gave a tree of Problem(id='other'"),
        ("yield from [SearchTree(p, (), given_up='so') for p in [*problems, problems[0]]]", "gave more trees than"),
    ],
)
def test_a_searcher_that_breaks_its_law_is_told_by_its_name(run, folder, verb, body, told):
    (folder / "odd.py").write_text(
        "from my import Problem, SearchTree\n"
        f"class Odd:\n    def search(self, problems, generator, judge, start=0):\n        {body}\n"
    )
    command = {
        "search": ("search", "--out", "trees.jsonl", "--problems", "my.py:load_sums", "--judge", "my.py:ArithJudge"),
        "eval": EVAL,
        "solve": SOLVE,
    }[verb]
    ended = run(*command, "--engine", "my.py:Scripted", "--searcher", "odd.py:Odd")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("presrm: searcher 'Odd' "), ended.err
    assert told in ended.err


@pytest.mark.parametrize(
    "name", ["gsm8k:train.jsonl", "gsm9k:train", "jsonl:a/b.jsonl", "http://localhost:80/v1", "a:b:c"]
)
def test_what_only_looks_alike_names_no_code(name):
    assert split_code(name) is None


def test_a_file_is_imported_once(folder):
    assert load_code("my.py:ArithJudge") is load_code(str(folder / "my.py") + ":ArithJudge")


def test_a_typed_judge_that_is_relative_is_refused_for_files(run, folder):
    (folder / "relative.py").write_text("class R:\n    scale = 'relative'\n")
    ended = run("judge-steps", "rows.jsonl", "--judge", "relative.py:R")
    assert ended.code == 2
    assert "'relative.py:R' is relative" in ended.err
    with pytest.raises(RequestError):
        load_code("relative.py:S")
