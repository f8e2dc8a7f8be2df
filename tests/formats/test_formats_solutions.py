"""Rows of four formats become a question, its steps, and the first wrong one where the row says it."""

import json
from copy import deepcopy
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import DataError
from presrm.formats.solutions import find_first_error, read_solution, reference_of, solution_text, with_question
from presrm.formats.step_labels import read_step_labels
from presrm.types import Judgement, Status

SHARED = Path(__file__).parents[3] / "shared" / "data" / "steps"
RIGHT, WRONG, UNREADABLE = Judgement(0.5), Judgement(0.49), Judgement(None, Status.TRUNCATED)


class LineSplitter:
    stop = ("\n",)

    def split(self, text):
        return text.splitlines(keepends=True)


def read(row):
    return read_solution(row, LineSplitter())


def level(*ratings, chosen=0, human=None):
    completions = [{"text": f"rated {rating}", "rating": rating, "flagged": None} for rating in ratings]
    return {"completions": completions, "chosen_completion": chosen, "human_completion": human}


def prm800k(*levels, reason="solution"):
    return {
        "question": {"problem": "q", "ground_truth_answer": "3"},
        "label": {"steps": levels, "finish_reason": reason},
    }


MATH_SHEPHERD = {
    "input": "1 + 1 + 1? Step 1: 1 + 1 = 2 ки\nStep 2: 2 + 1 = 4 ки\nStep 3: The answer is: 4 ки",
    "label": "1 + 1 + 1? Step 1: 1 + 1 = 2 +\nStep 2: 2 + 1 = 4 -\nStep 3: The answer is: 4 +",
    "task": "GSM8K",
}


@pytest.mark.parametrize(
    ("judgements", "first_error"),
    [
        ([RIGHT, RIGHT], -1),
        ([RIGHT, WRONG, WRONG], 1),
        ([WRONG, UNREADABLE], 0),
        ([RIGHT, UNREADABLE, WRONG], None),
        ([RIGHT, UNREADABLE], None),
    ],
)
def test_first_error(judgements, first_error):
    assert find_first_error(judgements) == first_error


def test_threshold_divides_right_from_wrong():
    assert find_first_error([Judgement(0.7)], threshold=0.8) == 0


@pytest.mark.parametrize("question", ["problem", "question", "prompt"])
@pytest.mark.parametrize("solution", ["solution", "completion", "response"])
def test_text_is_split_and_lists_are_taken(question, solution):
    from_text = read({question: "q", solution: "a\nb"})
    from_list = read({question: "q", "steps": ["a\n", "b"]})
    assert from_text.steps == from_list.steps == ("a\n", "b")


def test_the_solution_text_of_a_row_stands_under_one_of_three_keys():
    assert solution_text({"completion": "a", "response": "b"}) == "a"
    with pytest.raises(DataError, match="'solution', 'completion', 'response'"):
        solution_text({"question": "q", "answer": "4"})


def test_the_steps_of_any_format_join_to_a_solution():
    assert solution_text({"question": "q", "steps": ["a", "b\n\n", "c"]}) == "a\nb\n\nc"
    assert solution_text({"question": "q", "solution": "whole", "steps": ["a"]}) == "whole"


GSM8K = {"question": "1 + 1 + 1?", "answer": "1 + 1 = <<1+1=2>>2\n2 + 1 = 3\n#### 3"}


def test_the_answer_of_gsm8k_is_a_solution_and_a_reference():
    assert read(GSM8K).steps == ("1 + 1 = <<1+1=2>>2\n", "2 + 1 = 3\n", "#### 3")
    assert reference_of(GSM8K) == "3"
    assert solution_text({**GSM8K, "response": "4"}) == "4"


@pytest.mark.parametrize("answer", ["3", "#### 3", "a\n#### Step 2: b\nc", None, 3])
def test_an_answer_that_is_no_worked_solution_is_none(answer):
    with pytest.raises(DataError, match="expected a solution"):
        solution_text({"question": "q", "answer": answer})


def test_a_question_is_given_only_to_rows_that_have_none():
    assert with_question({"solution": "s"}, "q") == {"question": "q", "solution": "s"}
    assert with_question({"solution": "s"}, None) == {"solution": "s"}
    for row in ({"prompt": "p"}, {"question": {"problem": "p"}}, {"input": "p"}):
        assert with_question(row, "q") is row


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "steps": ["a", "b\n\n", "c"]},
        {"input": "q", "steps": ["a", "b\n\n", "c"], "mistake_index": None},
    ],
)
def test_steps_of_a_list_are_not_shown_run_together(row):
    last = read(row).candidates("p")[-1]
    assert last.prefix.text == "a\nb\n\n"
    assert [step.text for step in last.steps] == ["c"]


