"""Preference pairs -> rows of neighbouring trainers; `presrm.formats.preferences` reads each of them back.

Trainers of whole answers know no prefix. There both replies begin with it: its log-probabilities are the same on both
sides and cancel in the loss of DPO. What they cannot express is a step that does not end its solution: they put their
end token behind every reply (`ends_inside`).

>>> from presrm.types import Problem, Step, Trajectory
>>> path = Trajectory(Problem("p", "1 + 1 + 1?"), (Step("1 + 1 = 2. "),))
>>> to_step_dpo(PreferencePair("p/1", path, Step("2 + 1 = 3."), Step("2 + 1 = 4."), 1.0))["initial_reason_steps"]
'1 + 1 = 2. '
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from presrm.errors import DataError
from presrm.types import PreferencePair, Problem

Writer = Callable[[PreferencePair], dict[str, Any]]


def to_step_dpo(pair: PreferencePair) -> dict[str, Any]:
    """Step-DPO: the reasoning so far stands apart.

    Raises:
        DataError: for a pair with a system turn or earlier turns, which the format has no place for.
    """
    problem = pair.prefix.problem
    if problem.system or problem.history:
        raise DataError(f"pair {pair.id}: Step-DPO has no place for a system turn or earlier turns")
    return {
        "prompt": problem.question,
        "initial_reason_steps": pair.prefix.text,
        "chosen": pair.chosen.text,
        "rejected": pair.rejected.text,
    }


def to_trl(pair: PreferencePair) -> dict[str, Any]:
    """TRL: messages, with the prompt apart."""
    chosen, rejected = _replies(pair)
    return {
        "prompt": _messages(pair.prefix.problem),
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def to_openrlhf(pair: PreferencePair) -> dict[str, Any]:
    """OpenRLHF: two whole conversations, to be read with its ``--apply_chat_template``."""
    before = _messages(pair.prefix.problem)
    chosen, rejected = ([*before, {"role": "assistant", "content": reply}] for reply in _replies(pair))
    return {"chosen": chosen, "rejected": rejected}


def to_llama_factory(pair: PreferencePair) -> dict[str, Any]:
    """LLaMA-Factory: ShareGPT with ``ranking: true``."""
    problem = pair.prefix.problem
    turns = [message for message in _messages(problem) if message["role"] != "system"]
    names = {"user": "human", "assistant": "gpt"}
    chosen, rejected = _replies(pair)
    return {
        **({"system": problem.system} if problem.system else {}),
        "conversations": [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns],
        "chosen": {"from": "gpt", "value": chosen},
        "rejected": {"from": "gpt", "value": rejected},
    }


WRITERS: Mapping[str, Writer] = MappingProxyType(
    {"step-dpo": to_step_dpo, "trl": to_trl, "openrlhf": to_openrlhf, "llama-factory": to_llama_factory}
)
"""The row of a pair, by the name of the trainer."""


def ends_inside(pair: PreferencePair) -> bool:
    """Whether a reply goes on behind its step, so that an end token there would teach the policy to stop too early."""
    return any(step.stop is None for step in (pair.chosen, pair.rejected))


def _replies(pair: PreferencePair) -> tuple[str, str]:
    return pair.prefix.text + pair.chosen.text, pair.prefix.text + pair.rejected.text


def _messages(problem: Problem) -> list[dict[str, str]]:
    """The turns that the replies answer."""
    messages = [{"role": "system", "content": problem.system}] if problem.system else []
    for asked, reply in problem.history:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": reply}]
    return [*messages, {"role": "user", "content": problem.question}]
