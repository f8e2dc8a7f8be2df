"""The settings of a run, section by section: one long list, in the order of a config file, to be read as a table.

Every field is *fixed* (part of what a run is: changing it on resume is refused by name) unless it is marked *free*
(device, batch sizes, logging, the number of iterations).
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

FREE: JsonDict = {"resume": "free"}
FreeShare = Annotated[float, Field(ge=0, le=1, json_schema_extra=FREE)]


def _alone_or_weighted(sources: Any) -> Any:
    """A source by itself has all the weight."""
    return {sources: 1.0} if isinstance(sources, str) else sources


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[^/\\\x00-\x1f\x7f]{1,100}", name) or not name.strip(". "):
        raise ValueError("should be the name of a folder, without a path")
    return name


class Section(BaseModel):
    """A group of settings: unknown keys are refused, numbers are finite, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """The policy that the run starts from."""

    id: str = Field(
        "embedded",
        description="Hub id, folder, .gguf file, 'embedded', or http://host/v1#name; several servers of one model: "
        "http://a/v1,http://b/v1#name.",
    )
    tokenizer: str | None = Field(
        None,
        description="Tokenizer of a model behind http: a Hub id or a folder. With it, prompts are sent as token ids to "
        "servers that accept them.",
    )
    engine: str = Field(
        "hf",
        description="Registered engine that runs the policy: hf (transformers), vllm or sglang (start a server), ...",
        json_schema_extra=FREE,
    )
    engine_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of the engine; docs/servers.md lists those of vllm, sglang and servers.",
        json_schema_extra=FREE,
    )
    chat_template: str | None = Field(
        None,
        description="Chat template: chatml, plain (for a base model) or a Jinja file; none: that of the tokenizer.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the weights; auto: bfloat16 on a GPU, float32 elsewhere."
    )
    device: str = Field(
        "auto",
        description="Device that runs the policy: auto (a GPU if there is one), cpu, cuda, cuda:1 or mps.",
        json_schema_extra=FREE,
    )
    batch_tokens: int = Field(
        65_536,
        gt=0,
        description="Largest number of tokens in one batch of generation or scoring.",
        json_schema_extra=FREE,
    )
    cache_tokens: int = Field(
        65_536,
        ge=0,
        description="Largest number of tokens whose keys and values the hf engine keeps between the calls of a search; "
        "0: every call reads its prompts anew.",
        json_schema_extra=FREE,
    )


class ProblemsConfig(Section):
    """Where problems come from. A source is a registered name, or ``name:PATH`` for a local file in its format."""

    train: str = Field(
        "arithmetic",
        description="Problems to train on, for example arithmetic, gsm8k, gsm8k:PATH or jsonl:PATH; self: the policy "
        "writes them, in the way that train_options.way names (instruct or variants).",
    )
    num_train: int = Field(
        200,
        gt=0,
        description="Number of problems searched in each iteration; every iteration takes new ones as long as there "
        "are any.",
    )
    train_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the source of training problems."
    )
    seeds: str | None = Field(
        None, description="Source of the seed problems that train: self begins with; named as those of train."
    )
    num_seeds: int = Field(100, gt=0, description="Number of seed problems.")
    seeds_options: dict[str, Any] = Field(default_factory=dict, description="Options of the source of seed problems.")
    held_out: str = Field(
        "arithmetic", description="Held-out problems on which every policy is scored; named as those of train."
    )
    num_held_out: int = Field(500, gt=0, description="Number of held-out problems.")
    held_out_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the source of held-out problems."
    )
    num_validation: int = Field(
        0,
        ge=0,
        description="Number of further problems of the held-out source on which policies are chosen; their scores are "
        "never reported.",
    )

    @property
    def given(self) -> tuple[str, dict[str, Any]]:
        """The source of problems that are given, and its options: the seeds where the policy writes the others."""
        return (self.seeds or "", self.seeds_options) if self.train == "self" else (self.train, self.train_options)

    @model_validator(mode="after")
    def _has_seeds(self) -> "ProblemsConfig":
        if (self.train == "self") != (self.seeds is not None):
            raise ValueError("problems.train: self needs problems.seeds, and nothing else reads them")
        return self


