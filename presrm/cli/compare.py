"""``presrm compare``: is the second policy better than the first, on the same problems?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from presrm.cli.settings import SettingsOption, settings_for
from presrm.cli.show import one_line, print_table
from presrm.errors import RequestError

if TYPE_CHECKING:
    from presrm.evaluation.answers import Comparison

_NUM_SHOWN = 10


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run, RUN/iterations/N, or the folder of presrm eval.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The same for the other policy.")],
    show_all: Annotated[
        bool, typer.Option("--all", help="List all problems that only one policy solves, not just ten.")
    ] = False,
    win_rate: Annotated[
        str | None,
        typer.Option(
            "--win-rate",
            metavar="M",
            help="Have the model M compare the answers in both orders instead of grading them: for problems without a "
            "right answer.",
        ),
    ] = None,
    settings: SettingsOption = None,
) -> None:
    """Compare two policies problem by problem.

    Prints the difference of their scores (B - A) with a bootstrap interval over problems, the p-value of the exact
    McNemar test, and the problems that only one of them solves. Both must have answered the same problems. A run folder
    stands for its last policy.

    \b
      $ presrm compare runs/embedded/iterations/1 runs/embedded
      $ presrm compare evals/base evals/tuned
      $ presrm compare evals/embedded runs/embedded
      $ presrm compare runs/mine/iterations/1 runs/mine --win-rate DIR --set judge.verdict=direct

    With --win-rate nothing is graded. An answer wins if both orders prefer it; where they contradict each other it is a
    tie. The length-controlled rate is what is left when both answers are equally long.
    """
    if win_rate is not None:
        _print_win_rate(first, second, win_rate, settings or [])
        return
    if settings:
        raise RequestError("--set belongs to --win-rate: nothing else is judged here")
    from presrm.evaluation.answers import compare_outcomes
    from presrm.evaluation.outcomes import read_outcomes

    before, after = read_outcomes(first), read_outcomes(second)
    if len(before) == len(after) == 1:  # one of each: compared whatever they are called
        after = dict(zip(before, after.values(), strict=True))
    both = [name for name in before if name in after]
    if not both:
        raise RequestError(
            f"{first} holds {', '.join(before)}, {second} holds {', '.join(after)}: no benchmark in common"
        )
    found = {}
    for name in both:
        try:
            found[name] = compare_outcomes(before[name], after[name])
        except ValueError as error:
            raise RequestError(f"{name}: {error}") from error
    _print(found, {name: (sum(before[name].values()), sum(after[name].values())) for name in both}, show_all)


def _print_win_rate(first: Path, second: Path, model: str, overrides: Sequence[str]) -> None:
    from presrm.assembly.judges import make_judge
    from presrm.assembly.parts import Parts
    from presrm.evaluation.outcomes import read_texts
    from presrm.evaluation.win_rate import compare_answers
    from presrm.methods.parts import SilentProgress
    from presrm.report.figures import interval_text, value_text
    from presrm.types import Checkpoint, Problem

    before, after = read_texts(first), read_texts(second)
    if before.keys() != after.keys():
        raise RequestError(f"{first} and {second} do not answer the same problems")
    config = settings_for([model], overrides)
    config = config.model_copy(update={"model": config.model.model_copy(update={"id": model})})
    problems = [Problem(name, question) for name, (question, _) in before.items()]
    ours, theirs = ([answers[problem.id][1] for problem in problems] for answers in (before, after))
    parts = Parts(config, SilentProgress(), lambda **_: None)
    with parts.engine(Checkpoint(model)) as engine:
        judge = make_judge(config.judge, engine, parts.prompts)
        if judge.scale != "relative":
            raise RequestError(f"judge {config.judge.kind!r} does not compare answers: choose one of relative scale")
        rate = compare_answers(problems, ours, theirs, judge)
    rows = [
        (name, str(figure.num), value_text(figure.value, "share"), interval_text(figure, "share"))
        for name, figure in (("B wins", rate.wins), ("at equal length", rate.length_controlled))
    ]
    console = Console()
    print_table(console, (f"by {config.judge.kind} of {one_line(model)}", "problems", "B", "95 % interval"), rows)
    ratio = "" if rate.length_ratio is None else f"; B's answers are {rate.length_ratio:.2f} times as long"
    print(f"{rate.num_unreadable} comparisons could not be read and count for neither{ratio}")


def _print(found: "dict[str, Comparison]", solved: dict[str, tuple[int, int]], show_all: bool) -> None:
    from presrm.report.figures import interval_text, value_text

    console = Console()
    rows = [
        (
            name,
            str(made.difference.num),
            *(value_text(num / made.difference.num, "share") for num in solved[name]),
            value_text(made.difference.value, "points"),
            interval_text(made.difference, "points"),
            f"{made.p_value:.2g}",
        )
        for name, made in found.items()
    ]
    print_table(console, ("benchmark", "problems", "A", "B", "B - A", "95 % interval", "McNemar p"), rows)
    for name, made in found.items():
        for what, names in (("only B solves", made.solved), ("only A solves", made.lost)):
            shown = names if show_all else names[:_NUM_SHOWN]
            more = f" and {len(names) - len(shown)} more (--all)" if len(names) > len(shown) else ""
            listed = ", ".join(map(one_line, shown)) or "none"
            line = f"{name}, {what} ({len(names)}): {listed}{more}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
