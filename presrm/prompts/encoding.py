"""Prompts -> token ids: the one mechanism that generation, judging and training share.

The chat template is rendered around a sentinel, so that scaffold and content are tokenised apart: content never yields
a control token, and the ids of a prefix do not depend on what follows it. Steps that the policy generated keep the
ids they were generated with.
"""

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from presrm.errors import ConfigError, boundary
from presrm.prompts import Part, Prompt
from presrm.prompts.bounded import ends_within
from presrm.types import Step

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TURN = "\ufdd2turn\ufdd3"
_SYSTEM = "\ufdd2system\ufdd3"
_REPLY = "\ufdd2reply\ufdd3"
_TAG = re.compile(r"\s*[<\[].*[>\]]\s*", re.DOTALL)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}Question: {{ message.content }}\nAnswer:"
    "{% elif message.role == 'assistant' %} {{ message.content }}\n\n"
    "{% else %}{{ message.content }}\n\n{% endif %}"
    "{% endfor %}"
)
"""For a base model: no markup. lm-evaluation-harness puts GSM8K so, with the same blank line between examples."""
_LONGEST_KEPT = 4096  # characters of a text whose ids are kept
_SECONDS = 20.0  # a chat template takes milliseconds; one that does not end is somebody's trap
TEMPLATES = {"chatml": CHATML, "plain": PLAIN}


_HOW_TO_SET = "set model.chat_template to 'chatml', to 'plain' for a base model, or to the path of a Jinja file"
_NEXT_QUESTION = re.compile(r"^Question:", re.MULTILINE)


class TurnSplitter:
    """Cuts before every line that opens the next question of the template ``plain``: the first cut ends a reply."""

    stop: Sequence[str] = ("Question:",)

    def split(self, text: str) -> list[str]:
        """Cut `text` into turns."""
        cuts = (found.start() for found in _NEXT_QUESTION.finditer(text))
        return [text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b]


