"""Process reward models on transformers: a solution -> for each step the probability that it is right.

Four published ways to mark where a step is scored:

- ``token-classification``: a two-class head at the last token of the separator behind each step, where TRL's trainer
  of process reward models (its ``tokenize_row``) put the label;
- ``qwen-prm``: the same at a control token ``<extra_0>`` behind each step of a chat reply, by a head of two layers
  (Qwen2.5-Math-PRM: its modelling code comes with the checkpoint and is not run, the head is rebuilt here);
- ``math-shepherd``: ``+`` against ``-`` as a language model's next token, at the tag ``ки`` behind each step;
- ``rlhflow``: the same as the assistant's reply to a user turn that holds the step; earlier replies are all ``+``.

Where a step is scored is noted as the ids are put together, never looked up in them: a step that holds a tag adds no
place, and its text yields no control token (see `presrm.prompts.encoding`).
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2Model,
    Qwen2PreTrainedModel,
)
from transformers.modeling_outputs import TokenClassifierOutput

from presrm.engines.hf_loading import load_architectures, load_model, load_tokenizer, plainly
from presrm.errors import ConfigError, EngineError
from presrm.prompts import Part
from presrm.prompts.encoding import PromptEncoder
from presrm.types import LEAST_MASS, Status, Verdict

logger = logging.getLogger(__name__)

Format = Literal["token-classification", "qwen-prm", "math-shepherd", "rlhflow"]
_TAGS: dict[Format, str] = {"qwen-prm": "<extra_0>", "math-shepherd": " ки", "rlhflow": "+"}
_HEAD = "ForTokenClassification"  # what architectures with a head of classes end with
_QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
_PLACE = "\ufdd2place\ufdd3"
_MARK = re.compile("\ufdd2(place|\\d+)\ufdd3")


class Qwen2ForProcessRewardModel(Qwen2PreTrainedModel):  # type: ignore[no-untyped-call]
    """Qwen2 with a head of two layers, its weights named as in the checkpoints of Qwen2.5-Math-PRM."""

    _keys_to_ignore_on_load_unexpected = [r"lm_head"]  # noqa: RUF012  # transformers' own declaration

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__(config)
        self.model = Qwen2Model(config)
        size = config.hidden_size
        self.score = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 2))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: object) -> TokenClassifierOutput:
        """Logits (rows, tokens, 2): wrong, right."""
        hidden_B_T_D = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)[0]
        return TokenClassifierOutput(logits=self.score(hidden_B_T_D))


@dataclass(frozen=True, slots=True)
class _Reading:
    """A solution as the model reads it: step i is scored at token ``places[i]``."""

    ids: tuple[int, ...]
    places: tuple[int, ...]


class StepScorer:
    """A process reward model on one device.

    Args:
        model: Hub id or folder.
        format: How it marks where a step is scored; none: as its architecture says.
        separator: token-classification: the text behind each step.
        dtype: See `presrm.engines.hf_loading.load_policy`.
        device: The same.
        batch_tokens: Tokens, padding included, in one batch.

    Raises:
        RequestError: if there is no such model.
        ConfigError: if its format cannot be told, or it has no head.
        EngineError: if it cannot be loaded, or lacks what its format needs.
    """

    def __init__(
        self,
        model: str,
        format: Format | None = None,
        *,
        separator: str = "\n",
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int = 16_384,
    ) -> None:
        self._format: Format = check_scorer(model, format)
        self._reader = Reader(load_tokenizer(model), self._format, separator)
        self._name = model
        self._batch_tokens = batch_tokens
        loaders = {"token-classification": AutoModelForTokenClassification, "qwen-prm": Qwen2ForProcessRewardModel}
        loader = loaders.get(self._format, AutoModelForCausalLM)
        self._model = load_model(model, loader, dtype=dtype, device=device)
        with plainly(f"model {model!r} on {self._model.device}"):
            self._check_head()
        self._longest = int(getattr(self._model.config.get_text_config(), "max_position_embeddings", None) or 2**31)
        logger.info("process reward model %s (%s) on %s", model, self._format, self._model.device)

    def score(self, solutions: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[Verdict, ...]]:
        """Score solutions, given as a question and the texts of at least one step: one verdict for each step.

        Raises:
            EngineError: if memory does not suffice.
        """
        readings = [self._reader.read(question, steps) for question, steps in solutions]
        order = sorted(range(len(readings)), key=lambda index: -len(readings[index].ids))
        found: dict[int, list[tuple[float, float]]] = {}
        for batch in self._batches(order, readings):
            try:
                found |= zip(batch, self._run([readings[index] for index in batch]), strict=True)
            except torch.OutOfMemoryError as error:
                raise EngineError(
                    f"out of memory on {len(batch)} solutions; set judge.options.batch_tokens below "
                    f"{self._batch_tokens}, or judge.options.dtype to bfloat16"
                ) from error
        verdicts = []
        for index, (_, steps) in enumerate(solutions):
            probabilities = [*found[index], *[None] * (len(steps) - len(found[index]))]
            verdicts.append(tuple(_verdict(step, both) for step, both in zip(steps, probabilities, strict=True)))
        return verdicts

    def _batches(self, order: Sequence[int], readings: Sequence[_Reading]) -> Iterator[Sequence[int]]:
        """Cut what comes longest first into batches of at most `batch_tokens`."""
        start = 0
        while start < len(order):
            width = min(len(readings[order[start]].ids), self._longest)
            yield (batch := order[start : start + max(1, self._batch_tokens // width)])
            start += len(batch)

    @torch.inference_mode()
    def _run(self, readings: Sequence[_Reading]) -> list[list[tuple[float, float]]]:
        """Probabilities of right and of wrong for the steps whose place is not cut off."""
        places = [[place for place in reading.places if place < self._longest] for reading in readings]
        rows = torch.tensor([row for row, inside in enumerate(places) for _ in inside], device=self._model.device)
        columns = torch.tensor([place for inside in places for place in inside], device=self._model.device)
        right_W, wrong_W = self._outcomes([reading.ids[: self._longest] for reading in readings], rows, columns)
        both = iter(zip(right_W.tolist(), wrong_W.tolist(), strict=True))
        return [[next(both) for _ in inside] for inside in places]

    def _outcomes(
        self, ids: Sequence[Sequence[int]], rows_W: torch.Tensor, columns_W: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities of both outcomes at W places, given by row and column."""
        longest, device = max(map(len, ids)), self._model.device
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids], device=device),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=device),
        }
        if self._reader.outcomes is None:
            probs_W_C = self._model(**inputs).logits[rows_W, columns_W].float().softmax(-1)
            return probs_W_C[:, 1], probs_W_C[:, 0]
        model: Any = self._model
        hidden_W_D = model.get_decoder()(**inputs, use_cache=False).last_hidden_state[rows_W, columns_W]
        probs_W_V = model.get_output_embeddings()(hidden_W_D).float().softmax(-1)
        right, wrong = self._reader.outcomes
        return probs_W_V[:, right], probs_W_V[:, wrong]

    @torch.inference_mode()
    def _check_head(self) -> None:
        """Try the head: of two classes, or one that alone makes the logits (the others are never computed).

        Raises:
            EngineError: if it is another.
        """
        model: Any = self._model
        ids_1_T = torch.tensor([[1, 2, 3]], device=model.device)
        logits = model(input_ids=ids_1_T, attention_mask=torch.ones_like(ids_1_T)).logits
        if self._reader.outcomes is None:
            if logits.shape[-1] != 2:
                raise EngineError(f"model {self._name!r} has {logits.shape[-1]} classes; expected two: wrong, right")
            return
        alone = model.get_output_embeddings()(model.get_decoder()(input_ids=ids_1_T).last_hidden_state)
        if not torch.allclose(alone, logits, rtol=0, atol=1e-3 if model.dtype == torch.float32 else 5e-2):
            raise EngineError(f"model {self._name!r} changes its logits behind the head, which is not supported here")


