"""Step-wise DPO as a transformers Trainer (PReSRM, arXiv 2503.03746, section 2.5), and the stage built on it."""

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple
from hashlib import sha256
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import DistributedType, broadcast_object_list
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from presrm.config import ModelConfig, TrainingConfig
from presrm.errors import ConfigError, NoLessonsError
from presrm.files.run import replace_file
from presrm.packing.forward import accept_packs, rotary_group
from presrm.packing.layout import Scored, fill_packs, pack, tree_size
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.loss import IGNORED, margin_weights, sequence_logps, step_dpo_loss, step_ipo_loss
from presrm.training.plan import plan_steps, share_evenly
from presrm.training.tokens import PairTokens, tokenise_pair
from presrm.training.trainer import (
    LogTo,
    OnLog,
    compute_dtype,
    hash_weights,
    load_trainable,
    make_arguments,
    train_and_save,
    whole_folder,
)
from presrm.types import Checkpoint, Lesson, PreferencePair

_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
MicroBatch = dict[str, Any]


class StepDPOTrainer(Trainer):
    """Trains on the tokens of one step; the prefix is context.

    What the Trainer calls a batch is a whole optimiser step here, however many pairs it holds: `training_step` cuts
    this process's share into packs (see `presrm.packing.layout`) and accumulates their gradients; a model that cannot
    take packs gets pair by pair. The loss is the sum over the pairs of the optimiser step in all processes, divided by
    their number, whatever the packs; for ``sft`` (a baseline), the negative log-probability of the chosen steps,
    divided by the number of their tokens. Every process gets equally many packs, so that collectives of sharded models
    meet; what that takes is filled up with a pack of weight 0.

    The reference is the starting weights: its log-probabilities are computed, dropout off, before the first step.

    Args:
        model: What is trained.
        args: Settings of the Trainer; its own batch sizes and accumulation are not read.
        pairs: All pairs.
        steps: For each optimiser step of the training, the indices of its pairs (see `plan_steps`).
        options: The loss and its settings, pack_tokens and batch_pairs.
        pad_id: Any token id; fills the right of short rows.
        reference: Where the log-probabilities of the reference stand, or are to stand once they are computed; none:
            nowhere. Whoever names the file vouches that it belongs to these weights and pairs.
        callbacks: As for a Trainer.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: TrainingArguments,
        pairs: Sequence[PairTokens],
        steps: Sequence[tuple[int, ...]],
        options: TrainingConfig,
        pad_id: int,
        reference: Path | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self._pairs = pairs
        self._options = options
        self._pad_id = pad_id
        self._reference_path = reference
        self._reference_2_N: Tensor | None = None
        self._observed: dict[str, Any] = {}
        self._rotary_group = rotary_group(model)
        super().__init__(model=model, args=args, train_dataset=cast(Any, steps), callbacks=callbacks)
        longest = max(len(pair.prefix) + max(len(pair.chosen), len(pair.rejected)) for pair in pairs)
        with self.accelerator.autocast():
            self._takes_packs = accept_packs(model, longest)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Serve the optimiser steps in order, the same to every process, which takes its share of each."""
        return DataLoader(cast(Any, self.train_dataset), batch_size=1, collate_fn=lambda batch: self._share(batch[0]))

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Accumulate the gradients of one optimiser step.

        Args:
            model: The model as wrapped for this process.
            inputs: This process's micro-batches.
            num_items_in_batch: Not used: the micro-batches carry their weights.

        Returns:
            This process's part of the loss, times the number of processes (whose mean is taken).
        """
        if self._options.kind != "sft" and self._reference_2_N is None:
            self._reference_2_N = self._load_reference(model)
        self._observed = {}
        losses = []
        for number, micro in enumerate(inputs, start=1):
            self.accelerator.sync_gradients = number == len(inputs)
            with self._held_back(model):
                losses.append(super().training_step(model, micro))
        return torch.stack(losses).sum()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Weigh and sum the losses of the pairs of one micro-batch, and observe them for the log."""
        logps_S_B = self._logps(model, inputs)
        observed = {"logps/chosen": logps_S_B[0]}
        if self._options.kind == "sft":
            losses_B = -logps_S_B[0]
        else:
            assert self._reference_2_N is not None
            reference_2_B = self._reference_2_N[:, inputs["indices_B"]]
            losses_B = self._losses(logps_S_B, reference_2_B, inputs)
            chosen_B, rejected_B = self._options.beta * (logps_S_B.detach() - reference_2_B)
            observed |= {
                "logps/rejected": logps_S_B[1],
                "rewards/chosen": chosen_B,
                "rewards/rejected": rejected_B,
                "rewards/accuracies": (chosen_B > rejected_B).float(),
                "rewards/margins": chosen_B - rejected_B,
            }
        self._observe(observed, inputs)
        loss = (inputs["weights_B"] * losses_B).sum()
        return (loss, None) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means over the optimiser step's pairs, in all processes, to its row."""
        super().log({**logs, **self._summarise()} if "loss" in logs else logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        """Estimate the operations of an optimiser step from its micro-batches."""
        return sum(super(StepDPOTrainer, self).floating_point_ops(micro) for micro in inputs)

    def _held_back(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Keep gradients in this process until the last micro-batch (DeepSpeed does so by itself)."""
        if self.accelerator.sync_gradients or self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            return nullcontext()
        return cast(AbstractContextManager[Any], self.accelerator.no_sync(model))

    def _losses(self, logps_2_B: Tensor, reference_2_B: Tensor, micro: MicroBatch) -> Tensor:
        """Preference loss of each pair, weighted by its margin if that is wanted."""
        options = self._options
        if options.kind == "ipo":
            losses_B = step_ipo_loss(*logps_2_B, *reference_2_B, *micro["lengths_2_B"], beta=options.beta)
        else:
            losses_B = step_dpo_loss(
                *logps_2_B, *reference_2_B, beta=options.beta, label_smoothing=options.label_smoothing
            )
        return losses_B * margin_weights(micro["margins_B"]) if options.weight == "margin" else losses_B

    def _logps(self, model: nn.Module, micro: MicroBatch) -> Tensor:
        """Log-probabilities (nats) of the steps of a micro-batch: logps_S_B, S = chosen and, but for sft, rejected."""
        if "pack" in micro:
            logps_R = model(micro["pack"])
        else:
            logits_R_K_V = model(
                input_ids=micro["input_ids"], attention_mask=micro["attention_mask"], logits_to_keep=micro["num_logits"]
            ).logits
            logps_R = sequence_logps(logits_R_K_V, micro["targets_R_K"])
        return cast(Tensor, logps_R.view(-1, len(micro["indices_B"])))

    def _load_reference(self, model: nn.Module) -> Tensor:
        """Take the reference from its file, or compute it and write the file."""
        path, is_main = self._reference_path, self.is_world_process_zero()
        stored = [path.read_text("utf-8") if is_main and path and path.exists() else None]
        broadcast_object_list(stored)  # other machines may not see the file
        if stored[0] is not None:
            return torch.tensor(json.loads(stored[0]), device=self.args.device)
        reference_2_N = self._score_reference(model)
        if is_main and path:
            replace_file(path, json.dumps(reference_2_N.tolist()) + "\n")
        return reference_2_N

    def _score_reference(self, model: nn.Module) -> Tensor:
        """Log-probabilities of all pairs under the weights as they are, dropout off: reference_2_N."""
        reference_2_N = torch.zeros(2, len(self._pairs), device=self.args.device)
        model.eval()
        for micro in map(self._prepare_inputs, self._share(range(len(self._pairs)))):
            with torch.no_grad(), self.compute_loss_context_manager():
                logps_2_B = self._logps(model, micro)
            counts_B = micro["weights_B"] > 0
            reference_2_N[:, micro["indices_B"][counts_B]] = logps_2_B[:, counts_B].float()
        return cast(Tensor, self.accelerator.reduce(reference_2_N, reduction="sum"))

    def _share(self, step: Sequence[int]) -> list[MicroBatch]:
        """Cut an optimiser step into micro-batches, and take this process's share: as many as the others, as long."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        is_sft = self._options.kind == "sft"
        total = sum(len(self._pairs[i].chosen) for i in step) if is_sft else len(step)
        shares = share_evenly(self._divide(step), world)
        num_micro = max(len(share) for share in shares)
        mine = [(micro, world / total) for micro, _ in shares[rank]]
        filler = min((unit for share in shares for unit in share), key=itemgetter(1))
        mine += [(filler[0], 0.0)] * (num_micro - len(mine))
        lay_out = self._packed if self._takes_packs else self._padded
        return [self._micro_batch(lay_out, indices, weight) for indices, weight in mine]

    def _divide(self, step: Sequence[int]) -> list[tuple[tuple[int, ...], int]]:
        """The micro-batches of an optimiser step: the indices of their pairs, and their size in tokens."""
        if not self._takes_packs:
            return [((i,), sum(len(ids) for ids, _ in self._rows([i]))) for i in step]
        groups: dict[Hashable, list[int]] = {}
        for i in step:
            groups.setdefault(self._rotary_group(max(len(ids) for ids, _ in self._rows([i]))), []).append(i)
        divided = []
        for group in groups.values():
            rows = [[ids for ids, _ in self._rows([i])] for i in group]
            budget = self._options.pack_tokens
            if self.accelerator.num_processes > 1:
                budget = min(budget, tree_size([*chain.from_iterable(rows)]) // self.accelerator.num_processes)
            for found in fill_packs(rows, budget):
                size = tree_size([ids for number in found for ids in rows[number]])
                divided.append((tuple(group[number] for number in found), size))
        return divided

    def _rows(self, indices: Sequence[int]) -> list[tuple[tuple[int, ...], int]]:
        """Sequences of pairs and where their steps begin: all chosen ones, then, but for sft, all rejected ones."""
        pairs = [self._pairs[i] for i in indices]
        rows = [((*pair.prefix, *pair.chosen), len(pair.prefix)) for pair in pairs]
        if self._options.kind != "sft":
            rows += [((*pair.prefix, *pair.rejected), len(pair.prefix)) for pair in pairs]
        return rows

    def _micro_batch(
        self, lay_out: Callable[[Sequence[int]], MicroBatch], indices: Sequence[int], weight: float
    ) -> MicroBatch:
        pairs = [self._pairs[i] for i in indices]
        return lay_out(indices) | {
            "indices_B": torch.tensor(indices),
            "weights_B": torch.full((len(pairs),), weight),
            "margins_B": torch.tensor([pair.margin for pair in pairs]),
            "lengths_2_B": torch.tensor([[len(p.chosen) for p in pairs], [len(p.rejected) for p in pairs]]),
        }

    def _packed(self, indices: Sequence[int]) -> MicroBatch:
        """Lay out pairs as one packed row."""
        packed = pack([Scored(*row) for row in self._rows(indices)])
        return {"pack": packed, "input_ids": torch.from_numpy(packed.layout.ids_T)[None]}

    def _padded(self, indices: Sequence[int]) -> MicroBatch:
        """Lay out pairs as rows, padded on the right.

        Logits are kept from the last token of the shortest prefix on; ``targets_R_K[:, k]`` is what logit k predicts.
        """
        rows = self._rows(indices)
        first = min(start for _, start in rows)
        longest = max(len(ids) for ids, _ in rows)
        ids_R_T = torch.full((len(rows), longest), self._pad_id)
        mask_R_T = torch.zeros_like(ids_R_T)
        targets_R_T = torch.full((len(rows), longest + 1), IGNORED)
        for row, (ids, start) in enumerate(rows):
            ids_R_T[row, : len(ids)] = torch.tensor(ids)
            mask_R_T[row, : len(ids)] = 1
            targets_R_T[row, start : len(ids)] = ids_R_T[row, start : len(ids)]
        return {
            "input_ids": ids_R_T,
            "attention_mask": mask_R_T,
            "num_logits": longest - first + 1,
            "targets_R_K": targets_R_T[:, first:],
        }

    def _observe(self, values_B: Mapping[str, Tensor], micro: MicroBatch) -> None:
        """Add up what is logged, over the pairs that count."""
        counts_B = micro["weights_B"] > 0
        both = {**values_B, "step/pairs": torch.ones_like(micro["weights_B"])}
        for name, value_B in both.items():
            self._observed[name] = self._observed.get(name, 0.0) + (value_B.detach().float() * counts_B).sum()

    def _summarise(self) -> dict[str, float]:
        sums = self.accelerator.reduce(torch.stack(list(self._observed.values())), reduction="sum")
        totals = dict(zip(self._observed, cast(Tensor, sums).tolist(), strict=True))
        num_pairs = totals["step/pairs"]
        means = {name: total if name.startswith("step/") else total / num_pairs for name, total in totals.items()}
        return {**means, "step/overshoot_pairs": max(0.0, num_pairs - self._options.batch_pairs)}


class StepDPO:
    """Makes M(t) from M(t-1) and its preference pairs; a `presrm.protocols.Trainer`.

    Args:
        options: How to train.
        model: How to load and run the policy.
        prompts: The set that the pairs were searched with.
        seed: Decides the order of the trees and what is random in the adapter.
        on_log: Takes one row of metrics an optimiser step.
    """

    def __init__(
        self,
        options: TrainingConfig,
        model: ModelConfig,
        prompts: PromptSet,
        *,
        seed: int,
        on_log: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        self._options = options
        self._model = model
        self._prompts = prompts
        self._seed = seed
        self._on_log: OnLog = on_log or (lambda row: None)

    def fit(
        self, lessons: Sequence[Lesson], policy: Checkpoint, out: Path, *, reference: Checkpoint | None = None
    ) -> Checkpoint:
        """Train `policy` on `pairs` and save the result under `out`, which is whole or absent.

        The reference's log-probabilities stay beside it, as ``reference-<hash of weights and pairs>.json``: another
        training from these weights on these pairs, or the same one after it was killed, takes them from there.

        Returns:
            With LoRA the base with the adapter in `out`, else the whole model in `out`.

        Raises:
            NoLessonsError: if there are no pairs, or every pair is longer than ``max_tokens``.
        """
        if reference is not None:
            raise ConfigError("policies.reference: only previous can be trained with")
        pairs = [lesson for lesson in lessons if isinstance(lesson, PreferencePair)]
        options = self._options
        model, tokenizer = load_trainable(policy, self._model, options.lora, self._seed)
        encoder = PromptEncoder(tokenizer, self._model.chat_template)
        tokens = [tokenise_pair(pair, encoder, self._prompts, options.max_tokens) for pair in pairs]
        kept = [(pair.prefix.problem.id, ids) for pair, ids in zip(pairs, tokens, strict=True) if ids is not None]
        num_too_long = len(pairs) - len(kept)
        if not kept:
            raise NoLessonsError(
                f"no pairs to train on: {len(pairs)} given, {num_too_long} of them longer than "
                f"training.max_tokens={options.max_tokens}"
            )
        self._on_log({"pairs/trained": len(kept), "pairs/too_long": num_too_long})
        steps = plan_steps([tree for tree, _ in kept], options.batch_pairs, options.epochs, self._seed, options.shuffle)
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
        data = [ids for _, ids in kept]
        belongs_to = json.dumps([hash_weights(model), compute_dtype(self._model), [astuple(ids) for ids in data]])
        with whole_folder(out, arguments.distributed_state) as folder:
            trainer = StepDPOTrainer(
                model,
                arguments,
                data,
                steps,
                options,
                pad_id=int(tokenizer.pad_token_id),
                reference=out.with_name(f"reference-{sha256(belongs_to.encode()).hexdigest()[:16]}.json"),
                callbacks=[LogTo(self._on_log)],
            )
            return train_and_save(trainer, tokenizer, policy, folder, out)