class SeedConfig(Section):
    """The seed stage, M0 -> M1: SFT on IFT (solve step by step) and EFT (judge a step)."""

    ift: str | None = Field(None, description="Source of problems with solutions to imitate; none: problems.train.")
    num_ift: int = Field(1000, gt=0, description="Number of solutions to imitate.")
    eft: Literal["perturbed", "rows", "rollouts", "ranked", "judgements"] = Field(
        "perturbed",
        description="Source of what to judge: right steps with one number changed (perturbed), a labelled file (rows), "
        "roll-outs of the policy (rollouts), a file of ranked answers (ranked), for which the policy's own points "
        "are kept where they put the answers in the same order, or a file of problems whose solution is a judgement, "
        "which is imitated as it is written (judgements).",
    )
    eft_path: Path | None = Field(
        None,
        description="File of step-labelled rows for eft: rows, in any format listed in docs/formats.md, of ranked "
        "answers for eft: ranked, or of problems as in judge_problems.jsonl, with a solution, for eft: judgements.",
    )
    num_eft: int = Field(
        500,
        gt=0,
        description="Number of pairs of steps to judge, each asked in both orders; for ranked, of questions; for "
        "judgements, of those.",
    )
    rationale: Literal["none", "self"] = Field(
        "none",
        description="Explanations before the verdicts: none, or written by the policy itself and kept if it is right "
        "in both orders (self).",
    )
    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate.")
    epochs: float = Field(1.0, gt=0, description="Number of passes over the examples.")
    batch_size: int = Field(32, gt=0, description="Number of examples per optimiser step.")
    max_tokens: int = Field(
        1024, gt=0, description="Largest number of tokens in an example; longer examples are left out and counted."
    )


class SearchConfig(Section):
    """Search over partial trajectories (paper section 3.3)."""

    kind: str = Field("greedy", description="Registered searcher, for example greedy, beam, mcts or best-of-n.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of the searcher. greedy has max_rollbacks and unanimous; beam has beam_width; mcts "
        "has num_descents and exploration.",
    )
    unit: Literal["step", "solution"] = Field(
        "step",
        description="What candidates are, and what is judged: steps, or whole solutions, each of which is judged once.",
    )
    num_candidates: int = Field(
        6, ge=2, description="Number of candidates sampled for each step; for best-of-n, of whole solutions."
    )
    temperature: float = Field(0.5, gt=0, description="Sampling temperature for candidate steps.")
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus (top-p) sampling threshold for candidate steps.")
    max_steps: int = Field(20, gt=0, description="Largest number of steps in a solution.")
    max_step_tokens: int = Field(
        256, gt=0, description="Largest number of tokens in a step; a longer step is cut off and never judged."
    )
    answer_marks: tuple[str, ...] = Field(
        (), description="A step that contains one of these texts is the last step of its solution."
    )
    group_size: int = Field(
        64,
        gt=0,
        description="Largest number of problems searched together as one group; an interrupted run resumes after the "
        "last finished group. Groups are smaller if the first problem shows that so many would take more than half a "
        "minute.",
    )


