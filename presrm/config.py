"""Settings of a run: one strict model, from a YAML file and ``--set a.b=c``.

Every field is *fixed* (part of what a run is: changing it on resume is refused by name) unless it is marked *free*
(device, batch sizes, logging, the number of iterations).
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from presrm.errors import ConfigError
from presrm.registry import nearest

FREE: JsonDict = {"resume": "free"}
FreeShare = Annotated[float, Field(ge=0, le=1, json_schema_extra=FREE)]


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(Section):
    """The policy that the run starts from."""

    id: str = Field("embedded", description="Hub id, folder, .gguf file, 'embedded', or http://host/v1#name.")
    tokenizer: str | None = Field(
        None, description="Of a model behind http: Hub id or folder; with it, a server that can is asked by token ids."
    )
    engine: str = Field(
        "hf",
        description="Registered engine that runs the policy: hf (transformers), vllm (a server started for it), ...",
        json_schema_extra=FREE,
    )
    engine_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of vllm or of a server, see docs/servers.md.", json_schema_extra=FREE
    )
    chat_template: str | None = Field(
        None, description="'chatml', 'plain' (a base model) or a Jinja file; none: the tokenizer's own."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bf16 on a GPU, else fp32."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.", json_schema_extra=FREE)
    batch_tokens: int = Field(
        65_536, gt=0, description="Tokens in one generation or scoring batch.", json_schema_extra=FREE
    )


class ProblemsConfig(Section):
    """Where problems come from. A source is a registered name, or ``name:PATH`` for a local file in its format."""

    train: str = Field(
        "arithmetic", description="Source of the problems to search: arithmetic, gsm8k:PATH, jsonl:PATH."
    )
    num_train: int = Field(
        200, gt=0, description="Problems searched in each iteration; every iteration takes new ones."
    )
    train_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the source, as its factory takes."
    )
    held_out: str = Field("arithmetic", description="Source of the problems that score every iteration.")
    num_held_out: int = Field(500, gt=0, description="Problems scored.")
    held_out_options: dict[str, Any] = Field(default_factory=dict, description="Options of that source.")
    num_validation: int = Field(
        0, ge=0, description="Further problems of the held-out source, never reported, by which policies are chosen."
    )


class SeedConfig(Section):
    """The seed stage, M0 -> M1: SFT on IFT (solve step by step) and EFT (judge a step)."""

    ift: str | None = Field(None, description="Problem source with solutions to imitate; none: problems.train.")
    num_ift: int = Field(1000, gt=0, description="Solutions to imitate.")
    eft: Literal["perturbed", "rows", "rollouts"] = Field(
        "perturbed",
        description="Where step labels come from: a number changed, a labelled file, the policy's roll-outs.",
    )
    eft_path: Path | None = Field(
        None, description="Step-labelled rows for eft: rows, in any format that docs/formats.md lists."
    )
    num_eft: int = Field(500, gt=0, description="Pairs of steps to judge; each is asked in both orders.")
    rationale: Literal["none", "self"] = Field(
        "none", description="self: self-written, kept where both orders come out right."
    )
    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate.")
    epochs: float = Field(1.0, gt=0, description="Passes over the data.")
    batch_size: int = Field(32, gt=0, description="Examples an optimiser step.")
    max_tokens: int = Field(1024, gt=0, description="Longest example; longer ones are left out and counted.")


class SearchConfig(Section):
    """Search over partial trajectories (paper section 3.3)."""

    kind: str = Field("greedy", description="Registered searcher: greedy, beam, best-of-n.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of that searcher. greedy: max_rollbacks, unanimous; beam: beam_width.",
    )
    num_candidates: int = Field(6, ge=2, description="Candidates a step, w; best-of-n: solutions.")
    temperature: float = Field(0.5, gt=0, description="Of the candidates.")
    top_p: float = Field(0.95, gt=0, le=1, description="Of the candidates.")
    max_steps: int = Field(20, gt=0, description="Steps a solution may have.")
    max_step_tokens: int = Field(
        256, gt=0, description="Tokens a step may have; a longer one is truncated, never judged."
    )
    answer_marks: tuple[str, ...] = Field((), description="A step that holds one of these ends the solution.")
    group_size: int = Field(64, gt=0, description="Problems in one lockstep group: the unit of batching and of replay.")


class JudgeConfig(Section):
    """How the policy judges its own steps."""

    kind: str = Field("pairwise", description="Registered judge: pairwise, pointwise, first-error, ...")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of that judge, as its factory takes.")
    verdict: Literal["explained", "direct"] = Field(
        "explained", description="Written out, or read from token probabilities."
    )
    tie_tolerance: float | None = Field(
        None, ge=0, description="max - min up to this is a tie; none: 0 explained, 0.02 direct."
    )
    threshold: float = Field(0.5, ge=0, le=1, description="judge-steps: a step scored below this is an error.")
    votes: int = Field(1, gt=0, description="Explained verdicts drawn for each question; above 1, temperature > 0.")
    temperature: float = Field(0.0, ge=0, description="Of explained verdicts.")
    max_tokens: int = Field(512, gt=0, description="Longest explanation.")


class PairsConfig(Section):
    """Which pairs an iteration trains on."""

    rejected: Literal["lowest", "all"] = Field(
        "lowest", description="What the kept candidate is paired with: the lowest, or all that score below it."
    )
    min_margin: float = Field(
        0.0, ge=0, le=1, description="Pairs of a smaller margin are dropped; expansions left without one are counted."
    )
    max_per_problem: int | None = Field(None, gt=0, description="At most this many a problem, widest margin first.")


class LoraConfig(Section):
    """A LoRA adapter instead of full training."""

    r: int = Field(16, gt=0, description="Rank.")
    alpha: int = Field(32, gt=0, description="Scale.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout inside the adapter.")


class ObjectiveConfig(Section):
    """What training minimises (paper section 3.4: step-wise DPO)."""

    kind: str = Field("dpo", description="Registered objective: dpo, ipo, imitation, policy-gradient.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the objective, for example beta; see docs/objectives.md."
    )


class TrainingConfig(Section):
    """How the objective is minimised: optimiser, adapter, batches, packs."""

    learning_rate: float = Field(5e-7, gt=0, description="Peak learning rate.")
    schedule: Literal["constant", "linear", "cosine"] = Field("constant", description="Of the learning rate.")
    warmup: float = Field(0.0, ge=0, lt=1, description="Share of the optimiser steps that warm up.")
    epochs: int = Field(1, gt=0, description="Passes over the lessons.")
    shuffle: Literal["trees", "pairs"] = Field(
        "trees", description="What an optimiser step draws: whole trees, or single lessons over all trees."
    )
    batch_pairs: int = Field(
        32, gt=0, description="Lessons an optimiser step; whole trees are taken until it is reached."
    )
    pack_tokens: int = Field(
        8192,
        gt=0,
        description="Tokens in one packed row; a tree too long for it is cut at a step boundary.",
        json_schema_extra=FREE,
    )
    max_tokens: int = Field(
        2048,
        gt=0,
        description="Longest prompt, prefix and step together, if the model reads as many tokens; "
        "longer lessons are left out and counted.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    gradient_checkpointing: bool = Field(False, description="Trade time for memory.", json_schema_extra=FREE)
    lora: LoraConfig | None = Field(None, description="none: all weights are trained.")


class MethodConfig(Section):
    """How M(t) is made from M(t-1)."""

    kind: str = Field("presrm", description="Registered method.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of that method, as its factory takes.")


class PoliciesConfig(Section):
    """Which policy an iteration starts from, what it is held to, and what it is trained on.

    What is decided by answers is decided on ``problems.num_validation`` problems that are never reported.
    """

    go_on_from: Literal["last", "best"] = Field(
        "last",
        description="The policy that an iteration starts from: the last, or the best on the validation problems.",
    )
    reference: Literal["previous", "initial", "ema"] = Field(
        "previous",
        description="The reference of the objective: the policy the iteration starts from, M1, or a moving average "
        "of all policies so far (full weights only).",
    )
    ema_decay: float = Field(0.9, ge=0, lt=1, description="Weight of the average so far, for reference: ema.")
    lessons: Literal["fresh", "all", "mix"] = Field(
        "fresh",
        description="What to train on: the lessons of this iteration, those of all iterations so far, or as many "
        "earlier ones as fresh ones, drawn at random.",
    )
    replay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the lessons that teach to judge: verdicts on steps of training problems with solutions "
        "in which one number was changed.",
    )
    on_regression: Literal["continue", "stop", "rollback"] = Field(
        "continue",
        description="What happens when a policy solves significantly fewer validation problems than the one it was "
        "made from (p < 0.05): nothing, the run ends, or the next iteration starts from that one again.",
    )


class EvaluationConfig(Section):
    """How every iteration is scored."""

    grader: str = Field("auto", description="Registered grader: auto, gsm8k, math, exact.")
    max_tokens: int = Field(512, gt=0, description="Longest greedy solution.")
    group_size: int = Field(128, gt=0, description="Problems in one lockstep group where nothing is searched.")
    num_judge_problems: int = Field(200, ge=0, description="Held-out problems on which the judge is tested.")


class WatchConfig(Section):
    """Signs of a judge that goes bad, measured for every policy, and the bounds beyond which they raise an alarm.

    An alarm takes `min_count` cases and, where a figure has a 95 % interval, all of that beyond the bound.
    """

    on_alarm: Literal["warn", "stop"] = Field(
        "warn",
        description="warn: say so and go on; stop: end the run, which the same command with warn takes up.",
        json_schema_extra=FREE,
    )
    num_problems: int = Field(
        32, ge=0, description="Held-out problems searched to watch the judge; 0: it is not.", json_schema_extra=FREE
    )
    num_rejudged: int = Field(
        64, ge=0, description="Expansions of the last search that the new judge judges again.", json_schema_extra=FREE
    )
    min_count: int = Field(20, gt=0, description="Fewer cases raise no alarm.", json_schema_extra=FREE)
    min_readable: FreeShare = Field(0.8, description="Share of judgements that can be read.")
    min_spread: float = Field(
        0.05, ge=0, description="Standard deviation of the scores; a constant verdict has 0.", json_schema_extra=FREE
    )
    max_first_shown: float = Field(
        0.75,
        ge=0.5,
        le=1,
        description="Share of pairwise verdicts for the step shown first, or for the second.",
        json_schema_extra=FREE,
    )
    max_order_flips: FreeShare = Field(
        0.5, description="Share of pairs whose verdict turns round with the order shown."
    )
    max_by_length: FreeShare = Field(0.5, description="Correlation, either way, of score and length.")
    min_caught: FreeShare = Field(0.5, description="Share of planted errors scored below the right step.")
    max_talked_into: FreeShare = Field(
        0.5, description="Share of wrong steps that score higher once they praise themselves."
    )
    min_agreement: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="Kendall tau with the judge before, on the candidates that it judged.",
        json_schema_extra=FREE,
    )


class Config(Section):
    """All settings of a run."""

    name: str = Field("custom", description="Names the default run folder, runs/NAME.")
    seed: int = Field(0, ge=0, description="Everything random derives from it.")
    iterations: int = Field(3, ge=0, description="DPO iterations: 3 makes M1 -> M4.", json_schema_extra=FREE)
    threads: int | None = Field(
        None, gt=0, description="CPU threads; none: torch's own choice.", json_schema_extra=FREE
    )
    splitter: str = Field("newline", description="Registered step splitter.")
    splitter_options: dict[str, Any] = Field(default_factory=dict, description="Options of the splitter.")
    prompts: str = Field("paper", description="Prompt set: paper, compact, plain, or a folder.")
    model: ModelConfig = ModelConfig()
    problems: ProblemsConfig = ProblemsConfig()
    seed_stage: SeedConfig | None = Field(None, description="none: the policy is already an M1.")
    search: SearchConfig = SearchConfig()
    judge: JudgeConfig = JudgeConfig()
    method: MethodConfig = MethodConfig()
    pairs: PairsConfig = PairsConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    policies: PoliciesConfig = PoliciesConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    watch: WatchConfig = WatchConfig()

    @model_validator(mode="after")
    def _has_validation(self) -> "Config":
        """Refuse decisions by answers where there are no problems to decide them on."""
        decides = self.policies.go_on_from == "best" or self.policies.on_regression != "continue"
        if decides and not self.problems.num_validation:
            raise ValueError(
                "policies.go_on_from: best and policies.on_regression: stop or rollback need problems.num_validation: "
                "the reported problems must not choose the policy"
            )
        return self


def shipped_configs() -> dict[str, str]:
    """Names and texts of the configs that come with the package."""
    folder = resources.files("presrm") / "configs"
    return {entry.name[:-5]: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")}


def load_config(
    source: str | Path | None = "embedded",
    overrides: Sequence[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Config:
    """Read a config by path or shipped name (none: `defaults`) and apply ``a.b=c`` overrides (values are YAML).

    Raises:
        ConfigError: naming the file, the key and what was expected.
    """
    path = Path(source or "custom")
    shipped = shipped_configs()
    if source is None:
        text, where = "", "config"
    elif path.is_file():
        text, where = path.read_text("utf-8"), str(path)
    elif str(source) in shipped:
        text, where = shipped[str(source)], f"config {source!s}"
    else:
        raise ConfigError(
            f"no config {str(source)!r}: no such file, and no shipped config; {nearest(str(source), shipped)}"
        )
    try:
        values = yaml.safe_load(text) or dict(defaults)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected keys and values, found {type(values).__name__}")
    values.setdefault("name", path.stem)
    for override in overrides:
        _override(values, override)
    return parse_config(values, where)


def parse_config(values: Mapping[str, Any], where: str) -> Config:
    """Validate settings.

    Raises:
        ConfigError: one line for each wrong key, with the nearest valid one.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain_invalid(error, Config)}") from error


