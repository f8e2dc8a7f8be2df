"""The engine on SGLang, see `presrm.engines.served`.

It differs from vLLM in its flags, in that adapters are loaded beside ``/v1`` and asked for behind the name of their
base, and in that log-probabilities come for the most probable tokens only. The ids that it draws are told by versions
that know ``return_token_ids`` (sgl-project/sglang#30917, July 2026). Flags and endpoints are those of its
documentation: server arguments, LoRA serving, OpenAI-compatible completions.
"""

from functools import partial

from presrm.engines.served import BASE, Program, ServedEngine


def _room(rank: int) -> list[str]:
    """Of adapters that come later it has to be told what they may be; all are of one shape, and one is asked."""
    return ["--enable-lora", "--max-lora-rank", str(rank), "--lora-target-modules", "all", "--max-loras-per-batch", "1"]


SGLANG = Program(
    "sglang",
    "SGLang",
    ("-m", "sglang.launch_server"),
    model="--model-path",
    memory="--mem-fraction-static",
    arguments=("--log-level-http", "warning", "--enable-cache-report"),
    lora=_room,
    root="",
    name_of=lambda name: f"{BASE}:{name}",
)
SGLangEngine = partial(ServedEngine, SGLANG)
"""Runs a policy with SGLang."""
