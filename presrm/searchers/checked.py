"""A searcher -> its trees, with its law checked: all that search ask it here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from presrm.errors import SearcherError
from presrm.protocols import Generator, Judge, Searcher
from presrm.registry import blame
from presrm.types import Problem, SearchTree


def search_trees(
    searcher: Searcher, problems: Sequence[Problem], generator: Generator, judge: Judge, start: int = 0
) -> Iterator[SearchTree]:
    """Search problems, and check that there is one tree for each, in order; arguments as for `Searcher.search`.

    Raises:
        SearcherError: naming the searcher, if it raises, or gives something else.
    """
    culprit, expected = f"searcher {type(searcher).__name__!r}", "expected one SearchTree for each problem, in order"
    with blame(searcher, SearcherError, culprit):
        found = searcher.search(problems, generator, judge, start=start)
    if not isinstance(found, Iterable) or isinstance(found, Mapping | str):
        raise SearcherError(f"{culprit} gave {found!r:.80}: {expected}")
    trees = iter(found)
    for number, problem in enumerate(problems, 1):
        with blame(searcher, SearcherError, culprit):
            tree = next(trees, None)
        where = f"for problem {number} of {len(problems)}, {problem.id!r:.80}"
        if tree is None:
            raise SearcherError(f"{culprit} gave nothing {where}: {expected}")
        if not isinstance(tree, SearchTree):
            raise SearcherError(f"{culprit} gave {tree!r:.80} {where}: {expected}")
        if tree.problem != problem:
            raise SearcherError(f"{culprit} gave a tree of {tree.problem!r:.80} {where}: {expected}")
        yield tree
    with blame(searcher, SearcherError, culprit):
        if next(trees, None) is not None:
            raise SearcherError(f"{culprit} gave more trees than the {len(problems)} problems: {expected}")
