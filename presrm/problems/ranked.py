"""Questions with ranked answers, the best of which is the reference solution: ``ranked:PATH``."""

import random
from pathlib import Path

from presrm.errors import RequestError
from presrm.formats.ranked import ranked_rows
from presrm.types import Problem


def load_ranked(
    path: str | None = None, *, split: str = "train", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load the questions of `path`, see `presrm.formats.ranked`; a larger `num` gives the same ones and more.

    Raises:
        RequestError: if there is no path.
        DataError: if a row is damaged.
    """
    del split  # a file is what its owner says it is
    if path is None:
        raise RequestError("problem set 'ranked' needs a file: ranked:PATH")
    problems = [row.problem for row in ranked_rows(Path(path))]
    if num is None:
        return problems
    return random.Random(seed).sample(problems, len(problems))[:num]
