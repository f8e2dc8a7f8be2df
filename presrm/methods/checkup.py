"""The health of the judge that a policy is, measured piece by piece: what is finished survives a kill."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Literal, TypeVar

from pydantic import TypeAdapter

from presrm.config import JudgeConfig
from presrm.files.jsonl import dump, load_typed
from presrm.files.ledger import short_hash
from presrm.files.run import LEDGER, IterationDir
from presrm.judging.health import Health, LabelledCandidates, with_alarms
from presrm.judging.problems import Judgements
from presrm.judging.signs import Shadowed, measure_shadow
from presrm.methods.workplace import Workplace, timed
from presrm.protocols import Judge, ask_judge, keeping
from presrm.runners.work import Work
from presrm.searchers.checked import search_trees
from presrm.types import Candidates, Checkpoint, Judgement, SearchTree

T = TypeVar("T")
HEALTH = "health"
"""The folder, inside of an iteration's, of what is finished of the health of a judge."""


class Kept:
    """A judge whose judgements are kept.

    Args:
        keep: Gives the judgements of a batch, as read or as they are made.
        scale: Of the judge, where that is asked for.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[Candidates]], list[Judgements]],
        scale: Literal["absolute", "relative"] = "relative",
    ) -> None:
        self._keep = keep
        self.scale = scale

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item."""
        return [row.judgements for row in self._keep(batch)]


