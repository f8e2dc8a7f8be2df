"""Problems like the seeds, as Self-Rewarding LMs have them written (arXiv 2401.10020, section 2.2)."""

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from presrm.prompts import PromptSet
from presrm.protocols import Sampling
from presrm.seeding import derive_seed
from presrm.types import Problem
from presrm.writing.writer import Ask, Written


class Instruct:
    """Shows the policy eight problems, six seeds and two of its own, and asks for one more like them.

    Args:
        prompts: The set whose ``write`` template is asked.
        seed: Which problems are shown.
        num_examples: Problems shown (section 3.1.3: 8).
        num_own: How many of them the policy wrote itself, as soon as it has (2).
        temperature: Of the writing (0.6).
        top_p: Of the writing (0.9).
        max_tokens: Longest problem.
    """

    def __init__(
        self,
        prompts: PromptSet,
        seed: int,
        *,
        num_examples: Annotated[int, Field(ge=1)] = 8,
        num_own: Annotated[int, Field(ge=0)] = 2,
        temperature: Annotated[float, Field(gt=0)] = 0.6,
        top_p: Annotated[float, Field(gt=0, le=1)] = 0.9,
        max_tokens: Annotated[int, Field(gt=0)] = 256,
    ) -> None:
        self._prompts = prompts
        self._seed = seed
        self._num_examples = num_examples
        self._num_own = min(num_own, num_examples - 1)
        self._sampling = Sampling(temperature, top_p, max_tokens)

    def ask(self, call: int, seeds: Sequence[Problem], kept: Sequence[Written]) -> Ask:
        """Draw the problems that are shown, and their order."""
        rng = random.Random(derive_seed(self._seed, "examples", call))
        own = [row.problem for row in kept if row.problem]
        shown = rng.sample(own, min(self._num_own, len(own)))
        shown += rng.sample(list(seeds), min(self._num_examples - len(shown), len(seeds)))
        rng.shuffle(shown)
        return Ask(self._prompts.write(shown), self._sampling, 1, tuple(one.id for one in shown))
