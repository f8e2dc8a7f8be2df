"""Methods: how M(t) is made from a policy before it.

How to add one: write a class with `improve` (see `presrm.protocols.Method`), and name it with
``@METHODS.register("mine")``, or in the entry-point group ``presrm.methods`` of your package. Its factory gets
``pairs`` (`presrm.config.PairsConfig`) and ``seed`` if it takes them; what else it takes by keyword can be set under
``method.options``. What it may do are the stages of `presrm.methods.stages.Stages`, each of which resumes by itself.
"""

from presrm.protocols import Method
from presrm.registry import Registry

METHODS: Registry[Method] = Registry(
    "method",
    {"presrm": "presrm.methods.presrm:Presrm"},
    group="presrm.methods",
)
