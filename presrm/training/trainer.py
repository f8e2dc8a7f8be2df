"""The trainer: lessons + policy -> policy."""

import json
import logging
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from sys import intern
from types import MappingProxyType

import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers import TrainingArguments

from presrm.config import FREE, LoraConfig, ModelConfig, Section, TrainingConfig
from presrm.engines.hf_loading import num_positions
from presrm.errors import DivergedError, NoLessonsError
from presrm.files.content import replace_file
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Stage, silent_stage
from presrm.training.checkpoints import Checkpoints
from presrm.training.fitting import (
    LogTo,
    OnLog,
    compute_dtype,
    hash_weights,
    load_frozen,
    load_trainable,
    make_arguments,
    run_training,
    whole_folder,
)
from presrm.training.objectives import Objective
from presrm.training.packed import LessonTrainer
from presrm.training.plan import plan_steps
from presrm.training.saving import Card, save_policy
from presrm.training.tokens import explain_dropped, name_limit, tokenise
from presrm.types import Checkpoint, Lesson

logger = logging.getLogger(__name__)
_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


@dataclass(frozen=True, slots=True)
class _Frozen:
    """The log-probabilities that objectives compare with: computed once for the same weights and lessons.

    Attributes:
        out: Where the policy is to stand; the log-probabilities stand beside it.
        reference: The policy that is compared with; none: the starting weights.
        model: How to load it.
        lora: As for the policy in training.
    """

    out: Path
    reference: Checkpoint | None
    model: ModelConfig
    lora: LoraConfig | None

    def load(self, trainer: LessonTrainer, start: nn.Module) -> Mapping[str, Tensor]:
        """Take them from their file, or compute them and write the file.

        Raises:
            DivergedError: if one is not finite.
        """
        reads = frozenset().union(*(lesson.objective.reads for lesson in trainer.lessons))
        if not reads:
            return {}
        other = load_frozen(self.reference, self.model, self.lora) if self.reference and "reference" in reads else None
        weights = [trainer.start_sha256, *([] if other is None else [hash_weights(other)])]
        belongs_to = json.dumps([weights, sorted(reads), compute_dtype(self.model), trainer.hash_lessons()])
        name = f"reference-{sha256(belongs_to.encode()).hexdigest()[:16]}"
        is_main = trainer.is_world_process_zero()
        num = sum(sum(lesson.lengths) for lesson in trainer.lessons)
        stored = [_read_stored(self.out.parent, name, reads, num) if is_main else None]
        broadcast_object_list(stored)  # other machines may not see the file
        if stored[0] is not None:
            return {name: logps_M.to(trainer.args.device) for name, logps_M in load(stored[0]).items()}
        found = {}
        if other is None or "start" in reads:
            found = dict.fromkeys(reads, trainer.score(start))
        if other is not None:
            other.to(trainer.args.device)  # type: ignore[arg-type]
            found["reference"] = trainer.score(other, packs=trainer.accept(other))
        _require_finite(found, self.reference)
        if is_main:
            data = save({name: logps_M.cpu().clone() for name, logps_M in found.items()})
            replace_file(self.out.with_name(f"{name}-{_short_hash(data)}.safetensors"), data)
        return found


def _read_stored(folder: Path, name: str, reads: Set[str], num: int) -> bytes | None:
    """Read log-probabilities that were stored, if they are what the name of their file says, of all `num` tokens."""
    for path in folder.glob(f"{name}-*.safetensors"):
        data = path.read_bytes()
        if path.stem == f"{name}-{_short_hash(data)}" and _fits(data, reads, num):
            return data
        logger.warning("%s is not what was written there: it is computed anew", path)
        path.unlink()
    return None


def _fits(data: bytes, reads: Set[str], num: int) -> bool:
    """Whether these are the log-probabilities that are read: a finite float32 for each token."""
    try:
        found = load(data)
    except SafetensorError:
        return False
    return found.keys() == reads and all(
        logps_M.dtype == torch.float32 and logps_M.shape == (num,) and bool(logps_M.isfinite().all())
        for logps_M in found.values()
    )


