"""What a trainer makes of preference pairs: which of them it would corrupt, and how.

A pair says that one step is better than another behind the same prefix. A trainer changes that where it trains an end
token behind a step that the solution goes on from, cuts a step off, or reads the text as other tokens than those that
the policy reads and writes. `TRAINERS` says what each trainer trains on, id by id; `check_pairs` compares that with
what the pair says.

``trl`` and ``trl-text`` are TRL's `DPOTrainer`: conversations as `presrm.formats.exports.to_trl` writes them, and texts
(prompt and steps before in one, the steps as replies). ``openrlhf`` is OpenRLHF's DPO on conversations, with its
``apply_chat_template``. LLaMA-Factory is missing: it writes conversations by templates of its own, which a tokenizer
does not tell.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from presrm.config import ObjectiveConfig
from presrm.formats.exports import to_openrlhf, to_trl
from presrm.judging.verdicts import BRACKETS
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.objectives import make_objective
from presrm.training.tokens import tokenise
from presrm.types import PreferencePair, Step

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "end_inside": "an end token is trained behind a step that does not end its solution",
        "cut_off": "a reply is cut off by truncation",
        "boundary": "the steps are read as other tokens than those that the policy writes",
        "control": "text of the pair is read as a control token",
        "control_across": "the steps before and the step form a control token together",
        "alike": "chosen and rejected are the same after truncation",
        "verdict": "a step holds the verdict of a judge",
    }
)
"""What may be wrong with a pair that a trainer trains on."""
_VERDICTS = frozenset({"a", "b", "yes", "no", "tie"})
_NUM_SHOWN = 3
_WIDTH = 6
_OPENRLHF_ROOM = 2


@dataclass(frozen=True, slots=True)
class TrainedPair:
    """What a trainer makes of a pair (token ids), before it truncates.

    Attributes:
        prompt: Not trained on.
        chosen: Trained on, behind the prompt.
        rejected: Likewise.
    """

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a trainer works with.

    Attributes:
        tokenizer: Of the policy.
        encoder: Of the same.
        prompts: The set that shows the questions to the policy.
        limit: Tokens in a sequence at most.
        is_own: Whether the pairs are those of a run, and not rows of another tool.
    """

    tokenizer: "PreTrainedTokenizerBase"
    encoder: PromptEncoder
    prompts: PromptSet
    limit: int
    is_own: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A pair in which something is wrong: its id, and what it comes to."""

    pair: str
    shown: str


@dataclass(slots=True)
class PairChecks:
    """What a trainer makes of pairs.

    Attributes:
        num: Pairs.
        num_corrupted: Those in which something is wrong.
        num_left_out: Those that the trainer does not train on, because they are too long.
        counts: Pairs by cause, as in `CAUSES`.
        examples: The first few of each cause.
    """

    num: int = 0
    num_corrupted: int = 0
    num_left_out: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)


def check_pairs(pairs: Sequence[PreferencePair], trainer: str, setup: Setup) -> PairChecks:
    """Compare what a trainer would train on with what the pairs say.

    Args:
        pairs: From anywhere.
        trainer: One of `TRAINERS`.
        setup: What it works with.
    """
    checks, make = PairChecks(), TRAINERS[trainer]
    for pair in pairs:
        checks.num += 1
        trained = make(pair, setup)
        if trained is None:
            checks.num_left_out += 1
            continue
        found: dict[str, str] = {}
        for cause, shown in _problems(pair, trained, setup, trainer):
            found.setdefault(cause, shown)
        checks.num_corrupted += bool(found)
        for cause, shown in found.items():
            checks.counts[cause] = checks.counts.get(cause, 0) + 1
            examples = checks.examples.setdefault(cause, [])
            if len(examples) < _NUM_SHOWN:
                examples.append(Example(pair.id, shown))
    return checks


def as_presrm(pair: PreferencePair, setup: Setup) -> TrainedPair | None:
    """Give what `presrm fit` trains on; none for a pair that it leaves out."""
    kept, _ = tokenise([pair], make_objective(ObjectiveConfig()), setup.encoder, setup.prompts, setup.limit)
    return TrainedPair(kept[0].prefix, *kept[0].replies) if kept else None


def as_trl(pair: PreferencePair, setup: Setup) -> TrainedPair | None:
    """Give what TRL trains on where the pair is a conversation, as ``export --to trl`` writes it."""
    row = to_trl(pair)

    def ids(messages: list[dict[str, str]], **options: Any) -> list[int]:
        read: Any = setup.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)
        return list(read["input_ids"])

    prompt = ids(row["prompt"], add_generation_prompt=True)
    return _divide(prompt, ids(row["prompt"] + row["chosen"]), ids(row["prompt"] + row["rejected"]), setup.limit)


def as_trl_text(pair: PreferencePair, setup: Setup) -> TrainedPair | None:
    """Give what TRL trains on where the pair is text: its prompt ends with the steps before, and replies are steps."""
    tokenizer = setup.tokenizer
    before = pair.prefix.problem.question
    if setup.is_own:
        before = str(tokenizer.apply_chat_template(to_trl(pair)["prompt"], tokenize=False, add_generation_prompt=True))
    before += pair.prefix.text
    end = str(tokenizer.eos_token)

    def ids(text: str) -> list[int]:
        return list(tokenizer(text=text)["input_ids"])

    replies = (text if text.endswith(end) else text + end for text in (pair.chosen.text, pair.rejected.text))
    chosen, rejected = (ids(before + reply) for reply in replies)
    return _divide(ids(before), chosen, rejected, setup.limit)


def as_openrlhf(pair: PreferencePair, setup: Setup) -> TrainedPair | None:
    """Give what OpenRLHF trains on where the pair is two conversations, as ``export --to openrlhf`` writes them."""
    row, tokenizer = to_openrlhf(pair), setup.tokenizer
    end = str(tokenizer.eos_token)

    def text(messages: list[dict[str, str]], **options: Any) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))

    def ids(text: str) -> list[int]:
        return list(tokenizer(text=text, add_special_tokens=False)["input_ids"])

    prompt = text(row["chosen"][:-1], add_generation_prompt=True)
    num = len(ids(prompt))
    if num >= setup.limit - _OPENRLHF_ROOM:
        return None
    whole = []
    for side in ("chosen", "rejected"):
        shown = (prompt + text(row[side])[len(prompt) :]).rstrip("\n")
        whole.append(ids(shown if shown.endswith(end) else f"{shown} {end}"))
        whole[-1][-1] = int(tokenizer.eos_token_id)
    (*before,) = whole[0][:num]
    if whole[1][:num] != before:  # the end of the prompt is read with what follows it: the loss begins in its midst
        return TrainedPair((), tuple(whole[0]), tuple(whole[1]))
    return TrainedPair(tuple(before), tuple(whole[0][num:]), tuple(whole[1][num:]))


TRAINERS: Mapping[str, Callable[[PreferencePair, Setup], TrainedPair | None]] = MappingProxyType(
    {"presrm": as_presrm, "trl": as_trl, "trl-text": as_trl_text, "openrlhf": as_openrlhf}
)
"""What a trainer trains on, by its name."""
LIMITS: Mapping[str, int] = MappingProxyType({"presrm": 2048, "trl": 1024, "trl-text": 1024, "openrlhf": 512})
"""Tokens in a sequence at most, where nothing else is set."""


def _divide(prompt: list[int], chosen: list[int], rejected: list[int], limit: int) -> TrainedPair | None:
    """Divide sequences as TRL does: the completion begins where prompt and whole part."""
    num = min(_num_common(prompt, chosen), _num_common(prompt, rejected))
    if num >= limit:
        return None
    return TrainedPair(tuple(prompt[:num]), tuple(chosen[num:]), tuple(rejected[num:]))


def _num_common(first: Sequence[int], second: Sequence[int]) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _problems(pair: PreferencePair, trained: TrainedPair, setup: Setup, trainer: str) -> Iterator[tuple[str, str]]:
    """Give what is wrong with a pair: the cause, and what it comes to; those of both sides."""

    def kept(reply: Sequence[int]) -> int:
        """Tokens that are not cut off; OpenRLHF puts an end token in the place of the last one."""
        is_cut = len(trained.prompt) + len(reply) > setup.limit
        return setup.limit - 1 if is_cut and trainer == "openrlhf" else setup.limit

    for step, reply in ((pair.chosen, trained.chosen), (pair.rejected, trained.rejected)):
        yield from _problems_of(pair, step, (*trained.prompt, *reply), setup.encoder, kept(reply))
        if trainer != "presrm":
            yield from _control_tokens(pair, step, setup.encoder)
        verdicts = [found for found in BRACKETS.findall(step.text) if found.strip().casefold() in _VERDICTS]
        if verdicts:
            yield "verdict", f"[[{verdicts[0]}]] in {_shown(step.text)}"
    chosen, rejected = ((trained.prompt + reply)[: kept(reply)] for reply in (trained.chosen, trained.rejected))
    if chosen == rejected:
        yield "alike", f"{_shown(pair.chosen.text)} and {_shown(pair.rejected.text)}"


def _problems_of(
    pair: PreferencePair, step: Step, sequence: tuple[int, ...], encoder: PromptEncoder, limit: int
) -> Iterator[tuple[str, str]]:
    written = [i for each in (*pair.prefix.steps, step) for i in encoder.step(each)]
    begin = _find_last(sequence, written)
    if begin is None:
        end = len(sequence) - len(_tail(sequence, encoder))
        yield "boundary", _first_difference(sequence[:end], written, encoder)
    else:
        end = begin + len(written)
    if end > limit:
        yield "cut_off", f"{end - limit} of {end} tokens of {_shown(step.text)}"
    ends = {encoder.eos_id, int(encoder.tokenizer.eos_token_id)}
    trained_ends = [i for i in sequence[end:limit] if i in ends]
    if trained_ends and step.stop is None:
        yield "end_inside", f"{encoder.decode(trained_ends[:1])} behind {_shown(step.text)}"


def _control_tokens(pair: PreferencePair, step: Step, encoder: PromptEncoder) -> Iterator[tuple[str, str]]:
    apart = encoder.control_tokens(pair.prefix.text) | encoder.control_tokens(step.text)
    apart |= encoder.control_tokens(pair.prefix.problem.question)
    if apart:
        yield "control", f"{min(apart)} in {_shown(step.text)}"
    if across := encoder.control_tokens(pair.prefix.text + step.text) - apart:
        yield "control_across", f"{min(across)} in {_shown((pair.prefix.text + step.text)[-200:])}"


def _find_last(sequence: Sequence[int], part: Sequence[int]) -> int | None:
    """Where `part` begins in `sequence`, the last time."""
    whole, wanted = list(sequence), list(part)
    for begin in range(len(whole) - len(wanted), -1, -1):
        if whole[begin : begin + 1] == wanted[:1] and whole[begin : begin + len(wanted)] == wanted:
            return begin
    return None


def _tail(sequence: Sequence[int], encoder: PromptEncoder) -> list[int]:
    """What a template puts behind a reply: control tokens, and white space between and behind them."""
    tail: list[int] = []
    held: list[int] = []
    for i in reversed(sequence):
        text = encoder.decode([i])
        held.insert(0, i)
        if encoder.control_tokens(text):
            tail, held = [*held, *tail], []
        elif text.strip():
            break
    return tail


def _first_difference(sequence: Sequence[int], written: Sequence[int], encoder: PromptEncoder) -> str:
    """Show the tokens around the last place where what is read parts from what was written."""
    num = _num_common(list(sequence)[::-1], list(written)[::-1])
    read = list(sequence)[: len(sequence) - num][-_WIDTH:]
    ours = list(written)[: len(written) - num][-_WIDTH:]
    told = (" ".join(_shown(encoder.decode([i])) for i in ids) or "nothing" for ids in (ours, read))
    return "{} read as {}".format(*told)


def _shown(text: str) -> str:
    """Quote the end of a text."""
    line = re.sub(r"\s*\n\s*", "\\\\n", text)
    return repr(line if len(line) <= 60 else f"...{line[-57:]}")
