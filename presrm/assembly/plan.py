"""The plan of a run: what it would do, without doing it."""

from pathlib import Path

from presrm.assembly.engines import require_weights
from presrm.assembly.parts import Parts
from presrm.config import Config
from presrm.methods.stages import SilentProgress
from presrm.types import Attempt


def plan(config: Config) -> list[tuple[str, str, str]]:
    """List what `train` would do: stage, input, amount. Loads the problems, not the policy.

    Token counts are upper bounds at the limits of the settings, for solutions of at most six steps.

    Raises:
        RequestError: if a part or an option of one does not exist, as `train` would.
    """
    require_weights(config.model.id)
    stages = Parts(config, SilentProgress(), lambda **_: None)
    stages.check()
    search, evaluation = config.search, config.evaluation
    longest = search.max_step_tokens * (search.max_steps if search.unit == "solution" else 1)
    held_out, takes_attempts = stages.held_out(), Attempt in stages.objective.takes
    assessed = (f"{len(held_out)} of {config.problems.held_out}", _tokens(len(held_out) * evaluation.max_tokens))
    rows = [("policy", config.model.id, f"{config.model.dtype} on {config.model.device}")]
    if config.seed_stage is not None:
        seed = config.seed_stage
        rows.append(
            (
                "M1: seed stage",
                f"{seed.ift or config.problems.given[0]}, {seed.eft}",
                f"{seed.num_ift} + {seed.num_eft}",
            )
        )
    rows.append(("M1: assess", *assessed))
    for number in range(2, config.iterations + 2):
        num_problems = config.problems.num_train if stages.writes else len(stages.problems(number))
        num = num_problems * (1 if search.unit == "solution" else min(search.max_steps, 6))
        num_drawn = num * search.num_candidates
        num_questions = num_drawn * ((search.num_candidates - 1) if config.judge.kind == "pairwise" else 1)
        verdict = config.judge.max_tokens if config.judge.verdict == "explained" else 1
        if stages.writes:
            rows.append((f"M{number}: write", f"problems like those of {config.problems.seeds}", f"{num_problems}"))
        rows += [
            (f"M{number}: search", f"problems of {config.problems.train}", _tokens(num_drawn * longest)),
            (
                f"M{number}: judge",
                f"{config.judge.kind}, {config.judge.verdict}",
                _tokens(num_questions * verdict * config.judge.votes),
            ),
            (
                f"M{number}: train",
                stages.objective.name,
                f"up to {num_drawn} attempts" if takes_attempts else f"up to {num} pairs",
            ),
            (f"M{number}: assess", *assessed),
        ]
    num_policies = config.iterations + (config.seed_stage is not None)
    return [*rows, ("disk", *_disk(config, num_policies))]


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


def _tokens(count: int) -> str:
    return f"up to {count:,} tokens"
