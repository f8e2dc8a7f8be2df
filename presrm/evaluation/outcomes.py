"""Who solved what, read from a run or an evaluation: what two policies are compared by."""

from collections.abc import Mapping
from pathlib import Path

from presrm.errors import DataError, RequestError
from presrm.files.jsonl import BadRow, read_rows

Outcomes = Mapping[str, bool]
"""Problem id -> whether it was solved."""


def read_outcomes(path: Path) -> dict[str, Outcomes]:
    """Read every benchmark that a path tells of, by name.

    Args:
        path: A run folder (its last policy), one iteration of it, what ``presrm eval --out`` wrote (if it is of one
            policy), its folder of one policy, or a file of samples. Samples of several solutions, of which nothing
            chose one, tell of none.

    Raises:
        RequestError: if there is nothing of the kind, or it is of several policies.
        DataError: if a file is damaged.
    """
    if path.is_file():
        return _named([path])
    if answers := _last_answers(path):
        return {"held-out": _from_rows(answers)}
    if found := _named(sorted(path.glob("samples_*.jsonl"))):
        return found
    policies = sorted({samples.parent for samples in path.glob("*/samples_*.jsonl")})
    if len(policies) > 1:
        raise RequestError(f"{path} holds {len(policies)} policies, say which: {', '.join(map(str, policies))}")
    if policies and (found := _named(sorted(policies[0].glob("samples_*.jsonl")))):
        return found
    raise RequestError(f"{path}: no run, no iteration, and no samples of presrm eval with an answer a problem")


def read_texts(path: Path) -> dict[str, tuple[str, str]]:
    """Read question and chosen answer of every problem, by its id; `path` as for `read_outcomes`, of one benchmark.

    Raises:
        RequestError: if there is nothing of the kind, or it is of several policies or benchmarks.
        DataError: if a file is damaged.
    """
    files = [path] if path.is_file() else [_last_answers(path)] if _last_answers(path) else []
    files = files or sorted(path.glob("samples_*.jsonl")) or sorted(path.glob("*/samples_*.jsonl"))
    if len(files) != 1 or files[0] is None:
        raise RequestError(f"{path}: expected the answers of one policy to one benchmark, found {len(files)} files")
    texts: dict[str, tuple[str, str]] = {}
    for row in read_rows(files[0]):
        match row.value if not isinstance(row, BadRow) else None:
            case {"doc": {"id": str(name), "question": str(question)}, "resps": [[*answers]], "chosen": int(chosen)}:
                texts[name] = (question, str(answers[chosen]))
            case _:
                raise DataError(f"{files[0]}, line {row.line}: not a row of presrm eval with a chosen answer")
    return texts


def _last_answers(path: Path) -> Path | None:
    if (path / "answers.jsonl").is_file():
        return path / "answers.jsonl"
    numbered = [folder for folder in path.glob("iterations/*") if folder.name.isdigit()]
    with_answers = [folder for folder in numbered if (folder / "answers.jsonl").is_file()]
    return max(with_answers, key=lambda folder: int(folder.name)) / "answers.jsonl" if with_answers else None


def _named(paths: list[Path]) -> dict[str, Outcomes]:
    found = {path.stem.removeprefix("samples_"): _from_rows(path) for path in paths}
    return {name: outcomes for name, outcomes in found.items() if outcomes}


def _from_rows(path: Path) -> Outcomes:
    outcomes: dict[str, bool] = {}
    for row in read_rows(path):
        if isinstance(row, BadRow):
            raise DataError(f"{path}, line {row.line}: {row.reason}")
        match row.value:
            case {"doc": {"id": str(name)}, "exact_match": 0 | 1 as solved}:
                outcomes[name] = bool(solved)
            case {"doc": {"id": str()}, "exact_match": None}:
                return {}
            case _:
                raise DataError(f"{path}, line {row.line}: not a row of presrm eval: no doc.id or exact_match")
    return outcomes
