"""Our judges as reward functions, run in the real packages."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.judges.pairwise import PairwiseJudge
from presrm.judges.pointwise import PointwiseJudge
from presrm.prompts import Prompt, PromptSet
from presrm.rewards import JudgeReward, make_rubric, open_reward
from presrm.types import Candidates, Judgement, Status, Step

CHAT = [{"role": "user", "content": "What is 2 + 3?"}]


def turns(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def check(prompt: Prompt, rng: random.Random) -> str:
    """Says yes to a solution with a 5 in it, nothing to one with a question mark."""
    solution = "".join(part.text for part in (*prompt.trunk[1:], *prompt.tail) if part.is_content)
    return "Hm." if "?" in solution else f"[[{'yes' if '5' in solution else 'no'}]]"


def pointwise() -> PointwiseJudge:
    return PointwiseJudge(ScriptedEngine(check), PromptSet("compact"))


class Even:
    """Scores a completion by whether its length is even; knows nothing of short ones."""

    scale: Literal["absolute", "relative"] = "absolute"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(self._one(step) for step in item.steps) for item in batch]

    def _one(self, step: Step) -> Judgement:
        if len(step.text) < 3:
            return Judgement(None, Status.UNREADABLE)
        return Judgement(float(len(step.text) % 2 == 0))


def test_texts_and_conversations_are_scored_in_order_and_unknown_is_none() -> None:
    reward = JudgeReward(pointwise())

    assert reward(["What is 2 + 3?"] * 3, ["It is 5.", "It is 6.", "What?"]) == [1.0, 0.0, None]
    assert reward([CHAT] * 2, [turns("It is 5."), turns("Or 4.")]) == [1.0, 0.0]
    assert reward(["a", "b", "a"], ["5", "6", "6"]) == [1.0, 0.0, 0.0]


def test_a_relative_judge_compares_the_completions_of_one_prompt() -> None:
    def prefer(prompt: Prompt, rng: random.Random) -> str:
        first, second = [part.text for part in prompt.tail if part.is_content][:2]
        return f"[[{'A' if first > second else 'B'}]]"

    reward = JudgeReward(PairwiseJudge(ScriptedEngine(prefer), PromptSet("compact")))

    assert reward(["p", "q", "p", "q"], ["1", "9", "2", "8"]) == [0.0, 1.0, 1.0, 0.0]


def test_statuses_are_logged_and_the_question_of_a_column_is_shown() -> None:
    asked: list[str] = []

    def note(prompt: Prompt, rng: random.Random) -> str:
        asked.append(prompt.trunk[0].text)
        return check(prompt, rng)

    logged: dict[str, Any] = {}
    reward = JudgeReward(PointwiseJudge(ScriptedEngine(note), PromptSet("compact")))
    reward(
        ["wrapped"] * 2, ["5", "?"], question=["bare"] * 2, log_extra=logged.__setitem__, log_metric=logged.__setitem__
    )

    assert asked == ["bare", "bare"]
    assert logged == {"judge_status": ["ok", "unreadable"], "judge/readable": 0.5}


@pytest.mark.filterwarnings("ignore")
def test_grpo_trainer_trains_on_our_judge_and_leaves_out_what_has_no_score(tiny_policy: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = trl.GRPOConfig(
        str(tmp_path),
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
        max_steps=2,
        logging_steps=1,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=6,
        seed=1,
    )
    trainer = trl.GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_policy),
        JudgeReward(Even()),
        arguments,
        train_dataset=Dataset.from_dict({"prompt": ["What is 12 + 3?", "Tom has 12 apples."]}),
        processing_class=AutoTokenizer.from_pretrained(tiny_policy),
    )
    trainer.train()

    rows = [row for row in trainer.state.log_history if "judge/readable" in row]
    assert len(rows) == 2
    assert all("rewards/presrm_judge/mean" in row for row in rows)
    rewards = list(trainer._logs["rewards"]["presrm_judge"])
    statuses = list(trainer._logs["extra"]["judge_status"])
    assert len(rewards) == len(statuses)
    assert all((status == "ok") == (reward == reward) for reward, status in zip(rewards, statuses, strict=True))
    advantages = list(trainer._logs["advantages"])
    assert all(advantage == 0 for advantage, status in zip(advantages, statuses, strict=True) if status != "ok")


@pytest.mark.filterwarnings("ignore")
def test_a_rubric_of_verifiers_scores_a_group_and_an_unknown_reward_moves_nothing() -> None:
    verifiers = pytest.importorskip("verifiers")
    rubric = make_rubric(JudgeReward(pointwise()))
    assert isinstance(rubric, verifiers.Rubric)
    texts = ["It is 5.", "It is 6.", "What?", "5 it is"]
    states = [
        verifiers.State(prompt=CHAT, completion=turns(text), answer="", info={}, trajectory=[], timing=None)
        for text in texts
    ]

    asyncio.run(rubric.score_group(states))

    assert [state["reward"] for state in states] == pytest.approx([1.0, 0.0, 2 / 3, 1.0])
    assert [state["judge_status"] for state in states] == ["ok", "ok", "unreadable", "ok"]


def test_a_shipped_config_opens_as_a_reward_behind_its_gate() -> None:
    with open_reward("embedded-rlsr") as reward:
        scores = reward(["Tom has 12 pens. He buys 3 more. How many pens has he?"] * 2, ["[[yes]]", ""])

    assert scores == [0.0, None]  # an answer without a step is not judged