class JudgeConfig(Section):
    """How the policy judges its own steps."""

    kind: str = Field(
        "pairwise", description="Registered judge, for example pairwise, pointwise or first-error (docs/judges.md)."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the judge; docs/judges.md lists them for each kind."
    )
    verdict: Literal["explained", "direct"] = Field(
        "explained",
        description="explained: the judge writes an explanation that ends with its verdict; direct: the verdict is "
        "read from the token probabilities.",
    )
    tie_tolerance: float | None = Field(
        None,
        ge=0,
        description="Candidates are tied if their highest and lowest score differ by at most this; none: 0 for "
        "explained verdicts, 0.02 for direct ones.",
    )
    threshold: float = Field(
        0.5, ge=0, le=1, description="presrm judge-steps counts a step as wrong if its score is below this."
    )
    gate: bool = Field(
        False,
        description="In training, give 0 to what no judge needs to see, and do not ask about it: empty, padded and "
        "repeated steps, verdict words, complete solutions without a final answer that parses.",
    )
    weights: Literal["live", "start", "first"] = Field(
        "live",
        description="Weights that judge while searching: those that search (live), those that the iteration started "
        "from (start), or those of M1 (first). With other weights than live two policies are loaded.",
    )
    votes: int = Field(
        1,
        gt=0,
        description="Number of explained verdicts sampled for each question; more than 1 requires a temperature "
        "above 0.",
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature for explained verdicts; 0: greedy.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus (top-p) sampling threshold for explained verdicts.")
    max_tokens: int = Field(512, gt=0, description="Largest number of tokens in an explanation.")


class PairsConfig(Section):
    """Which pairs an iteration trains on."""

    by: Literal["score", "worth"] = Field(
        "score",
        description="What candidates are ranked by: the judge's score (score), or what a search that looks ahead came "
        "to think of them (worth; beam and mcts).",
    )
    rejected: Literal["lowest", "all"] = Field(
        "lowest",
        description="Candidates that the kept one is paired with: the one with the lowest score, or all with a lower "
        "score.",
    )
    min_margin: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Pairs with a smaller margin (difference of scores) are dropped, and the expansions that lose all "
        "their pairs are counted.",
    )
    require_both_orders: bool = Field(
        False,
        description="Drop pairs whose two verdicts, one for each order in which the steps are shown, contradict each "
        "other; for judges that ask in both orders.",
    )
    ends: Literal["any", "alike"] = Field(
        "any",
        description="Whether a step that ends the solution may be paired with one that goes on (any), or never "
        "(alike): a few such pairs can teach a policy to stop too early.",
    )
    solution_weight: float = Field(
        0.0,
        ge=0,
        description="Weight with which the solution that each search arrived at, its end included, is imitated beside "
        "the pairs. It holds what hardly a pair is about, above all when to stop. 0: not at all.",
    )
    solution_min: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Lowest score that each step of an imitated solution must have, by the judge; a solution with an "
        "unscored step is not imitated then. 0: every solution is, however it was judged.",
    )
    max_per_problem: int | None = Field(
        None,
        ge=0,
        description="Largest number of pairs per problem, widest margins first; none: all pairs. 0: no pair at all, so "
        "that only the solutions are learned from (see solution_weight).",
    )
    length_tier: float | None = Field(
        None,
        ge=0,
        lt=0.5,
        description="Share of the range of scores that counts as a tie at either end: the shortest candidate of the "
        "upper tier is chosen, the longest of the lower tier rejected (Meta-Rewarding; 0.4 there). None: length plays "
        "no part.",
    )
    labels: Literal["hard", "votes"] = Field(
        "hard",
        description="How sure a pair is: quite (hard), or as the votes of the judge, whose share is (1 + margin) / 2 "
        "(votes); for the objective dpo.",
    )
    consistency: Literal["off", "set", "pair"] = Field(
        "off",
        description="Doubt pairs as far as the judge of the policy before ranks the same candidates otherwise (CREAM): "
        "all alike, by the mean over the set, or each by its own candidates (pair); for the objective dpo.",
    )
    second_judge: str | JudgeConfig | None = Field(
        None,
        description="A second judge, a registered kind or settings as under judge: pairs of which it does not score "
        "the chosen step higher are dropped (as in SCIR). It asks the policy that searched.",
    )
    anchor: bool = Field(
        False,
        description="Let M1 propose another step beside each pair, and reject that one instead where the judge scores "
        "it lower (anchored rejection).",
    )

    @model_validator(mode="after")
    def _is_one_mend(self) -> "PairsConfig":
        if self.labels == "votes" and self.consistency != "off":
            raise ValueError("labels: votes and consistency both say how sure a pair is: choose one")
        if self.length_tier is not None and self.rejected == "all":
            raise ValueError("length_tier chooses the one rejected step itself: set rejected to lowest")
        if self.max_per_problem == 0 and not self.solution_weight:
            raise ValueError("max_per_problem: 0 leaves nothing to learn from: set solution_weight")
        if self.solution_min and not self.solution_weight:
            raise ValueError("solution_min is about solutions that are imitated: set solution_weight")
        return self


class LoraConfig(Section):
    """A LoRA adapter instead of full training."""

    r: int = Field(16, gt=0, description="Rank of the adapter.")
    alpha: int = Field(32, gt=0, description="Scale of the adapter; its output is multiplied by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout rate inside the adapter.")


class ObjectiveConfig(Section):
    """What training minimises (paper section 3.4: step-wise DPO)."""

    kind: str = Field("dpo", description="Registered objective: dpo, ipo, imitation or policy-gradient.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the objective, for example beta; see docs/objectives.md."
    )


