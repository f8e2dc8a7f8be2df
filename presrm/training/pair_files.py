"""What a file of pairs is to one policy: ids that its tokenizer reads, and what packing saves."""

import random
import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from presrm.config import TrainingConfig
from presrm.errors import NoLessonsError, counted
from presrm.files.spool import Chosen, Spool
from presrm.packing.layout import fill_packs, tree_size
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.objectives import Objective
from presrm.training.plan import plan_steps
from presrm.training.tokens import explain_dropped, name_limit, tokenise
from presrm.types import PreferencePair, Problem, Trajectory

_MARKUP = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|<[be]os>|<(?:start|end)_of_turn>|\[/?INST\]|<\uff5c[^\uff5c<>\s]{1,40}\uff5c>"
)
"""Control tokens of model families at large: letters to a policy of another family, and never meant as such."""
_NUM_SHOWN = 3


def adopt_pairs(
    pairs: Sequence[PreferencePair], encoder: PromptEncoder, note: Callable[[str], None]
) -> Sequence[PreferencePair]:
    """Make pairs ready for a policy that need not have written them.

    Ids that another tokenizer wrote are dropped: text without ids is tokenised when it is trained on.

    Args:
        pairs: From anywhere.
        encoder: Of the policy's tokenizer.
        note: Is told in a line what is odd about them.
    """
    foreign = array("b", (not _is_readable(pair, encoder) for pair in pairs))
    ours = pairs
    if num_changed := sum(foreign):
        note(f"in {counted(num_changed, 'pair')} the ids are those of another tokenizer: the text is tokenised anew")
        both = zip(pairs, foreign, strict=True)
        ours = Spool(PreferencePair, (_without_ids(pair) if is_foreign else pair for pair, is_foreign in both))
    _note_control_tokens(ours, encoder, note)
    return ours


def _note_control_tokens(pairs: Sequence[PreferencePair], encoder: PromptEncoder, note: Callable[[str], None]) -> None:
    """Say which texts hold control tokens, of this policy or of another; ids that a policy wrote are what they are."""
    counts: Counter[str] = Counter()
    tokens: dict[str, set[str]] = {"prompts": set(), "prefixes": set(), "replies": set()}
    for pair in pairs:
        replies = [("replies", step.text) for step in (pair.chosen, pair.rejected) if step.tokens is None]
        before = "".join(step.text for step in pair.prefix.steps if step.tokens is None)
        for what, text in (("prompts", _shown(pair.prefix.problem)), ("prefixes", before), *replies):
            if found := encoder.control_tokens(text) | set(_MARKUP.findall(text)):
                counts[what] += 1
                tokens[what] |= found
    for what, found in tokens.items():
        if found:
            named = sorted(found)
            shown = ", ".join(named[:_NUM_SHOWN]) + (", ..." if len(named) > _NUM_SHOWN else "")
            note(
                f"{counts[what]} {what} hold control tokens ({shown}), as if a chat template had been applied: they "
                "are read as plain text, inside the chat template of the policy; give texts without it"
            )


def _shown(problem: Problem) -> str:
    return "\n".join([problem.system or "", *chain.from_iterable(problem.history), problem.question])


def _is_readable(pair: PreferencePair, encoder: PromptEncoder) -> bool:
    steps = (*pair.prefix.steps, pair.chosen, pair.rejected)
    return all(step.tokens is None for step in steps) or all(
        _spells(pair.prefix.extend(step), encoder) for step in (pair.chosen, pair.rejected)
    )


def _without_ids(pair: PreferencePair) -> PreferencePair:
    *before, chosen, rejected = (
        replace(step, tokens=None) for step in (*pair.prefix.steps, pair.chosen, pair.rejected)
    )
    return replace(pair, prefix=replace(pair.prefix, steps=tuple(before)), chosen=chosen, rejected=rejected)


