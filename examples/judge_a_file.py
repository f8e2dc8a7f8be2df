"""Judge the steps of solutions in a file of your own, with the judge as a library.

    python examples/judge_a_file.py [FILE] [MODEL]

FILE is JSON Lines with ``question`` and ``solution``. `presrm judge-steps FILE` does the same from the command line; it
also reads other formats, resumes, and measures the judge where rows carry labels.
"""

import json
import sys
from pathlib import Path

from presrm import ENGINES, JUDGES, SPLITTERS, Candidates, Checkpoint, Judgement, Problem, PromptSet, Step, Trajectory

HERE = Path(__file__).parent


def read_solutions(file: Path) -> list[Trajectory]:
    """Read one solution a row, cut into its lines."""
    splitter = SPLITTERS.create("newline")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [
        Trajectory(
            Problem(f"row {number}", row["question"]), tuple(Step(text) for text in splitter.split(row["solution"]))
        )
        for number, row in enumerate(rows, start=1)
    ]


def judge_solutions(solutions: list[Trajectory], model: str = "embedded") -> list[list[Judgement]]:
    """Judge every step after the steps before it: all in one call, so that they are computed in shared batches."""
    questions = [
        Candidates(Trajectory(solution.problem, solution.steps[:depth]), (step,))
        for solution in solutions
        for depth, step in enumerate(solution.steps)
    ]
    prompts = PromptSet("compact" if model == "embedded" else "paper")
    with ENGINES.create("hf", checkpoint=Checkpoint(model)) as engine:
        judgements = iter(JUDGES.create("pointwise", engine=engine, prompts=prompts).judge(questions))
    return [[next(judgements)[0] for _ in solution.steps] for solution in solutions]


def main(file: Path = HERE / "solutions.jsonl", model: str = "embedded") -> None:
    """Print every step with its score; a step whose verdict cannot be read has none, which is not 0."""
    solutions = read_solutions(Path(file))
    for solution, judgements in zip(solutions, judge_solutions(solutions, model), strict=True):
        print(solution.problem.question)
        for step, judgement in zip(solution.steps, judgements, strict=True):
            score = judgement.status if judgement.score is None else f"{judgement.score:.2f}"
            print(f"  {score:>10}  {step.text.strip()}")
        print()


if __name__ == "__main__":
    main(*sys.argv[1:])
