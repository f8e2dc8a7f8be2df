"""Runners: where groups of problems are worked, if not in this process.

How to add one: write a class with `map` and `close` (see `presrm.runners.work.Runner`), and name it with
``@RUNNERS.register("mine")``, or in the entry-point group ``presrm.runners`` of your package. Its keyword arguments can
be set under ``runner.options``. Results come in the order of the work, and a worker that dies costs its group again:
what a group gives depends on the group alone. Only the process that the user started writes files.
"""

from presrm.registry import Registry
from presrm.runners.work import Runner

RUNNERS: Registry[Runner] = Registry(
    "runner",
    {"ray": "presrm.runners.ray:RayRunner"},
    group="presrm.runners",
)
