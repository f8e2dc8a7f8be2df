import math
from collections.abc import Sequence

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import Part, Prompt
from presrm.types import Status
from presrm.verdicts import Verdict, ask_direct

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


def test_a_known_probability_is_used_however_small() -> None:
    verdict = weigh(math.log(0.9), -800.0)

    assert verdict == Verdict(1.0, rationale="P(yes) = 0.9000, P(no) = 0.0000")


@pytest.mark.parametrize("log_probabilities", [(math.nan, 0.0), (0.0, math.nan), (math.nan, UNKNOWN)])
def test_what_is_no_number_is_unreadable(log_probabilities: tuple[float, float]) -> None:
    assert weigh(*log_probabilities).probability is None