class TrainingConfig(Section):
    """How the objective is minimised: optimiser, adapter, batches, packs."""

    learning_rate: float = Field(5e-7, gt=0, description="Peak learning rate.")
    schedule: Literal["constant", "linear", "cosine"] = Field("constant", description="Schedule of the learning rate.")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Share of the optimiser steps over which the learning rate rises to its peak."
    )
    epochs: int = Field(1, gt=0, description="Number of passes over the lessons.")
    shuffle: Literal["trees", "pairs"] = Field(
        "trees",
        description="Lessons of an optimiser step: whole trees, or single lessons drawn from all trees (pairs).",
    )
    batch_pairs: int = Field(
        32, gt=0, description="Number of lessons per optimiser step; whole trees are added until it is reached."
    )
    pack_tokens: int = Field(
        8192,
        gt=0,
        description="Largest number of tokens in one packed row; a longer tree is cut at a step boundary.",
        json_schema_extra=FREE,
    )
    max_tokens: int = Field(
        2048,
        gt=0,
        description="Largest number of tokens in prompt, prefix and step together, or the context of the model if that "
        "is shorter; longer lessons are left out and counted.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Norm to which gradients are clipped.")
    gradient_checkpointing: bool = Field(
        False,
        description="Recompute activations in the backward pass: slower, with less memory.",
        json_schema_extra=FREE,
    )
    checkpoint_seconds: float | None = Field(
        60.0,
        ge=0,
        description="Seconds of training between two checkpoints, from the last of which an interrupted training "
        "resumes; longer where writing one takes more than a tenth of the time. 0: after every optimiser step; none: "
        "an interrupted training begins again.",
        json_schema_extra=FREE,
    )
    lora: LoraConfig | None = Field(None, description="LoRA adapter to train; none: all weights are trained.")
    launch: Literal["fsdp2", "zero3"] | tuple[Annotated[str, Field(coerce_numbers_to_str=True)], ...] | None = Field(
        None,
        description="How the training of an iteration is started in processes of its own: fsdp2 or zero3 (accelerate "
        "on all GPUs of this machine, sharded), or the words of a command, for example [accelerate, launch, "
        "--num_processes, 2]; none: in this process.",
        json_schema_extra=FREE,
    )


class MethodConfig(Section):
    """How M(t) is made from M(t-1)."""

    kind: str = Field("presrm", description="Registered method that makes each policy from the one before.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the method.")


class PoliciesConfig(Section):
    """Which policy an iteration starts from, which policy is its reference, and which lessons it trains on.

    Decisions that depend on answers use the ``problems.num_validation`` problems, whose scores are never reported.
    """

    go_on_from: Literal["last", "best"] = Field(
        "last",
        description="Policy that an iteration starts from: the last one, or the best one on the validation problems.",
    )
    reference: Literal["previous", "initial", "ema"] = Field(
        "previous",
        description="Reference policy of the objective: the policy that the iteration starts from, M1 (initial), or a "
        "moving average of all policies so far (ema; full weights only).",
    )
    ema_decay: float = Field(
        0.9, ge=0, lt=1, description="With reference: ema, the weight of the average so far when a policy is added."
    )
    lessons: Literal["fresh", "all", "mix"] = Field(
        "fresh",
        description="Lessons to train on: those of this iteration (fresh), those of all iterations so far (all), or "
        "those of this iteration and equally many earlier ones drawn at random (mix).",
    )
    replay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the lessons that come from elsewhere than the search: they train the policy as a judge, "
        "or keep up what the seed stage taught, see replay_as.",
    )
    replay_as: Literal["verdicts", "traces", "pairs", "solutions"] = Field(
        "verdicts",
        description="What is replayed: right verdicts on steps of reference solutions (verdicts); on the problems of "
        "judge_problems, what the policy writes, where its verdict is right (traces), or right over wrong (pairs); or "
        "the solutions of replay_from (solutions).",
    )
    replay_from: Annotated[
        dict[str, Annotated[float, Field(gt=0, strict=True)]] | None, BeforeValidator(_alone_or_weighted)
    ] = Field(
        None,
        description="Problems whose reference solutions are imitated, for replay_as: solutions; several sources as "
        "{seed.jsonl: 3, judge:judgements.jsonl: 1}, a weight behind each. Those that the seed stage learned from keep "
        "up what it taught while the policy learns from its own solutions.",
    )
    on_regression: Literal["continue", "stop", "rollback"] = Field(
        "continue",
        description="What to do when a policy solves significantly fewer validation problems than the policy it was "
        "made from (p < 0.05), or when its judge parts from watch.shadow or collapses: continue, stop the run, or "
        "start the next iteration from the earlier policy (rollback).",
    )

    @model_validator(mode="after")
    def _has_what_it_replays(self) -> "PoliciesConfig":
        if self.replay and self.replay_as == "solutions" and not self.replay_from:
            raise ValueError("replay_as: solutions needs replay_from")
        if self.replay and self.replay_as != "solutions" and self.replay_from:
            raise ValueError(f"replay_as: {self.replay_as} reads no replay_from; set it to solutions")
        return self

    @property
    def replayed_sources(self) -> dict[str, float]:
        """The sources of `replay_from`, in the order of their names, and the share of each."""
        weights = self.replay_from or {}
        most = max(weights.values(), default=1.0)
        parts = {source: weights[source] / most for source in sorted(weights)}
        return {source: part / sum(parts.values()) for source, part in parts.items()}


