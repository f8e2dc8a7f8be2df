import math
from collections.abc import Sequence

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.judging.verdicts import Reading, ask_direct, ask_explained
from presrm.prompts import Part, Prompt
from presrm.protocols import Sampling
from presrm.types import Status, Verdict

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
