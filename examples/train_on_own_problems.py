"""Train on problems of your own, cut into steps by a splitter of your own.

    python examples/train_on_own_problems.py [RUN]

The problems are JSON Lines with ``question`` and, for those that accuracy is measured on, ``answer``. The same from the
command line, which finds the splitter by where its code is:

    presrm train --problems jsonl:examples/problems.jsonl --set problems.held_out=jsonl:examples/held_out.jsonl \
        --set splitter=examples/train_on_own_problems.py:EquationSplitter --iterations 1 --out runs/own
"""

import re
import sys
from pathlib import Path

from presrm import SPLITTERS, load_config, train
from presrm.cli.progress import RichProgress
from presrm.iteration import IterationSummary
from presrm.testing import check_splitter

HERE = Path(__file__).parent


@SPLITTERS.register("equation")
class EquationSplitter:
    """A step ends with the line of its equation, whatever lines of words come before it."""

    stop = ("\n",)

    def split(self, text: str) -> list[str]:
        """Cut after each line with an equals sign; white space at the end belongs to the last step."""
        cuts = [found.end() for found in re.finditer(r"=[^\n=]*\n\s*(?=\S)", text)]
        return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if a < b]


def main(run: Path = Path("runs/own"), settings: tuple[str, ...] = ()) -> list[IterationSummary]:
    """Train M1 -> M2 in the folder `run`; the same call resumes an interrupted run.

    Only 24 problems are trained on and 24 measured, so that this ends in seconds: too few for the gain to mean much.
    """
    check_splitter(EquationSplitter())
    config = load_config(
        "embedded",
        [
            f"problems.train=jsonl:{HERE / 'problems.jsonl'}",
            f"problems.held_out=jsonl:{HERE / 'held_out.jsonl'}",
            "splitter=equation",
            "iterations=1",
            "evaluation.num_judge_problems=24",
            "watch.num_problems=0",
            *settings,
        ],
    )
    summaries = train(config, Path(run), RichProgress())
    for summary in summaries:
        scores = summary.scores
        print(f"{summary.name}: {scores.correct} correct, {scores.incorrect} incorrect, {scores.no_answer} unanswered")
    print(f"The policy is {run}/iterations/2/policy, the report {run}/report.html")
    return summaries


if __name__ == "__main__":
    main(*sys.argv[1:])
