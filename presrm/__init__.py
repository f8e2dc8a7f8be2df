"""Process-based self-rewarding language models: a policy judges its own steps, and learns from them.

Every public name can be imported from here; each is loaded when it is first used, so that ``import presrm`` is cheap.

>>> from presrm import Problem, Step, Trajectory
>>> Trajectory(Problem("p1", "What is 2 + 3?")).extend(Step("2 + 3 = 5")).text
'2 + 3 = 5'
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_PUBLIC = {
    "presrm.types": (
        "Attempt",
        "Candidate",
        "Candidates",
        "Checkpoint",
        "Demonstration",
        "Expansion",
        "Grade",
        "Judgement",
        "PreferencePair",
        "Problem",
        "SearchTree",
        "Status",
        "Step",
        "Stop",
        "Trajectory",
    ),
    "presrm.protocols": (
        "Checker",
        "Completion",
        "Engine",
        "Generator",
        "Grader",
        "Improved",
        "Judge",
        "Method",
        "Request",
        "Sampling",
        "Scorer",
        "Searcher",
        "StepSplitter",
        "Trainer",
    ),
    "presrm.errors": ("ConfigError", "DataError", "NoLessonsError", "PresrmError", "RequestError"),
    "presrm.config": ("Config", "load_config"),
    "presrm.prompts": ("Prompt", "PromptSet"),
    "presrm.splitters": ("SPLITTERS",),
    "presrm.problems": ("PROBLEMS",),
    "presrm.graders": ("GRADERS",),
    "presrm.checkers": ("CHECKERS",),
    "presrm.methods": ("METHODS",),
    "presrm.judges": ("JUDGES",),
    "presrm.searchers": ("SEARCHERS",),
    "presrm.engines": ("ENGINES",),
    "presrm.credit.pairs": ("mine_pairs",),
    "presrm.judging.solutions": ("judge_file",),
    "presrm.assembly.runs": ("train",),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
