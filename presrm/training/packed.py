"""Lessons in packs of shared prefixes, as a transformers Trainer (PReSRM, arXiv 2503.03746, section 2.5)."""

from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from itertools import accumulate, chain, groupby
from operator import itemgetter
from typing import Any, cast

import torch
from accelerate.utils import DistributedType, gather_object
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

from presrm.packing.forward import accept_packs, rotary_group
from presrm.packing.layout import Scored, fill_packs, pack, tree_size
from presrm.protocols import Stage, silent_stage
from presrm.training.checkpoints import Checkpoints, ResumableTrainer
from presrm.training.objectives import Objective
from presrm.training.plan import share_evenly
from presrm.training.scores import Scores
from presrm.training.tokens import LessonTokens
from presrm.types import PreferencePair

IGNORED = -100
_SCORED_AT_ONCE = 4096
"""Lessons that are laid out together to be scored: what is laid out takes far more memory than their tokens."""
MicroBatch = dict[str, Any]
LoadFrozen = Callable[["LessonTrainer", nn.Module], Mapping[str, Tensor]]


class LessonTrainer(ResumableTrainer):
    """Trains on the tokens of replies; what is before them is context.

    What the Trainer calls a batch is a whole optimiser step here, however many lessons it holds: `training_step` cuts
    this process's share into packs (see `presrm.packing.layout`) and accumulates their gradients; a model that cannot
    take packs gets lesson by lesson. The loss is the sum over the lessons of the optimiser step in all processes,
    divided by their number as their objective counts it, whatever the packs; the losses of several objectives, each
    over its own number, are added. Every process gets equally many packs, so that collectives of sharded models meet;
    what that takes is filled up with a pack of weight 0.

    Args:
        model: What is trained.
        args: Settings of the Trainer; its own batch sizes and accumulation are not read.
        lessons: All lessons.
        steps: For each optimiser step of the training, the indices of its lessons (see `plan_steps`).
        pack_tokens: Tokens in one packed row.
        stage: Where to tell what is going on.
        checkpoints: Writes checkpoints, and knows the last one; none: there are none.
        load_frozen: Gives, before the first step, the log-probabilities that the objectives read, by name: one number
            for each token of all replies of all lessons, in order. Left out: those of the starting weights.
        callbacks: As for a Trainer.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: TrainingArguments,
        lessons: Sequence[LessonTokens],
        steps: Sequence[tuple[int, ...]],
        *,
        pack_tokens: int,
        stage: Stage = silent_stage,
        checkpoints: Checkpoints | None = None,
        load_frozen: LoadFrozen | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.lessons = lessons
        self.steps = steps
        self._stage = stage
        self._advance: Callable[[int], None] = lambda lessons: None
        self._ends = array("q", accumulate((sum(each.lengths) for each in lessons), initial=0))
        self._pack_tokens = pack_tokens
        self._load_frozen = load_frozen or LessonTrainer.score_start
        self._frozen: Mapping[str, Tensor] | None = None
        self._observed: dict[str, tuple[Any, Any]] = {}
        self._rotary_group = rotary_group(model)
        super().__init__(
            model=model, args=args, train_dataset=cast(Any, steps), callbacks=callbacks, checkpoints=checkpoints
        )
        self._longest = max(length for lesson in lessons for length in lesson.row_lengths)
        self._takes_packs = self.accept(model)
        if not self.is_world_process_zero():
            self._stage = silent_stage

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Train, and tell of every lesson of this process's share."""
        num_lessons = sum(map(len, self.steps)) // self.accelerator.num_processes
        with self._stage("optimiser steps, by lessons", num_lessons) as self._advance:
            return super().train(*arguments, **options)

    def what_decides(self) -> object:
        """Give the lessons, what they weigh, and the optimiser steps."""
        weights = [(lesson.weight, lesson.doubt) for lesson in self.lessons]
        return [self.hash_lessons(), weights, list(self.steps)]

    def hash_lessons(self) -> str:
        """SHA-256 of the tokens of all lessons, in hexadecimal."""
        digest = sha256()
        for lesson in self.lessons:
            digest.update(repr((lesson.num_prefix, lesson.lengths)).encode() + lesson.ids)
        return digest.hexdigest()

    def _place(self, lesson: int) -> slice:
        """Where a lesson's tokens stand among those of all replies."""
        return slice(self._ends[lesson], self._ends[lesson + 1])

    def accept(self, model: nn.Module) -> bool:
        """Have a model take packs of the lessons, and say whether it can."""
        with self.accelerator.autocast():
            return accept_packs(model, self._longest)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Serve the optimiser steps in order, the same to every process, which takes its share of each."""
        return DataLoader(cast(Any, self.train_dataset), batch_size=1, collate_fn=self._collate)

    def _collate(self, batch: Sequence[Sequence[int]]) -> list[MicroBatch]:
        (step,) = batch
        return self._share(step, self._takes_packs)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Accumulate the gradients of one optimiser step.

        Args:
            model: The model as wrapped for this process.
            inputs: This process's micro-batches.
            num_items_in_batch: Not used: the micro-batches carry their weights.

        Returns:
            This process's part of the loss, times the number of processes (whose mean is taken).
        """
        self.begin(model)
        self._observed = {}
        losses = []
        for number, micro in enumerate(inputs, start=1):
            self.accelerator.sync_gradients = number == len(inputs)
            with self._held_back(model):
                losses.append(super().training_step(model, micro))
            self._advance(_num_counted(micro))
        return torch.stack(losses).sum()

    def before_first_step(self, model: nn.Module) -> None:
        """Score the starting weights, then go where the last checkpoint was written."""
        if self._frozen is None:
            self._frozen = self._load_frozen(self, model)
        super().before_first_step(model)
        done = self.steps[: self.state.global_step]
        self._advance(sum(map(len, done)) // self.accelerator.num_processes)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Weigh and sum the losses of the lessons of one micro-batch, and observe them for the log."""
        assert self._frozen is not None
        logps_N = self._logps(model, inputs)
        places = [self._place(i) for i in inputs["indices"]]
        frozen = {name: torch.cat([logps_M[place] for place in places]) for name, logps_M in self._frozen.items()}
        shares_B = torch.tensor(inputs["shares"], device=logps_N.device)
        parts, first, start = [], 0, 0
        for objective, indices in self._by_objective(inputs["indices"]):
            lessons = [self.lessons[i] for i in indices]
            tokens = slice(start, start + sum(sum(lesson.lengths) for lesson in lessons))
            read = {name: frozen[name][tokens] if name in objective.reads else None for name in ("reference", "start")}
            scores = Scores(
                logps_N[tokens],
                read["reference"],
                read["start"],
                [lesson.lengths for lesson in lessons],
                torch.tensor([lesson.weight for lesson in lessons], device=logps_N.device),
                torch.tensor([lesson.doubt for lesson in lessons], device=logps_N.device),
            )
            losses_B, observed = objective.losses(scores)
            mine_B = shares_B[first : first + len(indices)]
            part_B = losses_B * mine_B / self.accelerator.num_processes
            self._observe({**observed, f"step/loss/{objective.name}": part_B}, mine_B)
            parts.append((mine_B * losses_B).sum())
            first, start = first + len(indices), tokens.stop
        loss = torch.stack(parts).sum()
        return (loss, None) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means over the optimiser step's lessons, in all processes, to its row."""
        if "loss" in logs:
            logs = {**logs, **self._summarise()}
            scaler = self.accelerator.scaler
            if scaler is not None and self.accelerator.optimizer_step_was_skipped and scaler.get_scale() >= 1:
                logs = {**logs, "grad_norm": 0.0, "step/skipped": 1.0}  # float16 tries again with a smaller scale
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        """Estimate the operations of an optimiser step from its micro-batches."""
        return sum(super(LessonTrainer, self).floating_point_ops(micro) for micro in inputs)

    def score_start(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Score all lessons under the weights as they are, for whatever the objectives read."""
        names = frozenset().union(*(lesson.objective.reads for lesson in self.lessons))
        if not names:
            return {}
        return dict.fromkeys(names, self.score(model))

    def score(self, model: nn.Module, *, packs: bool | None = None, lessons: Sequence[int] | None = None) -> Tensor:
        """Log-probabilities (nats) of every token of all replies under a model, dropout off: logps_M.

        Args:
            model: What is trained, or another.
            packs: Whether the other takes packs.
            lessons: Those to score, by index; the numbers of all others are 0. None: all.
        """
        lessons = range(len(self.lessons)) if lessons is None else lessons
        logps_M = torch.zeros(self._ends[-1], device=self.args.device)
        model.eval()
        packs = self._takes_packs if packs is None else packs
        starts = range(0, len(lessons), _SCORED_AT_ONCE)
        micros = chain.from_iterable(self._share(lessons[start : start + _SCORED_AT_ONCE], packs) for start in starts)
        with self._stage("log-probabilities, by lessons", len(lessons) // self.accelerator.num_processes) as advance:
            advance(0)
            for micro in map(self._prepare_inputs, micros):
                with torch.no_grad(), self.compute_loss_context_manager():
                    logps_N = self._logps(model, micro).float()
                start = 0
                for i, share in zip(micro["indices"], micro["shares"], strict=True):
                    place = self._place(i)
                    end = start + place.stop - place.start
                    if share:
                        logps_M[place] = logps_N[start:end]
                    start = end
                advance(_num_counted(micro))
        return cast(Tensor, self.accelerator.reduce(logps_M, reduction="sum"))

    def figures(
        self, logps_M: Tensor, lessons: Sequence[int], frozen: Mapping[str, Tensor] | None = None
    ) -> dict[str, float]:
        """Say how a model does on lessons: the mean of their losses and, of pairs, how it ranks the two replies.

        Args:
            logps_M: As `score` gives them, of the model.
            lessons: Of one objective, by index.
            frozen: What the objective compares with; none: what the training does.

        Returns:
            ``loss``; of pairs ``margin``, the mean of how much likelier the chosen reply is than the rejected one
            (nats), and ``accuracy``, the share in which it is likelier.
        """
        frozen = self._frozen if frozen is None else frozen
        assert frozen is not None
        objective = self.lessons[lessons[0]].objective
        logps_N = torch.cat([logps_M[self._place(i)] for i in lessons])
        read = {name: torch.cat([values_M[self._place(i)] for i in lessons]) for name, values_M in frozen.items()}
        scores = Scores(
            logps_N,
            read.get("reference"),
            read.get("start"),
            [self.lessons[i].lengths for i in lessons],
            torch.tensor([self.lessons[i].weight for i in lessons], device=logps_N.device),
            torch.tensor([self.lessons[i].doubt for i in lessons], device=logps_N.device),
        )
        losses_B, _ = objective.losses(scores)
        figures = {"loss": float(losses_B.mean())}
        if PreferencePair in objective.takes:
            chosen_B, rejected_B = scores.sum(scores.policy_N)
            margins_B = chosen_B - rejected_B
            figures |= {"margin": float(margins_B.mean()), "accuracy": float((margins_B > 0).float().mean())}
        return figures

    def _held_back(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Keep gradients in this process until the last micro-batch (DeepSpeed does so by itself)."""
        if self.accelerator.sync_gradients or self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            return nullcontext()
        return cast(AbstractContextManager[Any], self.accelerator.no_sync(model))

    def _logps(self, model: nn.Module, micro: MicroBatch) -> Tensor:
        """Log-probabilities (nats) of the tokens of a micro-batch's replies: logps_N, reply after reply."""
        if "pack" in micro:
            return cast(Tensor, model(micro["pack"], by_token=True))
        logits_R_K_V = model(
            input_ids=micro["input_ids"], attention_mask=micro["attention_mask"], logits_to_keep=micro["num_logits"]
        ).logits
        targets_R_K = micro["targets_R_K"]
        wanted_R_K = targets_R_K != IGNORED
        return -cross_entropy(logits_R_K_V[wanted_R_K].float(), targets_R_K[wanted_R_K], reduction="none")

    def _share(self, step: Sequence[int], packs: bool) -> list[MicroBatch]:
        """Cut an optimiser step into micro-batches, and take this process's share: as many as the others, as long."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        totals: dict[Objective, int] = {}
        for lesson in (self.lessons[i] for i in step):
            totals[lesson.objective] = totals.get(lesson.objective, 0) + lesson.objective.count(lesson)
        shares = share_evenly(self._divide(step, packs), world)
        num_micro = max(len(share) for share in shares)
        mine = [(indices, True) for indices, _ in shares[rank]]
        filler = min((unit for share in shares for unit in share), key=itemgetter(1))
        mine += [(filler[0], False)] * (num_micro - len(mine))
        lay_out = self._packed if packs else self._padded
        micros = []
        for indices, counts in mine:
            grouped = tuple(chain.from_iterable(members for _, members in self._by_objective(indices)))
            shared = tuple(world / totals[self.lessons[i].objective] if counts else 0.0 for i in grouped)
            micros.append(lay_out(grouped) | {"indices": grouped, "shares": shared})
        return micros

    def _by_objective(self, indices: Sequence[int]) -> Iterator[tuple[Objective, list[int]]]:
        """Group lessons by their objective, in the order in which those first stand there."""
        order = list(dict.fromkeys(self.lessons[i].objective for i in indices))
        ranked = sorted(indices, key=lambda i: order.index(self.lessons[i].objective))
        for objective, members in groupby(ranked, key=lambda i: self.lessons[i].objective):
            yield objective, list(members)

    def _divide(self, step: Sequence[int], packs: bool) -> list[tuple[tuple[int, ...], int]]:
        """The micro-batches of an optimiser step: the indices of their lessons, and their size in tokens."""
        if not packs:
            return [((i,), sum(self.lessons[i].row_lengths)) for i in step]
        groups: dict[Hashable, list[int]] = {}
        for i in step:
            groups.setdefault(self._rotary_group(max(self.lessons[i].row_lengths)), []).append(i)
        divided = []
        for group in groups.values():
            rows = [self.lessons[i].rows for i in group]
            budget = self._pack_tokens
            if self.accelerator.num_processes > 1:
                budget = min(budget, tree_size([*chain.from_iterable(rows)]) // self.accelerator.num_processes)
            for found in fill_packs(rows, budget):
                size = tree_size([ids for number in found for ids in rows[number]])
                divided.append((tuple(group[number] for number in found), size))
        return divided

    def _rows(self, indices: Sequence[int]) -> list[Scored]:
        """The sequences of lessons, lesson after lesson."""
        lessons = (self.lessons[i] for i in indices)
        return [Scored(ids, lesson.num_prefix) for lesson in lessons for ids in lesson.rows]

    def _packed(self, indices: Sequence[int]) -> MicroBatch:
        """Lay out lessons as one packed row."""
        packed = pack(self._rows(indices))
        return {"pack": packed, "input_ids": torch.from_numpy(packed.layout.ids_T)[None]}

    def _padded(self, indices: Sequence[int]) -> MicroBatch:
        """Lay out one lesson as rows, padded on the right.

        Logits are kept from the last token of the prefix on; ``targets_R_K[:, k]`` is what logit k predicts.
        """
        rows = self._rows(indices)
        (first,) = {row.start for row in rows}
        longest = max(len(row.ids) for row in rows)
        ids_R_T = torch.zeros(len(rows), longest, dtype=torch.long)  # unseen, and always in the embeddings
        mask_R_T = torch.zeros_like(ids_R_T)
        targets_R_T = torch.full((len(rows), longest + 1), IGNORED)
        for number, row in enumerate(rows):
            ids_R_T[number, : len(row.ids)] = torch.tensor(row.ids)
            mask_R_T[number, : len(row.ids)] = 1
            targets_R_T[number, first : len(row.ids)] = ids_R_T[number, first : len(row.ids)]
        return {
            "input_ids": ids_R_T,
            "attention_mask": mask_R_T,
            "num_logits": longest - first + 1,
            "targets_R_K": targets_R_T[:, first:],
        }

    def _observe(self, values_B: Mapping[str, Tensor], shares_B: Tensor) -> None:
        """Add up what is logged, over the lessons that count: its sum, and their number."""
        counts_B = shares_B > 0
        for name, value_B in {**values_B, "step/lessons": counts_B}.items():
            total, num = self._observed.get(name, (0.0, 0.0))
            self._observed[name] = (total + (value_B.detach().float() * counts_B).sum(), num + counts_B.sum())

    def _summarise(self) -> dict[str, float]:
        """Means over the lessons of all processes, which need not observe the same; sums of what says ``step/``."""
        rows = torch.stack([torch.stack(pair).float() for pair in self._observed.values()]).tolist()
        totals: dict[str, tuple[float, float]] = {}
        for name, (total, num) in gather_object([*zip(self._observed, rows, strict=True)]):
            before = totals.get(name, (0.0, 0.0))
            totals[name] = (before[0] + total, before[1] + num)
        return {
            name: total if name.startswith("step/") else total / num for name, (total, num) in totals.items() if num
        }


def _num_counted(micro: MicroBatch) -> int:
    """Lessons of a micro-batch that count: those of one that only fills up do not."""
    return sum(share > 0 for share in micro["shares"])