class JudgeProblemsConfig(Section):
    """Problems whose solution is a judgement: what the method spct and ``policies.replay_as`` learn judging from."""

    labels: Literal["perturbed", "rows", "checker", "rollouts", "agreement"] = Field(
        "perturbed",
        description="What tells right steps from wrong ones: one number is changed in reference solutions (perturbed); "
        "a labelled file (rows); the policy's own steps, by an exact checker (checker), by whether its roll-outs reach "
        "the answer (rollouts: a binary search for the first error), or, without any label, where both orders and all "
        "of judge.votes agree (agreement).",
    )
    path: Path | None = Field(None, description="File of step-labelled rows, for labels: rows.")
    kinds: tuple[str, ...] = Field(
        ("pairwise",),
        description="Kinds of judgement: pairwise, pointwise, listwise, first-error.",
    )
    num_completions: int = Field(8, gt=0, description="Roll-outs from each prefix that is tried, for labels: rollouts.")
    balance: bool = Field(True, description="Draw the verdicts of a kind down to equally many of each.")

    @model_validator(mode="after")
    def _reads_a_file_or_not(self) -> "JudgeProblemsConfig":
        if self.labels == "rows" and self.path is None:
            raise ValueError("labels: rows needs path")
        if self.labels != "rows" and self.path is not None:
            raise ValueError(f"labels: {self.labels} reads no path; with a path set labels to rows")
        return self


class EvaluationConfig(Section):
    """How every iteration is scored."""

    grader: str = Field("auto", description="Registered grader, for example auto, gsm8k, math or exact.")
    max_tokens: int = Field(512, gt=0, description="Largest number of tokens in a solution that is sampled whole.")
    group_size: int = Field(
        128, gt=0, description="Largest number of problems solved together as one group when no search is used."
    )
    num_judge_problems: int = Field(200, ge=0, description="Number of held-out problems on which the judge is tested.")


