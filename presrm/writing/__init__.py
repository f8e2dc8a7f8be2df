"""Problems that the policy writes, from seed problems: new ones like them, or variants of them.

How to add a way: write a class with `ask` (see `presrm.writing.writer.Way`), and name it with
``@WAYS.register("mine")``, or in the entry-point group ``presrm.ways`` of your package. Its factory gets ``prompts``
and ``seed`` if it takes them; what else it takes by keyword can be set under ``problems.train_options``, beside
``way``.
"""

from presrm.registry import Registry
from presrm.writing.writer import Way

WAYS: Registry[Way] = Registry(
    "way to write problems",
    {"instruct": "presrm.writing.instruct:Instruct", "variants": "presrm.writing.variants:Variants"},
    group="presrm.ways",
)
