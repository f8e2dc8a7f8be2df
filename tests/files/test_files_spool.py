from pathlib import Path

import pytest

from presrm.files import spool
from presrm.files.spool import Chosen, Spool
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory


def pair(number: int) -> PreferencePair:
    """With what is hard to write down: half a surrogate pair, a line end, ids, a number that has no end."""
    steps = (Step("\ud800 one\n", tokens=(1, 70_000)), Step("\u2028", stop=Stop.MAX_STEPS))
    prefix = Trajectory(Problem(f"p{number}", "1 + 1?", history=(("a", "b"),)), steps[: number % 3])
    return PreferencePair(f"p{number}/0", prefix, Step("2", stop=Stop.EOS), Step(f"{number}"), 1 / 3)


@pytest.fixture(params=[0, 3, 20_000], ids=lambda num: f"{num} held")
def pairs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Spool[PreferencePair]:
    monkeypatch.setattr(spool, "MOST_HELD", request.param)
    return Spool(PreferencePair, map(pair, range(8)))


def test_what_was_put_in_comes_out(pairs: Spool[PreferencePair]) -> None:
    expected = [pair(number) for number in range(8)]

    assert len(pairs) == 8
    assert list(pairs) == expected
    assert [pairs[number] for number in (7, 0, 4, -1, -8)] == [expected[number] for number in (7, 0, 4, -1, -8)]
    assert list(reversed(pairs)) == expected[::-1]
    assert pairs == expected
    assert pairs != expected[:7]
    assert pairs != [*expected[:7], pair(0)]
    with pytest.raises(IndexError):
        pairs[8]


def test_it_grows_while_it_is_read(pairs: Spool[PreferencePair]) -> None:
    assert pairs[5] == pair(5)
    pairs.append(pair(8))

    assert pairs[2] == pair(2)
    assert list(pairs) == [pair(number) for number in range(9)]


def test_parts_and_choices_are_views(pairs: Spool[PreferencePair]) -> None:
    assert pairs[2:4] == [pair(2), pair(3)]
    assert pairs[::-3] == [pair(7), pair(4), pair(1)]
    chosen = Chosen(pairs, (number for number in range(8) if number % 2))
    assert chosen == [pair(1), pair(3), pair(5), pair(7)]
    assert chosen[-1] == pair(7)
    assert chosen[1:3] == (pair(3), pair(5))


def test_no_more_is_held_than_may_be(pairs: Spool[PreferencePair]) -> None:
    assert len(pairs._held) == min(8, spool.MOST_HELD)
    assert (pairs._file is None) == (spool.MOST_HELD > 8)
    assert pairs[6] is not pairs[6] or spool.MOST_HELD > 8


def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_HELD", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert list(Spool(PreferencePair, map(pair, range(4)))) == [pair(number) for number in range(4)]
    assert list(tmp_path.iterdir()) == []
