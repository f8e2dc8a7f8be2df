"""What is done for a row of many steps grows with their number alone, not with its square."""

from presrm.formats.solutions import Solution
from presrm.judges.checker import CheckerJudge
from presrm.judging.coverage import longest_solutions
from presrm.types import Candidates, Problem, Step, Trajectory

NUM_STEPS = 400


class Counted(Problem):
    """A problem that counts how often it is looked up."""

    lookups = 0

    def __hash__(self) -> int:
        Counted.lookups += 1
        return hash(self.id)


def candidates(problem: Problem, num: int) -> list[Candidates]:
    steps = tuple(Step(f"step {number}\n") for number in range(num))
    return [Candidates(Trajectory(problem, steps[:number]), (step,)) for number, step in enumerate(steps)]


def test_lookups_grow_with_the_number_of_steps() -> None:
    Counted.lookups = 0
    covered_by = longest_solutions(candidates(Counted("p", "?"), NUM_STEPS))
    assert Counted.lookups <= 4 * NUM_STEPS
    assert len(covered_by) == NUM_STEPS


def test_the_checker_looks_at_every_step_of_a_row_once(monkeypatch) -> None:
    checked = []

    class Checker:
        def check(self, items):
            checked.extend(len(item.steps) for item in items)
            return [[number % 2 == 0 for number in range(len(item.steps))] for item in items]

    class Checkers:
        names = staticmethod(lambda: ["text"])
        create = staticmethod(lambda name: Checker())

    monkeypatch.setattr("presrm.judges.checker.CHECKERS", Checkers)
    steps = tuple(f"step {number}" for number in range(NUM_STEPS))
    row = Solution({}, "?", steps, None, None, None, False)
    judged = CheckerJudge().judge(row.candidates("line 1"))
    assert checked == [NUM_STEPS]
    assert [judgement.score for (judgement,) in judged] == [1.0, 0.0] * (NUM_STEPS // 2)
