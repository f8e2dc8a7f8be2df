"""What odd servers answer: every row of the table in docs/servers.md is a case here, and every case a row there."""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2")

from presrm.engines.server import ServerEngine
from presrm.errors import EngineError
from presrm.prompts import Part, Prompt
from presrm.protocols import Completion, Request, Sampling
from presrm.types import Stop

ASK = Prompt((Part("1 + 1?"),))
DOCS = Path(__file__).parents[2] / "docs" / "servers.md"
WARM = Sampling(0.7, 0.9, 100)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
GOOD = Completion("fine [[yes]]", None, Stop.EOS)
WITHHELD = Completion("", None, Stop.FILTERED)
FILTERED = Completion("", (), Stop.FILTERED)
NO_ROOM = Completion("", (), Stop.NO_ROOM)


def said(content="fine [[yes]]", reason="stop", usage=USAGE, **message):
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    return 200, {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}


def refused(message, status=400, **more):
    return status, {"error": {"message": message, "type": "invalid_request_error", **more}}


def detail(name, kind="extra_forbidden", message="Extra inputs are not permitted"):
    return 422, {"detail": [{"type": kind, "loc": ["body", name], "msg": message, "input": "1 + 1?"}]}


def without(*names, refusal):
    """A server that refuses each of `names` with ``refusal(name)``, the first of those in a request."""

    def answer(body):
        return next((refusal(name) for name in names if name in body), said())

    return answer


@dataclass
class Odd:
    """Answers, one after the other, the last for ever, or a function of the body; and what is made of them.

    `found` is a completion or what the error says; `tokens` the prompt tokens read; `num_asked` requests for the first
    completion; `told` what is logged, once.
    """

    answers: Any
    found: Completion | str = GOOD
    tokens: int | None = 10
    num_asked: int = 1
    told: str | None = None
    sampling: Sampling = WARM


def fails(status, body, found, num_asked=1):
    return Odd([(status, body)], found, 0, num_asked)


def is_data(answer, found, told):
    return Odd([answer], found, 0, told=told)


def recovers(*answers):
    return Odd([*answers, said()], num_asked=len(answers) + 1)


def adapts(answer, told, num_asked=2, **more):
    return Odd(answer, num_asked=num_asked, told=told, **more)


def stops(*reasons, stop):
    return [Odd([said(reason=reason)], Completion("fine [[yes]]", None, stop)) for reason in reasons]


def limited(name, most, message):
    def answer(body):
        return refused(message, param=name) if body.get(name, 0) > most else said()

    return answer


def fits_beside_prompt(message):
    """A server whose model reads 64 tokens, with a prompt of 40."""

    def answer(body):
        return refused(message.format(asked=body["max_tokens"])) if body["max_tokens"] > 24 else said(reason="length")

    return answer


