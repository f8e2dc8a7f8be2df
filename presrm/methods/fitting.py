"""What a policy is trained on, and what it is held to: lessons of an iteration, and what ``policies`` adds."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from presrm.credit.accepted import accept, trace_pairs
from presrm.errors import RunError
from presrm.files.run import IterationDir
from presrm.methods.workplace import Workplace, can_adopt, timed
from presrm.seeding import derive_seed
from presrm.types import (
    Attempt,
    Checkpoint,
    Demonstration,
    Lesson,
    PreferencePair,
    SearchTree,
)

T = TypeVar("T")
_LESSON_FILES: Mapping[type[Lesson], str] = {
    PreferencePair: "pairs.jsonl",
    Demonstration: "demonstrations.jsonl",
    Attempt: "attempts.jsonl",
}


class Fitting:
    """Trains policies at a workplace.

    Args:
        place: Where policies are loaded and rows are made.
        start: Gives the first policy of the run.
        judgements: Gives judgements that a policy draws for an iteration, each scored by the right verdict.
    """

    def __init__(
        self,
        place: Workplace,
        start: Callable[[], Checkpoint],
        judgements: Callable[[Checkpoint, IterationDir], list[SearchTree]],
    ) -> None:
        self._place, self._parts, self._start, self._judgements = place, place.parts, start, judgements

    def fit(
        self, lessons: Sequence[Lesson], policy: Checkpoint, iteration: IterationDir, parent: Checkpoint | None
    ) -> Checkpoint:
        """Train `policy`; see `presrm.methods.stages.Stages.fit`."""
        for kind, name in _LESSON_FILES.items():
            ours = [lesson for lesson in lessons if isinstance(lesson, kind)]
            if ours:
                iteration.rows(kind, name, lambda have, ours=ours: [ours[have:]])  # type: ignore[misc]

        def make(out: Path) -> Checkpoint:
            chosen = [*lessons, *self._earlier(lessons, iteration)]
            chosen += self._replayed(policy, len(chosen), iteration)
            reference = self._reference(policy, iteration) or (None if parent in (None, policy) else parent)
            if self._place.loaded is not None and not can_adopt(self._place.loaded.engine):
                self._place.release()
            with self._place.progress.stage(f"M{iteration.name}: train on {len(chosen)} lessons", None):
                return self._parts.trainer.fit(chosen, policy, out, reference=reference)

        trained = timed(iteration, "fit", "policy", lambda: iteration.policy(make))
        self._place.names[trained] = f"M{iteration.name}"
        return trained

    def earlier_policies(self, iteration: IterationDir) -> list[Checkpoint]:
        """M1 and those that the iterations before this one made."""
        return [self._start(), *(self._place.run.iteration(n).policy(_missing) for n in range(2, iteration.number))]

    def _earlier(self, fresh: Sequence[Lesson], iteration: IterationDir) -> list[Lesson]:
        """Lessons of earlier iterations, as ``policies.lessons`` says."""
        wanted = self._parts.config.policies.lessons
        if wanted == "fresh":
            return []
        found: list[Lesson] = []
        for number in range(2, iteration.number):
            earlier = self._place.run.iteration(number)
            for kind, name in _LESSON_FILES.items():
                if earlier.is_done(name):
                    found += earlier.rows(kind, name, lambda _: [])
        if wanted == "mix" and len(found) > len(fresh):
            found = _draw(
                found, len(fresh), random.Random(derive_seed(self._parts.config.seed, "mix", iteration.number))
            )
        return found

    def _replayed(self, policy: Checkpoint, num: int, iteration: IterationDir) -> Sequence[Lesson]:
        """Lessons beside `num` others that the search did not bring, as ``policies.replay`` says: ``replay.jsonl``."""
        options = self._parts.config.policies
        share, seed = options.replay, derive_seed(self._parts.config.seed, "replay", iteration.name)
        if not share:
            return []
        wanted = round(num * share / (1 - share))
        name, rng = f"replay/{iteration.name}", random.Random(seed)
        if options.replay_as == "solutions":

            def draw(have: int) -> list[list[Demonstration]]:
                lessons, drawn = self._parts.solution_lessons(name, iteration.number), []
                for source, part in options.replayed_sources.items():
                    due, there = round(wanted * part), len(lessons[source])
                    if there < due:
                        self._place.progress.note(
                            f"policies.replay: {due:,} solutions of {source} are due, it has {there:,}"
                        )
                    drawn += _draw(lessons[source], due, rng)
                return [drawn[have:]]

            return iteration.rows(Demonstration, "replay.jsonl", draw)
        if options.replay_as != "verdicts":
            traces = self._judgements(policy, iteration)
            if options.replay_as == "pairs":
                pairs = _draw(trace_pairs(traces, name), wanted, rng)
                return iteration.rows(PreferencePair, "replay.jsonl", lambda have: [pairs[have:]])
            shown = _draw(accept(traces, name).demonstrations, wanted, rng)
            return iteration.rows(Demonstration, "replay.jsonl", lambda have: [shown[have:]])

        def make(have: int) -> list[list[Demonstration]]:
            return [self._parts.judge_lessons(self._place.engine(policy), wanted, iteration.number)[have:]]

        return iteration.rows(Demonstration, "replay.jsonl", make)

    def _reference(self, policy: Checkpoint, iteration: IterationDir) -> Checkpoint | None:
        """What the objective is held to, none for `policy` itself."""
        wanted = self._parts.config.policies.reference
        if wanted == "previous":
            return None
        earlier = self.earlier_policies(iteration)
        if wanted == "initial" or len(earlier) == 1:
            return None if earlier[0] == policy else earlier[0]
        return iteration.policy(lambda out: self._parts.average(earlier, out), "reference")


def _draw(lessons: Sequence[T], num: int, rng: random.Random) -> list[T]:
    """Draw lessons, in their order; all if there are no more."""
    return [lessons[i] for i in sorted(rng.sample(range(len(lessons)), min(num, len(lessons))))]


def _missing(path: Path) -> Checkpoint:
    """Refuse to make a policy that should be there."""
    raise RunError(f"{path} is missing; restore it, or choose another --out")
