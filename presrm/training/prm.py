"""A process reward model with a head of two classes: labelled steps -> a model that ``judge.kind: prm`` reads.

As in TRL's trainer of process reward models: a separator stands behind each step, and the class of its last token says
whether the step is right. Labels are hard, or soft, such as the share of roll-outs that reach the answer
(Math-Shepherd, arXiv 2312.08935); in OmegaPRM (arXiv 2406.06592) soft ones do better.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from transformers import AutoModelForTokenClassification, TrainingArguments, set_seed

from presrm.config import ModelConfig, TrainingConfig
from presrm.engines.hf_loading import load_model, load_tokenizer, num_positions, quietly
from presrm.engines.hf_prm import Reader
from presrm.errors import DataError, NoLessonsError
from presrm.files.jsonl import MAX_LINE_BYTES, BadRow, Row, load_typed, read_rows
from presrm.files.tables import read_table
from presrm.formats.step_labels import read_step_labels
from presrm.formats.trees import tree_of
from presrm.judging.critiques import judged_text
from presrm.judging.problems import LabelledProblem
from presrm.protocols import Stage, silent_stage
from presrm.training.checkpoints import Checkpoints, ResumableTrainer
from presrm.training.fitting import LogTo, OnLog, make_arguments, run_training, trainer_seed, whole_folder
from presrm.types import SearchTree, Trajectory

Labels = Literal["hard", "soft"]
ReadT = TypeVar("ReadT")
IGNORED = -1.0
"""Stands where nothing is known of a token: behind most there is no step."""
_DECIDING = {"learning_rate", "schedule", "epochs", "batch_pairs", "max_grad_norm"}
_SCHEDULES = {"constant": "constant", "linear": "linear", "cosine": "cosine"}


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A solution, and of each step the probability that it is right, or none where that is not known."""

    question: str
    steps: tuple[str, ...]
    rights: tuple[float | None, ...]


def read_labelled_texts(path: Path) -> list[LabelledText]:
    """Read what a process reward model learns from: trees of a run, its ``labelled.jsonl``, or rows with labels.

    Of a tree every judged candidate is one solution, its prefix and itself; the judge's score, or where the search
    looks ahead what it came to think, is the probability. Of ``traces.jsonl`` that is a judgement, and whether it is
    right: what a meta-judge learns from. What one cannot tell is left out.

    Raises:
        DataError: naming file, line and what was expected; also if nothing is labelled.
    """
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    with path.open("rb") as file:
        first = next(filter(bytes.strip, iter(lambda: file.readline(MAX_LINE_BYTES), b"")), b"")
    found: list[LabelledText] = []
    if b'"expansions"' in first:
        for tree in _read(path, read_rows(path, max_line_bytes=sys.maxsize - 1), tree_of):
            found += _of_tree(tree)
    elif b'"candidates"' in first and b'"solutions"' in first:
        for problem in load_typed(LabelledProblem, path):
            found += _of_problem(problem)
    else:
        found += _read(path, read_table(path), _of_row)
    known = [one for one in found if any(right is not None for right in one.rights)]
    if not known:
        raise DataError(f"{path}: no step has a label")
    return known


def _of_tree(tree: SearchTree) -> Iterator[LabelledText]:
    for number, expansion in enumerate(tree.expansions):
        prefix = tree.prefix(number)
        for text, candidate in expansion.whole.items():
            value = candidate.judgement.score if candidate.worth is None else candidate.worth
            yield _last(prefix, text, value)


def _of_problem(labelled: LabelledProblem) -> Iterator[LabelledText]:
    for one in labelled.candidates:
        for step, label in zip(one.candidates.steps, one.labels, strict=True):
            yield _last(one.candidates.prefix, step.text, None if label is None else float(label))
    for solved in labelled.solutions:
        steps, first = tuple(step.text for step in solved.solution.steps), solved.first_error
        rights = [1.0] * len(steps) if first < 0 else [*[1.0] * first, 0.0, *[None] * (len(steps) - first - 1)]
        yield LabelledText(solved.solution.problem.question, steps, tuple(rights))
        if solved.right is not None:
            yield _last(Trajectory(solved.solution.problem, solved.solution.steps[:first]), solved.right.text, 1.0)


def _of_row(row: Mapping[str, Any]) -> LabelledText:
    read = read_step_labels(row)
    if read is None:
        raise DataError("expected steps with labels")
    rights = tuple(None if is_right is None else float(is_right) for is_right in read.are_right)
    return LabelledText(read.question, read.steps, rights)


def _read(path: Path, rows: Iterable[Row | BadRow], parse: Callable[[Mapping[str, Any]], ReadT]) -> Iterator[ReadT]:
    """Read the rows of a file; what is wrong is told with its line."""
    for row in rows:
        where = f"{path}, line {row.line}"
        if isinstance(row, BadRow):
            raise DataError(f"{where}: {row.reason}")
        try:
            yield parse(row.value)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def _last(prefix: Trajectory, text: str, right: float | None) -> LabelledText:
    """A solution of whose last step alone something is said; of a judge problem it is a judgement."""
    before, problem = tuple(step.text for step in prefix.steps), prefix.problem
    question = problem.question if problem.shown is None else judged_text(problem.shown)
    return LabelledText(question, (*before, text), (*[None] * len(before), right))


