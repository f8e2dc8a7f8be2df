"""What the JSON of an OpenAI-compatible server means: a reply, or why there is none.

Servers agree on the shape of a good reply and on little else. What is odd but plain is read for what it means; what is
unknown (a count, a finish reason) is none; the rest is told in the server's own words.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AliasChoices, AliasPath, BeforeValidator, Field, TypeAdapter, ValidationError, WrapValidator

from presrm.types import Stop

_STOPS = {
    Stop.EOS: "stop eos eos_token end end_turn stop_sequence stop_token complete completed finished",
    Stop.MAX_TOKENS: (
        "length max_tokens max_token max_length max_output_tokens max_new_tokens max_completion_tokens model_length "
        "token_limit context_length model_context_window_exceeded incomplete"
    ),
    Stop.FILTERED: (
        "content_filter content_filtered contentfilter filtered safety recitation blocklist prohibited_content spii "
        "sensitive moderation guardrail guardrail_intervened refusal refused"
    ),
}
_STOP_OF = {reason: stop for stop, reasons in _STOPS.items() for reason in reasons.split()}
_BROKEN = {"error", "abort", "aborted", "cancelled", "canceled", "network_error", "insufficient_system_resource"}
"""Finish reasons of a server that failed: what stands beside them is no answer."""
_THOUGHTS = re.compile("think|reason", re.I)
_LONGEST_REASON = 300


def _text(value: Any) -> Any:
    """Join the text of a content: one string, or parts, of which thoughts and what is no text are left out."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(_part(part) for part in value)
    if isinstance(value, dict) and not {"text", "content", "value"} & set(value):
        raise ValueError("neither a text nor parts of one")
    return _part(value) if isinstance(value, dict) else value


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or _THOUGHTS.search(str(part.get("type"))):
        return ""
    text = part.get("text", part.get("content", part.get("value")))
    return text if isinstance(text, str) else "" if text is None else str(_text(text))


