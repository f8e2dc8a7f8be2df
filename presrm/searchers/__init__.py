"""Searchers: problems -> trees.

How to add one: write a class with `search` (see `presrm.protocols.Searcher`) whose factory takes ``prompts``,
``splitter``, ``options`` (`presrm.config.SearchConfig`), ``tie_tolerance`` and ``seed`` as keywords, and name it with
``@SEARCHERS.register("mine")``, or in the entry-point group ``presrm.searchers`` of your package. A searcher sees
generator and judge as protocols only, yields its trees in the order of the problems, in groups of
``options.group_size``, and draws every seed from the problem's index in the whole list, so that a search can go on at
any group.
"""

from presrm.protocols import Searcher
from presrm.registry import Registry

SEARCHERS: Registry[Searcher] = Registry(
    "searcher",
    {
        "beam": "presrm.searchers.beam:BeamSearcher",
        "best-of-n": "presrm.searchers.best_of_n:BestOfN",
        "greedy": "presrm.searchers.greedy:GreedySearcher",
    },
    group="presrm.searchers",
)