class PromptEncoder:
    """Turns prompts and steps into token ids of one tokenizer.

    Args:
        tokenizer: A fast transformers tokenizer.
        chat_template: ``chatml``, ``plain``, the path of a Jinja file, or none for the tokenizer's own.

    Raises:
        ConfigError: if there is no chat template.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None) -> None:
        self.tokenizer: PreTrainedTokenizerBase = _without_added_spaces(tokenizer)
        self._template = read_template(chat_template)
        self._is_plain = chat_template == "plain"
        if not (self._template or tokenizer.chat_template):
            raise ConfigError(f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; {_HOW_TO_SET}")
        self._has_system_role = True
        self._scaffold = lru_cache(maxsize=1024)(self._tokenise_scaffold)  # the same few texts in every prompt
        self._content = lru_cache(maxsize=16384)(
            self._tokenise_content
        )  # a step stands in the prompts of all later ones
        added = self.tokenizer.added_tokens_decoder.items()
        # Not every control token is marked as special: <think> of Qwen3 is not. Runs of spaces are added tokens too.
        self._control = {i for i, token in added if token.special or _TAG.fullmatch(token.content)}
        self._control.discard(self.tokenizer.unk_token_id)  # text that the vocabulary lacks
        self._control_texts = {token.content for i, token in added if i in self._control}
        self._wrappers: dict[int, list[str]] = {}

    @cached_property
    def eos_id(self) -> int:
        """The token that ends a reply (id): what the chat template puts behind one, else the tokenizer's end token."""
        messages = [{"role": "user", "content": _TURN}, {"role": "assistant", "content": _REPLY}]
        try:
            _, _, after = self._apply(messages, add_generation_prompt=False).partition(_REPLY)
        except TemplateError:
            after = ""
        first = self.scaffold(after.lstrip())[:1]
        return first[0] if first and first[0] in self._control else int(self.tokenizer.eos_token_id)

    def scaffold(self, text: str) -> list[int]:
        """Tokenise text of ours: control tokens count."""
        return list(self._scaffold(text))

    def _tokenise_scaffold(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def content(self, text: str) -> list[int]:
        """Tokenise text from outside: what looks like a control token stays text."""
        return list((self._content if len(text) <= _LONGEST_KEPT else self._tokenise_content)(text))

    def _tokenise_content(self, text: str) -> tuple[int, ...]:
        ids = self._tokenise_as_text(text)
        if not self._control.isdisjoint(ids):
            ids = [i for letter in text for i in self._tokenise_as_text(letter)]  # unigram models know them as words
        return tuple(ids)

    def _tokenise_as_text(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def control_tokens(self, text: str) -> set[str]:
        """Name the control tokens that stand in a text, if it were read as scaffold."""
        return {token for token in self._control_texts if token in text}

    def step(self, step: Step) -> list[int]:
        """Give a step's ids: as generated, or tokenised as content."""
        return list(step.tokens) if step.tokens is not None else self.content(step.text)

    def parts(self, parts: Sequence[Part]) -> list[int]:
        """Tokenise parts, each apart."""
        return [i for part in parts for i in (self.content if part.is_content else self.scaffold)(part.text)]

    def trunk(self, prompt: Prompt) -> list[int]:
        """The ids that `prompt` shares with others of the same trunk."""
        *befores, _ = self._wrap(prompt)
        *heads, befores[0] = befores[0].split(_SYSTEM)
        system = [i for head in heads for i in (*self.scaffold(head), *self.content(prompt.system or ""))]
        shown = [
            (Part(text, is_content=True),)
            for example in prompt.examples
            for text in (example.question, example.solution)
        ]
        turns = map(self._turn, befores, [*shown, prompt.trunk])
        return [*self._start_ids, *system, *chain.from_iterable(turns)]

    def tail(self, prompt: Prompt) -> list[int]:
        """The ids behind the trunk: the rest of the user turn, the steps replied so far, and what is forced."""
        after = self._wrap(prompt)[-1]
        reply = [i for step in prompt.reply for i in self.step(step)]
        return [*self.parts(prompt.tail), *self.scaffold(after), *reply, *self.scaffold(prompt.forced)]

    def encode(self, prompt: Prompt) -> list[int]:
        """All ids of a prompt: what is generated from, trained on and judged."""
        return self.trunk(prompt) + self.tail(prompt)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, control tokens included, spaces as they are."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _turn(self, before: str, parts: Sequence[Part]) -> list[int]:
        """Tokenise markup and the turn that it opens.

        Without markup the space between them belongs to the first word, as everywhere in the text a base model knows.
        """
        if self._is_plain and before.endswith(" ") and parts:
            first, *rest = parts
            before, parts = before[:-1], [replace(first, text=f" {first.text}"), *rest]
        return [*self.scaffold(before), *self.parts(parts)]

    @cached_property
    def _start_ids(self) -> list[int]:
        """What the tokenizer puts before a text (ids): a chat template says that itself, plain text does not."""
        first = list(self.tokenizer("")["input_ids"])[:1]
        return first if self._is_plain and first == [self.tokenizer.bos_token_id] else []

    def _wrap(self, prompt: Prompt) -> list[str]:
        """What the chat template puts before the content of each turn, examples first, and after the last.

        The first piece holds a sentinel where the system turn goes, if there is one.
        """
        roles = [*("user", "assistant") * len(prompt.examples), "user"]
        messages = [{"role": role, "content": _TURN} for role in roles]
        if prompt.system is not None and self._has_system_role:
            try:
                before, *rest = self._render([{"role": "system", "content": _SYSTEM}, *messages])
            except TemplateError:
                self._has_system_role = False
            else:
                if _SYSTEM in before:
                    return [before, *rest]
                self._has_system_role = False
        try:
            before, *rest = self._render(messages)
        except TemplateError as error:
            raise ConfigError(
                f"the chat template of {self.tokenizer.name_or_path!r} fails: {error}; {_HOW_TO_SET}"
            ) from error
        return [before + f"{_SYSTEM}\n\n" if prompt.system is not None else before, *rest]

    def _render(self, messages: list[dict[str, str]]) -> list[str]:
        """Render turns and cut at their content; with a system turn there is an even number of messages."""
        num = len(messages)
        if num not in self._wrappers:
            pieces = self._apply(messages, add_generation_prompt=True).split(_TURN)
            if len(pieces) != sum(message["content"] == _TURN for message in messages) + 1:
                raise ConfigError(f"the chat template of {self.tokenizer.name_or_path!r} drops or repeats a message")
            self._wrappers[num] = pieces
        return self._wrappers[num]

    def _apply(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        options: dict[str, Any] = {"chat_template": self._template} if self._template else {}
        name = self.tokenizer.name_or_path
        with ends_within(_SECONDS, ConfigError(f"the chat template of {name!r} does not end; {_HOW_TO_SET}")):
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    enable_thinking=False,
                    **options,
                )
            )


def read_template(name: str | None) -> str | None:
    """Give the text of ``model.chat_template``; none for that of the tokenizer.

    Raises:
        ConfigError: if there is no such template.
    """
    if name is None:
        return None
    if name in TEMPLATES:
        return TEMPLATES[name]
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"model.chat_template: {name!r} is neither 'chatml', nor 'plain', nor a file")
    with boundary(ConfigError, f"model.chat_template: {name!r}"):
        return path.read_text("utf-8")


def _without_added_spaces(tokenizer: Any) -> Any:
    """Keep a tokenizer from putting a space before every piece that it is given, and from dropping one when it decodes.

    SentencePiece-style tokenizers do. A copy is changed: a trained policy is saved with the tokenizer as it came.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    changed: dict[str, Any] = {}
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        part = getattr(backend, name, None)
        if part is not None:
            state = json.loads(part.__getstate__())
            spaceless = _without_spaces(state) or {"type": "Sequence", f"{name.replace('_', '')}s": []}
            if spaceless != state:
                part.__setstate__(json.dumps(spaceless).encode())
                changed[name] = part
    if changed:
        tokenizer = deepcopy(tokenizer)
        for name, part in changed.items():
            setattr(tokenizer.backend_tokenizer, name, part)
    return tokenizer


def _without_spaces(part: dict[str, Any]) -> dict[str, Any] | None:
    """Change the JSON of a tokenizer's part so that it adds and drops no space; none: the part does nothing else."""
    if part["type"] == "Prepend" or (part["type"] == "Strip" and part.get("start")):
        return None
    if part["type"] == "Metaspace":
        return {**part, "prepend_scheme": "never"}
    for members in ("normalizers", "pretokenizers", "decoders"):
        if members in part:
            return {**part, members: [kept for member in part[members] if (kept := _without_spaces(member))]}
    return part
