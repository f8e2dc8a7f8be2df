"""A policy for the verbs that judge: loaded when it is first asked, and watched while it works."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from presrm.cli.progress import RichProgress
from presrm.config import ModelConfig

if TYPE_CHECKING:
    from presrm.protocols import Engine


class PolicyOnDemand:
    """The engine of a model, which is loaded when it is first asked for, and where its work is shown.

    Args:
        model: What to load.
        threads: As ``threads`` of a config.
        stack: Closes the engine.
        progress: Shared by several policies of a command.
    """

    def __init__(self, model: ModelConfig, threads: int | None, stack: ExitStack, progress: RichProgress) -> None:
        self.progress = progress
        self._model = model
        self._threads = threads
        self._stack = stack
        self._engine: Engine | None = None

    def engine(self) -> "Engine":
        """Give the engine."""
        from presrm.assembly import engines
        from presrm.engines.hf_files import policy_at

        if self._engine is None:
            with self.progress.stage("load the policy", None):
                engines.limit_threads(self._threads, self._model)
                opened = engines.open_engine(policy_at(self._model.id), self._model)
                self._engine = self._stack.enter_context(opened)
            self.progress.watch(self._engine)
        return self._engine

    def seconds_spent(self) -> float | None:
        """Estimate the work so far, as `presrm.groups.Groups` takes it."""
        from presrm.groups import seconds_spent

        return 0.0 if self._engine is None else seconds_spent(self._engine)
