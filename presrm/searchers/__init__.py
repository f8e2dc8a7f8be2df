"""Searchers: problems -> trees.

How to add one: write a class with `search` (see `presrm.protocols.Searcher`), and name it with
``@SEARCHERS.register("mine")``, or in the entry-point group ``presrm.searchers`` of your package. Its factory gets
those of ``prompts``, ``splitter``, ``settings`` (`presrm.config.SearchConfig`), ``tie_tolerance`` and ``seed`` that it
takes; what else it takes by keyword can be set under ``search.options``. A searcher sees generator and judge as
protocols only, yields its trees in the order of the problems, in groups of ``settings.group_size``, and draws every
seed from the problem's index in the whole list, so that a search resumes at any group.
"""

from presrm.protocols import Searcher
from presrm.registry import Registry

SEARCHERS: Registry[Searcher] = Registry(
    "searcher",
    {
        "beam": "presrm.searchers.beam:BeamSearcher",
        "best-of-n": "presrm.searchers.best_of_n:BestOfN",
        "greedy": "presrm.searchers.greedy:GreedySearcher",
        "mcts": "presrm.searchers.mcts:MctsSearcher",
    },
    group="presrm.searchers",
)
