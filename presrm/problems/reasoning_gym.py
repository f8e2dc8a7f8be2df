"""The generators of reasoning-gym (Apache-2.0), each with its own checker: ``reasoning-gym:leg_counting``.

```
{"question": "How many legs ...?", "answer": "292", "metadata": {...}}
```
"""

import json
from typing import Any

from presrm.errors import DataError, RequestError, boundary
from presrm.registry import nearest
from presrm.seeding import derive_seed
from presrm.types import Problem

_QUESTION = "{question}\nGive your final answer in \\boxed{{}}."


def load_reasoning_gym(
    path: str | None = None, *, split: str = "train", num: int | None = None, seed: int = 0, **options: Any
) -> list[Problem]:
    """Make `num` problems (100 unless told) of the generator called `path`.

    Args:
        path: Name of the generator, such as ``leg_counting``.
        split: Decides which.
        num: How many; more problems begin with the fewer.
        seed: Decides which.
        options: Of the generator: its difficulty, for example ``max_animals: 5``.

    Raises:
        RequestError: if the package is missing, or there is no such generator.
        DataError: if the generator does not take the options, or its answers cannot be kept as JSON.
    """
    try:
        from reasoning_gym import create_dataset
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise RequestError("problem set 'reasoning-gym' needs: pip install 'presrm[reasoning-gym]'") from error
    if path is None or path not in DATASETS:
        raise RequestError(f"reasoning-gym has no generator {path!r}; {nearest(str(path), DATASETS)}")
    size = 100 if num is None else num
    with boundary(DataError, f"reasoning-gym:{path} with options {options}"):
        # The generators draw an entry by its place alone, so that more entries begin with the fewer.
        entries = create_dataset(path, size=size, seed=derive_seed("reasoning-gym", split, seed) % 2**31, **options)
        made = [_problem(path, number, entries[number]) for number in range(size)]
        kept = json.loads(made[0].answer or "")["entry"]
        if entries.score_answer(kept["answer"], kept) != 1:
            raise DataError("its entries cannot be kept as JSON")
    return list({problem.question: problem for problem in made}.values())


def _problem(name: str, number: int, entry: dict[str, Any]) -> Problem:
    answer = json.dumps({"generator": name, "entry": entry})
    question = _QUESTION.format(question=entry["question"].strip())
    return Problem(f"reasoning-gym:{name}/{number}", question, answer, kind="reasoning-gym")
