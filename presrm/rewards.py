"""Our judges as reward functions of other trainers: for TRL's ``GRPOTrainer``, and as a rubric for ``verifiers``.

A judgement that could not be made is not zero there either. TRL takes none for a completion without a reward, and
leaves it out of its group's statistics. ``verifiers`` knows no such thing, so it gets the mean of the other rewards of
its group: an advantage of nothing. Why there was no score stands in the log, or in the rollout's state.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from statistics import fmean
from typing import TYPE_CHECKING, Any

from presrm.assembly.parts import Parts
from presrm.config import Config, load_config
from presrm.methods.parts import SilentProgress
from presrm.protocols import Judge, StepSplitter
from presrm.searchers.best_of_n import judge_solutions
from presrm.types import Checkpoint, Judgement, Problem, Status, Step, Stop

if TYPE_CHECKING:
    from verifiers import Rubric

_CUT_OFF = Judgement(None, Status.TRUNCATED, "cut off at its token limit: not judged")


class JudgeReward:
    """A judge as a reward function: what TRL's ``GRPOTrainer`` takes under ``reward_funcs``.

    Completions of one prompt are shown to the judge together, so that a judge of relative scale compares them. The
    columns ``question`` (what to show the judge instead of the prompt) and ``kind`` (see `presrm.types.Problem`) of the
    data set are read where they are there.

    Args:
        judge: Scores the completions.
        splitter: Cuts them into steps, see `presrm.searchers.best_of_n.judge_solutions`; none: each is judged whole.
    """

    def __init__(self, judge: Judge, splitter: StepSplitter | None = None) -> None:
        self._judge = judge
        self._splitter = splitter
        self.__name__ = "presrm_judge"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Score completions; none for one that has no score. Statuses go to TRL's ``log_extra`` and ``log_metric``."""
        judgements = self.judge(prompts, completions, columns.get("question"), columns.get("kind"))
        statuses = [judgement.status.value for judgement in judgements]
        if log_extra := columns.get("log_extra"):
            log_extra("judge_status", statuses)
        if log_metric := columns.get("log_metric"):
            log_metric("judge/readable", statuses.count("ok") / len(statuses))
        return [judgement.score for judgement in judgements]

    def judge(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        questions: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        are_cut_off: Sequence[bool] | None = None,
    ) -> list[Judgement]:
        """Judge completions, given as text or as turns of a conversation; one judgement each, in order."""
        problems: dict[str, Problem] = {}
        members: dict[str, list[int]] = {}
        for number, prompt in enumerate(prompts):
            question = questions[number] if questions else _text(prompt)
            name = sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            problems.setdefault(name, Problem(name, question, kind=kinds[number] if kinds else "text"))
            members.setdefault(name, []).append(number)
        stops = [Stop.MAX_TOKENS if cut else Stop.EOS for cut in are_cut_off or [False] * len(completions)]
        steps = [Step(_text(one), stop=stop) for one, stop in zip(completions, stops, strict=True)]
        drawn = [[steps[number] for number in members[name]] for name in problems]
        found = judge_solutions(list(problems.values()), drawn, self._judge, self._splitter)
        judgements = [_CUT_OFF] * len(steps)
        for name, by_text in zip(problems, found, strict=True):
            for number in members[name]:
                if steps[number].is_whole:
                    judgements[number] = by_text[steps[number].text]
        return judgements


@contextmanager
def open_reward(config: str | Config = "embedded-rlsr", overrides: Sequence[str] = ()) -> Iterator[JudgeReward]:
    """Load the policy of a config as a judge, with its gate, as a reward function.

    Args:
        config: A shipped config, a path, or settings.
        overrides: As ``--set`` takes them, for example ``model.id=DIR``.

    Example:
        ::

            with open_reward("embedded-rlsr", ["model.id=DIR"]) as reward:
                GRPOTrainer(model="DIR", reward_funcs=reward, train_dataset=data).train()
    """
    settings = config if isinstance(config, Config) else load_config(config, overrides)
    parts = Parts(settings, SilentProgress(), lambda **_: None)
    with parts.engine(Checkpoint(settings.model.id)) as engine:
        yield JudgeReward(parts.judge(engine), parts.splitter if settings.search.unit == "step" else None)


def make_rubric(reward: JudgeReward, weight: float = 1.0) -> "Rubric":
    """Make a rubric of ``verifiers`` that scores the rollouts of a group together.

    The status of each judgement stands in its rollout's ``state["judge_status"]``. Needs ``presrm[verifiers]``.

    Args:
        reward: What scores.
        weight: Of this reward beside those of other rubrics.
    """
    from verifiers import Rubric

    return Rubric(funcs=[_group_reward(reward)], weights=[weight])


def _group_reward(reward: JudgeReward) -> Callable[..., Any]:
    async def presrm_judge(prompts: list[Any], completions: list[Any], states: list[Any]) -> list[float]:
        cut = [bool(state.get("is_truncated", False)) for state in states]
        judgements = reward.judge(prompts, completions, are_cut_off=cut)
        for state, judgement in zip(states, judgements, strict=True):
            state["judge_status"] = judgement.status.value
        known = [one.score for one in judgements if one.score is not None]
        return [(fmean(known) if known else 0.0) if one.score is None else one.score for one in judgements]

    return presrm_judge


def _text(turns: Any) -> str:
    """The text of a prompt or completion: itself, or what its last turn says."""
    if isinstance(turns, str):
        return turns
    last = turns[-1]
    content = last["content"] if isinstance(last, dict) else last.content
    return content if isinstance(content, str) else "".join(part["text"] for part in content if "text" in part)
