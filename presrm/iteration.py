"""The loop: a method makes M(t) from a policy before it, M(t) is assessed, the report is written, and again.

`train` reads top to bottom. Each stage is a function of the artefacts before it, and every artefact is made once: a
killed run resumes at its last finished group of problems.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter

from presrm.config import Config, PoliciesConfig
from presrm.errors import AlarmError
from presrm.evaluation.answers import Answer, Comparison, Scores, compare, score
from presrm.files.run import IterationDir, RunDir
from presrm.judging.health import Health, with_alarms
from presrm.judging.signs import Alarm
from presrm.methods.checkup import HEALTH
from presrm.methods.parts import Parts, Progress
from presrm.methods.stages import Stages
from presrm.protocols import Method
from presrm.types import Checkpoint

T = TypeVar("T")
SIGNIFICANT = 0.05
"""A p-value below this is called significant."""


@dataclass(frozen=True, slots=True)
class IterationSummary:
    """What is known of one policy.

    Attributes:
        name: ``M1``, ``M2`` ...
        scores: On the held-out problems.
        health: Of its judge.
        num_lessons: Lessons of its iteration that it was trained on; none for M1.
        dropped: Expansions that gave no lesson, by cause.
        num_contradicted: Lessons on which the two orders in which the judge was asked contradict each other; none where
            it was not asked in both.
        parent: The policy that it was made from; none for M1.
        vs_parent: Paired with that one.
        vs_first: Paired with M1.
        validation: On the validation problems, where policies are chosen by them.
        regression: Paired with the parent on the validation problems, if it solves significantly fewer of them.
    """

    name: str
    scores: Scores
    health: Health
    num_lessons: int | None = None
    dropped: dict[str, int] | None = None
    num_contradicted: int | None = None
    parent: str | None = None
    vs_parent: Comparison | None = None
    vs_first: Comparison | None = None
    validation: Scores | None = None
    regression: Comparison | None = None

    @property
    def number(self) -> int:
        """T of M(T)."""
        return int(self.name[1:])


def train(
    config: Config,
    method: Method,
    parts: Parts,
    run: RunDir,
    progress: Progress,
    report: Callable[[Sequence[IterationSummary]], None] = lambda rows: None,
) -> list[IterationSummary]:
    """Run, or resume, the loop M1 -> M(1 + iterations).

    Args:
        config: Settings.
        method: Makes each policy from one before it.
        parts: What the run is put together from.
        run: The run folder.
        progress: Where to tell what is going on.
        report: Called with all rows after every assessment, however the run ends.

    Raises:
        NoLessonsError: if an iteration has nothing to train on; says why.
        AlarmError: if the judge raises an alarm, or a policy a regression, that is to stop the run.
    """
    stages, rows = Stages(parts, run, progress), list[IterationSummary]()
    try:
        policies = [stages.start()]
        for number in range(1, 2 + config.iterations):
            iteration, facts = run.iteration(number), dict[str, Any]()
            if number > 1:
                parent = choose_parent(rows, config.policies)
                made = method.improve(policies[parent - 1], stages, iteration)
                policies.append(made.policy)
                facts = {
                    "parent": f"M{parent}",
                    "num_lessons": made.num_lessons,
                    "dropped": dict(made.dropped),
                    "num_contradicted": made.num_contradicted,
                }
            stages.names[policies[-1]] = f"M{number}"
            rows.append(assess(policies[-1], stages, iteration, rows, facts))
            report(rows)
            heed(rows[-1], config, iteration, progress)
    finally:
        stages.release()
    return rows


def choose_parent(rows: Sequence[IterationSummary], options: PoliciesConfig) -> int:
    """Say which policy the next iteration starts from, by its number: on equal validation scores the later one."""
    if options.go_on_from == "best":
        return max(rows, key=lambda row: (row.validation.accuracy.num_hits if row.validation else 0, row.number)).number
    last = rows[-1]
    if options.on_regression == "rollback" and last.parent and (last.regression or turns_of(last)):
        return int(last.parent[1:])
    return last.number


def assess(
    policy: Checkpoint,
    stages: Stages,
    iteration: IterationDir,
    before: Sequence[IterationSummary],
    facts: Mapping[str, Any],
) -> IterationSummary:
    """Score a policy on the held-out problems, test it against those before, and measure its judge."""
    answers = stages.answers(policy, iteration)
    validation = stages.answers(policy, iteration, validation=True)
    measured = iteration.value("health.json", lambda: plain(stages.health(policy, iteration)))
    iteration.discard(HEALTH)
    health = with_alarms(read(Health, measured), stages.parts.config.watch, before[0].health if before else None)

    def paired(name: str, number: int, later: Sequence[Answer]) -> Comparison:
        return compare(iteration.run.iteration(number).rows(Answer, name, lambda _: []), later)

    def make() -> Any:
        summary = IterationSummary(f"M{iteration.number}", score(answers), health, **facts)
        if validation:
            summary = replace(summary, validation=score(validation))
        if before:
            parent = int(facts["parent"][1:])
            summary = replace(
                summary,
                vs_parent=paired("answers.jsonl", parent, answers),
                vs_first=paired("answers.jsonl", 1, answers),
            )
            if validation:
                change = paired("validation.jsonl", parent, validation)
                if len(change.lost) > len(change.solved) and change.p_value < SIGNIFICANT:
                    summary = replace(summary, regression=change)
        return plain(summary)

    return replace(read(IterationSummary, iteration.value("scores.json", make)), health=health)


def heed(row: IterationSummary, config: Config, iteration: IterationDir, progress: Progress) -> None:
    """Report alarms of the judge and regressions of the policy.

    The bounds of alarms are those of this start, so that looser ones let a run continue.

    Raises:
        AlarmError: if one is to stop the run.
    """
    if row.regression:
        text = f"{row.name} solves fewer validation problems than {row.parent} (p={row.regression.p_value:.3f})"
        if config.policies.on_regression == "stop":
            raise AlarmError(
                f"{text}; to continue anyway, set policies.on_regression=continue and choose another --out"
            )
        progress.note(f"regression: {text}")
    alarms = row.health.alarms
    if turns_of(row) and config.policies.on_regression == "stop":
        raise AlarmError(
            f"Judge of {row.name}: {'; '.join(map(str, turns_of(row)))}; to continue anyway, set "
            "policies.on_regression=continue and choose another --out"
        )
    if not alarms:
        return
    text = f"Judge of {row.name}: {'; '.join(map(str, alarms))}"
    if config.watch.on_alarm == "stop":
        raise AlarmError(
            f"{text}. All figures are in {iteration.path / 'health.json'}. To continue anyway, "
            "set watch.on_alarm=warn or move the bound"
        )
    progress.note(f"Alarm. {text}")


def turns_of(row: IterationSummary) -> tuple[Alarm, ...]:
    """Alarms that say when to stop: the judge parts from its shadow, or has collapsed."""
    return tuple(alarm for alarm in row.health.alarms if alarm.sign in ("parting", "collapse"))


def plain(value: Any) -> Any:
    """Turn a dataclass into plain JSON data."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def read(kind: type[T], data: Any) -> T:
    """Turn plain JSON data into a dataclass."""
    return TypeAdapter(kind).validate_python(data)