TEXT = {"type": "text", "text": "fine [[yes]]"}
CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"index": 0, "delta": {"reasoning_content": "is it [[no]]?"}}]},
    {"choices": [{"index": 0, "delta": {"content": "fine "}}]},
    {"choices": [{"index": 0, "delta": {"content": "[[yes]]"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE},
]
STREAM = ": hello\n\n" + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"
PROVIDER = {"message": "Provider returned error", "code": 502}
BUSY = {"message": "Provider returned error", "code": 429, "metadata": {"raw": "too many requests upstream"}}
NOT_SUPPORTED = "Unsupported parameter: '{0}' is not supported with this model."

ODD: dict[str, list[Odd]] = {
    # What a good reply looks like
    "`content` is a list of parts": [
        Odd([said([{"type": "thinking", "thinking": [{"type": "text", "text": "[[no]]?"}]}, TEXT])]),
        Odd([said([{"type": "reasoning", "text": "[[no]]?"}, TEXT])]),
        Odd([said([{"type": "text", "text": "fine "}, "[[yes]]", {"type": "image_url", "image_url": {"url": "x"}}])]),
        Odd([said([{"type": "output_text", "text": {"value": "fine [[yes]]"}}])]),
        Odd([said({"type": "text", "text": "fine [[yes]]"})]),
        Odd([said([])], Completion("", None, Stop.EOS)),
    ],
    "thoughts stand in a field of their own": [
        Odd([said(None, "length", reasoning_content="is it [[yes]]?")], Completion("", None, Stop.MAX_TOKENS)),
        Odd([said(None, reasoning="is it [[yes]]?")], Completion("", None, Stop.EOS)),
        Odd([said(reasoning_content="is it [[no]]?", thinking=["[[no]]"])]),
    ],
    "`content` is null or missing": [
        Odd([said(None)], Completion("", None, Stop.EOS)),
        Odd(
            [(200, {"choices": [{"message": {"role": "assistant"}, "finish_reason": "stop"}], "usage": USAGE})],
            Completion("", None, Stop.EOS),
        ),
        Odd([said(None, "tool_calls", tool_calls=[{"id": "1"}])], Completion("", None, None)),
    ],
    "`refusal` in place of `content`": [
        Odd([said(None, refusal="I can not help")], WITHHELD),
        Odd([said(None, "content_filter", refusal="I can not help")], WITHHELD),
        Odd([said("fine [[yes]]", refusal=None)]),
    ],
    "`choices` is empty or null": [
        Odd([(200, {"choices": [], "usage": USAGE})], Completion("", None, None)),
        Odd([(200, {"choices": None, "usage": USAGE})], Completion("", None, None)),
    ],
    "`text` or `delta` in place of `message`": [
        Odd([(200, {"choices": [{"text": "fine [[yes]]", "finish_reason": "stop"}], "usage": USAGE})]),
        Odd([(200, {"choices": [{"delta": {"content": "fine [[yes]]"}, "finish_reason": "stop"}], "usage": USAGE})]),
    ],
    "chunks of a stream that nobody asked for": [Odd([(200, STREAM.encode())])],
    "JSON that calls itself text": [Odd([(200, json.dumps(said()[1]).encode(), {"Content-Type": "text/plain"})])],
    "`usage` is missing, null or no count": [
        Odd([said(usage=usage)], tokens=None)
        for usage in (None, {}, [], "10", {"prompt_tokens": None}, {"prompt_tokens": "x"}, {"prompt_tokens": -1})
    ]
    + [Odd([said(usage=None), said()], tokens=None)],
    "`usage` has floats or other names": [
        Odd([said(usage={"prompt_tokens": 10.0, "completion_tokens": 5.0, "total_tokens": None})]),
        Odd([said(usage={"input_tokens": 10, "output_tokens": "5"})]),
    ],
    # Finish reasons
    "finish reasons that mean `stop`": stops("eos", "eos_token", "end_turn", "STOP", "stop_sequence", stop=Stop.EOS),
    "finish reasons that mean `length`": stops(
        "length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens", stop=Stop.MAX_TOKENS
    ),
    "finish reasons that mean `content_filter`": stops(
        "content_filter", "SAFETY", "refusal", "guardrail_intervened", stop=Stop.FILTERED
    ),
    "finish reasons that say nothing": stops(None, "", "whatever", 7, "tool_calls", stop=None),
    "finish reasons of a failure": [
        recovers(said("fine [[", "error")),
        recovers(said("", "abort")),
        recovers(said(None, "insufficient_system_resource")),
    ],
    # Errors under status 200
    "an error with status 200 that may pass": [
        recovers((200, {"error": PROVIDER})),
        recovers((200, {"id": None, "choices": None, "error": BUSY})),
        recovers((200, {"choices": [{"error": PROVIDER, "message": {"content": ""}}]})),
        recovers((200, {"error": "The server is overloaded, please try again"})),
        recovers((200, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}})),
        recovers((200, {"error": {"message": "Internal error", "code": "500"}})),
        recovers((200, {"object": "error", "message": "out of GPUs", "code": 50002})),
        recovers((200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}})),
        recovers((200, {"error": PROVIDER}), (200, {"error": PROVIDER})),
        fails(200, {"error": BUSY}, "200: Provider returned error; too many requests upstream .code 429", 3),
    ],
    "an error with status 200 that does not pass": [
        fails(200, {"error": {"message": "no model tiny", "code": "model_not_found"}}, "200: no model tiny"),
        fails(200, {"error": {"message": "bad key", "code": 401}}, "200: bad key"),
        fails(200, {"error": "what is tiny?"}, "200: what is tiny"),
        fails(200, {"detail": "Not authenticated"}, "200: Not authenticated"),
    ],
    # Refusals
    "a reason in `detail`, `message`, `msg` or `errors`": [
        fails(422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}, r"body\.messages: Field req"),
        fails(422, {"detail": "unprocessable"}, "422: unprocessable"),
        fails(400, {"message": "no such tenant"}, "400: no such tenant"),
        fails(403, {"code": 1001, "msg": "no such tenant"}, "403: no such tenant"),
        fails(400, {"errors": [{"message": "first"}, {"message": "second"}]}, "400: first; second"),
        fails(404, b"<html><head><title>Not &amp; found</title></head></html>", "404: Not & found"),
        fails(418, b"", "418: I'm a Teapot"),
        fails(499, {}, "499: no reason given"),
    ],
    "429 because nothing is paid for": [
        fails(
            429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, "429: You exc"
        )
    ],
    "429, 408, 409 or 5xx": [
        recovers((429, {}), (503, b"<html>busy</html>")),
        recovers((408, {}), (409, {})),
        fails(500, {"error": {"message": "out of memory", "code": "oom"}}, "500: out of memory", 3),
    ],
    "a web page or other text with status 200": [
        fails(200, b"<html><title>Welcome</title></html>", "answers 'Welcome', which is no JSON"),
        fails(200, b"", "answers nothing, which is no JSON"),
        fails(200, b'{"choices": [', "no JSON"),
        fails(200, b"[" * 100_000, "no JSON"),
        fails(200, [], "OpenAI-compatible"),
        fails(200, {"hello": 1}, "choices: .*OpenAI-compatible"),
        fails(200, {"choices": [{"message": {"content": {"a": 1}}}]}, "neither a text nor parts"),
        fails(200, {"choices": [{"message": None}], "usage": {"prompt_tokens": 0}}, "without a message"),
    ],
    # Prompts
    "a prompt that is too long": [
        is_data(answer, NO_ROOM, "a prompt is refused")
        for answer in (
            refused("This model's maximum context length is 64 tokens. However, your prompt contains 99 input tokens"),
            refused("Please reduce it", code="context_length_exceeded"),
            refused("prompt is too long: 210000 tokens > 200000 maximum"),
            refused("The input token count (99) exceeds the maximum number of tokens allowed (64)."),
            refused("`inputs` must have less than 64 tokens. Given: 99", 422),
            refused("too many tokens: total number of tokens in the prompt cannot exceed 64"),
            refused("input length exceeds the context length", 500),
            (400, {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 99}}),
            (413, b"<html>too large</html>"),
            (200, {"object": "error", "message": "maximum context length is 64 tokens", "code": 40303}),
        )
    ],
    "a prompt that leaves room for fewer tokens than were asked for": [
        Odd(fits_beside_prompt(message), Completion("fine [[yes]]", None, Stop.MAX_TOKENS), num_asked=2)
        for message in (
            "'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is 64 "
            "tokens and your request has 40 input tokens ({asked} > 64 - 40).",
            "This model's maximum context length is 64 tokens. However, you requested 140 tokens (40 in the messages, "
            "{asked} in the completion). Please reduce the length of the messages or completion.",
            "Requested token count exceeds the model's maximum context length of 64 tokens. You requested a total of "
            "140 tokens: 40 tokens from the input messages and {asked} tokens for the completion.",
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 64. Given: 40 `inputs` tokens and "
            "{asked} `max_new_tokens`",
            "input length and `max_tokens` exceed context limit: 40 + {asked} > 64, decrease one of them",
        )
    ],
    "a prompt that a content filter objects to": [
        is_data(answer, FILTERED, "a prompt is refused")
        for answer in (
            refused("The response was filtered due to the prompt triggering a policy", code="content_filter"),
            (403, {"error": {"code": 403, "message": "Input was flagged", "metadata": {"reasons": ["violence"]}}}),
            refused("Content Exists Risk"),
            refused("Input data may contain inappropriate content.", code="data_inspection_failed"),
            (200, {"error": {"message": "content policy violation", "code": 400}}),
        )
    ],
    # Parameters
    "refuses `max_tokens`": [
        adapts(
            without(
                "max_tokens",
                refusal=lambda name: refused(
                    f"{NOT_SUPPORTED.format(name)} Use 'max_completion_tokens' instead.", param=name
                ),
            ),
            "sent 'max_completion_tokens'",
        ),
        adapts(without("max_tokens", "max_completion_tokens", refusal=detail), "'max_completion_tokens', so it is", 3),
    ],
    "refuses `seed`": [
        adapts(without("seed", refusal=refusal), "'seed', so it is left out: draws are not reproducible")
        for refusal in (
            detail,
            lambda name: refused(NOT_SUPPORTED.format(name), param=name, code="unsupported_parameter"),
            lambda name: refused(f"Unrecognized request argument supplied: {name}"),
            lambda name: refused(f"property '{name}' is unsupported"),
            lambda name: refused(
                f"unknown field `{name}`, expected one of `model`, `messages`, `temperature`, `top_p`", 422
            ),
            lambda name: refused(f"create() got an unexpected keyword argument '{name}'"),
            lambda name: (400, {"message": f"{name} is not supported"}),
            lambda name: (501, {"error": f"{name} is not implemented"}),
            lambda name: (200, {"error": {"message": f"Unknown parameter: '{name}'.", "code": 400}}),
        )
    ],
    "refuses `temperature`": [
        adapts(
            without(
                "temperature",
                refusal=lambda name: refused(
                    f"Unsupported value: '{name}' does not support 0.7 with this model. Only the default (1) value is "
                    "supported.",
                    param=name,
                    code="unsupported_value",
                ),
            ),
            "'temperature', so it is left out",
        ),
    ],
    "refuses `top_p`, or both it and `temperature`": [
        adapts(
            without("top_p", refusal=lambda name: refused("top_p must be 1 when using greedy sampling.")), "'top_p'"
        ),
        adapts(
            without("top_p", refusal=lambda name: refused("`temperature` and `top_p` cannot both be specified.")),
            "'top_p'",
        ),
    ],
    "refuses several of them, one after the other": [
        adapts(without("seed", "top_p", "temperature", "max_tokens", refusal=detail), "'temperature'", 5)
    ],
    "takes fewer tokens than were asked for": [
        adapts(
            limited("max_tokens", 50, "max_tokens is too large: 100. This model supports at most 50 completion tokens"),
            "takes at most 50 for 'max_tokens'",
        ),
        adapts(
            limited("max_tokens", 50, "Invalid max_tokens value, the valid range of max_tokens is [1, 50]"),
            "takes at most 50",
        ),
        adapts(
            limited(
                "max_tokens",
                50,
                "`max_tokens` must be less than or equal to `50`, the maximum value is less than the `context_window`",
            ),
            "takes at most 50",
        ),
    ],
    "does not take so high a `temperature`": [
        Odd(
            [refused("temperature must be less than or equal to 1", param="temperature")],
            "temperature must be less",
            0,
            sampling=Sampling(1.5),
        )
    ],
}


