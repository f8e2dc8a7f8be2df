"""The engine on transformers: completions and log-probabilities of a policy that is loaded on this machine."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any, TypeVar, cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from presrm.engines.drafting import Draft
from presrm.engines.hf_decoding import decode, pad_rows, positions
from presrm.engines.hf_loading import load_policy
from presrm.engines.hf_reading import Reader, keeps_tokens
from presrm.engines.hf_weights import order_weights
from presrm.errors import EngineError
from presrm.packing.forward import base_of, packed_logps, rotary_group, takes_packs, tree_attention_in
from presrm.packing.layout import Pack, Scored, fill_packs, pack
from presrm.prompts import Prompt
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Completion, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import Checkpoint, Stop

logger = logging.getLogger(__name__)
_OPERATIONS = {"cpu": (4e10, 3e10), "gpu": (1e14, 1e13)}
"""Floating-point operations a second, of a CPU thread or of a GPU, on tokens read and on tokens written: orders of
magnitude, from which the size of groups follows."""


@dataclass(frozen=True, slots=True)
class _Ids:
    """The ids of a prompt, and how many first ones a later prompt may begin with, too."""

    ids: tuple[int, ...]
    num_kept: int


@dataclass(frozen=True, slots=True)
class _Row:
    """Completion `number` of request `index`; its `sampling` asks for no more tokens than fit behind `ids`."""

    index: int
    number: int
    request: Request
    ids: tuple[int, ...]
    num_kept: int
    sampling: Sampling


RowT = TypeVar("RowT", _Row, Scored)
ResultT = TypeVar("ResultT")


class HFEngine:
    """Runs a policy with transformers. A context manager: leaving it frees the device.

    Args:
        checkpoint: The policy.
        chat_template: ``chatml``, the path of a Jinja file, or none for the tokenizer's own.
        dtype: See `presrm.engines.hf_loading.load_policy`.
        device: The same.
        batch_tokens: Tokens (prompts and completions, padding included) in one batch. Halved when memory runs out.
        cache_tokens: Tokens whose keys and values are kept at most from one call to the next, inside `keeping`.

    Attributes:
        encoder: Prompts -> the ids that the policy reads.

    Raises:
        RequestError: if there is no such model, or it has no chat template.
        EngineError: if it cannot be loaded.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        chat_template: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int = 65_536,
        cache_tokens: int = 65_536,
    ) -> None:
        model, tokenizer = load_policy(checkpoint, dtype=dtype, device=device)
        base = base_of(model)
        self.checkpoint = checkpoint
        self.encoder = PromptEncoder(tokenizer, chat_template)
        self._num_read = self._num_recalled = 0
        self._num_drawn = 0
        self._finished = Counter(questions=0, steps=0, solutions=0)
        self._writing: list[tuple[_Row, Draft]] = []
        self._batch_tokens = batch_tokens
        self._cache_tokens = cache_tokens
        self._keeps = False
        self._end_ids = _find_end_ids(base, self.encoder)
        self._longest = int(getattr(base.config.get_text_config(), "max_position_embeddings", None) or 2**31)
        base.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]  # a model's own penalties and filters would creep into ours
        self._model: PreTrainedModel | None = base
        self._num_parameters = base.num_parameters()
        if checkpoint.adapter is None and self._has_tree_attention:
            order_weights(base)

    def __enter__(self) -> "HFEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._num_read, self._num_recalled = self.tokens_read, self.tokens_recalled
        self._model = None
        self.__dict__.pop("_reader", None)
        torch.cuda.empty_cache()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what is read inside, for prompts of later calls that begin alike, as those of a search do.

        What is kept follows from the calls inside alone: nothing is there from before, and nothing stays behind.
        """
        if self._keeps or self._reader is None:
            yield
            return
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False
            self._reader.forget()

    @property
    def tokens_read(self) -> int:
        """Prompt tokens read so far; what prompts of one batch have in common is read, and counts, once."""
        reader: Reader | None = self.__dict__.get("_reader")  # made when it is first needed
        return self._num_read + (reader.tokens_read if reader else 0)

    @property
    def tokens_recalled(self) -> int:
        """Prompt tokens that were not read, since they were still kept, counted likewise."""
        reader: Reader | None = self.__dict__.get("_reader")
        return self._num_recalled + (reader.tokens_recalled if reader else 0)

    @property
    def tokens_generated(self) -> int:
        """Tokens drawn so far, the dropped ends of steps and the batch in progress included."""
        return self._num_drawn + sum(draft.num_drawn for _, draft in self._writing)

    def work(self) -> dict[str, int]:
        """Say what was done so far, the call in progress included; may be asked from another thread."""
        finished = self._finished + Counter(row.request.kind for row, draft in self._writing if draft.is_done)
        return {"tokens read": self.tokens_read, "tokens written": self.tokens_generated, **finished}

    def seconds(self, tokens_read: int, tokens_generated: int) -> float:
        """Estimate how long tokens take from what runs where: without a clock, so that it is always the same."""
        model = self._running()
        read, written = _OPERATIONS["cpu" if model.device.type == "cpu" else "gpu"]
        processors = torch.get_num_threads() if model.device.type == "cpu" else 1
        return 2 * self._num_parameters * (tokens_read / read + tokens_generated / written) / processors

    def describe(self) -> dict[str, Any]:
        """Say what runs where: model, adapter, dtype, device, number of parameters, versions."""
        model = self._running()
        is_cuda = model.device.type == "cuda"
        return {
            "model": self.checkpoint.model,
            "adapter": str(self.checkpoint.adapter) if self.checkpoint.adapter else None,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": torch.cuda.get_device_name(model.device) if is_cuda else str(model.device),
            "parameters": self._num_parameters,
            "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "peft")},
        }

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request: one list of ``request.num`` completions each, in order.

        A completion with a splitter ends with the token at which its first step is over; what was drawn behind that
        is dropped. The same call gives the same bytes on the same device and number of threads.

        Raises:
            EngineError: if memory does not suffice for one row, or the model has no embedding for a token.
            SplitterError: if a splitter raises or breaks its law.
        """
        groups: defaultdict[tuple[Sampling, Hashable], list[_Row]] = defaultdict(list)
        found: list[list[Completion]] = []
        for index, (request, read) in enumerate(zip(requests, self._read(r.prompt for r in requests), strict=True)):
            room = self._longest - len(read.ids)
            found.append([Completion("", (), Stop.NO_ROOM)] * request.num)
            if room > 0:
                sampling = replace(request.sampling, max_tokens=min(request.sampling.max_tokens, room))
                groups[sampling, self._alike(len(read.ids), sampling.max_tokens)] += [
                    _Row(index, number, request, read.ids, read.num_kept, sampling) for number in range(request.num)
                ]
        with self.keeping():  # from batch to batch, and on only where a search asks for that
            for (sampling, _), rows in groups.items():
                rows.sort(key=lambda row: -len(row.ids))
                for row, completion in self._in_batches(rows, self._complete, sampling.max_tokens):
                    found[row.index][row.number] = completion
        return found

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give, for each prompt, the log-probability (nats) that its reply goes on with each option.

        What prompts share, such as the judge's questions on one solution, is read once (see `presrm.packing.layout`).
        A prompt behind which the model cannot read every option has none.

        Raises:
            ValueError: if an option is empty.
            EngineError: as `generate`.
        """
        targets = [tuple(self.encoder.scaffold(option)) for option in options]
        if not all(targets):
            raise ValueError("an option is empty")
        asked = self._read(prompts)
        extra = max(map(len, targets), default=1) - 1
        has_room = [len(read.ids) + extra < self._longest for read in asked]
        groups = [[Scored(read.ids + target, len(read.ids)) for target in targets] for read in asked]
        num_kept = {read.ids: read.num_kept for read in asked}
        fitting = [group for group, fits in zip(groups, has_room, strict=True) if group and fits]
        found: dict[Scored, float] = {}
        if fitting and self._has_tree_attention:
            key, alike = rotary_group(self._running()), defaultdict[Hashable, list[list[Scored]]](list)
            for group in fitting:
                alike[key(max(len(scored.ids) for scored in group))].append(group)
            for same in alike.values():
                found |= self._score_packs(same, num_kept)
        else:
            rows = sorted((scored for group in fitting for scored in group), key=lambda row: -len(row.ids))
            found |= self._in_batches(rows, self._score_rows)
            self._finished["questions"] += len(fitting)
        return [
            tuple(found[scored] for scored in group) if fits else None
            for group, fits in zip(groups, has_room, strict=True)
        ]

    def _read(self, prompts: Iterable[Prompt]) -> list[_Ids]:
        """Give the ids of prompts.

        Raises:
            EngineError: if the model has no embedding for one: its tokenizer is another's, or was given more tokens.
        """
        read = []
        for prompt in prompts:
            trunk, tail = self.encoder.trunk(prompt), self.encoder.tail(prompt)
            ids = (*trunk, *tail)
            is_question = prompt.subject is not None and not prompt.reply
            read.append(_Ids(ids, len(trunk) if is_question else len(ids)))
        num_known = cast(torch.Tensor, self._running().get_input_embeddings().weight).shape[0]
        if unknown := {token for each in read for token in each.ids if token >= num_known}:
            names = ", ".join(map(repr, self.encoder.tokenizer.convert_ids_to_tokens(sorted(unknown)[:3])))
            raise EngineError(
                f"the tokenizer of {self.checkpoint.model!r} writes tokens for which the model has no embedding "
                f"({names}; it has {num_known})"
            )
        return read

    def _alike(self, length: int, max_tokens: int) -> Hashable:
        """What prompts, of `length` tokens, may be written in one batch: rotary factors may go by its longest row."""
        key = rotary_group(self._running())
        before, behind = key(length), key(length + max_tokens)  # the last token is not read
        return before if before == behind else (length, behind)

    def _running(self) -> PreTrainedModel:
        if self._model is None:
            raise EngineError("the engine is closed")
        return self._model

    @cached_property
    def _has_tree_attention(self) -> bool:
        """Whether attention goes by position ids and what a token is shown, whatever lies between."""
        return takes_packs(self._running())

    @cached_property
    def _reader(self) -> Reader | None:
        """What reads prompts once and keeps them, where the model is one of which that can be."""
        can = self._has_tree_attention and keeps_tokens(self._running())
        return Reader(self._running(), self._cache_tokens) if can else None

    def _in_batches(
        self, rows: list[RowT], run: Callable[[list[RowT]], list[ResultT]], extra: int = 0
    ) -> Iterator[tuple[RowT, ResultT]]:
        """Run rows, which come longest first, as many at once as `batch_tokens` allow; each grows by `extra` tokens."""
        start = 0
        while start < len(rows):
            width = len(rows[start].ids) + extra
            batch = rows[start : start + max(1, self._batch_tokens // width)]
            try:
                results = run(batch)
            except torch.OutOfMemoryError as error:
                self._use_less(width * len(batch), len(batch), error)
            else:
                yield from zip(batch, results, strict=True)
                start += len(batch)

    def _use_less(self, size: int, num: int, error: torch.OutOfMemoryError) -> None:
        """Halve the batches after one of `num` rows and `size` tokens was too much."""
        if num == 1:
            raise EngineError(
                f"out of memory on one row of {size} tokens; allow fewer tokens, or choose a smaller model "
                "or model.dtype: bfloat16"
            ) from error
        self._batch_tokens = size // 2
        logger.warning("out of memory: going on with batches of %d tokens", self._batch_tokens)
        torch.cuda.empty_cache()

    @torch.inference_mode()
    def _complete(self, batch: list[_Row]) -> list[Completion]:
        drafts = [
            Draft(row.sampling.max_tokens, row.request.splitter, self.encoder.decode, self._end_ids) for row in batch
        ]
        before, self._writing = self._num_read, list(zip(batch, drafts, strict=True))
        try:
            decode(
                self._running(),
                [row.ids for row in batch],
                drafts,
                batch[0].sampling,
                [derive_seed(row.request.seed, row.number) for row in batch],
                reader=self._reader,
                num_kept=[row.num_kept for row in batch],
                on_read=self._add_read,
            )
        except torch.OutOfMemoryError:
            self._writing, self._num_read = [], before
            raise
        self._writing = []
        self._num_drawn += sum(draft.num_drawn for draft in drafts)
        self._finished.update(row.request.kind for row in batch)
        return [draft.completion() for draft in drafts]

    def _add_read(self, tokens: int) -> None:
        self._num_read += tokens

    def _score_packs(
        self, groups: Sequence[Sequence[Scored]], num_kept: Mapping[tuple[int, ...], int]
    ) -> dict[Scored, float]:
        """Score groups of sequences, what they have in common once; `num_kept` of the prompts are worth keeping."""
        found: dict[Scored, float] = {}
        for indices in fill_packs([[scored.ids for scored in group] for group in groups], self._batch_tokens):
            members = [groups[index] for index in indices]
            sequences = [scored for group in members for scored in group]
            packed = pack(sequences)
            try:
                logps = self._run_pack(packed, [num_kept[scored.ids[: scored.start]] for scored in sequences])
            except torch.OutOfMemoryError as error:
                self._use_less(len(packed.layout.ids_T), len(members), error)
                found |= self._score_packs(members, num_kept)
            else:
                self._finished["questions"] += len(members)
                found |= zip(sequences, logps, strict=True)
        return found

    @torch.inference_mode()
    def _run_pack(self, packed: Pack, num_kept: Sequence[int]) -> list[float]:
        if self._reader and self._keeps:
            key = rotary_group(self._running())(max(len(places) for places in packed.places) + 1)
            return cast(list[float], self._reader.logps(packed, num_kept, key).tolist())
        with tree_attention_in(self._running()):
            logps_S = packed_logps(self._running(), packed)
        self._num_read += len(packed.layout.ids_T)
        return cast(list[float], logps_S.tolist())

    @torch.inference_mode()
    def _score_rows(self, batch: list[Scored]) -> list[float]:
        """The same for a model that cannot take packs: every sequence alone in a row."""
        ids_B_T, mask_B_T = pad_rows([row.ids for row in batch], self._running().device)
        keep = max(len(row.ids) - row.start for row in batch) + 1
        logits_B_K_V = self._running()(
            input_ids=ids_B_T,
            attention_mask=mask_B_T,
            position_ids=positions(mask_B_T),
            use_cache=False,
            logits_to_keep=keep,
        ).logits[:, -keep:]
        self._num_read += sum(len(row.ids) for row in batch)
        logps_B_K = logits_B_K_V[:, :-1].float().log_softmax(-1).gather(-1, ids_B_T[:, 1 - keep :, None])[..., 0]
        return [float(logps[row.start - len(row.ids) :].sum()) for logps, row in zip(logps_B_K, batch, strict=True)]


def _find_end_ids(model: PreTrainedModel, encoder: PromptEncoder) -> frozenset[int]:
    """All tokens that end a reply: the chat template's, the tokenizer's and the model's."""
    ends = {encoder.eos_id, int(encoder.tokenizer.eos_token_id)}
    for config in (model.generation_config, model.config):
        named = getattr(config, "eos_token_id", None)
        ends.update(named if isinstance(named, list) else [] if named is None else [named])
    return frozenset(ends)
