"""Which questions of a batch are about one solution: a judge that reads it whole answers them all at once."""

from collections.abc import Sequence

from presrm.types import Candidates, Problem, Step

Texts = tuple[str, ...]
"""The texts of a partial solution's steps."""


def texts_up_to(item: Candidates, step: Step) -> Texts:
    """The partial solution that ends with `step`, a candidate of `item`."""
    return (*(before.text for before in item.prefix.steps), step.text)


def longest_solutions(batch: Sequence[Candidates]) -> dict[tuple[Problem, Texts], tuple[Problem, Texts]]:
    """Map each partial solution of a batch to the longest one in it that begins with it; itself if there is none.

    Longest first, then by text, so that neither duplicates nor the order of the batch change what is asked.
    """
    partial = {(item.prefix.problem, texts_up_to(item, step)) for item in batch for step in item.steps}
    covered_by: dict[tuple[Problem, Texts], tuple[Problem, Texts]] = {}
    for problem, texts in sorted(partial, key=lambda key: (key[0].id, -len(key[1]), key[1], key[0].question)):
        for length in range(len(texts), 0, -1):
            begin = (problem, texts[:length])
            if begin in covered_by:
                break  # and so is all that it begins with
            covered_by[begin] = (problem, texts)
    return covered_by
