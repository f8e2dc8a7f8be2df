"""Asking a policy and a judge, and what is sure of their replies.

A question that is too long for a policy is data, and must not end the work on all. A judge gives one judgement for each
candidate, or is named in an error.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from presrm.errors import JudgeError, PromptTooLongError, boundary
from presrm.protocols import Completion, Generator, Judge, Request
from presrm.types import Candidates, Judgement, Stop

AskedT = TypeVar("AskedT")
ReplyT = TypeVar("ReplyT")
RefusedT = TypeVar("RefusedT")


def ask_fitting(
    ask: Callable[[Sequence[AskedT]], Sequence[ReplyT]],
    asked: Sequence[AskedT],
    refuse: Callable[[AskedT, str], RefusedT],
) -> list[ReplyT | RefusedT]:
    """Ask what the model can read; what is longer gets, in place of a reply, what `refuse` makes of it.

    Candidates and problems come from anywhere, so a giant one among them must not end the work on all.

    Args:
        ask: `generate` of an engine, or `logprobs` for certain options; not called for nothing.
        asked: The questions.
        refuse: Given a question and the reason, what stands for a reply.
    """
    if not asked:
        return []
    try:
        return list(ask(asked))
    except PromptTooLongError as error:
        reasons = error.reasons
    replies = iter(ask_fitting(ask, [question for i, question in enumerate(asked) if i not in reasons], refuse))
    return [refuse(question, reasons[i]) if i in reasons else next(replies) for i, question in enumerate(asked)]


def generate_fitting(generator: Generator, requests: Sequence[Request]) -> list[list[Completion]]:
    """Complete every request; where the prompt leaves no room, each completion is empty and cut off."""

    def refuse(request: Request, reason: str) -> list[Completion]:
        return [Completion("", (), Stop.MAX_TOKENS)] * request.num

    return ask_fitting(generator.generate, requests, refuse)


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
