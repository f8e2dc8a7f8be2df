"""Verdicts that contradict each other in the two orders in which a pair of steps is shown."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from presrm.types import Judgement


def contradicted_by_most(judgements: Sequence[Judgement]) -> tuple[str, ...] | None:
    """Put several judgements of one candidate together: the siblings on which more than half contradict themselves.

    Those that were not asked in both orders have no say; none where none was.

    >>> contradicted_by_most([Judgement(0.5, contradicted=("b",)), Judgement(1.0, contradicted=()), Judgement(0.2)])
    ()
    """
    told = [judgement.contradicted for judgement in judgements if judgement.contradicted is not None]
    if not told:
        return None
    return tuple(sorted(sibling for sibling, num in Counter(chain.from_iterable(told)).items() if 2 * num > len(told)))
