"""GSM8K, MATH and files of one's own, from disk."""

import json
from pathlib import Path

import pytest

from presrm.errors import ConfigError, DataError, UnknownNameError
from presrm.evaluation.decontamination import decontaminate
from presrm.problems import PROBLEMS, load_problems
from presrm.types import Problem

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not there")


def rows(folder: Path, *values: object, name: str = "rows.jsonl") -> str:
    path = folder / name
    path.write_text("".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values))
    return str(path)


def test_gsm8k_takes_the_answer_behind_the_hashes_and_keeps_the_solution(tmp_path: Path) -> None:
    path = rows(tmp_path, {"question": "How much?", "answer": "500*2=<<500*2=1000>>1000\n#### 1,000"})
    (problem,) = load_problems(f"gsm8k:{path}", split="train")
    assert (problem.id, problem.answer) == ("rows/1", "1000")
    assert "<<500*2=1000>>" in (problem.solution or "")


def test_math_takes_the_answer_or_the_last_box(tmp_path: Path) -> None:
    given = {"problem": "p", "solution": r"so \boxed{\frac{1}{2}}"}
    path = rows(tmp_path, given, given | {"answer": "0.5", "unique_id": "test/7"})
    first, second = load_problems(f"math:{path}", split="train")
    assert (first.answer, second.answer, second.id) == (r"\frac{1}{2}", "0.5", "test/7")


@pytest.mark.parametrize("solution", ["no box", r"so \boxed{}", r"so \boxed{{2}"])
def test_math_without_an_answer_is_a_bad_row(tmp_path: Path, solution: str) -> None:
    with pytest.raises(DataError, match=r"line 1: no 'answer', and no \\boxed\{\}"):
        load_problems(f"math:{rows(tmp_path, {'problem': 'p', 'solution': solution})}", split="train")


@pytest.mark.parametrize("answer", ["so 5", "so 5\n####", "so 5\n####  \n"])
def test_gsm8k_without_an_answer_is_a_bad_row(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DataError, match="line 1: answer: no '#### <number>'"):
        load_problems(f"gsm8k:{rows(tmp_path, {'question': 'q', 'answer': answer})}", split="train")


@pytest.mark.parametrize("name", ["gsm8k", "jsonl"])
def test_an_id_of_null_is_none(tmp_path: Path, name: str) -> None:
    row = {"id": None, "question": "Why?", "answer": "#### 1"}
    assert [p.id for p in load_problems(f"{name}:{rows(tmp_path, row, row)}", split="train")] == ["rows/1", "rows/2"]


@pytest.mark.parametrize("field", ["id", "question", "answer", "solution"])
def test_half_a_surrogate_pair_is_a_bad_row_since_no_tokenizer_takes_it(tmp_path: Path, field: str) -> None:
    path = rows(tmp_path, {"question": "Why?", field: "x\ud800"})
    with pytest.raises(DataError, match=f"line 1: {field}: half a surrogate pair at character 2"):
        load_problems(f"jsonl:{path}", split="train")


@pytest.mark.parametrize("name", ["question", "problem", "prompt"])
def test_any_file_with_a_question_will_do(tmp_path: Path, name: str) -> None:
    path = rows(tmp_path, {name: "Why?", "answer": 42})
    (problem,) = load_problems(path, split="test")
    assert (problem.question, problem.answer) == ("Why?", "42")


def test_parquet_is_read_too(tmp_path: Path) -> None:
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist([{"question": "Why?", "answer": "42"}]), tmp_path / "rows.parquet")
    (problem,) = load_problems(f"jsonl:{tmp_path}/rows.parquet", split="train")
    assert problem.answer == "42"
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(DataError, match="no Parquet file"):
        load_problems(f"jsonl:{tmp_path}/bad.parquet", split="train")


