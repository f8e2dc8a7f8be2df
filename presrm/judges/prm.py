"""A judge that is a process reward model: a checkpoint trained to score steps, not the policy."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from presrm.errors import ConfigError
from presrm.judging.coverage import longest_solutions, texts_up_to
from presrm.protocols import Composition
from presrm.types import Candidates, Judgement, Step

if TYPE_CHECKING:
    from presrm.engines.hf_prm import StepScorer

_Format = Literal["auto", "token-classification", "qwen-prm", "math-shepherd", "rlhflow"]


class PrmJudge:
    """Scores all steps of a solution in one pass of a model of its own, loaded when the first is asked for.

    The items of a batch that belong to one solution (the same problem, and a prefix of the same steps) are answered by
    one pass over the longest of them.

    Args:
        model: Hub id or folder of the process reward model.
        format: How it reads steps, see `presrm.engines.hf_prm`; ``auto``: as its architecture says, where it does.
        separator: token-classification: what ended each step where it was trained.
        dtype: ``float32``, ``bfloat16``, ``float16``; ``auto``: bfloat16 on a GPU that has it, else float32.
        device: As torch names it; ``auto``: cuda, else mps, else cpu.
        batch_tokens: Tokens, padding included, read at once.

    Raises:
        ConfigError: if there is no such format.
    """

    scale: Literal["absolute", "relative"] = "absolute"
    composition: Composition = "product"

    def __init__(
        self,
        *,
        model: str,
        format: _Format = "auto",
        separator: str = "\n",
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int = 16_384,
    ) -> None:
        if format not in get_args(_Format):
            raise ConfigError(f"judge.options.format: {format!r:.40} is unknown; give {', '.join(get_args(_Format))}")
        self._model = model
        self._format = format
        self._separator = separator
        self._dtype = dtype
        self._device = device
        self._batch_tokens = batch_tokens

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item; the rationales give the probabilities."""
        covered_by = longest_solutions(batch)
        solutions = list(dict.fromkeys(covered_by.values()))
        asked = [(problem.question, texts) for problem, texts in solutions]
        found = dict(zip(solutions, self._scorer.score(asked) if asked else [], strict=True))

        def judgement(item: Candidates, step: Step) -> Judgement:
            solution = covered_by[item.prefix.problem, texts_up_to(item, step)]
            return found[solution][len(item.prefix.steps)].judgement()

        return [tuple(judgement(item, step) for step in item.steps) for item in batch]

    @cached_property
    def _scorer(self) -> "StepScorer":
        from presrm.engines.hf_prm import StepScorer

        return StepScorer(
            self._model,
            None if self._format == "auto" else self._format,
            separator=self._separator,
            dtype=self._dtype,
            device=self._device,
            batch_tokens=self._batch_tokens,
        )
