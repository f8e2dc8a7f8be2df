"""Groups are cut by number and by work, and no clock has a say in it."""

import time

import pytest

from presrm.groups import Groups, seconds_spent


class Engine:
    """Says what its tokens take."""

    def __init__(self) -> None:
        self.tokens_read = self.tokens_generated = 0

    def seconds(self, tokens_read: int, tokens_generated: int) -> float:
        return tokens_read / 100 + tokens_generated / 10


def sized(seconds: float, largest: int = 64) -> Groups:
    """Groups after a first item that took so long."""
    clock = [0.0]
    groups = Groups(largest, lambda: clock[0])
    with groups.measured():
        clock[0] += seconds
    return groups


@pytest.mark.parametrize(("seconds", "size"), [(0.1, 64), (1.0, 60), (7.0, 8), (40.0, 1), (500.0, 1)])
def test_a_group_is_about_a_minute_of_work_and_never_more_than_the_largest(seconds: float, size: int) -> None:
    assert sized(seconds).next == size
    assert sized(seconds, largest=2).next == min(size, 2)


def test_what_took_no_work_says_nothing_so_the_next_trial_is_larger() -> None:
    groups = sized(0.0)
    assert (groups.next, groups.size) == (2, None)
    with groups.measured():
        pass
    assert (groups.next, groups.size) == (4, None)
    assert sized(0.0, largest=1).next == 1


def test_a_larger_trial_counts_by_its_items() -> None:
    clock = [0.0]
    groups = Groups(64, lambda: clock[0])
    with groups.measured():
        pass
    with groups.measured():
        clock[0] += 4.0
    assert groups.size == 30, "two items took four seconds"


def test_only_the_first_item_counts_and_a_recorded_size_is_kept() -> None:
    clock = [0.0]
    groups = Groups(64, lambda: clock[0], size=5)
    with groups.measured():
        clock[0] += 100
    assert groups.next == 5


def test_without_an_estimate_and_for_work_begun_without_a_size_groups_are_of_the_largest_size() -> None:
    assert Groups(64, lambda: None).next == 64
    assert Groups(64, lambda: 0.0, is_begun=True).next == 64


def test_the_work_of_an_engine_is_what_it_makes_of_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.tokens_read, engine.tokens_generated = 300, 20
    monkeypatch.setattr(time, "monotonic", lambda: 1 / 0)
    assert seconds_spent(engine) == 5.0
    assert seconds_spent(object()) is None
