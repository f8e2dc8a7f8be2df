"""Lessons -> token ids, through the encoder that also generates and judges."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.objectives import Objective, assign
from presrm.types import Lesson, Stop

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LessonTokens:
    """A lesson as token ids.

    Attributes:
        objective: What its loss is.
        prefix: The prompt and the steps before, never trained on.
        replies: What is scored, each with the end token exactly where the policy generated it.
        weight: What `Objective.weigh` said of it.
        doubt: Of a pair, the probability that it is the wrong way round.
        rows: Prefix and reply, for each reply.
    """

    objective: Objective
    prefix: Ids
    replies: tuple[Ids, ...]
    weight: float = 1.0
    doubt: float = 0.0
    rows: tuple[Ids, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.prefix + reply for reply in self.replies))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each reply."""
        return tuple(map(len, self.replies))


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
    weights: dict[int, float | str] = {}
    for each in dict.fromkeys(assigned):
        members = [number for number, its in enumerate(assigned) if its == each]
        weights.update(zip(members, each.weigh([lessons[number] for number in members]), strict=True))
    kept: dict[int, LessonTokens] = {}
    dropped: Counter[str] = Counter()
    for number, (lesson, its) in enumerate(zip(lessons, assigned, strict=True)):
        weight = weights[number]
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
