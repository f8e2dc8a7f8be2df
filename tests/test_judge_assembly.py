import pytest

from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError
from presrm.judge_assembly import make_judge
from presrm.prompts import PromptSet

PROMPTS = PromptSet("paper")
ENGINE = ScriptedEngine(lambda prompt, rng: "", lambda prompt, options: (0.5, 0.5))


@pytest.mark.parametrize("kind", ["first-error", "additive", "listwise"])
def test_a_judge_that_reads_a_written_reply_refuses_a_direct_verdict(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"judge\.verdict direct: judge '{kind}' reads a written reply; set .*expl"):
        make_judge(JudgeConfig(kind=kind, verdict="direct"), ENGINE, PROMPTS)


def test_a_member_of_a_jury_may_explain_where_the_others_are_read_directly() -> None:
    mixed = {"judges": ["pointwise", {"kind": "additive", "verdict": "explained"}]}
    make_judge(JudgeConfig(kind="jury", verdict="direct", options=mixed), ENGINE, PROMPTS)

    with pytest.raises(ConfigError, match="judge 'additive' reads a written reply"):
        make_judge(
            JudgeConfig(kind="jury", verdict="direct", options={"judges": ["pointwise", "additive"]}), ENGINE, PROMPTS
        )
