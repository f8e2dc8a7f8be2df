"""Problems that a policy writes: every reply is kept, or left out for a reason, and writing resumes at any group."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.evaluation.decontamination import Twins
from presrm.problems.countdown import load_countdown, recognise
from presrm.prompts import Prompt, PromptSet
from presrm.types import Problem
from presrm.writing.instruct import Instruct
from presrm.writing.novelty import diversity, nearest, rouge_l, words_of
from presrm.writing.variants import Variants
from presrm.writing.writer import Writer, Written, explain, summarise

PROMPTS = PromptSet("compact")
SEEDS = [Problem(f"seed/{n}", f"Ann has {n} red pens and buys {n + 1}. How many has she?") for n in range(9)]
COLOURS = "red blue green black white pink brown grey yellow violet".split()


def policy(prompt: Prompt, rng: random.Random) -> str:
    """Writes stories whose words differ, and now and then what is no problem."""
    chance = rng.random()
    if chance < 0.2:
        return SEEDS[rng.randrange(9)].question
    if chance < 0.3:
        return "Draw a map of the town, and say how long the longest road is."
    words = rng.sample(COLOURS, 6)
    return (
        f"{words[0].title()} {words[1]} {words[2]} has {rng.randint(1, 99)} {words[3]} and {words[4]} {words[5]}. Sum?"
    )


def writer(num: int = 12, **changes: object) -> Writer:
    made = Writer(
        Instruct(PROMPTS, 1),
        SEEDS,
        Twins([]).cause,
        None,
        name="self/2",
        seed=1,
        num=num,
        max_calls=60,
        group_size=5,
        max_likeness=0.7,
        words=(3, 40),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def write(made: Writer, reply: Callable[[Prompt, random.Random], str] = policy) -> list[Written]:
    return [row for group in made.write(ScriptedEngine(reply), []) for row in group]


def test_rouge_l_is_that_of_lin() -> None:
    """Lin (2004), section 3.1.1: "police kill the gunman" has 3 of 4 words of the reference in order, the other 2."""
    reference = words_of("police killed the gunman")

    assert rouge_l(reference, words_of("Police kill the gunman!")) == 0.75
    assert rouge_l(reference, words_of("the gunman kill police")) == 0.5
    assert rouge_l(reference, words_of("police killed the gunman in the street")) == pytest.approx(2 * 4 / (4 + 7))
    assert nearest(words_of("the gunman"), [reference], at_least=0.9) == 0
    assert diversity([reference, reference]) == 0
    assert diversity([reference]) is None


def test_what_is_kept_is_new_and_everything_else_has_a_cause() -> None:
    rows = write(writer())

    kept = [row.problem for row in rows if row.problem]
    assert len(kept) == 12
    assert all((row.problem is None) == (row.cause is not None) for row in rows)
    assert {"near_duplicate", "keyword"} <= {row.cause for row in rows}
    texts = [words_of(one.question) for one in (*SEEDS, *kept)]
    assert all(rouge_l(texts[i], texts[j]) < 0.7 for i in range(9, len(texts)) for j in range(i))
    summary = summarise(rows)
    assert summary["kept"] + sum(summary["causes"].values()) == summary["written"] == len(rows)
    assert "12 problems of" in explain(summary)
    assert "too like an earlier one" in explain(summary)


def test_eight_problems_are_shown_two_of_them_its_own_once_it_has_some() -> None:
    rows = write(writer())

    own = [sum(name.startswith("self/") for name in row.made_from) for row in rows]
    assert {len(row.made_from) for row in rows} == {8}
    assert own[:5] == [0] * 5
    assert set(own[5:]) == {2}


def test_writing_resumes_at_any_group() -> None:
    whole = write(writer())
    ends = [i for i in range(1, len(whole)) if whole[i].call % 5 == 0 and whole[i].call != whole[i - 1].call]
    assert ends
    for end in ends:
        rest = [row for group in writer().write(ScriptedEngine(policy), whole[:end]) for row in group]
        assert whole[:end] + rest == whole


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "too_short"),
        ("word " * 41, "too_long"),
        ("What does the picture above show of it?", "keyword"),
        (SEEDS[3].question, "near_duplicate"),
        ("Why does the sky look blue at noon?", "same_question"),
        ("x" * 300, "cut_off"),
    ],
)
def test_what_is_left_out_and_why(text: str, cause: str) -> None:
    held_out = Twins([Problem("h", "why does the sky look BLUE at noon")])

    rows = write(writer(twin=held_out.cause, max_calls=1), lambda prompt, rng: text)

    assert [row.cause for row in rows] == [cause]


def test_a_policy_that_writes_nothing_new_ends_with_fewer() -> None:
    rows = write(writer(), lambda prompt, rng: "Some one and the same new problem for all?")

    assert len(rows) == 60
    assert sum(row.problem is not None for row in rows) == 1


def test_variants_of_variants_most_of_them_easier() -> None:
    way = Variants(PROMPTS, 1, num_variants=2, max_depth=2)
    rows = write(writer(num=60, way=way, max_calls=400))

    assert {row.depth for row in rows} == {1, 2}
    by_id = {row.problem.id: row.depth for row in rows if row.problem}
    assert all(row.depth == by_id.get(row.made_from[0], 0) + 1 for row in rows)
    easier = [row.how == "easier" for row in rows]
    assert 0.5 < sum(easier) / len(easier) < 0.9
    calls = {call: [row for row in rows if row.call == call] for call in {row.call for row in rows}}
    assert {len(of) for of in calls.values()} == {2}
    assert summarise(rows)["by_depth"].keys() == {"1", "2"}


def test_variants_say_what_they_are_to_be_and_by_whom() -> None:
    way = Variants(
        PROMPTS, 1, transformations={"easier": ("with less",), "equivalent": ("otherwise",)}, personas=("p",)
    )

    asks = [way.ask(call, SEEDS, []) for call in range(40)]

    assert {(ask.how, "with less, p" in ask.prompt.text, "otherwise, p" in ask.prompt.text) for ask in asks} == {
        ("easier", True, False),
        ("equivalent", False, True),
    }
    assert [ask.sampling.temperature for ask in asks[:5]] == [0.8, 1.0, 1.2, 1.4, 0.8]


def test_problems_of_a_kind_that_can_be_read_are_checked_to_be_solvable_and_new() -> None:
    seeds = load_countdown(num=4, num_numbers=(3,))
    form = seeds[0].question
    numbers = form.split("numbers ")[1].split(" exactly")[0]
    target = form.split("equals ")[1].split(".")[0]
    texts = [
        form.replace(numbers, "2, 3, 4").replace(f"equals {target}", "equals 24"),
        form.replace(numbers, "4, 3, 2").replace(f"equals {target}", "equals 24"),  # the same puzzle
        form.replace(numbers, "1, 1, 1").replace(f"equals {target}", "equals 99"),  # has no solution
        form.replace("exactly once", "as often as you like"),
        form,  # a seed
    ]
    replies = iter(texts)

    rows = write(
        writer(num=2, seeds=seeds, recognise=recognise, max_calls=5, group_size=1), lambda prompt, rng: next(replies)
    )

    assert [row.cause for row in rows] == [None, "duplicate", "unsolvable", "ill_formed", "duplicate"]
    (kept,) = (row.problem for row in rows if row.problem)
    assert (kept.id, kept.kind) == ("countdown:2,3,4=24", "countdown")
    assert kept.answer == '{"numbers": [2, 3, 4], "target": 24}'