def explain_invalid(error: ValidationError, section: type[BaseModel], where: str = "") -> str:
    """Say in one line what is wrong with settings: of an unknown key, the nearest one of its section and all others.

    Args:
        error: What pydantic found.
        section: What was validated.
        where: The key of `section` in the config; none: the config itself.
    """
    return "; ".join(_explain(details, section, where) for details in error.errors())


def _explain(details: Any, section: type[BaseModel], where: str) -> str:
    if not details["loc"]:
        return str(details["msg"]).removeprefix("Value error, ")
    *sections, last = [str(part) for part in details["loc"]]
    key = ".".join([*([where] if where else []), *sections, last])
    if details["type"] == "missing":
        return f"{key} is missing"
    if details["type"] != "extra_forbidden":
        return f"{key}: {details['msg']}, found {details.get('input')!r:.80}"
    inner: type[BaseModel] | None = section
    for name in sections:
        inner = _section_of(inner.model_fields[name].annotation) if inner and name in inner.model_fields else None
    names = list(inner.model_fields) if inner else []
    prefix = key[: -len(last)]
    close = get_close_matches(last, names, n=1)
    meant = f"did you mean {prefix + close[0]!r}? " if close else ""
    return f"unknown key {key!r}; {meant}keys of {prefix.rstrip('.') or 'the config'}: {', '.join(names) or 'none'}"


def fields(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk every setting as (dotted key, pydantic field), sections included."""
    for name, field in section.model_fields.items():
        yield prefix + name, field
        inner = _section_of(field.annotation)
        if inner is not None:
            yield from fields(inner, f"{prefix}{name}.")


def changed_fixed(old: Config, new: Config) -> list[str]:
    """Describe every fixed setting in which two configs differ, as ``key: old -> new``."""

    def value(config: Config, key: str) -> Any:
        node: Any = config
        for part in key.split("."):
            node = getattr(node, part, None)
        return node

    leaves = [key for key, field in fields() if (field.json_schema_extra or {}) != FREE]
    changes: list[str] = []
    for key in leaves:
        before, after = value(old, key), value(new, key)
        if isinstance(before, Section) and isinstance(after, Section):
            continue
        if before != after and not any(change.startswith(key.rsplit(".", 1)[0] + ":") for change in changes):
            changes.append(f"{key}: {before!r} -> {after!r}")
    return changes


def _section_of(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: expected key=value, as in search.num_candidates=4")
    node = values
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = node.get(section)
        node[section] = node = dict(inner) if isinstance(inner, dict) else {}
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: {text!r} is not YAML") from error