def test_steps_that_a_splitter_cut_are_shown_as_they_are():
    class Halves:
        stop = ()

        def split(self, text):
            return [text[: len(text) // 2], text[len(text) // 2 :]]

    solution = read_solution({"question": "q", "solution": "abcd"}, Halves())
    assert [item.prefix.text + item.steps[0].text for item in solution.candidates("p")] == ["ab", "abcd"]


@pytest.mark.parametrize(
    ("given_id", "problem_id"),
    [
        ("gsm8k-1", "gsm8k-1"),
        (None, "line 3"),
        ("  ", "line 3"),
        (7, "line 3"),
        (["a"], "line 3"),
        ("\ud800", "line 3"),
    ],
)
def test_a_problem_is_called_as_its_row_or_else_by_its_line(given_id, problem_id):
    (item,) = read({"id": given_id, "question": "q", "steps": ["a"]}).candidates("line 3")
    assert item.prefix.problem.id == problem_id


@pytest.mark.parametrize(("index", "label"), [(None, -1), (0, 0), (1, 1), (-1, -1)])
def test_bigbench_mistake_says_null_where_nothing_is_wrong(index, label):
    solution = read({"input": "1 + 1 =", "steps": ["a", "b"], "answer": "2", "target": "2", "mistake_index": index})
    assert (solution.question, solution.steps, solution.label) == ("1 + 1 =", ("a", "b"), label)


def test_bigbench_mistake_without_the_index_is_not_labelled():
    assert read({"input": "1 + 1 =", "steps": ["a"]}).label is None


@pytest.mark.parametrize(
    ("row", "steps", "label"),
    [
        (prm800k(level(1), level(0)), "rated 1, rated 0", -1),
        (prm800k(level(1), level(0, 1, chosen=1)), "rated 1, rated 1", -1),
        (prm800k(level(1), level(-1, 0, chosen=None), reason="found_error"), "rated 1, rated -1", 1),
        (prm800k(level(1), level(-1, chosen=None), level(1), reason=None), "rated 1, rated -1", 1),
        (prm800k(level(-1), level(1), level(-1)), "rated -1, rated 1, rated -1", 0),
        (
            prm800k(level(-1, -1, chosen=None, human={"text": "by hand", "rating": None}), level(1)),
            "by hand, rated 1",
            -1,
        ),
    ],
    ids=["all right", "an alternative", "found error", "nothing behind", "goes on", "by hand"],
)
def test_prm800k_is_the_path_of_the_choices(row, steps, label):
    solution = read(row)
    assert (solution.question, ", ".join(solution.steps), solution.label) == ("q", steps, label)


@pytest.mark.parametrize(
    "row",
    [
        prm800k(level(1), level(None), level(1)),
        prm800k(level(1), level(None), level(-1)),
        prm800k(level(1), level(0, 1, chosen=None)),
        prm800k(level(1), level(1), reason="give_up"),
        prm800k(level(1), level(1), reason="bad_problem"),
        prm800k(level(1), {"completions": None}),
    ],
    ids=["not rated", "not rated before an error", "no choice", "given up", "bad problem", "nothing"],
)
def test_prm800k_that_was_not_labelled_through_is_unknown_and_not_right(row):
    assert read(row).label is None


def test_an_error_found_before_the_labeller_gave_up_is_known():
    assert read(prm800k(level(1), level(-1), reason="give_up")).label == 1


def test_math_shepherd_has_a_sign_behind_every_step():
    solution = read(MATH_SHEPHERD)
    assert solution.question == "1 + 1 + 1?"
    assert solution.steps == ("Step 1: 1 + 1 = 2", "Step 2: 2 + 1 = 4", "Step 3: The answer is: 4")
    assert solution.label == 1
    assert solution.candidates("p")[2].prefix.text == "Step 1: 1 + 1 = 2\nStep 2: 2 + 1 = 4\n"


@pytest.mark.parametrize(("signs", "label"), [("++", -1), ("+-", 1), ("-+", 0), ("+", None), ("-", 0)])
def test_math_shepherd_cut_off_before_a_mark_is_known_only_where_an_error_was_found(signs, label):
    texts = ["Step 1: a ", "\nStep 2: b "]
    row = {
        "input": "q " + "".join(text + "ки" * (i < len(signs)) for i, text in enumerate(texts)),
        "label": "q " + "".join(text + signs[i : i + 1] for i, text in enumerate(texts)),
    }
    solution = read(row)
    assert len(solution.steps) == 2
    assert solution.label == label


SIGNS = st.lists(st.tuples(st.text("ab +-\nки1", max_size=8), st.sampled_from("+-")), min_size=1, max_size=5)


@given(SIGNS)
def test_math_shepherd_comes_back_as_it_was_put_together(steps):
    texts = [f"Step {i + 1}: {text.replace('к', '').strip()}" for i, (text, _) in enumerate(steps)]
    signs = "".join(sign for _, sign in steps)
    row = dict.fromkeys(("input", "label"), "q ")
    for text, sign in zip(texts, signs, strict=True):
        row["input"] += f"{text} ки\n"
        row["label"] += f"{text} {sign}\n"
    read = read_step_labels(row)
    assert (read.question, read.steps) == ("q", tuple(text.strip() for text in texts))
    assert read.are_right == tuple(sign == "+" for sign in signs)


def changed(row, *keys, value):
    row = deepcopy(row)
    inner = row
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return row


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([1], "object"),
        ({"solution": "a"}, "question"),
        ({"question": " ", "solution": "a"}, "question"),
        ({"question": ["q"], "solution": "a"}, "question"),
        ({"question": "q"}, "'solution', 'completion', 'response'"),
        ({"question": "q", "solution": ["a"]}, "solution"),
        ({"question": "q", "steps": "a"}, "list of texts"),
        ({"question": "q", "steps": ["a", 1]}, "list of texts"),
        ({"question": "q", "steps": []}, "no steps"),
        ({"question": "q", "steps": ["\ud83d"]}, "surrogate"),
        ({"question": "\udc00", "steps": ["a"]}, "surrogate"),
        ({"question": "q", "steps": ["a"], "label": 1}, "of 1 steps, or -1"),
        ({"question": "q", "steps": ["a"], "label": -2}, "of 1 steps, or -1"),
        ({"question": "q", "steps": ["a"], "label": True}, "label True"),
        ({"question": "q", "steps": ["a"], "label": 0.0}, "label 0.0"),
        ({"question": "q", "steps": ["a"], "label": "0"}, "label '0'"),
        ({"input": 1, "steps": ["a"], "mistake_index": 0}, "input: expected text, found a number"),
        ({"input": "q", "steps": None, "mistake_index": 0}, "list of texts"),
        ({"input": "q", "steps": ["a"], "mistake_index": 1}, "label 1: .* of 1 steps"),
        ({"input": "q", "steps": ["a"], "mistake_index": "0"}, "label '0'"),
        ({"input": "q"}, "question"),
        (prm800k(), "no steps"),
        (changed(prm800k(level(1)), "question", "problem", value=None), "question.problem: .*PRM800K"),
        (changed(prm800k(level(1)), "question", "problem", value=" "), "question: expected text, found blanks"),
        (changed(prm800k(level(1)), "label", value=-1), "label: .*PRM800K"),
        (prm800k(level(2)), "label.steps.0.completions.0.rating: .*PRM800K"),
        (prm800k(level(1, chosen=1)), "no completion 1"),
        (prm800k(level(1, chosen=-1)), "no completion -1"),
        (changed(prm800k(level(1)), "label", "steps", 0, "completions", 0, "text", value="\ud800"), "surrogate"),
        (MATH_SHEPHERD | {"label": 1}, "label: expected text, found a number"),
        (MATH_SHEPHERD | {"input": "no steps"}, "Step 1:"),
        ({"input": "q Step 1: a", "label": "q Step 1: a"}, "input: expected .*behind each step"),
        (MATH_SHEPHERD | {"label": MATH_SHEPHERD["input"]}, r"label: expected the input with \+ or -"),
        (MATH_SHEPHERD | {"label": MATH_SHEPHERD["label"][:-1]}, r"label: expected the input with \+ or -"),
        (MATH_SHEPHERD | {"label": MATH_SHEPHERD["label"] + "+"}, r"label: expected the input with \+ or -"),
        ({"input": "q Step 1: \ud800 ки", "label": "q Step 1: \ud800 +"}, "surrogate"),
    ],
)
def test_a_row_that_cannot_be_judged_says_what_was_expected(row, reason):
    with pytest.raises(DataError, match=reason):
        read(row)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["problem", "question", "prompt", "solution", "steps", "label", "input", "mistake_index", "id"])