class Checkup:
    """Measures a judge at a workplace.

    Args:
        place: Where policies are loaded and rows are made.
        start: Gives the first policy of the run.
    """

    def __init__(self, place: Workplace, start: Callable[[], Checkpoint]) -> None:
        self._place, self._parts, self._start = place, place.parts, start

    def health(self, policy: Checkpoint, iteration: IterationDir) -> Health:
        """Measure the judge on a fixed set, on the policy's own siblings, and for signs that it goes bad.

        What is finished stands in the iteration's folder ``health``, to be read by a start after a kill, until the
        loop discards it.
        """
        number = iteration.number
        if not (self._place.run.path / LEDGER).exists():
            iteration.discard(HEALTH)  # the calls of what is finished count, too
        part = iteration.inside(HEALTH)
        last = iteration.rows(SearchTree, "trees.jsonl", lambda _: []) if iteration.is_done("trees.jsonl") else []
        calls = self._place.run.ledger.calls(iteration=number, stage="health", template="pairwise")
        with self._place.progress.stage(f"M{number}: judge health", None):
            own = self._siblings(policy, iteration)
            first = own if number == 1 else self._siblings(None, self._place.run.iteration(1))

            def measure() -> Health:
                trees = self._watched(policy, part)
                judge, shadow = partial(self._health_judge, policy, part), partial(self._beside_shadow, policy, part)
                is_watched = self._parts.config.watch.shadow is not None
                return self._parts.health(judge, trees, calls, last, own, first, shadow if is_watched else None)

            health = timed(iteration, "health", "health.json", measure)
        return with_alarms(health, self._parts.config.watch)

    def _siblings(self, policy: Checkpoint | None, iteration: IterationDir) -> list[LabelledCandidates]:
        """The policy's own candidates, each right or wrong: ``siblings.jsonl``.

        Empty where nothing can label them, and, without a `policy` to sample them, where a run has none.
        """
        name = "siblings.jsonl"
        if self._parts.labeller is None or (policy is None and not iteration.is_done(name)):
            return []
        if policy is None or iteration.is_done(name):
            return iteration.rows(LabelledCandidates, name, lambda _: [])
        problems = self._parts.testing()

        def num_done(have: int) -> int:  # every problem has rows, and a group is whole
            rows = load_typed(LabelledCandidates, iteration.path / name) if have else ()
            return len({row.candidates.prefix.problem.id for row in rows})

        def here(start: int, end: int) -> list[LabelledCandidates]:
            return [*chain.from_iterable(self._parts.siblings(problems[start:end], self._place.engine(policy)))]

        def there(start: int, end: int) -> Work:
            return Work("siblings", iteration.number, problems[start:end], start)

        make = self._making("own siblings", name, policy, iteration, len(problems), here, there, num_done)
        return iteration.rows(LabelledCandidates, name, make)

    def _watched(self, policy: Checkpoint, part: IterationDir) -> list[SearchTree]:
        """Search the held-out problems on which the habits of the judge are measured."""
        problems, name = self._parts.watched(), "trees.jsonl"

        def here(start: int, end: int) -> list[SearchTree]:
            engine, searcher = self._place.engine(policy), self._parts.searcher("health")
            with self._place.recording(policy, engine, part, "health") as recording, keeping(recording):
                return list(search_trees(searcher, problems[start:end], engine, self._parts.judge(recording), start))

        def there(start: int, end: int) -> Work:
            return Work("watch", part.number, problems[start:end], start, "health")

        make = self._making("search of held-out problems", name, policy, part, len(problems), here, there)
        return part.rows(SearchTree, name, make)

    def _health_judge(self, policy: Checkpoint, part: IterationDir, title: str) -> Judge:
        """The judge that `policy` is, for one of the measurements, as `title` says: what it says is kept."""

        def keep(batch: Sequence[Candidates]) -> list[Judgements]:
            def here(start: int, end: int) -> list[Judgements]:
                with self._place.recording(policy, self._place.engine(policy), part, "health") as recording:
                    return [Judgements(judged) for judged in ask_judge(self._parts.judge(recording), batch[start:end])]

            def there(start: int, end: int) -> Work:
                return Work("health", part.number, given=(batch[start:end],))

            name = _name_of(title, batch)
            return part.rows(Judgements, name, self._making(title, name, policy, part, len(batch), here, there))

        return Kept(keep)

    def _beside_shadow(self, policy: Checkpoint, part: IterationDir, trees: Sequence[SearchTree]) -> Shadowed:
        """Compare the judge that `policy` is with the one that only watches, in trees that it judged.

        If that one asks a policy, the first one of the run is loaded: it is never trained.
        """
        if self._parts.runner is not None:
            seen: Shadowed = self._place.whole_elsewhere(
                policy, Work("shadow", part.number, given=(trees, self._start()))
            ).rows[0]
            return seen
        judge = self._parts.judge(self._place.engine(policy))
        shadow = self._parts.shadow(lambda: self._place.engine(self._start()))
        settings = TypeAdapter(str | JudgeConfig | None).dump_json(self._parts.config.watch.shadow).decode()

        def keep(batch: Sequence[Candidates]) -> list[Judgements]:
            def here(start: int, end: int) -> list[Judgements]:
                return [Judgements(judged) for judged in ask_judge(shadow, batch[start:end])]

            name = _name_of(f"shadow judge {settings}", batch)
            return part.rows(Judgements, name, self._making("shadow judge", name, None, part, len(batch), here))

        return measure_shadow(trees, judge, Kept(keep, shadow.scale))

    def _making(
        self,
        title: str,
        name: str,
        policy: Checkpoint | None,
        part: IterationDir,
        num: int,
        here: Callable[[int, int], list[T]],
        there: Callable[[int, int], Work] | None = None,
        num_done: Callable[[int], int] = int,
    ) -> Callable[[int], Iterator[list[T]]]:
        """What makes an artefact of the health of the judge group by group, in this process or by a runner.

        Args:
            title: What progress calls it.
            name: Of the artefact.
            policy: Does it; none: what is loaded.
            part: Where the artefact stands.
            num: Items in all.
            here: Makes the rows of the items from a first to before a last one.
            there: Says what a worker makes them of, where one may.
            num_done: Items of which there are rows, given the number of rows.
        """

        def make(have: int) -> Iterator[list[T]]:
            with self._place.progress.stage(title, num) as advance:
                bounds = (num_done(have), num, self._parts.config.search.group_size)
                advance(bounds[0])
                if policy is not None and there is not None and self._parts.runner is not None:
                    yield from self._place.elsewhere(
                        self._place.worker(policy, policy), name, part, bounds, there, advance
                    )
                else:
                    loaded = self._place.loaded.engine if self._place.loaded else None
                    engine = self._place.engine(policy) if policy else loaded
                    yield from self._place.in_groups(name, part, engine, bounds, here, advance)

        return make


def _name_of(title: str, batch: Sequence[Candidates]) -> str:
    """Name the file of what a judge says of a batch: of another one it is another file."""
    asked = short_hash("\n".join([title, *map(dump, batch)]))
    return f"{'-'.join(title.split()[:2])}-{asked}.jsonl"
