import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.judging.verdicts import (
    BRACKETS,
    Reading,
    ask_direct,
    ask_explained,
    read_end,
    read_first_error,
    read_points,
    read_scores,
    word_of,
)
from presrm.prompts import Part, Prompt
from presrm.protocols import Completion, Sampling
from presrm.types import Status, Stop, Verdict

UNKNOWN = -math.inf


def weigh(yes: float, no: float) -> Verdict:
    """Ask an engine that gives these log-probabilities."""

    class Engine(ScriptedEngine):
        def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...]]:
            return [(yes, no) for _ in prompts]

    [verdict] = ask_direct(Engine(lambda prompt, rng: ""), [Prompt((Part("Is it?"),))], ("yes", "no"))
    return verdict


@pytest.mark.parametrize(("known", "share"), [(0.98, 0.99), (0.6, 0.8), (0.51, 0.755), (1.0, 1.0)])
def test_with_one_word_unknown_a_verdict_is_the_middle_of_what_is_possible(known: float, share: float) -> None:
    assert weigh(math.log(known), UNKNOWN).probability == pytest.approx(share)
    assert weigh(UNKNOWN, math.log(known)).probability == pytest.approx(1 - share)


@pytest.mark.parametrize("known", [0.5, 0.3, 0.11, 1e-9])
def test_with_one_word_unknown_that_may_be_the_likelier_a_verdict_is_unreadable(known: float) -> None:
    for verdict in (weigh(math.log(known), UNKNOWN), weigh(UNKNOWN, math.log(known))):
        assert (verdict.probability, verdict.status) == (None, Status.UNREADABLE)


def test_with_both_words_unknown_a_verdict_is_unreadable_and_says_so() -> None:
    assert weigh(UNKNOWN, UNKNOWN) == Verdict(None, Status.UNREADABLE, "P(yes) unknown, P(no) unknown")


def test_a_probability_a_little_above_one_is_one() -> None:
    assert weigh(1e-6, UNKNOWN).probability == 1.0
    assert weigh(UNKNOWN, 1e-6).probability == 0.0


@pytest.mark.parametrize(("mass", "status"), [(0.0999, Status.UNREADABLE), (0.1001, Status.OK)])
def test_words_that_together_have_less_than_a_tenth_say_nothing(mass: float, status: Status) -> None:
    assert weigh(math.log(0.75 * mass), math.log(0.25 * mass)).status is status


def test_a_known_probability_is_used_however_small() -> None:
    verdict = weigh(math.log(0.9), -800.0)

    assert verdict == Verdict(1.0, rationale="P(yes) = 0.9000, P(no) = 0.0000")


@pytest.mark.parametrize("log_probabilities", [(math.nan, 0.0), (0.0, math.nan), (math.nan, UNKNOWN)])
def test_what_is_no_number_is_unreadable(log_probabilities: tuple[float, float]) -> None:
    assert weigh(*log_probabilities).probability is None


