"""Judges: prefix + candidates -> judgements.

How to add one: write a class with `scale` and `judge` (see `presrm.protocols.Judge`) whose factory takes those
of ``engine``, ``prompts``, ``verdict``, ``sampling`` and ``votes`` that it needs, and the user's ``judge.options``, as
keywords, and name it with ``@JUDGES.register("mine")``, or in the entry-point group ``presrm.judges`` of your package.
What cannot be judged gets ``Judgement(None, status)``, never a
zero. `presrm.engines.scripted` tests a judge without a model.
"""

from presrm.protocols import Judge
from presrm.registry import Registry

JUDGES: Registry[Judge] = Registry(
    "judge",
    {
        "additive": "presrm.judges.additive:AdditiveJudge",
        "callable": "presrm.judges.callable:CallableJudge",
        "checker": "presrm.judges.checker:CheckerJudge",
        "first-error": "presrm.judges.first_error:FirstErrorJudge",
        "inverse": "presrm.judges.inverse:InverseJudge",
        "jury": "presrm.judges.jury:JuryJudge",
        "listwise": "presrm.judges.listwise:ListwiseJudge",
        "noisy": "presrm.judges.noisy:NoisyJudge",
        "pairwise": "presrm.judges.pairwise:PairwiseJudge",
        "pointwise": "presrm.judges.pointwise:PointwiseJudge",
        "prm": "presrm.judges.prm:PrmJudge",
    },
    group="presrm.judges",
)
