"""Prompts -> token ids: the one mechanism that generation, judging and training share.

The chat template is rendered around a sentinel, so that scaffold and content are tokenised apart: content never yields
a control token, and the ids of a prefix do not depend on what follows it. Steps that the policy generated keep the
ids they were generated with.
"""

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from presrm.errors import ConfigError, boundary
from presrm.prompts import Part, Prompt
from presrm.types import Step

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_USER = "\ufdd2user\ufdd3"
_SYSTEM = "\ufdd2system\ufdd3"
_REPLY = "\ufdd2reply\ufdd3"
_TAG = re.compile(r"\s*[<\[].*[>\]]\s*", re.DOTALL)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class PromptEncoder:
    """Turns prompts and steps into token ids of one tokenizer.

    Args:
        tokenizer: A fast transformers tokenizer.
        chat_template: ``chatml``, the path of a Jinja file, or none for the tokenizer's own.

    Raises:
        ConfigError: if there is no chat template.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None) -> None:
        self.tokenizer: PreTrainedTokenizerBase = _without_added_spaces(tokenizer)
        self._template = _read_template(chat_template)
        if not (self._template or tokenizer.chat_template):
            raise ConfigError(
                f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; "
                "set model.chat_template to 'chatml' or to the path of a Jinja file"
            )
        self._has_system_role = True
        added = self.tokenizer.added_tokens_decoder.items()
        # Not every control token is marked as special: <think> of Qwen3 is not. Runs of spaces are added tokens too.
        self._control = {i for i, token in added if token.special or _TAG.fullmatch(token.content)}
        self._control.discard(self.tokenizer.unk_token_id)  # text that the vocabulary lacks
        self._wrappers: dict[bool, tuple[str, ...]] = {}

    @cached_property
    def eos_id(self) -> int:
        """The token that ends a reply (id): what the chat template puts behind one, else the tokenizer's end token."""
        messages = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _REPLY}]
        try:
            _, _, after = self._apply(messages, add_generation_prompt=False).partition(_REPLY)
        except TemplateError:
            after = ""
        first = self.scaffold(after.lstrip())[:1]
        return first[0] if first and first[0] in self._control else int(self.tokenizer.eos_token_id)

    def scaffold(self, text: str) -> list[int]:
        """Tokenise text of ours: control tokens count."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def content(self, text: str) -> list[int]:
        """Tokenise text from outside: what looks like a control token stays text."""
        ids = self._tokenise_as_text(text)
        if self._control.isdisjoint(ids):
            return ids
        return [i for letter in text for i in self._tokenise_as_text(letter)]  # unigram models know them as words

    def _tokenise_as_text(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def step(self, step: Step) -> list[int]:
        """Give a step's ids: as generated, or tokenised as content."""
        return list(step.tokens) if step.tokens is not None else self.content(step.text)

    def parts(self, parts: Sequence[Part]) -> list[int]:
        """Tokenise parts, each apart."""
        return [i for part in parts for i in (self.content if part.is_content else self.scaffold)(part.text)]

    def trunk(self, prompt: Prompt) -> list[int]:
        """The ids that `prompt` shares with others of the same trunk."""
        before, _ = self._wrap(prompt.system)
        return [*self.scaffold(before), *self.parts(prompt.trunk)]

    def tail(self, prompt: Prompt) -> list[int]:
        """The ids behind the trunk: the rest of the user turn, the steps replied so far, and what is forced."""
        _, after = self._wrap(prompt.system)
        reply = [i for step in prompt.reply for i in self.step(step)]
        return [*self.parts(prompt.tail), *self.scaffold(after), *reply, *self.scaffold(prompt.forced)]

    def encode(self, prompt: Prompt) -> list[int]:
        """All ids of a prompt: what is generated from, trained on and judged."""
        return self.trunk(prompt) + self.tail(prompt)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, control tokens included, spaces as they are."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _wrap(self, system: str | None) -> tuple[str, str]:
        """What the chat template puts before and after the content of the user turn."""
        messages = [{"role": "user", "content": _USER}]
        if system is not None and self._has_system_role:
            try:
                before, after = self._render([{"role": "system", "content": _SYSTEM}, *messages])
            except TemplateError:
                self._has_system_role = False
            else:
                if _SYSTEM in before:
                    return before.replace(_SYSTEM, system), after
                self._has_system_role = False
        try:
            before, after = self._render(messages)
        except TemplateError as error:
            raise ConfigError(
                f"the chat template of {self.tokenizer.name_or_path!r} fails: {error}; "
                "set model.chat_template to 'chatml' or to the path of a Jinja file"
            ) from error
        return (before + f"{system}\n\n" if system is not None else before), after

    def _render(self, messages: list[dict[str, str]]) -> tuple[str, str]:
        key = len(messages) > 1
        if key not in self._wrappers:
            before, found, after = self._apply(messages, add_generation_prompt=True).partition(_USER)
            if not found:
                raise ConfigError(f"the chat template of {self.tokenizer.name_or_path!r} drops the user's message")
            self._wrappers[key] = (before, after)
        before, after = self._wrappers[key]
        return before, after

    def _apply(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        options: dict[str, Any] = {"chat_template": self._template} if self._template else {}
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                enable_thinking=False,
                **options,
            )
        )


def _read_template(name: str | None) -> str | None:
    if name is None:
        return None
    if name == "chatml":
        return CHATML
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"model.chat_template: {name!r} is neither 'chatml' nor a file")
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