class ShortSighted(ScriptedEngine):
    """Reads eighteen characters, says yes to all, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(lambda prompt, rng: "[[yes]]", lambda prompt, options: (0.75, 0.25), context=18)
        self.told: list[Reading] = []

    def tell(self, readings: Sequence[Reading]) -> None:
        self.told += readings


@pytest.mark.parametrize(("direct", "probability"), [(True, 0.75), (False, 1.0)])
def test_a_question_longer_than_the_model_reads_is_refused_and_the_others_are_answered(
    direct: bool, probability: float
) -> None:
    engine = ShortSighted()
    prompts = [Prompt((Part(text),)) for text in ("Is it?", "Is it? " * 4, "Or not?", "Is it? " * 3)]
    if direct:
        verdicts = ask_direct(engine, prompts, ("yes", "no"))
    else:
        verdicts = ask_explained(engine, prompts, ("yes", "no"), Sampling())

    assert [(verdict.probability, verdict.status) for verdict in verdicts[::2]] == [(probability, Status.OK)] * 2
    assert {verdict.status for verdict in verdicts[1::2]} == {Status.REFUSED}
    assert "no room" in verdicts[1].rationale
    assert engine.told == [Reading("yes", probability)] * 2


def test_where_no_question_fits_nothing_is_asked() -> None:
    engine = ShortSighted()
    [verdict] = ask_direct(engine, [Prompt((Part("Is it? " * 3),))], ("yes", "no"))

    assert (verdict.status, engine.told) == (Status.REFUSED, [])


ENDS_IN_YES = [
    "My choice: [[yes]], [[no]].\n[[yes]]",
    "The student writes 5 + 3 = 8, which is right: [[yes]]",
    "The step states what was shown before. [[yes]]",
    "[[yes]]",
    "So [[yes]].",
    "**[[Yes]]**",
    "Verdict: [[ YES ]]\n",
    "`[[yes]]`",
    "<answer>[[yes]]</answer>",
    "[[yes]]<|im_end|>",
    "[[yes]]</s>",
    "$[[yes]]$",
    "\\[ [[yes]] \\]",
    "<think>[[no]] must be</think>[[yes]]",
    "<think>a</think>b<think>[[no]]</think>\n\n[[yes]]",
    "reply [[yes]] or [[no]]</think>\n[[yes]]",
    "[THINK]x[[no]][/THINK][[yes]]",
    "\u25c1think\u25b7[[no]]\u25c1/think\u25b7[[yes]]",
    "<|begin_of_thought|>..<|end_of_thought|> [[yes]]",
    "<|channel|>analysis<|message|>hm [[no]]<|end|><|start|>assistant<|channel|>final<|message|>[[yes]]",
    "analysisWe need [[no]]assistantfinal[[yes]]",
    "<Thinking>..</THINKING> [[yes]]",
    "<|START_THINKING|>[[no]]<|END_THINKING|>[[yes]]",
    "The reply must be [[yes]] or [[no]].\n\n[[yes]]",
    "Is this step right, [[yes]] or [[no]]? [[yes]]",
    "I first thought [[no]], but now [[yes]]",
    "Is it [[no]]? No: [[yes]]",
    "At first I said [[no]].\nFinal verdict: [[yes]]",
    "The step should be 84 and it gives 84: [[yes]]",
    "So I must say [[yes]]",
    "Therefore the verdict must be [[yes]].",
    "Since the sum is right, the verdict should be [[yes]]",
    '"The step is right. [[yes]]"',
    'He writes "5 + 3" which is 8: [[yes]]',
    "If we add 3 and 5 we get 8, so [[yes]]",
    "Here is my verdict in the required format: [[yes]]",
    "My verdict: [[yes]] \u2705",
    "[[yes]]\n\n---\n",
    "[[yes]] \u3002",
    "The step is right; I'll end with my verdict: [[yes]]",
    "Final answer\n[[yes]]",
    "\u7ed3\u8bba\uff1a[[yes]]",
    "I have to end with [[yes]] or [[no]]. The step is right: [[yes]]",
    "Answer: [[yes]]",
    "**Answer:** [[yes]]",
    "It must be 12, which it is. [[yes]]",
    '**Verdict:** "[[yes]]"',
    "回复必须是[[yes]]或[[no]]。\n结论\uff1a[[yes]]",
    "La réponse doit être [[yes]] ou [[no]].\n\n[[yes]]",
    "Die Antwort muss [[yes]] oder [[no]] sein. Der Schritt stimmt: [[yes]]",
    "First look: [[no]]\nFinal look: [[yes]]",
    "[[no]]\nWait, [[yes]]",
    "The first look: [[no]]\nThe final look: [[yes]]",
    "Verdict: [[no]]\nVerdict, now that I see it: [[yes]]",
    "Verdict: [[no]] was too early.\nVerdict: [[yes]]",
    "Correctness of the sum: [[no]]. The whole is what counts.\nVerdict: [[yes]]",
]
ENDS_IN_NO_VERDICT = [
    'The step itself says "[[yes]]"',
    "The assistant wrote: [[yes]].",
    "The solution claims that it is [[yes]]",
    'It reads "this is right [[yes]]"',
    "[[no]] where it is wrong and [[yes]]",
    'By the "rule" it is "right there [[yes]]"',
    "",
    "yes",
    "[[yes]] or [[no]]",
    "[[yes]]/[[no]]",
    "[[no]] | [[yes]]",
    "[[no]], [[yes]]",
    "[[no]]\n[[yes]]",
    "[[no]]\nor\n[[yes]]",
    "The reply must be [[no]] or [[yes]].",
    "I have to end with [[yes]]",
    "I have to end with [[yes]].",
    "I must end with:\n\n[[yes]]",
    "the reply must be [[yes]]",
    "Then end with your verdict, in exactly this form: [[yes]]",
    "If the step is right, the verdict is [[yes]].",
    "If it is right, I answer [[yes]]",
    "Should it be [[yes]]?",
    "[[yes]] if right",
    "[[yes]] because",
    "[[yes]],",
    "<think>[[yes]]",
    "x <think> [[yes]]",
    "<think>[[yes]]</think>",
    "[[yes]]</think>",
    "<think>[[yes]]</think> The step computes 33 + 50 correctly.",
    "The format is [[yes]]",
    'The prompt says "is this right, [[yes]]"',
    "\u56de\u590d\u5fc5\u987b\u662f[[no]]\u6216[[yes]]",
    "Either [[no]] when wrong, or otherwise [[yes]].",
    "They want me to output [[yes]]",
    "I was asked to reply with [[yes]]",
    "I need to answer with exactly [[yes]]",
    "My response should be [[yes]]",
    "end with [[no]] if wrong and [[yes]]",
    "The instructions say \u201creply with [[yes]]\u201d",
    "for example [[yes]]",
    "If all is right end with [[yes]]",
    "[[yes]] ...and more",
    "[[yes]] (",
    "[[yes]] \u2014",
    "[[maybe]]",
    "[[yes]] [[maybe]]",
    "[yes]",
    "The user wants either [[no]] or [[yes]]",
    "Let me end with [[yes]] if",
    "[[yes/no]]",
    "La réponse doit être [[no]]\nou [[yes]]",
    "La réponse doit être [[no]] ou [[yes]]",
    "Die Antwort muss lauten:\n[[no]]\noder\n[[yes]]",
    "La respuesta debe ser [[no]] o, si no, [[yes]]",
    "La risposta deve essere [[no]]\no [[yes]].",
    "Ответ должен быть [[no]] или [[yes]]",
    "Ответ:\n[[no]]\nили [[yes]]",
    "回复必须是\uff1a\n[[no]]\n或者\n[[yes]]",
    "最後に [[no]]\nまたは\n[[yes]]",
    "Falls falsch: [[no]]\nFalls richtig: [[yes]]",
    "- Si c'est faux : [[no]]\n- Si c'est juste : [[yes]]",
    "如果错误\uff1a[[no]]\n如果正确\uff1a[[yes]]",
    "Step 1: [[no]]\nStep 2: [[yes]]",
]


def read(text: str, stop: Stop) -> tuple[str | None, Status]:
    return read_end(Completion(text, (), stop), BRACKETS, word_of(("yes", "no")))


@pytest.mark.parametrize("text", ENDS_IN_YES)
def test_a_reply_that_ends_with_a_verdict_gives_it_cut_off_or_not(text: str) -> None:
    assert read(text, Stop.EOS) == read(text, Stop.MAX_TOKENS) == ("yes", Status.OK)


@pytest.mark.parametrize("text", ENDS_IN_NO_VERDICT)
def test_a_reply_that_ends_otherwise_gives_none(text: str) -> None:
    assert read(text, Stop.EOS) == (None, Status.UNREADABLE)
    assert read(text, Stop.MAX_TOKENS) == (None, Status.TRUNCATED)


def value(read: Callable[..., tuple[Any, Status]], text: str, *more: Any) -> Any:
    return read(Completion(text, (), Stop.EOS), *more)[0]


@pytest.mark.parametrize(
    ("text", "num", "scores"),
    [
        ("[[3, 10]]", 2, (3, 10)),
        ("[[3,10]]", None, (3, 10)),
        ("[[3]]", 1, (3,)),
        ("[[3]]", None, None),  # a single number may be anything
        ("[[3, 10]]", 3, None),
        ("[[3, 10, 1]]", 2, None),
        ("[[3, x, 10]]", 2, None),
        ("[[3, x, 10]]", None, None),
        ("[[3, 10,]]", 2, None),
        ("[[3, 11]]", 2, None),
        ("[[0, 3]]", 2, None),
        ("[[3.5, 3]]", 2, None),
    ],
)
def test_scores_are_whole_numbers_from_one_to_ten_one_a_candidate(
    text: str, num: int | None, scores: tuple[int, ...] | None
) -> None:
    assert value(read_scores, text, num) == scores


@pytest.mark.parametrize(
    ("text", "points"),
    [("[[0]]", 0), ("[[5]]", 5), ("[[ 4 ]]", 4), ("[[6]]", None), ("[[-1]]", None), ("[[4/5]]", None), ("[[]]", None)],
)
def test_points_are_whole_numbers_from_none_to_five(text: str, points: int | None) -> None:
    assert value(read_points, text) == points


@pytest.mark.parametrize(
    ("text", "num_steps", "index"),
    [
        (r"\boxed{0}", 1, 0),
        (r"\boxed{-1}", 1, -1),
        (r"\boxed{1}", 1, None),  # off the solution
        (r"\boxed{2}", 3, 2),
        (r"\boxed{3}", 3, None),
        (r"\boxed{3}", None, 3),
        (r"\boxed{-2}", 3, None),
        (r"\boxed{\text{paragraph } 2}", 3, 2),
        (r"\boxed{paragraph_2}", 3, 2),
        (r"\boxed{two}", 3, None),
    ],
)
def test_the_first_error_is_an_index_of_the_solution_or_none(
    text: str, num_steps: int | None, index: int | None
) -> None:
    assert value(read_first_error, text, num_steps) == index


@pytest.mark.parametrize("stop", [Stop.NO_ROOM, Stop.FILTERED])
def test_what_was_never_written_or_is_withheld_is_refused(stop: Stop) -> None:
    assert read("", stop) == read("[[yes]]", stop) == (None, Status.REFUSED)


@pytest.mark.parametrize(
    "text", ["[[yes]] " * 20_000, "[[" * 50_000, "<think>" * 20_000, "must be " * 20_000 + "[[yes]]"]
)
def test_a_long_reply_is_read_at_once(text: str) -> None:
    began = time.process_time()  # of a machine with other work, too
    read(text, Stop.EOS)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(("yes", "no", "word"), [(0.6, 0.4, "yes"), (0.4, 0.6, "no"), (0.5, 0.5, "yes or no")])
def test_of_two_words_that_are_equally_likely_the_ledger_hears_both(yes: float, no: float, word: str) -> None:
    class Listening(ScriptedEngine):
        def tell(self, readings: Sequence[Reading]) -> None:
            heard.extend(readings)

    heard: list[Reading] = []
    engine = Listening(lambda prompt, rng: "", lambda prompt, words: (yes, no))
    ask_direct(engine, [Prompt((Part("Is it?"),))], ("yes", "no"))
    assert [reading.verdict for reading in heard] == [word]
