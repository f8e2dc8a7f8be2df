"""Methods: how M(t) is made from a policy before it.

How to add one: write a class with `improve` (see `presrm.protocols.Method`), and name it with
``@METHODS.register("mine")``, or in the entry-point group ``presrm.methods`` of your package. Its factory gets those of
``pairs``, ``search``, ``judge`` (those sections of `presrm.config.Config`) and ``seed`` that it takes; what else it
takes by keyword can be set under ``method.options``. A class attribute ``lesson`` names the kind of lesson that it
gives, so that an objective which does not learn from that is refused before any work; one ``learns_to_judge`` has a run
planned by its judgements. What it may do are the stages of
`presrm.methods.stages.Stages`, each of which resumes by itself.
"""

from presrm.protocols import Method
from presrm.registry import Registry

METHODS: Registry[Method] = Registry(
    "method",
    {
        "presrm": "presrm.methods.presrm:Presrm",
        "rlsr": "presrm.methods.rlsr:Rlsr",
        "self-rewarding": "presrm.methods.self_rewarding:SelfRewarding",
        "spct": "presrm.methods.spct:Spct",
    },
    group="presrm.methods",
)
