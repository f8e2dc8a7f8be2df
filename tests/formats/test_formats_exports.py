"""What is written for a trainer, our reader takes back as the same pair."""

from dataclasses import replace

import pytest

from presrm.errors import DataError
from presrm.formats.exports import WRITERS, ends_inside
from presrm.formats.pairs import Terminal, pair_of
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

PREFIX = Trajectory(Problem("p", "1 + 1 + 1?"), (Step("1 + 1 = 2\n"),))
PAIR = PreferencePair("p/1", PREFIX, Step("2 + 1 = 3\n"), Step("2 + 1 = 4\n"), 0.5)
TURNS = replace(PREFIX, problem=Problem("p", "1 + 1 + 1?", system="In French.", history=(("Hi.", "Hello."),)))


@pytest.mark.parametrize("name", WRITERS)
def test_a_pair_comes_back(name):
    back = pair_of(WRITERS[name](PAIR), 1, Terminal.NEVER)
    assert back.prefix.problem.question == "1 + 1 + 1?"
    for side in ("chosen", "rejected"):
        whole = PREFIX.text + getattr(PAIR, side).text
        assert back.prefix.text + getattr(back, side).text == whole
    assert back.prefix.text == (PREFIX.text if name == "step-dpo" else "")


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"step-dpo"}))
def test_system_and_earlier_turns_come_back(name):
    back = pair_of(WRITERS[name](replace(PAIR, prefix=TURNS)), 1, Terminal.NEVER).prefix.problem
    assert (back.question, back.system, back.history) == ("1 + 1 + 1?", "In French.", (("Hi.", "Hello."),))


def test_what_step_dpo_has_no_place_for_is_told():
    with pytest.raises(DataError, match="pair p/1: Step-DPO has no place"):
        WRITERS["step-dpo"](replace(PAIR, prefix=TURNS))


@pytest.mark.parametrize(
    ("chosen", "rejected", "is_inside"),
    [(None, None, True), (Stop.EOS, None, True), (Stop.EOS, Stop.EOS, False), (Stop.ANSWER, Stop.EOS, False)],
)
def test_a_step_that_does_not_end_its_solution_is_counted(chosen, rejected, is_inside):
    pair = replace(PAIR, chosen=replace(PAIR.chosen, stop=chosen), rejected=replace(PAIR.rejected, stop=rejected))
    assert ends_inside(pair) is is_inside
