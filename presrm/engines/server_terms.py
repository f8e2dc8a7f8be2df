"""What a server takes of a request: learned from what it refuses, and kept to for as long as it is asked."""

import logging
import re
from typing import Any

from presrm.engines.server_replies import Trouble

logger = logging.getLogger(__name__)

_EFFECT = {
    "seed": "draws are not reproducible",
    "temperature": "the server's own temperature is used",
    "top_p": "the server's own top_p is used",
    "top_k": "the server's own top_k is used",
    "min_p": "the server's own min_p is used",
    "repetition_penalty": "the server's own repetition penalty is used",
    "max_completion_tokens": "replies are as long as the server allows",
    "stop": "it writes past the end of a step, which is dropped",
    "stop_token_ids": "it ends a reply by its own end tokens only",
    "skip_special_tokens": "its text may lack control tokens",
    "return_token_ids": "it does not tell the ids of what it writes",
    "logprob_token_ids": "only the most probable tokens have a known probability",
    "return_tokens_as_token_ids": "tokens are told apart by their text",
}
"""What may be left out, and what follows."""
_LIMITED = ("max_tokens", "max_completion_tokens", "top_logprobs", "logprobs")
_REFUSES = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|extra |not (permitted|allowed|available|implemented)|forbidden|invalid"
    r"|cannot|can't|only the default|deprecated|must|should|disallowed|not accept|remove|instead|incompatible",
    re.I,
)
_ALLOWED = re.compile(
    r"expected one of|(?<!un)(?<!not )\b(supported|allowed|valid|accepted|available|known) (param|arg|field|key)",
    re.I,
)
"""What stands behind is what the server does take."""
_TOO_MUCH = re.compile(
    r"(?:at most|less than(?: or equal to)?|no more than|up to|<=?|≤|maximum(?: value)?(?: is| of|:)?"
    r"|\[\s*\d+\s*,|between \d+ and)[\s`'\"]*(\d+(?:\.\d+)?)",
    re.I,
)
_LONGEST = re.compile(r"(?:context|model).{0,20}?length (?:is|of|:)?\s*(\d+)|must be <= (\d+)\. Given|\d > (\d+)", re.I)
_READ = re.compile(
    r"(\d+) (?:input tokens|tokens (?:in|from) the (?:input |prompt|messages|context))"
    r"|\((\d+) in the (?:messages|prompt)|prompt contains (?:at least )?(\d+)|Given: (\d+) .?inputs|(\d+) \+ \d+ >",
    re.I,
)
"""Where a refusal tells how many tokens the model reads and writes at most, and how many the prompt has."""


class Terms:
    """What one server refused so far. Every change is told once, with what follows from it.

    Args:
        url: Names the server in what is told.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._refused: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._most: dict[str, int] = {}

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Leave out, rename or lower what the server refused."""
        renamed = {self._renamed.get(name, name): value for name, value in body.items()}
        return {
            name: min(value, self._most[name]) if name in self._most else value
            for name, value in renamed.items()
            if name not in self._refused
        }

    def learn(self, body: dict[str, Any], trouble: Trouble) -> dict[str, Any] | None:
        """Give the request that the server may take in place of `body`, or none if it says nothing of the kind.

        Args:
            body: As it was sent.
            trouble: What the server said.
        """
        if trouble.status not in (400, 422, 500, 501):
            return None
        if (lower := _fit(body, trouble.reason)) is not None:
            return lower
        if trouble.stop is not None and not _TOO_MUCH.search(trouble.reason):
            return None
        for name in _named(body, trouble):
            most = _most(trouble.reason, body[name]) if isinstance(body[name], int | float) else None
            if most is not None and name in _LIMITED and self._most.get(name) != most:
                self._most[name] = int(most)
                self._tell(f"takes at most {most:g} for {name!r}, so that is what it is sent")
            elif most is not None or trouble.stop is not None:
                continue
            elif name == "max_tokens" and name not in self._renamed:
                self._renamed[name] = "max_completion_tokens"
                self._tell("refuses 'max_tokens', so it is sent 'max_completion_tokens'")
            elif name in _EFFECT and name not in self._refused:
                self._refused.add(name)
                self._tell(f"refuses {name!r}, so it is left out: {_EFFECT[name]}")
        changed = self.apply(body)
        return changed if changed != body else None

    def _tell(self, what: str) -> None:
        logger.warning("%s %s", self._url, what)


def _fit(body: dict[str, Any], reason: str) -> dict[str, Any] | None:
    """Ask for fewer tokens where a server adds them to those of the prompt, and only together they are too many."""
    longest, read = _LONGEST.search(reason), _READ.search(reason)
    if longest is None or read is None:
        return None
    left = int(longest[longest.lastindex or 0]) - int(read[read.lastindex or 0])
    for name in ("max_tokens", "max_completion_tokens"):
        if 0 < left < body.get(name, 0):
            return body | {name: left}
    return None


def _most(reason: str, value: float) -> float | None:
    """The largest number that a server takes for what it was sent a larger one."""
    return max((most for most in map(float, _TOO_MUCH.findall(reason)) if 0 < most < value), default=None)


def _named(body: dict[str, Any], trouble: Trouble) -> list[str]:
    """Which parameters of a request the server complains of."""
    known = [name for name in body if name in _EFFECT or name in _LIMITED]
    if told := [name for name in known if name in trouble.names]:
        return told
    reason = _ALLOWED.split(trouble.reason)[0]
    if not _REFUSES.search(trouble.reason):
        return []
    quoted = [name for name in known if re.search(rf"""[`'"]{name}[`'"=]""", reason)]
    found = quoted or [name for name in known if re.search(rf"(?<![\w.]){name}(?!\w)", reason)]
    return found[-1:] if re.search(r"\bboth\b", reason) else found
