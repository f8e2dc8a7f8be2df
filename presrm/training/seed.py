"""The seed stage, M0 -> M1: imitation of IFT (solve step by step) and EFT (judge a step).

PReSRM, arXiv 2503.03746, sections 2.2 and 2.3. The trainer gets ready token ids, made by the encoder that generates and
judges: nothing is re-tokenised, templated or appended on the way.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from presrm.config import JudgeConfig, LoraConfig, ModelConfig, SeedConfig
from presrm.engines.hf_loading import num_positions
from presrm.errors import ConfigError, DataError, named
from presrm.files.jsonl import load_typed
from presrm.formats.labelled import rows
from presrm.formats.ranked import ranked_rows
from presrm.judging.labels import (
    POINTWISE,
    Question,
    explain,
    perturbed,
    questions,
    rollouts,
    solution_steps,
)
from presrm.judging.ranked import agreeing_judgements, thin_out
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Engine, Grader, Sampling, Stage, StepSplitter, silent_stage
from presrm.seeding import derive_seed
from presrm.training.checkpoints import Checkpoints
from presrm.training.fitting import LogTo, OnLog, load_trainable, make_arguments, run_training, whole_folder
from presrm.training.imitation import Imitation
from presrm.training.packed import LessonTrainer
from presrm.training.plan import plan_steps
from presrm.training.saving import Card, save_policy
from presrm.training.tokens import LessonTokens
from presrm.types import Checkpoint, LabelledSteps, Problem, Trajectory

OpenEngine = Callable[[Checkpoint], AbstractContextManager[Engine]]
_IMITATION = Imitation()
Decontaminate = Callable[[Sequence[Problem]], list[Problem]]


@dataclass(frozen=True, slots=True)
class Example:
    """What the policy is shown and what it learns to reply (token ids).

    Attributes:
        kind: ``ift``, or the kind of judgement.
        problem: Id of the problem that it is about: examples of one problem are learned together, and share its tokens.
        prompt: What is shown.
        reply: What is learned.
    """

    kind: str
    problem: str
    prompt: tuple[int, ...]
    reply: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply)


def imitation(problem: Problem, splitter: StepSplitter, encoder: PromptEncoder, prompts: PromptSet) -> Example:
    """The reference solution step by step, the end token behind it: of a problem (IFT), or a judgement (EFT)."""
    steps = solution_steps(problem, splitter)
    ids = (*(i for step in steps for i in encoder.step(step)), encoder.eos_id)
    kind, about = ("ift", problem) if problem.shown is None else (problem.kind, problem.shown.prefix.problem)
    return Example(kind, about.id, tuple(encoder.encode(prompts.solve(Trajectory(problem)))), ids)


def verdict(question: Question, encoder: PromptEncoder) -> Example:
    """The reply to a question about steps (EFT)."""
    end = [encoder.eos_id] if question.ends else []
    about = question.prompt.subject.prefix.problem.id if question.prompt.subject else ""
    reply = (*encoder.content(question.reply), *end)
    return Example(question.kind, about, tuple(encoder.encode(question.prompt)), reply)


class SeedStage:
    """Makes M1 from M0.

    Args:
        options: What to learn from, and how.
        model: How to load and run the policy.
        prompts: The set that the run solves and judges with.
        splitter: Cuts solutions into steps.
        lora: An adapter instead of full training.
        pack_tokens: Tokens in one packed row.
        checkpoint_seconds: As ``training.checkpoint_seconds``.
        judge: Whether verdicts are explained or direct.
        seed: Decides everything random.
        on_log: Takes the counts of examples, then one row of metrics an optimiser step.
        stage: Where to tell what is going on.
        open_engine: Runs the policy, for ``eft: rollouts`` and ``ranked``, and ``rationale: self``.
        grader: Compares answers, for ``eft: rollouts``.
        decontaminate: Removes the problems that are held out, for ``eft: rows``, ``ranked`` and ``judgements``.

    Raises:
        ConfigError: if what the options need is missing, or if they contradict the judge's.
    """

    def __init__(
        self,
        options: SeedConfig,
        model: ModelConfig,
        prompts: PromptSet,
        splitter: StepSplitter,
        *,
        lora: LoraConfig | None,
        pack_tokens: int,
        checkpoint_seconds: float | None = None,
        judge: JudgeConfig,
        seed: int,
        on_log: OnLog | None = None,
        stage: Stage = silent_stage,
        open_engine: OpenEngine | None = None,
        grader: Grader | None = None,
        decontaminate: Decontaminate | None = None,
    ) -> None:
        is_file = options.eft in ("rows", "ranked", "judgements")
        if is_file and options.eft_path is None:
            raise ConfigError(f"seed_stage.eft: {options.eft} needs seed_stage.eft_path")
        if is_file and decontaminate is None:
            raise ConfigError(f"seed_stage.eft: {options.eft} needs to be told which problems are held out")
        if options.rationale == "self" and judge.verdict == "direct":
            raise ConfigError(
                "seed_stage.rationale: self needs judge.verdict: explained; a direct verdict has no rationale"
            )
        self._options = options
        self._model = model
        self._prompts = prompts
        self._splitter = splitter
        self._lora = lora
        self._pack_tokens = pack_tokens
        self._checkpoint_seconds = checkpoint_seconds
        self._judge = judge
        self._seed = seed
        self._on_log: OnLog = on_log or (lambda row: None)
        self._stage = stage
        self._open_engine = open_engine
        self._grader = grader
        self._decontaminate = decontaminate

    def fit(self, policy: Checkpoint, problems: Sequence[Problem], out: Path) -> Checkpoint:
        """Train `policy` on examples made from `problems` and save the result under `out`, which is whole or absent.

        The loss is the mean over the reply tokens of an optimiser step; the learning rate falls linearly.

        Args:
            policy: M0.
            problems: Training problems with solutions, none of them held out.
            out: Where M1 is to stand.

        Returns:
            With LoRA the base with the adapter in `out`, else the whole model in `out`.

        Raises:
            DataError: if no example is left to train on.
            DivergedError: if a loss, a gradient or a weight is not finite.
        """
        asked = self._ask(policy, problems)
        model, tokenizer = load_trainable(policy, self._model, self._lora, self._seed)
        encoder = PromptEncoder(tokenizer, self._model.chat_template)
        longest = min(self._options.max_tokens, num_positions(model.config))
        examples = self._examples(problems, asked, encoder, longest)
        arguments = make_arguments(
            TrainingArguments,
            self._model,
            seed=self._seed,
            out=out,
            learning_rate=self._options.learning_rate,
            num_train_epochs=1,
            lr_scheduler_type="linear",
        )
        with whole_folder(out, arguments.distributed_state) as folder:
            trainer = LessonTrainer(
                model,
                arguments,
                [LessonTokens(_IMITATION, example.prompt, (example.reply,)) for example in examples],
                self._plan([example.problem for example in examples]),
                pack_tokens=self._pack_tokens,
                stage=self._stage,
                checkpoints=Checkpoints(out, self._checkpoint_seconds, self._settings()),
                callbacks=[LogTo(self._on_log)],
            )
            run_training(trainer)
            card = Card(f"{len(examples)} examples of the seed stage", self._settings(), self._prompts.name)
            return save_policy(trainer, tokenizer, policy, folder, out, self._model.chat_template, card)

    def _settings(self) -> dict[str, Any]:
        seed_stage = self._options.model_dump(mode="json", exclude={"ift", "eft_path"})
        return {"seed_stage": seed_stage, "lora": None if self._lora is None else self._lora.model_dump()}

    def _plan(self, about: Sequence[str]) -> list[tuple[int, ...]]:
        """Which examples, each about a problem, every optimiser step takes; the last pass may be a part of one."""
        options = self._options
        passes = math.ceil(options.epochs)
        steps = plan_steps(about, options.batch_size, passes, self._seed)
        return steps[: max(1, round(len(steps) * options.epochs / passes))]

    def _ask(self, policy: Checkpoint, problems: Sequence[Problem]) -> list[list[Question]]:
        """The questions to judge by, grouped by the labelled steps they are about."""
        options = self._options
        if options.eft == "judgements":
            return []
        if options.eft == "ranked":
            return self._judge_ranked(policy)
        if options.eft != "rollouts" and options.rationale != "self":
            return self._questions(self._labelled(problems, None))
        if self._open_engine is None:
            raise ConfigError("seed_stage: eft: rollouts and rationale: self need an engine")
        with self._open_engine(policy) as engine:
            asked = self._questions(self._labelled(problems, engine))
            if options.rationale == "none":
                return asked
            return explain(asked, engine, Sampling(self._judge.temperature, max_tokens=self._judge.max_tokens))

    def _judge_ranked(self, policy: Checkpoint) -> list[list[Question]]:
        """What the policy writes about ranked answers, where it agrees with their order."""
        assert self._options.eft_path is not None
        assert self._decontaminate is not None
        if self._open_engine is None:
            raise ConfigError("seed_stage: eft: ranked needs an engine")
        with named("seed_stage.eft_path"):
            found, seed = list(ranked_rows(self._options.eft_path)), derive_seed(self._seed, "eft")
        kept = {problem.id for problem in self._decontaminate([row.problem for row in found])}
        found = [row for row in found if row.problem.id in kept]
        found = random.Random(seed).sample(found, min(self._options.num_eft, len(found)))
        sampling = Sampling(self._judge.temperature, self._judge.top_p, self._judge.max_tokens)
        with self._open_engine(policy) as engine:
            agreeing = agreeing_judgements(found, engine, self._prompts, sampling, seed)
        self._on_log({"seed/ranked": len(found), "seed/ranked_agree": sum(map(bool, agreeing))})
        return thin_out(agreeing, seed)

    def _judgements(self) -> list[Problem]:
        """Problems whose solution is a judgement that somebody wrote."""
        options = self._options
        if options.eft != "judgements":
            return []
        assert options.eft_path is not None
        assert self._decontaminate is not None
        with named("seed_stage.eft_path"):
            found = load_typed(Problem, options.eft_path)
            written = [problem for problem in found if problem.shown and problem.solution]
            if not written:
                raise DataError(f"{str(options.eft_path)!r} holds no judgement with a solution")
        drawn = random.Random(derive_seed(self._seed, "eft")).sample(written, min(options.num_eft, len(written)))
        return self._decontaminate(drawn)

    def _questions(self, labelled: Sequence[LabelledSteps]) -> list[list[Question]]:
        return [questions(each, self._prompts, direct=self._judge.verdict == "direct") for each in labelled]

    def _labelled(self, problems: Sequence[Problem], engine: Engine | None) -> list[LabelledSteps]:
        options, seed = self._options, derive_seed(self._seed, "eft")
        if options.eft == "perturbed":
            return perturbed(problems, self._splitter, options.num_eft, seed)
        if options.eft == "rows":
            assert options.eft_path is not None
            assert self._decontaminate is not None
            with named("seed_stage.eft_path"):
                found = list(rows(options.eft_path))
            about = {each.prefix.problem.id: each.prefix.problem for each in found}
            kept = {problem.id for problem in self._decontaminate(list(about.values()))}
            found = [each for each in found if each.prefix.problem.id in kept]
            return random.Random(seed).sample(found, min(options.num_eft, len(found)))
        if engine is None or self._grader is None:
            raise ConfigError("seed_stage.eft: rollouts needs an engine and a grader")
        sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=options.max_tokens)
        drawn = rollouts(problems, engine, self._grader, self._prompts, self._splitter, sampling, seed=seed)
        return list(islice(drawn, options.num_eft))

    def _examples(
        self, problems: Sequence[Problem], asked: Sequence[Sequence[Question]], encoder: PromptEncoder, longest: int
    ) -> list[Example]:
        """All examples of at most `longest` tokens, counted by kind and, those left out, by cause."""
        counts: Counter[str] = Counter()

        def fits(examples: Sequence[Example]) -> bool:
            if all(len(example) <= longest for example in examples):
                return True
            counts["dropped/too_long"] += len(examples)
            return False

        solved = [problem for problem in [*problems, *self._judgements()] if problem.solution]
        kept = [imitation(problem, self._splitter, encoder, self._prompts) for problem in solved]
        kept = [example for example in kept if fits([example])]
        groups = [[verdict(question, encoder) for question in group] for group in asked]
        fitting = [(group, made) for group, made in zip(asked, groups, strict=True) if made and fits(made)]
        yes, no = ([made for group, made in fitting if [q.verdict for q in group] == [word]] for word in POINTWISE)
        surplus = (yes if len(yes) > len(no) else no)[min(len(yes), len(no)) :]
        counts["dropped/unbalanced"] += len(surplus)
        dropped = {id(made) for made in surplus}
        kept += [example for _, made in fitting if id(made) not in dropped for example in made]
        counts.update(example.kind for example in kept)
        self._on_log({f"seed/{name}": count for name, count in sorted(counts.items())})
        if not kept:
            raise DataError(f"seed_stage: nothing to train on: {dict(counts)}")
        return kept
