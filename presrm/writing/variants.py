"""Variants of the seeds, most of them easier, and variants of variants (LADDER, arXiv 2503.00735, section 3.1)."""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from presrm.prompts import PromptSet
from presrm.protocols import Sampling
from presrm.seeding import derive_seed
from presrm.types import Problem
from presrm.writing.writer import Ask, Written

Difficulty = Literal["easier", "equivalent"]
_TRANSFORMATIONS: dict[Difficulty, tuple[str, ...]] = {
    "easier": (
        "easier, with one step fewer",
        "easier, with smaller numbers or simpler terms",
        "easier, with one condition left out",
        "easier, asking for what the first half of its solution gives",
    ),
    "equivalent": (
        "as hard, with other numbers or terms",
        "as hard, about other people and things",
        "as hard, told in another order",
    ),
}
_PERSONAS = (
    "",
    "as a patient teacher would write it",
    "as an examiner would write it",
    "as Euler would write it",
    "as Gauss would write it",
    "as a puzzle maker would write it",
)


class Variants:
    """Takes a problem and a transformation, and asks for several variants at once; variants get variants in turn.

    The paper has the policy list the transformations of a problem and write ten variants in one reply; here the
    transformations are given, and the variants of a call are as many replies.

    Args:
        prompts: The set whose ``variant`` template is asked.
        seed: Which problem is varied, and how.
        num_variants: Variants a call (section 3.1: 10).
        max_depth: How far from a seed (3 for Llama, 2 for the Bee).
        easier: Share of calls for easier variants (70 %, the others equivalent).
        temperatures: Of the writing, one call after the other (cycled from 0.8 to 1.4).
        top_p: Of the writing.
        max_tokens: Longest problem.
        transformations: What a variant may be told to be, for ``easier`` and ``equivalent``.
        personas: Whose way of writing a call asks for, one after the other; an empty one asks for nobody's.
    """

    def __init__(
        self,
        prompts: PromptSet,
        seed: int,
        *,
        num_variants: Annotated[int, Field(ge=1)] = 10,
        max_depth: Annotated[int, Field(ge=1)] = 2,
        easier: Annotated[float, Field(ge=0, le=1)] = 0.7,
        temperatures: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.8, 1.0, 1.2, 1.4),
        top_p: Annotated[float, Field(gt=0, le=1)] = 1.0,
        max_tokens: Annotated[int, Field(gt=0)] = 256,
        transformations: Mapping[Difficulty, Annotated[tuple[str, ...], Field(min_length=1)]] = _TRANSFORMATIONS,
        personas: Annotated[tuple[str, ...], Field(min_length=1)] = _PERSONAS,
    ) -> None:
        self._prompts = prompts
        self._seed = seed
        self._num_variants = num_variants
        self._max_depth = max_depth
        self._easier = easier
        self._temperatures = temperatures
        self._top_p = top_p
        self._max_tokens = max_tokens
        self._transformations = {**_TRANSFORMATIONS, **transformations}
        self._personas = personas

    def ask(self, call: int, seeds: Sequence[Problem], kept: Sequence[Written]) -> Ask:
        """Draw a depth, a problem of it, and a transformation."""
        rng = random.Random(derive_seed(self._seed, "variant", call))
        pools: dict[int, list[Problem]] = {0: list(seeds)}
        for row in kept:
            if row.problem and row.depth < self._max_depth:
                pools.setdefault(row.depth, []).append(row.problem)
        depth = rng.choice(sorted(pools))
        parent = rng.choice(pools[depth])
        difficulty: Difficulty = "easier" if rng.random() < self._easier else "equivalent"
        how, persona = rng.choice(self._transformations[difficulty]), self._personas[call % len(self._personas)]
        sampling = Sampling(self._temperatures[call % len(self._temperatures)], self._top_p, self._max_tokens)
        prompt = self._prompts.variant(parent, f"{how}, {persona}" if persona else how)
        return Ask(prompt, sampling, self._num_variants, (parent.id,), difficulty, depth + 1)
