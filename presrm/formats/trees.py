"""Rows of ``trees.jsonl``, from wherever they come -> search trees whose parts point to each other as they should."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from presrm.errors import DataError
from presrm.types import SearchTree


def tree_of(row: Mapping[str, Any]) -> SearchTree:
    """Read one tree.

    Raises:
        DataError: naming the field and what was expected.
    """
    try:
        tree: SearchTree = _trees().validate_python(row)
    except ValidationError as error:
        first = error.errors()[0]
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise DataError(f"{'.'.join(map(str, first['loc'])) or 'the row'}: {reason}") from error
    for number, expansion in enumerate(tree.expansions):
        where = f"expansions.{number}"
        if expansion.parent is not None:
            _require_candidate(tree, expansion.parent, number, f"{where}.parent")
        for kept in expansion.kept:
            _require_candidate(tree, (number, kept), number + 1, f"{where}.kept")
    for end in tree.solutions:
        _require_candidate(tree, end, len(tree.expansions), "solutions")
    for number in tree.dropped:
        if not 0 <= number < len(tree.expansions):
            raise DataError(f"dropped: expected the number of an expansion, found {number}")
    return tree


def _require_candidate(tree: SearchTree, place: tuple[int, int], before: int, where: str) -> None:
    """Refuse an (expansion, candidate) that is not there, or whose expansion was not made before number `before`."""
    number, candidate = place
    if not (0 <= number < before and 0 <= candidate < len(tree.expansions[number].candidates)):
        raise DataError(f"{where}: expected a candidate of an expansion made before, found {list(place)}")


@cache
def _trees() -> TypeAdapter[SearchTree]:
    return TypeAdapter(SearchTree)
