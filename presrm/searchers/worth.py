"""What a path is worth to a judge that scores its steps."""

import math
from collections.abc import Sequence

from presrm.protocols import Composition
from presrm.types import Judgement, Status


def compose(judgements: Sequence[Judgement], composition: Composition) -> Judgement:
    """Put the judgements of a path's steps together, as `presrm.protocols.Judge` says.

    Unknown is not zero: what one unreadable step may still lower is unknown. But what is zero already it cannot change,
    so a path with a wrong step is worth nothing whatever stands behind it. Only the last step counts for ``last``.

    >>> right, wrong = Judgement(0.5), Judgement(0.0)
    >>> unknown = Judgement(None, Status.REFUSED)
    >>> [compose([right, right, *rest], "product").score for rest in ([], [unknown], [wrong, unknown])]
    [0.25, None, 0.0]
    >>> [compose([right, *rest], "min").score for rest in ([Judgement(1.0)], [unknown], [wrong, unknown])]
    [0.5, None, 0.0]
    >>> compose([unknown, wrong, right], "last").score
    0.5
    """
    if not judgements:
        return Judgement(None, Status.UNREADABLE, "no steps")
    shown = " ".join("-" if step.score is None else f"{step.score:.3f}" for step in judgements)
    counted = judgements[-1:] if composition == "last" else judgements
    scores = [step.score for step in counted if step.score is not None]
    unknown = next((step.status for step in counted if step.score is None), None)
    if unknown is not None and 0.0 not in scores:
        return Judgement(None, unknown, f"a step without a readable score, steps: {shown}")
    return Judgement(min(scores) if composition == "min" else math.prod(scores), rationale=f"steps: {shown}")
