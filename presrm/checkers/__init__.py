"""Checkers: exact labels of steps, where a kind of problem has them.

How to add one: write a class with `check` (see `presrm.protocols.Checker`), and register it under the kind of problem
that it can check with ``@CHECKERS.register("mine")``, or in the entry-point group ``presrm.checkers`` of your package.
Your problem set gives its problems that `Problem.kind`.
"""

from presrm.protocols import Checker
from presrm.registry import Registry

CHECKERS: Registry[Checker] = Registry(
    "checker",
    {
        "arithmetic": "presrm.checkers.arithmetic:ArithmeticChecker",
        "operations": "presrm.checkers.operations:OperationsChecker",
    },
    group="presrm.checkers",
)