def _or_none(value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


_OR_NONE = WrapValidator(_or_none)
_Count = Annotated[int | None, Field(ge=0), _OR_NONE]
_Text = Annotated[str, BeforeValidator(_text)]
_MaybeText = Annotated[str | None, _OR_NONE]


@dataclass(frozen=True, slots=True)
class Listed:
    """A token that was written, or might have been: its text and its log-probability (nats)."""

    token: str
    logprob: float
    top_logprobs: "Annotated[tuple[Listed, ...], BeforeValidator(lambda value: value or ())]" = ()


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log-probabilities of what was written: ``top_logprobs`` of completions, ``content`` of chat completions."""

    top_logprobs: tuple[dict[str, float] | None, ...] | None = None
    content: tuple[Listed, ...] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a chat completion says; thoughts in a field of their own are none of it."""

    content: _Text = ""
    refusal: _MaybeText = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion: ``text`` of completions, ``message`` of chat completions; vLLM and SGLang add the last two."""

    text: _Text | None = None
    message: Annotated[Message | None, Field(validation_alias=AliasChoices("message", "delta"))] = None
    finish_reason: _MaybeText = None
    logprobs: Annotated[Logprobs | None, _OR_NONE] = None
    token_ids: Annotated[tuple[int, ...] | None, _OR_NONE] = None
    stop_reason: Annotated[
        int | str | None, _OR_NONE, Field(validation_alias=AliasChoices("stop_reason", "matched_stop"))
    ] = None

    @property
    def stop(self) -> Stop | None:
        """Why it ended; none where the server does not say, or says what nobody else says."""
        if self.message is not None and self.message.refusal and not self.message.content:
            return Stop.FILTERED
        return _STOP_OF.get((self.finish_reason or "").casefold().strip())


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply, as the server counts them; none where it does not."""

    prompt_tokens: Annotated[_Count, Field(validation_alias=AliasChoices("prompt_tokens", "input_tokens"))] = None
    completion_tokens: Annotated[_Count, Field(validation_alias=AliasChoices("completion_tokens", "output_tokens"))] = (
        None
    )
    cached_tokens: Annotated[_Count, Field(validation_alias=AliasPath("prompt_tokens_details", "cached_tokens"))] = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers to a request for a completion."""

    choices: Annotated[tuple[Choice, ...], BeforeValidator(lambda value: () if value is None else value)]
    usage: Annotated[Usage, BeforeValidator(lambda value: value if isinstance(value, dict) else {})] = Usage()


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a server names; vLLM adds how many tokens it reads and writes, or of an adapter, on what it is."""

    id: str
    max_model_len: _Count = None
    parent: _MaybeText = None


@dataclass(frozen=True, slots=True)
class Models:
    """The models that a server names."""

    data: tuple[Model, ...]


REPLY = TypeAdapter(Reply)
MODELS = TypeAdapter(Models)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a server gave no reply.

    Attributes:
        sent: The HTTP status that it sent.
        status: The same, or what its words mean where it sent 200.
        reason: Its words.
        codes: Its codes and types, in lower case.
        names: What it names as the culprit: parameters, or places in the request.
    """

    sent: int
    status: int
    reason: str
    codes: frozenset[str]
    names: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether to ask again is in vain, though its status is that of a server that is busy or broken."""
        return self.stop is not None or self.status == 501 or bool(self.codes & _UNPAID)

    @property
    def stop(self) -> Stop | None:
        """What it is about the prompt that it does not read, if that is it: its length, or what it says."""
        told = f"{self.reason} {' '.join(self.codes)}"
        if self.status == 413 or (self.status in _OF_PROMPTS and _TOO_LONG.search(told)):
            return Stop.NO_ROOM
        return Stop.FILTERED if self.status in _OF_PROMPTS - {500} and _FILTERED.search(told) else None


_OF_PROMPTS = {400, 403, 422, 451, 500}
"""Ollama and LM Studio tell of a prompt that is too long with 500."""
_UNPAID = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_TOO_LONG = re.compile(
    r"context.?(length|size|window|limit|overflow)|(prompt|input|request|message|content)s? (is|are) too (long|large)"
    r"|(maximum|max) (prompt|input|sequence|model|allowed).?(length|tokens)|too many (input |prompt )?tokens"
    r"|string.too.long|range of input length|inputs?`? (tokens|must have less)"
    r"|(prompt|input|token count)\b.{0,60}\bexceed",
    re.I,
)
"""In the 400 of vLLM, SGLang, llama.cpp ("exceed_context_size_error"), OpenAI ("context_length_exceeded"), TGI, ..."""
_FILTERED = re.compile(
    r"content.?(filter|policy|management|moderation)|responsible.?ai|moderat(ion|ed)|data.?inspection"
    r"|content exists risk|flagged|safety (system|filter|polic|reason)|inappropriate content|sensitive (content|words)"
    r"|prohibited.content",
    re.I,
)
_TRANSIENT = re.compile(
    r"rate.?limit|too many requests|overload|unavailable|time.?out|timed out|internal|server.?error|capacity|busy"
    r"|try again|retry|bad gateway|provider returned error|temporar|throttl|upstream|exhausted|connection|network"
    r"|out of memory|system.?resource|abort",
    re.I,
)
_WORDS = (
    *(
        "error",
        "message",
        "msg",
        "detail",
        "details",
        "reason",
        "errors",
        "error_msg",
        "error_message",
        "error_code_msg",
    ),
    *(
        "errmsg",
        "err_msg",
        "status_msg",
        "base_resp",
        "description",
        "title",
        "metadata",
        "raw",
        "reasons",
        "innererror",
    ),
)
_CODES = ("code", "type", "status", "status_code", "error_code", "object", "finish_reason")


def parse_body(text: str) -> Any:
    """Read JSON, or the chunks of a stream that nobody asked for, put together; other text is given back."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not text.lstrip().startswith(("data:", "event:", ":")):
        return text
    lines = (line[5:].strip() for line in text.splitlines() if line.startswith("data:"))
    chunks = [parse_body(line) for line in lines if line not in ("", "[DONE]")]
    return _join([chunk for chunk in chunks if isinstance(chunk, dict)])


def _join(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the chunks of a stream together: text joined, of the rest what was said last."""
    whole: dict[str, Any] = {}
    text, choice = "", dict[str, Any]()
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if value is not None}
        for part in chunk.get("choices") or ():
            said = part.get("delta") or part.get("message") or {}
            text += _part(said.get("content")) + _part(part.get("text"))
            choice |= {name: value for name, value in part.items() if value is not None}
    if choice:
        whole["choices"] = [choice | {"message": {"content": text}, "text": text}]
    return whole