@pytest.mark.parametrize(
    "odd", [pytest.param(odd, id=f"{row}-{i}") for row, rows in ODD.items() for i, odd in enumerate(rows)]
)
def test_what_an_odd_server_means(serve, caplog, monkeypatch, odd):
    monkeypatch.setattr("presrm.engines.server_connection._BACK_OFF", (0.01, 8.0))
    left = list(odd.answers) if isinstance(odd.answers, list) else None

    def answer(path, body):
        if left is None:
            return odd.answers(body)
        return left.pop(0) if len(left) > 1 else left[0]

    server = serve(answer)
    with ServerEngine(server.model, concurrency=1, retries=2) as engine, caplog.at_level(logging.WARNING, "presrm"):
        if isinstance(odd.found, str):
            with pytest.raises(EngineError, match=odd.found) as caught:
                engine.generate([Request(ASK, sampling=odd.sampling)])
            assert "\n" not in str(caught.value)
            assert str(caught.value).startswith("http://127.0.0.1:")
        else:
            assert engine.generate([Request(ASK, sampling=odd.sampling)]) == [[odd.found]]
        num_asked, num_told = len(server.asked), len(caplog.messages)
        assert num_asked == odd.num_asked
        assert engine.tokens_read == odd.tokens
        if odd.told is None:
            assert not caplog.messages
        else:
            assert re.search(odd.told, caplog.text)
        if left is None and "so" in caplog.text:
            engine.generate([Request(ASK, sampling=odd.sampling)] * 3)
            assert len(server.asked) == num_asked + 3, "what is refused is sent once"
            assert len(caplog.messages) == num_told, "and told once"


def test_every_row_of_the_table_is_tried():
    section = DOCS.read_text("utf-8").split("## Odd servers")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    assert rows[2:] == list(ODD), "docs/servers.md and these cases list the same behaviours, in the same order"