def fit_prm(
    texts: Sequence[LabelledText],
    model: ModelConfig,
    training: TrainingConfig,
    out: Path,
    *,
    labels: Labels = "hard",
    separator: str = "\n",
    seed: int,
    on_log: OnLog = lambda row: None,
    stage: Stage = silent_stage,
) -> None:
    """Train a process reward model, and save it in `out`, which is whole or absent; a killed training resumes.

    Args:
        texts: What is learned from; those longer than ``training.max_tokens``, or than the model reads, are left out.
        model: What it is made from; its head is new.
        training: Learning rate, schedule, epochs, ``batch_pairs``: solutions in one optimiser step; and
            ``checkpoint_seconds``.
        out: The folder.
        labels: ``hard``: right from one half on; ``soft``: the probability itself.
        separator: Stands behind each step; `judge.options.separator` has to be the same.
        seed: Decides the order and the new head.
        on_log: Takes the numbers of what is learned from and left out, then one row of metrics an optimiser step.
        stage: Where to tell what is going on.

    Raises:
        NoLessonsError: if nothing is short enough.
        DivergedError: if a loss, a gradient or a weight is not finite.
    """
    tokenizer, reader = load_tokenizer(model.id), Reader(load_tokenizer(model.id), "token-classification", separator)
    set_seed(trainer_seed(seed))
    with quietly():
        loaded = load_model(
            model.id, AutoModelForTokenClassification, dtype="float32", device="cpu", new=("score.", "classifier.")
        )
    longest = min(training.max_tokens, num_positions(loaded.config))
    rows = [_row(one, reader, labels) for one in texts]
    kept = [row for row in rows if len(row["input_ids"]) <= longest]
    on_log({"lessons/trained": float(len(kept)), "lessons/too_long": float(len(rows) - len(kept))})
    if not kept:
        raise NoLessonsError(f"all {len(rows)} solutions are longer than {longest} tokens")
    arguments = make_arguments(
        TrainingArguments,
        model,
        seed=seed,
        out=out,
        checkpointing=training.gradient_checkpointing,
        learning_rate=training.learning_rate,
        lr_scheduler_type=_SCHEDULES[training.schedule],
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_pairs,
        max_grad_norm=training.max_grad_norm,
        remove_unused_columns=False,
    )
    decides = training.model_dump(mode="json", include=_DECIDING) | {"separator": separator, "labels": labels}
    with whole_folder(out, arguments.distributed_state) as folder:
        trainer = _PrmTrainer(
            model=loaded.requires_grad_(True),
            args=arguments,
            train_dataset=cast(Any, kept),
            data_collator=_collate,
            callbacks=[LogTo(on_log)],
            stage=stage,
            checkpoints=Checkpoints(out, training.checkpoint_seconds, decides),
        )
        run_training(trainer)
        if trainer.is_world_process_zero():
            with quietly():
                trainer.accelerator.unwrap_model(trainer.model).save_pretrained(folder)
                tokenizer.save_pretrained(folder)


def soft_cross_entropy(logits_B_T_C: Tensor, rights_B_T: Tensor) -> Tensor:
    """Cross entropy (nats) of wrong and right with the probability of right: the mean over labelled tokens.

    ``-(p log q + (1 - p) log (1 - q))``: for p of 0 or 1 the loss of a classifier.
    """
    logps_B_T_C = log_softmax(logits_B_T_C.float(), dim=-1)
    losses_B_T = -(rights_B_T * logps_B_T_C[..., 1] + (1 - rights_B_T) * logps_B_T_C[..., 0])
    return losses_B_T[rights_B_T != IGNORED].mean()


class _PrmTrainer(ResumableTrainer):
    """Minimises `soft_cross_entropy`, solution by solution."""

    def __init__(self, *arguments: Any, stage: Stage = silent_stage, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stage = stage if self.is_world_process_zero() else silent_stage

    def what_decides(self) -> object:
        """Give the rows; their order follows from the seed, and how many are a batch from the settings."""
        return list(cast(Any, self.train_dataset))

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Train, and tell of every optimiser step."""
        batches = math.ceil(len(cast(Any, self.train_dataset)) / self.get_total_train_batch_size(self.args))
        with self._stage("optimiser steps", round(batches * self.args.num_train_epochs)) as self._advance:
            return super().train(*arguments, **options)

    def before_first_step(self, model: nn.Module) -> None:
        """Go where the last checkpoint was written, and tell of the steps before."""
        super().before_first_step(model)
        self._advance(self.state.global_step)

    def training_step(self, *arguments: Any, **options: Any) -> Tensor:
        """Make an optimiser step, and tell of it."""
        loss = super().training_step(*arguments, **options)
        self._advance(1)
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Give the loss of a batch, and what the model says of it if that is wanted."""
        rights_B_T = inputs.pop("rights")
        outputs = model(**inputs)
        loss = soft_cross_entropy(outputs.logits, rights_B_T)
        return (loss, outputs) if return_outputs else loss


def _row(text: LabelledText, reader: Reader, labels: Labels) -> dict[str, list[Any]]:
    """Give the ids of a solution, and behind each step what is known of it."""
    reading = reader.read(text.question, text.steps)
    rights = [IGNORED] * len(reading.ids)
    for place, right in zip(reading.places, text.rights, strict=True):
        if right is not None:
            rights[place] = right if labels == "soft" else float(right >= 0.5)
    return {"input_ids": list(reading.ids), "rights": rights}


def _collate(rows: Sequence[Mapping[str, list[Any]]]) -> dict[str, Tensor]:
    """Pad rows on the right."""
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(values: list[Any], filler: float) -> list[Any]:
        return [*values, *[filler] * (longest - len(values))]

    return {
        "input_ids": torch.tensor([padded(row["input_ids"], 0) for row in rows]),
        "attention_mask": torch.tensor([padded([1] * len(row["input_ids"]), 0) for row in rows]),
        "rights": torch.tensor([padded(row["rights"], IGNORED) for row in rows]),
    }