class WatchConfig(Section):
    """Signs that a judge degrades, measured for every policy, and the bounds beyond which they raise an alarm.

    A figure raises an alarm if it was measured on at least `min_count` cases and, where it has a 95 % interval, the
    whole interval lies beyond the bound.
    """

    on_alarm: Literal["warn", "stop"] = Field(
        "warn",
        description="warn: report the alarm and continue; stop: end the run. To resume a stopped run, set this to "
        "warn and run the same command again.",
        json_schema_extra=FREE,
    )
    num_problems: int = Field(
        32,
        ge=0,
        description="Number of held-out problems searched to measure the signs of the judge. 0: no signs are measured "
        "and no alarm is raised, but the accuracy of the judge is still measured "
        "(evaluation.num_judge_problems: 0 turns that off).",
        json_schema_extra=FREE,
    )
    num_rejudged: int = Field(
        64,
        ge=0,
        description="Number of expansions of the last search that the new judge judges again, to measure agreement.",
        json_schema_extra=FREE,
    )
    min_count: int = Field(
        20, gt=0, description="A figure measured on fewer cases raises no alarm.", json_schema_extra=FREE
    )
    min_readable: FreeShare = Field(0.8, description="Lowest acceptable share of readable judgements.")
    min_spread: float = Field(
        0.05,
        ge=0,
        description="Lowest acceptable standard deviation of the scores; it is 0 if every verdict is the same.",
        json_schema_extra=FREE,
    )
    max_first_shown: float = Field(
        0.75,
        ge=0.5,
        le=1,
        description="Highest acceptable share of pairwise verdicts for the step shown first, or for the one shown "
        "second.",
        json_schema_extra=FREE,
    )
    max_order_flips: FreeShare = Field(
        0.5, description="Highest acceptable share of pairs of steps whose verdict changes with the order shown."
    )
    max_by_length: FreeShare = Field(
        0.5, description="Highest acceptable correlation of score and length, positive or negative."
    )
    min_caught: FreeShare = Field(
        0.5, description="Lowest acceptable share of planted errors that score below the right step."
    )
    max_talked_into: FreeShare = Field(
        0.5, description="Highest acceptable share of wrong steps that score higher once they praise themselves."
    )
    shadow: str | JudgeConfig | None = Field(
        None,
        description="A second judge that only watches: a registered kind, for example checker, or settings as under "
        "judge. It scores the same held-out candidates as the judge and is never trained; if it asks the policy, it "
        "asks the first one of the run. An alarm says where the two part.",
        json_schema_extra=FREE,
    )
    max_parting: FreeShare = Field(
        0.1,
        description="Largest acceptable growth, since the first policy, of the judge's scores of the steps that it "
        "kept over those of the shadow judge, where the shadow's fell and the judge's did not.",
    )
    collapse_agreement: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="A judge has collapsed if its agreement with the previous judge is not significantly above this: 0 "
        "is chance. This needs no labels.",
        json_schema_extra=FREE,
    )
    min_agreement: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="Lowest acceptable Kendall tau with the previous judge, on candidates that the previous judge "
        "scored.",
        json_schema_extra=FREE,
    )


class RunnerConfig(Section):
    """Where groups of problems are worked."""

    kind: str = Field(
        "local",
        description="local: in this process; ray (extra ray): by workers on this machine or on a cluster, each with a "
        "loaded policy; or a registered runner.",
        json_schema_extra=FREE,
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of the runner, for example of ray: address, workers and resources; docs/scale.md lists "
        "them.",
        json_schema_extra=FREE,
    )


class Config(Section):
    """All settings of a run."""

    name: Annotated[str, AfterValidator(_folder_name)] = Field(
        "custom", description="Name of the config; the default run folder is runs/NAME."
    )
    seed: int = Field(0, ge=0, description="Random seed from which every random draw of the run derives.")
    iterations: int = Field(
        3, ge=0, description="Number of iterations; 3 iterations make M2, M3 and M4 from M1.", json_schema_extra=FREE
    )
    threads: int | None = Field(
        None, gt=0, description="Number of CPU threads; none: PyTorch decides.", json_schema_extra=FREE
    )
    report_to: tuple[str, ...] = Field(
        (),
        description="Trackers that get the figures of the run: tensorboard, wandb (offline), mlflow or trackio. Each "
        "needs its extra, and writes below trackers/ in the run folder.",
        json_schema_extra=FREE,
    )
    splitter: str = Field(
        "newline", description="Registered step splitter, for example newline, paragraph, sentence or marker."
    )
    splitter_options: dict[str, Any] = Field(default_factory=dict, description="Options of the splitter.")
    prompts: str = Field("paper", description="Prompt set: paper, compact, plain, or the path of a folder.")
    model: ModelConfig = ModelConfig()
    problems: ProblemsConfig = ProblemsConfig()
    seed_stage: SeedConfig | None = Field(
        None, description="Seed stage that makes M1 from M0; none: the policy is already an M1."
    )
    search: SearchConfig = SearchConfig()
    judge: JudgeConfig = JudgeConfig()
    method: MethodConfig = MethodConfig()
    pairs: PairsConfig = PairsConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    policies: PoliciesConfig = PoliciesConfig()
    judge_problems: JudgeProblemsConfig = JudgeProblemsConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    watch: WatchConfig = WatchConfig()
    runner: RunnerConfig = RunnerConfig()

    @model_validator(mode="after")
    def _has_validation(self) -> "Config":
        """Refuse decisions by answers where there are no problems to decide them on."""
        decides = self.policies.go_on_from == "best" or self.policies.on_regression != "continue"
        if decides and not self.problems.num_validation:
            raise ValueError(
                "policies.go_on_from: best and policies.on_regression: stop or rollback need problems.num_validation "
                "above 0, because the reported problems must not choose the policy"
            )
        return self
