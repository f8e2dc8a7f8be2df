"""``presrm solve``: one problem, step by step, with the judge's score of each step."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from presrm.cli.progress import RichProgress
from presrm.cli.settings import (
    EMBEDDED,
    EngineOption,
    JudgeOption,
    ModelOption,
    SearcherOption,
    SettingsOption,
    SplitterOption,
    as_overrides,
    settings_for,
)
from presrm.cli.show import visible
from presrm.cli.world import warn_outside
from presrm.errors import RequestError

if TYPE_CHECKING:
    from presrm.assembly.evaluation import Solved
    from presrm.types import Candidates, Judgement, SearchTree

_STANDARD = "-"
_ONLY = "the only one"


def solve(
    question: Annotated[
        str | None,
        typer.Argument(
            metavar="QUESTION", help="The text of the problem; - reads it from standard input. [one drawn by seed]"
        ),
    ] = None,
    model: ModelOption = EMBEDDED,
    search: SearcherOption = "greedy",
    judge: JudgeOption = None,
    splitter: SplitterOption = None,
    engine: EngineOption = None,
    tree: Annotated[bool, typer.Option("--tree", help="Draw the whole search tree.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the search tree as one line of JSON.")] = False,
    settings: SettingsOption = None,
) -> None:
    """Solve one problem, step by step.

    The policy samples candidate steps and judges them itself. The candidates of a step are printed as soon as they are
    judged, each with its score; '>' marks the one that is kept. If all candidates are tied, the command says so, and if
    the search ends there it finishes the first of them without the judge; '~' marks those steps.

    Without a question, one of the held-out problems of the settings is drawn; --set seed=N draws another.

    \b
      $ presrm solve
      $ presrm solve "Will starts with 27 coins. Will finds 17. How many has he?"
      $ presrm solve "What is 7 times 8?" --tree --search beam
      $ echo "What is 7 times 8?" | presrm solve - --model DIR --json
    """
    text = sys.stdin.read() if question == _STANDARD else question
    if text is not None and not text.strip():
        raise RequestError("the question is empty")
    judge = judge or ("pointwise" if search in ("beam", "best-of-n") else None)
    flags = {"search.kind": search, "judge.kind": judge, "splitter": splitter, "model.engine": engine}
    config = settings_for([model], as_overrides({"model.id": model, "threads": _threads(model), **flags}, settings))
    from presrm.assembly.evaluation import draw_question, solve_one
    from presrm.assembly.judges import tie_tolerance
    from presrm.files.jsonl import dump

    text = draw_question(config) if text is None else text.strip()
    console = Console()
    live = None if as_json or tree or search != "greedy" else _Live(console, tie_tolerance(config.judge))
    if not as_json and not tree:
        console.print(Text(visible(text), style="bold"), soft_wrap=True)
    warn_outside(model, [text])
    solved = solve_one(text, config, live.show if live else None, RichProgress(is_brief=True))
    found = solved.tree
    if as_json:
        print(dump(found))
    elif tree:
        console.print(_draw(found))
    else:
        _print_rest(found, live.num_shown if live else 0, console)
    if found.given_up is not None and not as_json:
        _print_given_up(solved, console)


def _threads(model: str) -> int | None:
    """How many threads one question takes: so small a policy is fastest on one; threads would wait for each other."""
    return 1 if model == EMBEDDED else None


class _Live:
    """Prints every expansion of a greedy search as soon as it is judged."""

    def __init__(self, console: Console, tie_tolerance: float) -> None:
        self._console = console
        self._tie_tolerance = tie_tolerance
        self.num_shown = 0

    def show(self, item: "Candidates", judgements: Sequence["Judgement"]) -> None:
        """Print the candidates of one step, best first; before it, steps that there was no choice for."""
        depth = len(item.prefix.steps)
        if depth < self.num_shown:
            self._console.print(Text(f"back to step {depth + 1}", style="yellow"))
        for step in item.prefix.steps[self.num_shown :]:
            self._console.print(_line(step.text, None, _ONLY, is_kept=True), soft_wrap=True)
        ranked = sorted(
            zip(item.steps, judgements, strict=True),
            key=lambda of: -1 if of[1].score is None else of[1].score,
            reverse=True,
        )
        scores = [judgement.score for judgement in judgements if judgement.score is not None]
        is_tied = len(scores) > 1 and max(scores) - min(scores) <= self._tie_tolerance
        for place, (step, judgement) in enumerate(ranked):
            is_best = place == 0 and judgement.score is not None and not is_tied
            self._console.print(_line(step.text, judgement.score, judgement.status, is_kept=is_best), soft_wrap=True)
        if is_tied:
            tied = f"tied: the scores differ by at most {self._tie_tolerance:g} (judge.tie_tolerance), so none is kept"
            self._console.print(Text(tied, style="yellow"))
        self.num_shown = depth + 1


def _print_given_up(solved: "Solved", console: Console) -> None:
    """Say why there is no solution, and what the policy writes without the judge from where the search ended."""
    within = (
        f" (scores within {solved.tie_tolerance:g}, judge.tie_tolerance)" if "tie" in str(solved.tree.given_up) else ""
    )
    console.print(Text(f"no solution: {solved.tree.given_up}{within}", style="red"))
    if solved.unjudged is None:
        return
    console.print(Text("finished from the first candidate, without the judge:", style="yellow"))
    for place, step in enumerate(solved.unjudged.steps):
        mark = ">" if place < solved.num_kept else "~"
        console.print(Text(f"{mark} {visible(step.text.strip()) or '(end)'}"), soft_wrap=True)


def _print_rest(found: "SearchTree", num_shown: int, console: Console) -> None:
    """Print the steps of the solution that were not shown yet."""
    if not found.solutions:
        return
    for number, kept in found.path(found.solutions[0])[num_shown:]:
        candidate = found.expansions[number].candidates[kept]
        score = candidate.judgement.score
        told = candidate.judgement.status if score is not None else _ONLY
        console.print(_line(candidate.step.text, score, told, is_kept=True), soft_wrap=True)


def _line(text: str, score: float | None, told: str, *, is_kept: bool) -> Text:
    """One candidate: its score, or why it has none."""
    shown = "    -" if score is None else f"{score:.3f}"
    line = Text(f"{'>' if is_kept else ' '} {shown:5}  ", style="bold green" if is_kept else "dim")
    line.append(visible(text.strip()) or "(end)", style="not dim not bold default" if is_kept else "dim")
    if score is None:
        line.append(f"  ({told})", style="dim" if told == _ONLY else "yellow")
    return line


def _draw(found: "SearchTree") -> Tree:
    """Draw every expansion under the candidate that it continues."""
    root = Tree(Text(visible(found.problem.question), style="bold"))
    drawn: dict[tuple[int, int] | None, Tree] = {None: root}
    for number, expansion in enumerate(found.expansions):
        under = drawn[expansion.parent]
        texts = [candidate.step.text for candidate in expansion.candidates]
        for i, candidate in enumerate(expansion.candidates):
            step, judgement = candidate.step, candidate.judgement
            first = texts.index(step.text)
            if first == i or i in expansion.kept:
                is_kept = i in expansion.kept
                told = _ONLY if is_kept and judgement.score is None else judgement.status
                line = _line(step.text, judgement.score, told, is_kept=is_kept)
                if (number, i) in found.solutions:
                    line.append("  (solution)", style="cyan")
                drawn[number, i] = under.add(line)
    return root
