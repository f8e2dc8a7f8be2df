"""Asking a judge, and what is sure of its replies: one judgement for each candidate, or an error that names it."""

from collections.abc import Sequence

from presrm.errors import JudgeError, boundary
from presrm.protocols import Judge
from presrm.types import Candidates, Judgement


def ask_judge(judge: Judge, batch: Sequence[Candidates], name: str | None = None) -> list[tuple[Judgement, ...]]:
    """Call a judge once, not at all for an empty batch, and check the shape of what it gives.

    Args:
        judge: Is asked.
        batch: What it is shown.
        name: What errors call it; the name of its class unless said.

    Returns:
        One tuple an item, one judgement a candidate, in order.

    Raises:
        JudgeError: naming the judge, if it raises or does not give one `Judgement` for each candidate of each item.
    """
    if not batch:
        return []
    culprit = f"judge {name or type(judge).__name__!r}"
    with boundary(JudgeError, culprit):
        judged = [tuple(judgements) for judgements in judge.judge(batch)]
    if len(judged) != len(batch):
        raise JudgeError(f"{culprit} gave results for {len(judged)} items of {len(batch)}")
    for number, (item, judgements) in enumerate(zip(batch, judged, strict=True), start=1):
        if len(judgements) != len(item.steps) or not all(isinstance(one, Judgement) for one in judgements):
            raise JudgeError(
                f"{culprit} gave {judgements!r:.200} for the {len(item.steps)} candidates of item {number} of "
                f"{len(batch)}: expected one Judgement each"
            )
    return judged
