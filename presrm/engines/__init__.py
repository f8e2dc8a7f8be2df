"""Engines: what runs a policy.

How to add one: write a class with `generate` and `logprobs` that is a context manager (see
`presrm.protocols.Engine`), and name it with ``@ENGINES.register("mine")``, or in the entry-point group
``presrm.engines`` of your package. Tokens are kept as generated, the end token left out, and ``text`` is what they
decode to; a completion with a splitter ends at its first step boundary. An engine whose ``can_adopt`` is true stays
while the next policy is trained; ``adopt(policy)`` then says whether it runs that from now on. If not, it is closed.
"""

from presrm.protocols import Engine
from presrm.registry import Registry

ENGINES: Registry[Engine] = Registry(
    "engine",
    {
        "hf": "presrm.engines.hf:HFEngine",
        "scripted": "presrm.engines.scripted:ScriptedEngine",
        "server": "presrm.engines.server:ServerEngine",
        "sglang": "presrm.engines.sglang:SGLangEngine",
        "vllm": "presrm.engines.vllm:VLLMEngine",
    },
    group="presrm.engines",
)