@given(st.dictionaries(KEYS, JSON | st.lists(st.text(max_size=3), max_size=3), max_size=5))
def test_any_row_is_read_or_refused(row):
    try:
        solution = read(row)
    except DataError:
        return
    assert solution.label is None or -1 <= solution.label < len(solution.steps)
    assert len(solution.candidates("p")) == len(solution.steps)


@pytest.mark.parametrize(
    ("name", "num", "num_clean"), [("processbench", 707, 293), ("bigbench_mistake_arithmetic", 300, None)]
)
def test_every_row_of_the_published_sets_is_read(name, num, num_clean):
    path = SHARED / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip("the step-labelled sets are not beside the checkout")
    with path.open("rb") as file:
        found = [read(json.loads(line)) for line in islice(file, 1000)]
    assert len({solution.id for solution in found}) == len(found) == num
    assert all(solution.label is not None for solution in found)
    assert num_clean is None or sum(solution.label == -1 for solution in found) == num_clean


@pytest.mark.parametrize(
    ("labels", "label"), [(None, None), ([True, False], 1), ([1, 1], -1), ([True, None], None), ([False], 0)]
)
def test_labels_beside_text_are_those_of_the_steps_that_the_splitter_cuts(labels, label):
    assert read({"question": "q", "solution": "a\nb", "labels": labels}).label == label


def test_labels_that_do_not_fit_what_the_splitter_cuts_are_refused():
    with pytest.raises(DataError, match="labels: expected one for each of 2 steps, found 3"):
        read({"question": "q", "solution": "a\nb", "labels": [True, True, True]})


def test_question_and_solution_may_be_messages():
    row = {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a\nb"}]}
    solution = read(row)
    assert (solution.question, solution.steps, solution.are_delimited) == ("q", ("a\n", "b"), True)
    with pytest.raises(DataError, match="completion: expected one assistant turn and no other, found user"):
        read(row | {"completion": row["prompt"]})
