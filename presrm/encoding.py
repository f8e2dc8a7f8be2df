"""Prompts -> token ids: the one mechanism that generation, judging and training share.

The chat template is rendered around a sentinel, so that scaffold and content are tokenised apart: content never yields
a control token, and the ids of a prefix do not depend on what follows it. Steps that the policy generated keep the
ids they were generated with.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from presrm.errors import ConfigError
from presrm.prompts import Part, Prompt
from presrm.types import Step

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_USER = "\ufdd2user\ufdd3"
_SYSTEM = "\ufdd2system\ufdd3"
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
        self.tokenizer = tokenizer
        self._template = _read_template(chat_template)
        if not (self._template or tokenizer.chat_template):
            raise ConfigError(
                f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; "
                "set model.chat_template to 'chatml' or to the path of a Jinja file"
            )
        _stop_prepending_spaces(tokenizer)
        self._has_system_role = True
        self._wrappers: dict[bool, tuple[str, ...]] = {}

    @property
    def eos_id(self) -> int:
        """The token that ends a reply (id)."""
        return int(self.tokenizer.eos_token_id)

    def scaffold(self, text: str) -> list[int]:
        """Tokenise text of ours: control tokens count."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def content(self, text: str) -> list[int]:
        """Tokenise text from outside: what looks like a control token stays text."""
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
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

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
        before, after = self._render(messages)
        return (before + f"{system}\n\n" if system is not None else before), after

    def _render(self, messages: list[dict[str, str]]) -> tuple[str, str]:
        key = len(messages) > 1
        if key not in self._wrappers:
            options: dict[str, Any] = {"chat_template": self._template} if self._template else {}
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False, **options
            )
            before, found, after = str(text).partition(_USER)
            if not found:
                raise ConfigError(f"the chat template of {self.tokenizer.name_or_path!r} drops the user's message")
            self._wrappers[key] = (before, after)
        before, after = self._wrappers[key]
        return before, after


def _read_template(name: str | None) -> str | None:
    if name is None:
        return None
    if name == "chatml":
        return CHATML
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"model.chat_template: {name!r} is neither 'chatml' nor a file")
    return path.read_text("utf-8")


def _stop_prepending_spaces(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Keep SentencePiece-style tokenizers from putting a space before every piece that is tokenised apart."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    pre_tokenizer = getattr(backend, "pre_tokenizer", None)
    if getattr(pre_tokenizer, "prepend_scheme", "never") != "never":
        pre_tokenizer.prepend_scheme = "never"