class Reader:
    """Puts questions and steps together as one format wants them.

    Attributes:
        outcomes: The token ids of ``+`` and ``-``, or none where a head of two classes scores.

    Raises:
        ConfigError: if the tokenizer lacks what the format needs.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, format: Format, separator: str) -> None:
        self._tokenizer = tokenizer
        # What is no chat never renders a template, but an encoder wants one named.
        self._encoder = PromptEncoder(tokenizer, None if tokenizer.chat_template else "chatml")
        self._format = format
        self._tag = _TAGS.get(format, separator)
        # SentencePiece-style tokenizers put a space before each text; the encoder's never does.
        adds_space = tokenizer("a", add_special_tokens=False)["input_ids"] != self._encoder.scaffold("a")
        self._space = " " if adds_space else ""
        if format == "qwen-prm" and len(self._encoder.scaffold(self._tag)) != 1:
            raise ConfigError(f"judge.options: format {format!r}: the tokenizer has no token {self._tag}")
        if not self._tag:
            raise ConfigError("judge.options.separator: is empty")
        if format in ("qwen-prm", "rlhflow") and not tokenizer.chat_template:
            raise ConfigError(f"judge.options: format {format!r}: the tokenizer has no chat template")
        before = {"math-shepherd": self._space, "rlhflow": ""}.get(format)
        self.outcomes = (
            None if before is None else tuple(self._encoder.scaffold(before + sign)[-1] for sign in ("+", "-"))
        )

    def read(self, question: str, steps: Sequence[str]) -> _Reading:
        """Give the ids of a solution and the place of each of its steps."""
        ids: list[int] = []
        places: list[int] = []
        if self._begins_with_bos():
            ids.append(int(self._tokenizer.bos_token_id))
        for part in self._parts(question.strip(), [step.strip() for step in steps]):
            if part is None:
                places.append(len(ids) - 1)
            else:
                ids += self._encoder.parts([part])
        return _Reading(tuple(ids), tuple(places))

    def _begins_with_bos(self) -> bool:
        """Whether the format puts a token before all text; the template of a chat writes its own."""
        bos = self._tokenizer.bos_token_id
        if bos is None or self._format in ("qwen-prm", "rlhflow"):
            return False
        return self._format == "token-classification" or self._tokenizer("a")["input_ids"][:1] == [bos]

    def _parts(self, question: str, steps: Sequence[str]) -> list[Part | None]:
        """Give the parts of a solution, with none behind the part whose last token scores a step."""
        opened = [f"{question} {step}" if index == 0 else step for index, step in enumerate(steps)]
        if self._format == "token-classification":  # every text was tokenised by itself
            space, tag = self._space, Part(self._space + self._tag)
            scored = [part for step in steps for part in (Part(space + step, is_content=True), tag, None)]
            return [Part(space + question, is_content=True), *scored]
        if self._format == "math-shepherd":
            opened[0] = self._space + opened[0]
            ends = [*["\n"] * (len(steps) - 1), ""]
            return [
                part
                for text, end in zip(opened, ends, strict=True)
                for part in (Part(text, is_content=True), Part(self._tag), None, Part(end))
            ]
        if self._format == "qwen-prm":
            reply = "".join(f"{_mark(number)}{self._tag}{_PLACE}" for number in range(1, len(steps) + 1))
            turns = [("system", _QWEN_SYSTEM), ("user", _mark(0)), ("assistant", reply)]
            return self._chat(turns, [question, *steps])
        replied = [(("user", _mark(number)), ("assistant", _PLACE + self._tag)) for number in range(len(steps))]
        return self._chat([turn for pair in replied for turn in pair], opened)

    def _chat(self, turns: Sequence[tuple[str, str]], contents: Sequence[str]) -> list[Part | None]:
        """Render turns, then put the contents in the place of their marks.

        Raises:
            ConfigError: if the template drops or moves a mark.
        """
        messages = [{"role": role, "content": text} for role, text in turns]
        rendered = str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False))
        pieces = _MARK.split(rendered)
        if pieces[1::2] != _MARK.findall("".join(text for _, text in turns)):
            raise ConfigError(f"judge.options: format {self._format!r}: the chat template drops or moves a message")
        marked = [None if name == "place" else Part(contents[int(name)], is_content=True) for name in pieces[1::2]]
        scaffold: list[Part | None] = [Part(text) for text in pieces[::2]]
        return [part for pair in zip(scaffold, [*marked, Part("")], strict=True) for part in pair]


def _mark(number: int) -> str:
    """Stands for content number `number` while a chat template is rendered."""
    return f"\ufdd2{number}\ufdd3"


def check_scorer(model: str, format: Format | None = None) -> Format:
    """Give the format of a model, and refuse by its ``config.json`` alone what no `StepScorer` can be made of.

    Raises:
        RequestError: if there is no such model.
        ConfigError: if its format cannot be told, or it has no head.
    """
    architectures = load_architectures(model)
    format = format or _tell_format(model, architectures)
    if format == "token-classification" and architectures and not architectures[0].endswith(_HEAD):
        raise ConfigError(
            f"model {model!r} ({architectures[0]}) has no head of two classes; presrm fit-prm trains one on a policy"
        )
    return format


def _tell_format(model: str, architectures: Sequence[str]) -> Format:
    """Tell the format by the architecture.

    Raises:
        ConfigError: if it does not say.
    """
    names = ", ".join(architectures) or "unnamed"
    if names.endswith(_HEAD):
        return "token-classification"
    if names == "Qwen2ForProcessRewardModel":
        return "qwen-prm"
    raise ConfigError(
        f"judge.options.format: the architecture of {model!r} ({names}) does not say how it scores steps; "
        "give token-classification, qwen-prm, math-shepherd or rlhflow"
    )


def _verdict(step: str, both: tuple[float, float] | None) -> Verdict:
    """Weigh the probabilities of right and of wrong; none: the step's place was cut off."""
    if not step.strip():
        return Verdict(None, Status.UNREADABLE, "the step is blank")
    if both is None:
        return Verdict(None, Status.TRUNCATED, "the solution is longer than the model reads")
    right, wrong = both
    rationale = f"P(right) = {right:.4f}, P(wrong) = {wrong:.4f}"
    # Written so that a NaN, too, is unreadable.
    if not right + wrong >= LEAST_MASS:
        return Verdict(None, Status.UNREADABLE, rationale)
    return Verdict(right / (right + wrong), rationale=rationale)