def test_bad_rows_are_set_aside_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = {"id": "a", "question": "Why?"}
    path = rows(tmp_path, good, {"answer": "1"}, "{", good, {"question": "  "}, {"question": ["x"]})
    assert [problem.id for problem in load_problems(path, split="train")] == ["a"]
    assert "5 rows set aside; line 2: expected a question as text under one of" in caplog.text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [{"answer": "1"}],
            r"no row can be used; line 1: expected a question as text under one of 'problem', 'question', 'prompt'",
        ),
        (["{"], "line 1: malformed JSON"),
        ([], "is empty"),
    ],
)
def test_a_file_without_a_problem_is_refused(tmp_path: Path, values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_problems(f"jsonl:{rows(tmp_path, *values)}", split="train")


def test_more_problems_begin_with_the_fewer(tmp_path: Path) -> None:
    path = rows(tmp_path, *({"question": f"q{n}"} for n in range(30)))
    many = load_problems(path, split="train", num=20, seed=5)
    assert many[:8] == load_problems(path, split="train", num=8, seed=5)
    assert many[:8] != load_problems(path, split="train", num=8, seed=6)
    assert len(load_problems(path, split="train", num=99)) == 30


def test_an_empty_file_a_folder_and_wrong_bytes_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"question": "\xff"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl: no row can be used; line 1: invalid UTF-8 at byte 15"):
        load_problems(str(path), split="train")
    with pytest.raises(DataError, match="is a folder"):
        load_problems(str(tmp_path), split="train")


@pytest.mark.parametrize("source", ["nowhere.jsonl", "./data/nowhere.jsonl", "What is two and two? " * 50])
def test_a_path_that_is_not_there_is_no_name_either(source: str) -> None:
    with pytest.raises(UnknownNameError, match="is neither a file nor a problem set") as error:
        load_problems(source, split="train")
    assert ("known: aime24" in str(error.value)) is source.startswith("What")
    assert len(str(error.value)) < 300


def test_wrong_sources_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'gsm8k'"):
        load_problems("gsm8", split="train")
    with pytest.raises(ConfigError, match="jsonl:PATH"):
        load_problems("jsonl", split="train")
    with pytest.raises(DataError, match=r"no file nowhere\.jsonl"):
        load_problems("gsm8k:nowhere.jsonl", split="train")


def test_a_hub_out_of_reach_says_what_to_pass_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(DataError, match=r"no route\); pass a local file: math:PATH"):
        load_problems("math", split="test")


def test_a_bad_row_of_the_hub_is_set_aside(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    subject = [{"problem": "p", "solution": r"\boxed{1}"}, {"problem": "p", "solution": "no box"}]
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: subject)
    problems = load_problems("math", split="test")
    assert len(problems) == 7
    assert problems[0].id == "EleutherAI/hendrycks_math/algebra/test/0"
    assert "7 rows set aside; line 2: no 'answer'" in caplog.text


@needs_data
@pytest.mark.parametrize(("name", "num"), [("gsm8k/train", 7473), ("gsm8k/test", 1319)])
def test_the_whole_of_gsm8k(name: str, num: int) -> None:
    problems = load_problems(f"gsm8k:{DATA}/{name}.jsonl", split="train")
    assert len(problems) == num
    assert all(float(problem.answer or "") == int(float(problem.answer or "")) for problem in problems)


@needs_data
def test_the_whole_of_math_but_two_answers_out_of_their_braces(caplog: pytest.LogCaptureFixture) -> None:
    problems = load_problems(f"math:{DATA}/math_train.jsonl", split="train")
    assert len(problems) == 7498
    assert all(problem.answer and problem.solution for problem in problems)
    assert "2 rows set aside" in caplog.text


@needs_data
def test_the_boxes_of_math_are_its_answers(tmp_path: Path) -> None:
    path = DATA / "math500.jsonl"
    given = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    boxed = rows(tmp_path, *({key: value for key, value in row.items() if key != "answer"} for row in given))
    assert load_problems(f"math:{boxed}", split="test") == load_problems(f"math:{path}", split="test")


@needs_data
def test_gsm8k_repeats_itself_in_a_few_places() -> None:
    train, test = (load_problems(f"gsm8k:{DATA}/gsm8k/{name}.jsonl", split=name) for name in ("train", "test"))
    kept, counts = decontaminate(train, test)
    assert (len(kept), counts.shared_run) == (7469, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1 + 1?", "gave '1 [+] 1[?]': expected a list of Problem"),
        (None, "gave None: expected a list of Problem"),
        ((Problem(str(n), "?") for n in range(2)), "gave <generator .*: expected a list of Problem"),
        ([{"question": "1 + 1?"}], "problem 1 of 1: expected a Problem, found {'question'"),
        ([Problem("a", "?"), Problem(2, "?")], "problem 2 of 2: id: expected text, found 2"),  # type: ignore[arg-type]
        ([Problem("a", "?", 2)], "answer: expected text, found 2"),  # type: ignore[arg-type]
        ([Problem("a", " ")], "question: expected text, found blanks"),
        ([Problem("a", "x\ud800")], "question: half a surrogate pair at character 2"),
        ([Problem("a", "?", kind=None)], "kind: expected text, found None"),  # type: ignore[arg-type]
        ([Problem("a", "?"), Problem("b", "?"), Problem("a", "!")], "has several problems with the id 'a'"),
        (SystemExit(3), "raised SystemExit: 3"),
    ],
)
def test_a_problem_set_that_gives_something_else_is_named(
    monkeypatch: pytest.MonkeyPatch, given: object, message: str
) -> None:
    def load(**_: object) -> object:
        if isinstance(given, BaseException):
            raise given
        return given

    monkeypatch.setattr(PROBLEMS, "_table", {})
    PROBLEMS.register("odd")(load)
    with pytest.raises(DataError, match=f"^problem set 'odd'.*{message}"):
        load_problems("odd", split="train")
