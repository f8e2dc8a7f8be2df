"""A run with a policy made of functions, and kills: what all methods are tested with."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from presrm.assembly.parts import Parts
from presrm.config import Config
from presrm.engines.scripted import ScriptedEngine
from presrm.files.run import RunDir
from presrm.iteration import IterationSummary, train
from presrm.methods.parts import SilentProgress
from presrm.prompts import Prompt
from presrm.protocols import Completion, Engine, Request
from presrm.types import Attempt, Checkpoint, Lesson, PreferencePair

Reply = Callable[[Prompt, random.Random, Checkpoint], str]


class Killed(BaseException):
    """As sudden as a signal."""


class Bomb:
    """Goes off at one of the calls that a run makes."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.calls = 0

    def tick(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise Killed


class Policy(ScriptedEngine):
    """Counts the calls, and writes as a function says."""

    def __init__(self, bomb: Bomb, reply: Reply, checkpoint: Checkpoint) -> None:
        super().__init__(lambda prompt, rng: reply(prompt, rng, checkpoint))
        self.bomb = bomb

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.bomb.tick()
        return super().generate(requests)


class Trainer:
    """Writes what it was given, so that a policy's bytes tell what it was trained on, from where, and held to what."""

    def __init__(self, bomb: Bomb) -> None:
        self.bomb = bomb
        self.calls: list[tuple[list[Lesson], Checkpoint, Checkpoint | None]] = []

    def fit(
        self, lessons: Sequence[Lesson], policy: Checkpoint, out: Path, *, reference: Checkpoint | None = None
    ) -> Checkpoint:
        self.bomb.tick()
        self.calls.append((list(lessons), policy, reference))
        out.mkdir()
        told = [name_of(policy), name_of(reference or policy), *map(describe, lessons)]
        (out / "trained_on.txt").write_text("\n".join(told))
        return Checkpoint(str(out))


def name_of(policy: Checkpoint) -> str:
    """Where a policy stands in its run."""
    return policy.model.partition("iterations/")[2] or policy.model


def describe(lesson: Lesson) -> str:
    """A lesson in a line."""
    if isinstance(lesson, PreferencePair):
        return f"{lesson.id} {lesson.chosen.text!r} {lesson.rejected.text!r}"
    if isinstance(lesson, Attempt):
        return f"{lesson.id} {lesson.completion.text!r} {lesson.reward}"
    return f"{lesson.id} {lesson.reply.text!r}"


class ScriptedParts(Parts):
    """The parts of a run but for the weights: these are functions."""

    def __init__(self, config: Config, bomb: Bomb, reply: Reply) -> None:
        self.rows: list[dict[str, object]] = []
        super().__init__(config, SilentProgress(), lambda **row: self.rows.append(row))
        self.bomb = bomb
        self.reply = reply
        self.fake = Trainer(bomb)

    @property
    def trainer(self) -> Trainer:  # type: ignore[override]
        return self.fake

    def engine(self, policy: Checkpoint) -> Engine:
        return Policy(self.bomb, self.reply, policy)


def run(
    config: Config, out: Path, reply: Reply, bomb: Bomb | None = None
) -> tuple[list[IterationSummary], ScriptedParts]:
    """Run the loop with scripted parts."""
    parts = ScriptedParts(config, bomb or Bomb(), reply)
    with RunDir(out, config) as opened:
        return train(config, parts.method, parts, opened, SilentProgress()), parts


def bytes_of(out: Path) -> dict[str, bytes]:
    """Everything of a run but what holds clocks."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes().replace(str(out).encode(), b"RUN")
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in {"manifest.json", "metrics.jsonl", "ledger.sqlite", ".lock"}
    }


def check_kills(config: Config, folder: Path, reply: Reply, every: int = 1) -> None:
    """Kill a run of one iteration at every call (or every few) behind M1, and resume it: no byte differs."""
    config = config.model_copy(update={"iterations": 0})
    assessed, whole = Bomb(), Bomb()
    run(config, folder / "whole", reply, assessed)
    config = config.model_copy(update={"iterations": 1})
    run(config, folder / "whole", reply, whole)
    assert whole.calls > 4
    expected = bytes_of(folder / "whole")
    for at in range(assessed.calls + 1, assessed.calls + whole.calls + 1, every):
        out = folder / f"killed-{at}"
        try:
            run(config, out, reply, Bomb(at))
        except Killed:
            run(config, out, reply)
        else:
            raise AssertionError(f"no call {at}")
        assert bytes_of(out) == expected, f"killed at call {at}"
