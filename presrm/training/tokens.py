"""Lessons -> token ids, through the encoder that also generates and judges."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import accumulate, chain, pairwise

from presrm.files.spool import Chosen
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.objectives import Objective, assign
from presrm.types import Lesson, Stop

Ids = tuple[int, ...]
_MOST_SHORT = 0xFFFF


@dataclass(frozen=True, slots=True, init=False)
class LessonTokens:
    """A lesson as token ids, two or four bytes a token: a training holds those of all its lessons.

    Attributes:
        objective: What its loss is.
        weight: What `Objective.weigh` said of it.
        doubt: Of a pair, the probability that it is the wrong way round.
        ids: The prefix and all replies, one behind the other, as integers of 16 bits, or of 32 if one needs them.
        num_prefix: Tokens of the prefix.
        lengths: Tokens of each reply.
    """

    objective: Objective
    weight: float
    doubt: float
    ids: bytes = field(repr=False)
    num_prefix: int
    lengths: tuple[int, ...]

    def __init__(
        self, objective: Objective, prefix: Ids, replies: tuple[Ids, ...], weight: float = 1.0, doubt: float = 0.0
    ) -> None:
        numbers = tuple(chain(prefix, *replies))
        ids = array("H" if max(numbers, default=0) <= _MOST_SHORT else "i", numbers).tobytes()
        values = (objective, weight, doubt, ids, len(prefix), tuple(map(len, replies)))
        for each, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, each.name, value)

    @property
    def prefix(self) -> Ids:
        """The prompt and the steps before, never trained on."""
        return self._numbers()[: self.num_prefix]

    @property
    def replies(self) -> tuple[Ids, ...]:
        """What is scored, each with the end token exactly where the policy generated it."""
        ids = self._numbers()
        ends = accumulate(self.lengths, initial=self.num_prefix)
        return tuple(ids[start:end] for start, end in pairwise(ends))

    def _numbers(self) -> Ids:
        is_short = len(self.ids) == 2 * (self.num_prefix + sum(self.lengths))
        return tuple(array("H" if is_short else "i", self.ids))

    @property
    def rows(self) -> tuple[Ids, ...]:
        """Prefix and reply, for each reply."""
        prefix = self.prefix
        return tuple(prefix + reply for reply in self.replies)

    @property
    def row_lengths(self) -> tuple[int, ...]:
        """Tokens of each row."""
        return tuple(self.num_prefix + length for length in self.lengths)


def tokenise(
    lessons: Sequence[Lesson], objective: Objective, encoder: PromptEncoder, prompts: PromptSet, longest: int
) -> tuple[dict[int, LessonTokens], Counter[str]]:
    """Turn lessons into ids: a prefix and a reply of at most `longest` tokens.

    The end token is trained only for `Stop.EOS`: behind any other step it would teach the policy to stop there. What
    does not fit is left out whole: a prefix that is cut on its left has lost its question.

    Args:
        lessons: Of any kind, see `presrm.training.objectives.assign`.
        objective: What the training minimises.
        encoder: Of the policy's tokenizer.
        prompts: The set that the lessons were made with.
        longest: Tokens.

    Returns:
        What can be trained on, by number of the lesson; and how many cannot, by cause.
    """
    end = (encoder.eos_id,)
    assigned = assign(lessons, objective)
    weights: list[float | str] = [0.0] * len(assigned)
    for each in dict.fromkeys(assigned):
        members = Chosen(range(len(assigned)), (number for number, its in enumerate(assigned) if its == each))
        for number, weight in zip(members, each.weigh(Chosen(lessons, members)), strict=True):
            weights[number] = weight
    kept: dict[int, LessonTokens] = {}
    dropped: Counter[str] = Counter()
    for number, (lesson, its, weight) in enumerate(zip(lessons, assigned, weights, strict=True)):
        if isinstance(weight, str):
            dropped[weight] += 1
            continue
        prefix = tuple(encoder.encode(prompts.solve(lesson.prefix)))
        replies = tuple((*encoder.step(step), *(end if step.stop is Stop.EOS else ())) for step in its.replies(lesson))
        if not all(replies):
            dropped["empty"] += 1
        elif len(prefix) + max(map(len, replies)) > longest:
            dropped["too_long"] += 1
        else:
            kept[number] = LessonTokens(its, prefix, replies, weight, getattr(lesson, "doubt", 0.0))
    return kept, dropped


def name_limit(longest: int, max_tokens: int) -> str:
    """Say what limits lessons to `longest` tokens: the setting, or the model, which reads fewer."""
    return f"training.max_tokens={longest}" if longest == max_tokens else f"the {longest} tokens that the model reads"


def explain_dropped(num: int, dropped: Mapping[str, int], limit: str) -> str:
    """Say in a clause what became of lessons that cannot be trained on."""
    words = {
        "too_long": f"longer than {limit}",
        "empty": "without a token to learn",
        "no_weight": "of weight 0",
        "no_reward": "of unknown reward",
        "no_spread": "in a group whose rewards are all alike",
    }
    causes = [f"{count} {words.get(cause, cause)}" for cause, count in sorted(dropped.items())]
    return ", ".join([f"{num} given", *causes])
