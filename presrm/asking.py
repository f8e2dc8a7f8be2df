"""Asking a policy what it can read: a question that is too long for it is data, and must not end the work on all."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from presrm.errors import PromptTooLongError
from presrm.protocols import Completion, Generator, Request
from presrm.types import Stop

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