def _spells(path: Trajectory, encoder: PromptEncoder) -> bool:
    """Whether the ids of a path are its text; those of a single step may end within a character."""
    ids = [i for step in path.steps for i in encoder.step(step)]
    return max(ids, default=0) < len(encoder.tokenizer) and encoder.decode(ids) == path.text


def hold_out(
    pairs: Sequence[PreferencePair], share: float, seed: int
) -> tuple[Sequence[PreferencePair], Sequence[PreferencePair]]:
    """Set the pairs of a share of the problems aside, drawn by `seed`: those to train on, and those aside, in order.

    A pair is never on one side with a prefix that the other side is trained on. If the share
    is less than one problem, none is set aside.
    """
    numbers: dict[str, int] = {}
    about = array("q", (numbers.setdefault(pair.prefix.problem.id, len(numbers)) for pair in pairs))
    aside = set(random.Random(seed).sample(range(len(numbers)), int(share * len(numbers))))
    trained = Chosen(pairs, (place for place, problem in enumerate(about) if problem not in aside))
    return trained, Chosen(pairs, (place for place, problem in enumerate(about) if problem in aside))


@dataclass(frozen=True, slots=True)
class TokenRatio:
    """Tokens of a file of pairs, by how they are computed.

    Attributes:
        num_pairs: Pairs that are trained on.
        num_too_long: Pairs left out, as they are longer.
        limit: What they are longer than, in words.
        num_problems: Problems that they hang on.
        whole: Every pair as two whole sequences.
        packed: As prefix trees, each optimiser step on its own, in packs of at most ``pack_tokens``.
        tree: As prefix trees of the whole file: what no packing can beat.
    """

    num_pairs: int
    num_too_long: int
    limit: str
    num_problems: int
    whole: int
    packed: int
    tree: int

    @property
    def ratio(self) -> float:
        """How many times fewer tokens packing computes."""
        return self.whole / self.packed

    def explain(self) -> str:
        """Say in a plain sentence what packing saves on this file, and why."""
        saving = f"packing computes {self.ratio:.1f} times fewer tokens"
        per_problem = self.num_pairs / self.num_problems
        if per_problem < 1.05:
            return f"One pair a problem: {saving}, not 9 times, as only the two halves of a pair share a prefix."
        return f"{per_problem:.1f} pairs a problem: {saving}."


def count_tokens(
    pairs: Sequence[PreferencePair],
    encoder: PromptEncoder,
    prompts: PromptSet,
    options: TrainingConfig,
    objective: Objective,
    seed: int,
    *,
    num_positions: int,
) -> TokenRatio:
    """Count what one epoch of `presrm.training.trainer.PackedTrainer` computes.

    Args:
        pairs: As `adopt_pairs` made them.
        encoder: Of the policy's tokenizer.
        prompts: How questions are shown.
        options: Of the training.
        objective: Of the training.
        seed: Of the training.
        num_positions: Tokens that the policy reads at most.

    Raises:
        NoLessonsError: if no pair can be trained on.
    """
    longest = min(options.max_tokens, num_positions)
    limit = name_limit(longest, options.max_tokens)
    kept, dropped = tokenise(pairs, objective, encoder, prompts, longest)
    whole = [lesson.rows for lesson in kept.values()]
    trees = [pairs[number].prefix.problem.id for number in kept]
    if not whole:
        raise NoLessonsError(f"no pairs to train on: {explain_dropped(len(pairs), dropped, limit)}")

    def of_step(indices: Sequence[int]) -> int:
        groups = [whole[i] for i in indices]
        packs = fill_packs(groups, options.pack_tokens)
        return sum(tree_size([ids for number in pack for ids in groups[number]]) for pack in packs)

    steps = plan_steps(trees, options.batch_pairs, 1, seed, options.shuffle)
    return TokenRatio(
        num_pairs=len(whole),
        num_too_long=dropped["too_long"],
        limit=limit,
        num_problems=len(set(trees)),
        whole=sum(len(ids) for rows in whole for ids in rows),
        packed=sum(map(of_step, steps)),
        tree=tree_size([ids for group in whole for ids in group]),
    )
