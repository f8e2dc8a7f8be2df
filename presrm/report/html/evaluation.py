"""The page of an evaluation: every metric with its interval, the solutions, and where two extractors disagree."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from markupsafe import Markup

from presrm.evaluation.answers import compare_outcomes
from presrm.evaluation.benchmark import Result
from presrm.report.facts import Artefact
from presrm.report.figures import figure_text, p_text, value_text
from presrm.report.html.page import Section, ShownPlot, View, sections_of, write_page
from presrm.report.html.ranges import draw_ranges
from presrm.report.html.samples import MAX_BYTES, Index, Sample, Texts, fill, note
from presrm.report.html.text import plain
from presrm.types import Grade

MAX_PROBLEMS = 3_000
"""Most that a page carries; it says how many there are."""
_MAX_SOLUTIONS = 16
"""Solutions of one problem that it shows."""
Outcomes = dict[str, bool]


def write_evaluation_page(folder: Path, results: Sequence[Result], about: Mapping[str, str]) -> Path:
    """Write ``report.html`` into the folder of an evaluation.

    Args:
        folder: What ``presrm eval --out`` names.
        results: Of the policies and benchmarks that it evaluated.
        about: Settings and versions.
    """
    out = folder / "report.html"
    names = {_path(folder, result): _name(result, results) for result in results}
    texts, outcomes = Texts(), dict[str, Outcomes]()
    sample = _sample(names, texts, outcomes)
    write_page(
        out,
        title=folder.name or "evaluation",
        subtitle=f"{len(results)} evaluation{'s' * (len(results) != 1)}",
        sentences=_sentences(results),
        sections=[
            *sections_of([_headlines(results)], (("score", "Accuracy", ("accuracy",)),)),
            *_tables(results, outcomes),
        ],
        views=[
            View(
                "samples",
                "Problems, one by one",
                note(sample, "problems", [str(path.relative_to(folder)) for path in names]),
                "All solutions are in the files samples_*.jsonl, disagreements of the extractors in audit_*.jsonl.",
            )
        ],
        data={"texts": texts.rows, "samples": sample.rows},
        about=about,
    )
    return out


def _path(folder: Path, result: Result) -> Path:
    return folder / result.policy / f"samples_{result.benchmark}_{result.way}.jsonl"


def _name(result: Result, results: Sequence[Result]) -> str:
    """Name an evaluation by what tells it from the others."""
    parts = [part for part in ("policy", "benchmark", "way") if len({getattr(one, part) for one in results}) > 1]
    return plain(", ".join(getattr(result, part) for part in parts or ("benchmark",)))


def _sample(names: Mapping[Path, str], texts: Texts, outcomes: dict[str, Outcomes]) -> Sample:
    """Draw problems: strata are the evaluation, the result and whether the extractors disagree."""
    artefacts = [Artefact(number, path, path.stat().st_size) for number, path in enumerate(names)]

    def stratum(artefact: Artefact, row: Mapping[str, Any]) -> tuple[int, str, str]:
        return artefact.iteration, _result(row), _audit(row)

    def read(artefact: Artefact, row: Mapping[str, Any]) -> None:
        if row["exact_match"] is not None:
            outcomes.setdefault(names[artefact.path], {})[row["doc"]["id"]] = row["exact_match"] == 1

    index = Index(artefacts, stratum, read)
    drawn = index.draw(MAX_PROBLEMS)

    def make(artefact: Artefact, start: int, row: dict[str, Any]) -> list[Any]:
        return _problem(names[artefact.path], row, texts)

    return Sample(fill(index, drawn, make, texts, MAX_BYTES), index.num, index.counts)


def _result(row: Mapping[str, Any]) -> str:
    """Say in a word what became of a problem."""
    if row["exact_match"] is None:
        num, right = len(row["grades"]), sum(grade == Grade.CORRECT for grade in row["grades"])
        return "all right" if right == num else "some right" if right else "none right"
    if row["exact_match"] == 1:
        return "right"
    if row["chosen"] is None:
        return "nothing found"
    return "no answer" if row["grades"][row["chosen"]] == Grade.NO_ANSWER else "wrong"


def _audit(row: Mapping[str, Any]) -> str:
    readings = row.get("audit")
    if not readings:
        return "none"
    differs = any(one is not None and one["grade"] != grade for one, grade in zip(readings, row["grades"], strict=True))
    return "disagrees" if differs else "agrees"


def _problem(name: str, row: Mapping[str, Any], texts: Texts) -> list[Any]:
    """Give a problem: evaluation, id, question, reference, solutions, result, what a second extractor says.

    A solution is its text, answer, grade, score, the second extractor's answer and grade where they differ, chosen.
    """
    readings = row.get("audit") or [None] * len(row["grades"])
    columns = zip(row["resps"][0], row["filtered_resps"], row["grades"], row["scores"], readings, strict=True)
    solutions = [
        [
            texts.number(text),
            None if extracted is None else texts.number(extracted),
            grade.replace("_", " "),
            score,
            None if second is None or second["grade"] == grade else _second(second, texts),
            number == row["chosen"],
        ]
        for number, (text, extracted, grade, score, second) in enumerate(columns)
    ]
    target = None if row["target"] is None else texts.number(row["target"])
    question = texts.number(row["doc"]["question"])
    shown = solutions[:_MAX_SOLUTIONS]
    return [name, texts.number(row["doc"]["id"]), question, target, shown, _result(row), _audit(row)]


def _second(reading: Mapping[str, Any], texts: Texts) -> list[Any]:
    extracted = reading["extracted"]
    return [None if extracted is None else texts.number(extracted), reading["grade"].replace("_", " ")]


def _headline(result: Result) -> tuple[str, Any]:
    answered = (name for name in result.metrics if name == "accuracy" or name.startswith("best of"))
    name = next(answered, next(iter(result.metrics)))
    return name, result.metrics[name]


def _sentences(results: Sequence[Result]) -> list[Markup]:
    what = "; ".join(
        f"{result.policy} on {result.num:,} problems of {result.benchmark}, {result.way}" for result in results
    )
    came = "; ".join(
        f"{name} of {result.policy} on {result.benchmark} ({result.way}): {figure_text(figure, 'share')}"
        for result in results
        for name, figure in [_headline(result)]
    )
    audits = [(result, result.audit) for result in results if result.audit is not None and result.audit.num]
    num, differ = sum(audit.num for _, audit in audits), sum(len(audit.disagreements) for _, audit in audits)
    trust = (
        f"a second, independent extractor read {num:,} solutions and grades {differ:,} of them differently."
        if audits
        else "there is no second extractor for these graders."
    )
    parts = {
        "What was evaluated": f"{what}.",
        "What came out": f"{came[:1].upper()}{came[1:]}.",
        "Whether to trust the grades": trust[:1].upper() + trust[1:],
    }
    return [Markup("<strong>{}.</strong> {}").format(name, plain(text)) for name, text in parts.items()]


def _headlines(results: Sequence[Result]) -> ShownPlot:
    labels = [f"{_name(result, results)}" for result in results]
    found = [_headline(result) for result in results]
    best = max(range(len(found)), key=lambda place: found[place][1].value or 0.0)
    share = value_text(found[best][1].value, "share")
    title = f"{labels[best]}: {share}" if len(results) == 1 else f"Highest: {labels[best]}, {share}"
    rows = [
        (label, name, figure_text(one, "share", with_num=True))
        for label, (name, one) in zip(labels, found, strict=True)
    ]
    caption = "The share of problems solved; of several samples of which none is chosen, pass@1. Bars: 95 % intervals."
    figures = [(label, one) for label, (_, one) in zip(labels, found, strict=True)]
    drawn = draw_ranges(figures, "share of the problems", "share", f"{title}. {caption}")
    return ShownPlot("accuracy", title, caption, ("evaluation", "metric", "value [95 %], problems"), tuple(rows), drawn)


def _tables(results: Sequence[Result], outcomes: Mapping[str, Outcomes]) -> list[Section]:
    metrics = tuple(
        (_name(result, results), plain(name), figure_text(figure, "share", with_num=True))
        for result in results
        for name, figure in result.metrics.items()
    )
    sections = [
        Section(
            "metrics", "All metrics", columns=("evaluation", "metric", "share of the problems [95 %]"), rows=metrics
        )
    ]
    rows = []
    for (first, one), (second, other) in combinations(outcomes.items(), 2):
        if one.keys() == other.keys():
            found = compare_outcomes(one, other)
            rows.append(
                (
                    first,
                    second,
                    figure_text(found.difference, "points"),
                    p_text(found.p_value),
                    str(len(found.solved)),
                    str(len(found.lost)),
                )
            )
    if rows:
        columns = ("A", "B", "B - A [95 %]", "McNemar", "only B solves", "only A solves")
        sections.append(Section("paired", "Problem by problem", columns=columns, rows=tuple(rows)))
    return sections
