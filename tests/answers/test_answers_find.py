from time import process_time

import pytest

from presrm.answers.clauses import state
from presrm.answers.find import after_hashes, after_phrases, find_answer, last_boxed
from presrm.answers.numbers import read_number


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"\boxed{1} or \boxed{ 2 }.", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed {\{1, 2\}}", r"\{1, 2\}"),
        (r"{ \boxed{3} left open", "3"),
        (r"\boxed{4} and \boxed{cut o", "4"),
        (r"\boxed{\boxed{6}}", "6"),
        (r"\boxed{}", ""),
        ("no box { }", None),
        (r"\boxed{never closed", None),
    ],
)
def test_the_last_closed_box_holds_the_answer(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_the_last_hashes_mark_the_answer() -> None:
    assert after_hashes("#### 4\nno:\n####  5 \nmore") == "5"
    assert after_hashes("### 4") is None


def test_a_heading_is_no_mark() -> None:
    assert after_hashes("#### Step 2: double it\n8 * 2 = 16") is None
    assert after_hashes("#### 8\n\n#### Check\nIt holds.") == "8"
    assert after_hashes("#### Final Answer\n16 cows, not 3") == "16 cows"
    assert after_hashes("#### Final Answer:\n16 cows, not 3") == "16 cows"
    assert after_hashes("#### Final Answer: 16") == "16"
    assert after_hashes("#### Final Answer:") is None
    assert after_hashes("It is\n#### New York\n") == "New York"


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"First \boxed{5}, now \boxed{7", "7"),
        (r"First \boxed{5}, now \boxed{", None),
        (r"First \boxed{5}, now \boxed{}.", None),
        (r"First \boxed{5}, now \boxed{}. So 7.", "7"),
        (r"\boxed{5}. The final answer is checked.", "5"),
        (r"\boxed{5}. The final answer is 7.", "7"),
        (r"\boxed{5}. The answer is 7 where x = 2.", "5"),  # nothing takes the box back
        ("#### 5\nThe answer is 7.", "5"),
        ("The answer is 7.\nIt was $x = 3$ and 4.", "7"),
        ("So $x = 3$ holds for 4.", "x = 3"),
        ("2x + 1", "2x + 1"),
        ("It is 7.<|im_end|>\n<|im_start|>user\nAnd 8?", "7"),
        ("<think>It is 7.</think>", "7"),
        ("<think>It is 7.", None),
        ("To find the answer:\n\n1. 4 * 3 = 12\n2. 12 - 5 = 7\n\nThere are **7** left.", "7"),
        ("She has 7 (3 + 4), not 8.", "7"),
        ("He is 5 feet 7 inches", "5 feet 7"),
        ("<|im_start|>assistant\n2x + 1", "2x + 1"),
        ("<|assistant|>It is 7.<|end|><|user|>And 8?", "7"),
        ("</s>It is 7.</s>And 8?", "7"),
        (r"So \boxed 7, as 3 + 4.", "7"),
        (r"So \boxed $$7$$", "7"),  # no box, but a formula
        (r"So \boxed7, as 3 + 4.", "7"),
        (r"So \boxed$-7$, as 3 - 10.", "-7"),
        (r"Put it into \boxed. So \boxed{7}, as in \boxed.", "7"),
        ("The answer is 5.\nQuestion: And 3 + 4? The answer is 7.", "5"),
        ("Question: And 3 + 4? The answer is 7.", "7"),
        ("<answer>5</answer> or <answer>7</answer>.", "7"),
        ("<answer>5</answer> and <answer> </answer>.", "5"),
        ("<think>It is 5.</think> <think>It is 6.</think> It is 7.", "7"),
        ("<think>It is 5.</think> It is 7. <think>Is it 6", "7"),
        ("The answer is 7. The solution is to add both.", "7"),
        ("It comes to 7. The result is what they wanted.", "7"),
        ("The answer is 7. The solution is 8.", "8"),
        (r"\boxed{1}, \boxed{2} and \boxed{3}.", "1, 2, 3"),
        (r"\boxed{1} is wrong, so \boxed{2} and \boxed{3}.", "2, 3"),
        ("Answer: we first add them all\nSo 3 + 4 = 7.", "7"),
    ],
)
def test_the_final_answer_is_found(solution: str, answer: str | None) -> None:
    assert find_answer(solution) == answer


def test_hashes_come_before_boxes_where_they_are_preferred() -> None:
    solution = "#### 5\n\\boxed{6}"
    assert (find_answer(solution), find_answer(solution, prefers_hashes=True)) == ("6", "5")


def test_a_label_is_followed_by_its_line() -> None:
    assert after_phrases("The answer isn't 5.\n**Answer:** 6, or so") == ["not 5.", "6, or so"]


FRAGMENTS = [
    "\\boxed{",
    "{",
    "}",
    "\\",
    "####",
    "#### a\n",
    "1,",
    "1/",
    "-",
    " ",
    "$",
    "9",
    ",\\!",
    "\n1",
    "(",
    "x (",
    "1 and ",
    "1 = ",
    "is ",
    "answer is ",
    "answer:\n",
    "answer 5, ",
    "\nquestion: ",
    "not 5 but ",
    "<think>",
    "<|",
    "<<",
    "**",
    "1=1 in ",
    "of ",
    "\\[",
]


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_hostile_text_is_read_in_linear_time(fragment: str) -> None:
    text = fragment * (300_000 // len(fragment))
    for read in (find_answer, last_boxed, after_hashes, after_phrases, state, read_number):
        began = process_time()
        read(f"1 {text}x")
        assert process_time() - began < 10


@pytest.mark.parametrize("text", ["#### ", "####", "---", "**", "$$", "Answer: $", "...", " \n"])
def test_marks_alone_are_no_answer(text: str) -> None:
    assert find_answer(text) is None


@pytest.mark.parametrize("text", ["x", "∞", "∅", "7"])
def test_a_single_sign_can_be_one(text: str) -> None:
    assert find_answer(text) == text