def find_trouble(raw: Any, status: int = 200) -> Trouble | None:
    """Find why there is no reply in what a server sent, if so.

    Args:
        raw: A parsed body.
        status: The HTTP status that it came with.
    """
    if status == 200 and not _tells_trouble(raw):
        return None
    codes = frozenset(code.casefold() for code in _codes(raw))
    reason = find_reason(raw)
    meant = status
    if status == 200:
        numbers = [int(code) for code in codes if re.fullmatch(r"[45]\d\d(\d\d)?", code)]  # FastChat: 40303, 50001
        reason += f" (code {max(numbers)})" if numbers else ""
        may_pass = _is_broken(raw) or _TRANSIENT.search(f"{reason} {' '.join(codes)}")
        meant = int(str(max(numbers))[:3]) if numbers else 503 if may_pass else 400
    return Trouble(status, meant, reason, codes, tuple(_names(raw)))


def _tells_trouble(raw: Any) -> bool:
    if not isinstance(raw, dict):
        return False
    if raw.get("error") or raw.get("object") == "error":
        return True
    if not isinstance(raw.get("choices"), list):
        return any(raw.get(name) for name in _WORDS)
    return bool(_first_choice(raw).get("error")) or _is_broken(raw)


def _is_broken(raw: Mapping[str, Any]) -> bool:
    return str(_first_choice(raw).get("finish_reason")).casefold() in _BROKEN


def _first_choice(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    match raw.get("choices"):
        case [dict() as first, *_]:
            return first
    return {}


def _walk(raw: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """All places of a body where its trouble may be told, outermost first."""
    if isinstance(raw, list):
        for each in raw[:5]:
            yield from _walk(each, depth)
    elif isinstance(raw, dict) and depth < 6:
        yield raw
        for name in ("choices", *_WORDS):
            yield from _walk(raw.get(name), depth + 1)


def find_reason(raw: Any) -> str:
    """Give the words of a body, each once; of a page its title."""
    if isinstance(raw, str):
        title = re.search(r"<(title|h1)\b[^>]*>(.*?)</\1", raw, re.I | re.S)
        return html.unescape(title[2] if title else re.sub(r"<[^>]*>", " ", raw)).strip()[:_LONGEST_REASON]
    told: dict[str, None] = {}
    for place in _walk(raw):
        where = _where(place)
        for name in _WORDS:
            said = place.get(name)
            for words in said if isinstance(said, list) else [said]:
                if isinstance(words, str) and words.strip():
                    told[f"{where}: {words.strip()}" if where else words.strip()] = None
    if not told and isinstance(raw, dict) and _is_broken(raw):
        told = {f"it ended with {_first_choice(raw)['finish_reason']!r}": None}
    return "; ".join(told)


def _codes(raw: Any) -> Iterable[str]:
    values = (place.get(name) for place in _walk(raw) for name in _CODES)
    return [str(value) for value in values if isinstance(value, (int, str)) and not isinstance(value, bool)]


def _where(place: Mapping[str, Any]) -> str:
    """The place in the request that a validator complains of, as ``body.seed``."""
    where = place.get("loc")
    return ".".join(map(str, where)) if isinstance(where, list) else ""


def _names(raw: Any) -> Iterator[str]:
    for place in _walk(raw):
        if isinstance(name := place.get("param"), str):
            yield name
        if where := _where(place):
            yield where.rpartition(".")[2]
