r"""Graders: solution + reference answer -> correct, incorrect, no answer. For evaluation; training sees none.

How to add one: write a class with `extract` and `grade` (see `presrm.protocols.Grader`) and name it with
``@GRADERS.register("mine")``, or in the entry-point group ``presrm.graders`` of your package. A solution from which no
answer can be read is ``Grade.NO_ANSWER``, apart from a wrong one. Where solutions put their answers is found by
`presrm.answers.find`.

>>> GRADERS.create("gsm8k").grade("48 + 24 = 72\n#### 72", "72").value
'correct'
"""

from presrm.protocols import Grader
from presrm.registry import Registry

GRADERS: Registry[Grader] = Registry(
    "grader",
    {
        "auto": "presrm.graders.auto:AutoGrader",
        "countdown": "presrm.graders.countdown:CountdownGrader",
        "exact": "presrm.graders.exact:ExactGrader",
        "gsm8k": "presrm.graders.gsm8k:Gsm8kGrader",
        "gsm8k-strict": "presrm.graders.gsm8k:strict_gsm8k",
        "integral": "presrm.graders.integral:IntegralGrader",
        "judgement": "presrm.judging.problems:JudgementGrader",
        "math": "presrm.graders.math:MathGrader",
        "reasoning-gym": "presrm.graders.reasoning_gym:ReasoningGymGrader",
    },
    group="presrm.graders",
)
