"""The page of a run: what was run, what came out, whether to trust the judge, and everything behind it."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from markupsafe import Markup

from presrm.errors import counted
from presrm.iteration import SIGNIFICANT
from presrm.report.facts import LESSONS, SEARCHES, RunFacts, read_facts
from presrm.report.figures import figure_text, p_text, value_text
from presrm.report.html.page import ShownLesson, View, sections_of, write_page, write_plots
from presrm.report.html.run_plots import run_plots
from presrm.report.html.samples import Sample, Texts, note, sample_lessons, sample_trees
from presrm.report.html.text import plain
from presrm.report.verdicts import judge_verdict, siblings_verdict

PAGE, PLOTS = "report.html", "plots"
_SECTIONS = (
    ("score", "Accuracy", ("accuracy", "changes")),
    ("judge-health", "The judge", ("judge", "signs", "shadow")),
    ("learnt", "Lessons and lengths", ("lessons", "lengths")),
    ("fit", "Training", ("training", "displacement")),
    ("cost", "Time and tokens", ("costs",)),
)
_VALUES = {"pair": "margin", "attempt": "reward", "demonstration": "weight"}
_LABELS = {"pair": ("Chosen", "Rejected"), "attempt": ("Attempt",), "demonstration": ("To imitate",)}


def write_run_page(run: Path, out: Path | None = None, *, clocks: bool = True, plots: bool = True) -> Path:
    """Write the page of a run, finished or in progress, and its plots as files beside it.

    Args:
        run: The run folder; it is read without its lock.
        out: The file; none: ``report.html`` in the run folder.
        clocks: Show time and tokens. Without them, equal runs give equal bytes.
        plots: Write ``plots/*.svg`` and ``plots/*.png``, too.

    Raises:
        DataError: if it is no run folder, or a file of it is damaged.
    """
    facts, path = read_facts(run), out or run / PAGE
    drawn = run_plots(facts, clocks=clocks)
    texts = Texts()
    trees, lessons = sample_trees(facts, texts), sample_lessons(facts, texts)
    views = [
        View(
            "lessons",
            "Lessons, one by one",
            note(lessons, "lessons", _files(LESSONS, facts)),
            "All lessons are in the files of the run, and presrm explain shows each of them.",
        ),
        View(
            "trees",
            "Search trees",
            note(trees, "trees", _files(SEARCHES, facts)),
            "All trees are in the files of the run.",
        ),
    ]
    write_page(
        path,
        title=facts.config.name,
        subtitle=_subtitle(facts),
        sentences=sentences(facts),
        alarms=alarms(facts),
        sections=sections_of(drawn, _SECTIONS),
        lessons=_three(lessons, texts),
        views=[view for view, sample in zip(views, (lessons, trees), strict=True) if sample.num],
        data={"texts": texts.rows, "lessons": lessons.rows, "trees": trees.rows},
        about=facts.about,
        settings=yaml.safe_dump(facts.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
    if plots:
        write_plots(path.parent / PLOTS, drawn)
    return path


def sentences(facts: RunFacts) -> list[Markup]:
    """Say in plain sentences what was run, what came out, and whether to trust the judge."""
    return [_what_was_run(facts), _what_came_out(facts), _whether_to_trust(facts)]


def _what_was_run(facts: RunFacts) -> Markup:
    config = facts.config
    size = str(facts.manifest.get("policy", {}).get("parameters", ""))
    weights = f" ({int(size) / 1e6:,.1f} million parameters)" if size.isdecimal() else ""
    asks_policy = config.judge.kind not in ("checker", "prm", "callable")
    drawn = "solutions a problem" if config.search.unit == "solution" else "candidates a step"
    verdicts = f", {config.judge.verdict} verdicts" if asks_policy else ""
    model = Path(config.model.id).name if Path(config.model.id).is_absolute() else config.model.id
    turns = "in one iteration" if config.iterations == 1 else f"in each of {config.iterations} iterations"
    told = (
        f"Method {config.method.kind}: {model}{weights} works {config.problems.num_train:,} problems of "
        f"{config.problems.train} {turns}, with {config.search.num_candidates} "
        f"{drawn}, judged by {'the policy itself' if asks_policy else 'another judge'} ({config.judge.kind}{verdicts})."
    )
    return Markup("<strong>What was run.</strong> ") + plain(told)


def _what_came_out(facts: RunFacts) -> Markup:
    begin = Markup("<strong>What came out.</strong> ")
    if not facts.summaries:
        return begin + "Nothing yet: no policy has been assessed."
    last = facts.summaries[-1]
    accuracy = last.scores.accuracy
    scored = f"{last.name} solves {figure_text(accuracy, 'share')} of {accuracy.num:,} held-out problems"
    if last.vs_first is None:
        return begin + f"{scored}; no later policy has been assessed yet."
    first, change = facts.summaries[0], last.vs_first
    gain = "better" if (change.difference.value or 0) > 0 else "worse"
    told = f"significantly {gain}" if change.p_value < SIGNIFICANT else "not significantly different"
    return begin + (
        f"{scored}; {first.name}, where the run began, solves {value_text(first.scores.accuracy.value, 'share')}. "
        f"On the same problems that is {told}: {figure_text(change.difference, 'points')}, {p_text(change.p_value)}, "
        f"{counted(len(change.solved), 'problem')} newly solved, {len(change.lost)} lost."
    )


def _whether_to_trust(facts: RunFacts) -> Markup:
    begin = Markup("<strong>Whether to trust the judge.</strong> ")
    if not facts.summaries:
        return begin + "Unknown: the judge has not been measured."
    row = facts.summaries[-1]
    num_before = sum(len(one.health.alarms) for one in facts.summaries[:-1])
    if row.health.signs is None:
        habits = "Its habits were not watched."
    elif row.health.alarms:
        habits = f"Alarms on its habits: {len(row.health.alarms)}, see below."
    else:
        before = f", but judges before it raised {num_before} alarms" if num_before else ""
        habits = f"None of its habits is out of bounds{before}."
    return begin + " ".join(filter(None, (judge_verdict(row), habits, siblings_verdict(facts.summaries))))


def alarms(facts: RunFacts) -> list[str]:
    """Every alarm and regression, in a sentence each."""
    told = [f"Alarm, judge of {row.name}: {alarm}." for row in facts.summaries for alarm in row.health.alarms]
    told += [
        f"Regression: {row.name} solves fewer validation problems than {row.parent}, {p_text(row.regression.p_value)}."
        for row in facts.summaries
        if row.regression is not None
    ]
    return told


def _subtitle(facts: RunFacts) -> str:
    if facts.is_finished:
        return f"Finished: {len(facts.summaries)} policies assessed."
    num = f"{len(facts.summaries)} of {1 + facts.config.iterations} policies assessed"
    return f"In progress, or stopped: {num}. {facts.doing}".rstrip()


def _files(names: Sequence[str], facts: RunFacts) -> list[str]:
    return [str(found.path.relative_to(facts.path)) for found in facts.artefacts(*names)]


def _three(lessons: Sample, texts: Texts) -> list[ShownLesson]:
    """Show the lessons with the widest, the median and the narrowest margin of the last iteration."""
    number = max((row[1] for row in lessons.rows), default=0)
    rows = sorted((row for row in lessons.rows if row[1] == number and row[3] is not None), key=lambda row: -row[3])
    if not rows:
        return []
    ends = ("widest", "narrowest") if rows[0][0] == "pair" else ("highest", "lowest")
    places = {ends[0]: 0, "median": len(rows) // 2, ends[1]: len(rows) - 1}
    shown = []
    for place in dict.fromkeys(places.values()):
        kind, iteration, _, value, question, before, steps, *_ = rows[place]
        name = " and ".join(name for name, other in places.items() if other == place)
        title = f"{name.capitalize()} {_VALUES[kind]} of M{iteration}: {value:.2f}"
        labelled = zip(_LABELS[kind], (texts.markup(step) for step in steps), strict=True)
        shown.append(ShownLesson(title, texts.markup(question), len(before), tuple(labelled)))
    return shown
