"""How alike two problems are: ROUGE-L, the longest common subsequence of words (Lin 2004, section 3.1)."""

import re
from collections.abc import Sequence

from rapidfuzz import process
from rapidfuzz.distance import Indel

Words = tuple[str, ...]


def words_of(text: str) -> Words:
    """The words of a text as ROUGE counts them: runs of letters and digits, in lower case."""
    return tuple(re.findall(r"[^\W_]+", text.casefold()))


def rouge_l(first: Words, second: Words) -> float:
    """ROUGE-L, as an F-measure: twice the longest common subsequence over the words of both.

    >>> round(rouge_l(words_of("Tom has 3 pens."), words_of("Tom has 5 red pens.")), 3)
    0.667
    """
    return float(Indel.normalized_similarity(first, second))


def nearest(text: Words, others: Sequence[Words], *, at_least: float = 0.0) -> float:
    """The ROUGE-L of a text and the one most like it among `others`; 0 where none reaches `at_least`."""
    found = process.extractOne(text, others, scorer=Indel.normalized_similarity, score_cutoff=at_least)
    return 0.0 if found is None else float(found[1])


def diversity(texts: Sequence[Words]) -> float | None:
    """How unlike problems are: 1 less the mean ROUGE-L of each with the one most like it; none for fewer than two."""
    if len(texts) < 2:
        return None
    likeness = [nearest(text, [*texts[:i], *texts[i + 1 :]]) for i, text in enumerate(texts)]
    return 1 - sum(likeness) / len(texts)
