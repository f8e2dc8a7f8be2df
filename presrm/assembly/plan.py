"""The plan of a run: what it would do, without doing it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from presrm.assembly.engines import open_encoder, require_weights
from presrm.assembly.parts import Parts
from presrm.assembly.probe import TRAINING, Unit, is_here
from presrm.config import Config
from presrm.methods.parts import SilentProgress
from presrm.prompts import Prompt
from presrm.types import Attempt, Problem, Step, Trajectory

_STEPS = 6
_SAMPLED = 16
_LETTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Planned:
    """One stage of a run.

    Attributes:
        stage: Its name.
        what: What it works on.
        amount: Of what is no token.
        num_read: Prompt tokens read at most; those of training as often as they are computed.
        num_written: Tokens written at most.
        work: How many units of what the stage is made of, as far as they are known.
    """

    stage: str
    what: str
    amount: str = ""
    num_read: int = 0
    num_written: int = 0
    work: Mapping[Unit, float] = field(default_factory=dict)


def plan(config: Config) -> list[Planned]:
    """List what `train` would do. Loads the problems and, of a policy on this machine, the tokenizer.

    Token counts are upper bounds at the limits of the settings, for solutions of at most six steps; without a tokenizer
    a token is taken for four letters.

    Raises:
        RequestError: if a part or an option of one does not exist, as `train` would.
    """
    require_weights(config.model.id)
    stages = Parts(config, SilentProgress(), lambda **_: None)
    stages.check()
    lengths = _Lengths(config, stages)
    held_out = stages.held_out()
    rows = [Planned("policy", config.model.id, f"{config.model.dtype} on {config.model.device}")]
    if config.seed_stage is not None:
        seed = config.seed_stage
        what = f"{seed.ift or config.problems.given[0]}, {seed.eft}"
        num = seed.num_ift + 2 * seed.num_eft
        read = round(num * min(seed.max_tokens, 2 * lengths.solve(held_out)) * seed.epochs * TRAINING)
        work: Mapping[Unit, float] = {"load": 2, "read": read}
        rows.append(Planned("M1: seed stage", what, f"{seed.num_ift} + {seed.num_eft}", read, work=work))
    rows.append(Planned("M1: assess", *_assess(config, stages, lengths, 1)))
    for number in range(2, config.iterations + 2):
        rows += [
            *_iteration(config, stages, lengths, number),
            Planned(f"M{number}: assess", *_assess(config, stages, lengths, number)),
        ]
    num_policies = config.iterations + (config.seed_stage is not None)
    return [*rows, Planned("disk", *_disk(config, num_policies))]


def _iteration(config: Config, stages: Parts, lengths: "_Lengths", number: int) -> list[Planned]:
    """Plan how M(number) is made."""
    if getattr(stages.method, "learns_to_judge", False):
        return _judging(config, stages, lengths, number)
    search, judge = config.search, config.judge
    is_whole, takes_attempts = search.unit == "solution", Attempt in stages.objective.takes
    problems = stages.held_out() if stages.writes else stages.problems(number)
    num_problems = config.problems.num_train if stages.writes else len(problems)
    num_steps = 1 if is_whole else min(search.max_steps, _STEPS)
    longest = search.max_step_tokens * (search.max_steps if is_whole else 1)
    num = num_problems * num_steps
    num_drawn = num * search.num_candidates
    before = lengths.solve(problems) + (num_steps - 1) * longest // 2
    num_questions = search.num_candidates * ((search.num_candidates - 1) if judge.kind == "pairwise" else 1)
    question = lengths.judge(problems) + (num_steps - 1) * longest // 2
    shown = (2 if judge.kind == "pairwise" else 1) * longest
    is_direct = judge.verdict == "direct"
    asked = question + num_questions * shown if is_direct else num_questions * judge.votes * (question + shown)
    verdicts = num * num_questions * judge.votes * (1 if is_direct else judge.max_tokens)
    trained = f"up to {num_drawn} attempts" if takes_attempts else f"up to {num} pairs"
    replies = search.num_candidates if takes_attempts else 2
    drawn: Mapping[Unit, float] = {"draw": num_problems}
    return [
        *(
            [
                Planned(
                    f"M{number}: write",
                    f"problems like those of {config.problems.seeds}",
                    f"{num_problems}",
                    work=drawn,
                )
            ]
            if stages.writes
            else []
        ),
        Planned(
            f"M{number}: search", f"problems of {config.problems.train}", "", num * before, num_drawn * longest, drawn
        ),
        Planned(
            f"M{number}: judge",
            f"{judge.kind}, {judge.verdict}",
            "",
            num * asked,
            verdicts,
            {"judge": num_problems},
        ),
        Planned(
            f"M{number}: train",
            stages.objective.name,
            trained,
            num_problems
            * (lengths.solve(problems) + num_steps * replies * longest)
            * config.training.epochs
            * TRAINING,
            work={"load": 2, "lesson": num_problems * config.training.epochs},
        ),
    ]


def _judging(config: Config, stages: Parts, lengths: "_Lengths", number: int) -> list[Planned]:
    """Plan how M(number) is made from judgements: steps are labelled, judgements drawn, and learned from."""
    search, judge, shown = config.search, config.judge, config.judge_problems
    problems = stages.problems(number)
    num_steps, solve = min(search.max_steps, _STEPS), lengths.solve(problems)
    num = len(problems) * num_steps
    read = written = 0
    if shown.labels == "rollouts":
        rounds = 1 + num_steps.bit_length()
        read = len(problems) * (1 + rounds) * (solve + num_steps * search.max_step_tokens)
        written = len(problems) * (1 + rounds * shown.num_completions) * config.evaluation.max_tokens
    elif shown.labels in ("checker", "agreement"):
        read, written = num * (solve + num_steps * search.max_step_tokens), num * search.num_candidates
        written *= search.max_step_tokens
    question = lengths.judge(problems) + (num_steps + search.num_candidates) * search.max_step_tokens
    if shown.labels == "agreement":
        read, written = read + 2 * num * judge.votes * question, written + 2 * num * judge.votes * judge.max_tokens
    num_asked = 2 * num * len(shown.kinds)
    drawn = num_asked * search.num_candidates
    return [
        Planned(f"M{number}: label", f"steps, {shown.labels}", "", read, written),
        Planned(
            f"M{number}: judge",
            ", ".join(shown.kinds),
            f"up to {num_asked} questions",
            num_asked * question,
            drawn * judge.max_tokens,
        ),
        Planned(
            f"M{number}: train",
            stages.objective.name,
            f"up to {drawn} judgements",
            num_asked * (question + search.num_candidates * judge.max_tokens) * config.training.epochs * TRAINING,
        ),
    ]


def _assess(
    config: Config, stages: Parts, lengths: "_Lengths", number: int
) -> tuple[str, str, int, int, Mapping[Unit, float]]:
    """Plan the answers of M(number) to held-out problems, and what the health of the judge writes."""
    held_out, evaluation, search = stages.held_out(), config.evaluation, config.search
    num = len(held_out)
    num_judged = min(num, evaluation.num_judge_problems) + min(num, config.watch.num_problems)
    drawn = num_judged * min(search.max_steps, _STEPS) * search.num_candidates * search.max_step_tokens
    read = (num + num_judged * min(search.max_steps, _STEPS)) * lengths.solve(held_out)
    what = f"{num} of {config.problems.held_out}"
    tested, watched = len(stages.testing()), len(stages.watched())
    sampled = tested if stages.labeller is not None else 0
    work: dict[Unit, float] = {"load": 1, "answer": num + config.problems.num_validation, "draw": sampled + watched}
    num_steps = 1 if search.unit == "solution" else min(search.max_steps, _STEPS)
    rejudged = min(config.watch.num_rejudged, config.problems.num_train * num_steps) if watched and number > 1 else 0
    again = 1 if number == 1 else 2  # on the siblings of M1, too
    work |= {"judge": watched, "question": tested + again * sampled + 2 * watched + rejudged}
    return what, f"{num_judged} test the judge", read, num * evaluation.max_tokens + drawn, work


class _Lengths:
    """How many tokens prompts have."""

    def __init__(self, config: Config, stages: Parts) -> None:
        self._stages = stages
        self._is_pairwise = config.judge.kind == "pairwise"
        has_tokenizer = is_here(config.model.id)
        self._encoder = open_encoder(config.model.id, config.model.chat_template) if has_tokenizer else None

    def solve(self, problems: Sequence[Problem]) -> int:
        """Give the mean length of the prompt to solve a problem."""
        return self._mean([self._stages.prompts.solve(Trajectory(problem)) for problem in problems[:_SAMPLED]])

    def judge(self, problems: Sequence[Problem]) -> int:
        """Give the mean length of the question to a judge, without the steps."""
        prompts, step = self._stages.prompts, Step("a")
        ask = prompts.pairwise if self._is_pairwise else lambda prefix, one, _: prompts.pointwise(prefix, one)
        return self._mean([ask(Trajectory(problem), step, Step("b")) for problem in problems[:_SAMPLED]])

    def _mean(self, asked: Sequence[Prompt]) -> int:
        if not asked:
            return 0
        if self._encoder is not None:
            return round(fmean(len(self._encoder.encode(prompt)) for prompt in asked))
        return round(fmean(len(prompt.text) / _LETTERS_A_TOKEN for prompt in asked))


def _disk(config: Config, num_policies: int) -> tuple[str, str]:
    """What the policies of a run will take."""
    if config.training.lora is not None:
        return f"{num_policies} adapters of rank {config.training.lora.r}", "small compared with the policy"
    folder = Path(__file__).parents[1] / "embedded" if config.model.id == "embedded" else Path(config.model.id)
    files = [folder] if folder.is_file() else list(folder.glob("*.safetensors"))
    if not files:
        return f"{num_policies} policies, float32", "unknown: the policy is not stored on this machine"
    size = num_policies * sum(file.stat().st_size for file in files)
    return f"{num_policies} policies, float32", f"{size / 1e6:,.0f} MB, more if the policy is stored in fewer bits"