def _short_hash(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


class PackedTrainer:
    """Makes a policy from lessons and the policy before; a `presrm.protocols.Trainer`.

    Args:
        options: How to train.
        objective: What to minimise; demonstrations beside its lessons are imitated.
        model: How to load and run the policy.
        prompts: The set that the lessons were made with.
        seed: Decides the order of the trees and what is random in the adapter.
        on_log: Takes the counts of lessons, then one row of metrics an optimiser step; with `held_out`, a last one with
            the figures on those before and after, as ``held_out/before/loss``.
        held_out: Lessons for the objective that are not trained on.
        facts: What the card says besides, a line each.
        stage: Where to tell what is going on.
    """

    def __init__(
        self,
        options: TrainingConfig,
        objective: Objective,
        model: ModelConfig,
        prompts: PromptSet,
        *,
        seed: int,
        on_log: OnLog | None = None,
        held_out: Sequence[Lesson] = (),
        facts: Mapping[str, str] = MappingProxyType({}),
        stage: Stage = silent_stage,
    ) -> None:
        self._options = options
        self._objective = objective
        self._model = model
        self._prompts = prompts
        self._seed = seed
        self._on_log: OnLog = on_log or (lambda row: None)
        self._held_out = held_out
        self._facts = facts
        self._stage = stage

    def fit(
        self, lessons: Sequence[Lesson], policy: Checkpoint, out: Path, *, reference: Checkpoint | None = None
    ) -> Checkpoint:
        """Train `policy` on `lessons` and save the result under `out`, which is whole or absent.

        The reference's log-probabilities stay beside it, in ``reference-<hash of what they belong to>-<of
        themselves>.safetensors``: another training from these weights on these lessons, or this one after it was
        killed, reads them there.

        Args:
            lessons: What to learn from.
            policy: Where to start.
            out: Where the new policy is to stand.
            reference: The policy whose log-probabilities the objective compares with; none: `policy`.

        Returns:
            With LoRA the base with the adapter in `out`, else the whole model in `out`.

        Raises:
            NoLessonsError: if nothing can be learned from any lesson.
            DivergedError: if a loss, a gradient, a weight or a log-probability of the reference is not finite.
        """
        options = self._options
        model, tokenizer = load_trainable(policy, self._model, options.lora, self._seed)
        encoder = PromptEncoder(tokenizer, self._model.chat_template)
        longest = min(options.max_tokens, num_positions(model.config))
        kept, dropped = tokenise(lessons, self._objective, encoder, self._prompts, longest)
        counts = {"trained": len(kept), "longest": longest, **dropped}
        self._on_log({f"lessons/{name}": float(num) for name, num in sorted(counts.items())})
        if not kept:
            limit = name_limit(longest, options.max_tokens)
            raise NoLessonsError(f"no lessons to train on: {explain_dropped(len(lessons), dropped, limit)}")
        aside, _ = tokenise(self._held_out, self._objective, encoder, self._prompts, longest)
        trees = [intern(lessons[number].prefix.problem.id) for number in kept]
        steps = plan_steps(trees, options.batch_pairs, options.epochs, self._seed, options.shuffle)
        arguments = make_arguments(
            TrainingArguments,
            self._model,
            seed=self._seed,
            out=out,
            checkpointing=options.gradient_checkpointing,
            learning_rate=options.learning_rate,
            lr_scheduler_type=_SCHEDULES[options.schedule],
            warmup_steps=math.ceil(options.warmup * len(steps)),
            num_train_epochs=1,
            max_grad_norm=options.max_grad_norm,
        )
        data = [*kept.values(), *aside.values()]
        held_out = range(len(kept), len(data))
        frozen = _Frozen(out, None if reference in (None, policy) else reference, self._model, options.lora)
        before: dict[str, float] = {}

        def load_frozen(trainer: LessonTrainer, start: nn.Module) -> Mapping[str, Tensor]:
            values = frozen.load(trainer, start)
            if held_out:
                logps_M = trainer.score(start, lessons=held_out)
                before.update(trainer.figures(logps_M, held_out, values))
            return values

        with whole_folder(out, arguments.distributed_state) as folder:
            trainer = LessonTrainer(
                model,
                arguments,
                data,
                steps,
                pack_tokens=options.pack_tokens,
                stage=self._stage,
                checkpoints=Checkpoints(out, options.checkpoint_seconds, self._settings()),
                load_frozen=load_frozen,
                callbacks=[LogTo(self._log)],
            )
            run_training(trainer)
            figures = self._measure(trainer, before, held_out)
            card = Card(
                f"{len(kept)} lessons of {len(set(trees))} problems",
                self._settings(),
                self._prompts.name,
                self._facts,
                figures,
            )
            return save_policy(trainer, tokenizer, policy, folder, out, self._model.chat_template, card)

    def _measure(
        self, trainer: LessonTrainer, before: Mapping[str, float], held_out: Sequence[int]
    ) -> dict[str, tuple[float, float]]:
        """Measure what was trained on the lessons held out, and log it beside what it was before."""
        if not held_out:
            return {}
        after = trainer.figures(trainer.score(trainer.model_wrapped, lessons=held_out), held_out)
        if trainer.is_world_process_zero():
            row = {f"held_out/before/{name}": value for name, value in before.items()}
            self._on_log({**row, **{f"held_out/after/{name}": value for name, value in after.items()}})
        return {name: (before[name], value) for name, value in after.items()}

    def _settings(self) -> dict[str, object]:
        options = self._objective.model_dump(mode="json") if isinstance(self._objective, Section) else {}
        free = {name for name, field in TrainingConfig.model_fields.items() if field.json_schema_extra == FREE}
        return {
            "objective": {"kind": self._objective.name, "options": options},
            "training": self._options.model_dump(mode="json", exclude=free),
            "model": self._model.model_dump(mode="json", include={"dtype"}),
        }

    def _log(self, row: dict[str, float]) -> None:
        """Pass a row on, with how far whole trees went beyond the lessons that were wanted."""
        if (num := row.get("step/lessons")) is not None:
            row = {**row, "step/overshoot": max(0.0, num - self._options.batch_pairs)}
        self._on_log(row)


def _require_finite(found: Mapping[str, Tensor], reference: Checkpoint | None) -> None:
    """Refuse log-probabilities that are not finite."""
    for name, logps_M in found.items():
        if num := int((~logps_M.isfinite()).sum()):
            whose = "the policy" if name == "start" or reference is None else f"the reference {reference.model!r}"
            raise DivergedError(
                f"{whose} gives {num} of {len(logps_M)} tokens a log-probability that is not finite: its weights are "
                "ruined, or model.dtype is too narrow for them; go on from an earlier policy with a lower "
                "training.learning_rate, or set model.dtype=float32"
            )
