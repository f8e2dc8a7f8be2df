import pytest

from presrm.assembly.judges import asks_policy, check_judge, make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError, PresrmError, RequestError
from presrm.judges import JUDGES
from presrm.prompts import PromptSet

PROMPTS = PromptSet("paper")
ENGINE = ScriptedEngine(lambda prompt, rng: "", lambda prompt, options: (0.5, 0.5))


@pytest.mark.parametrize("kind", ["additive", "listwise"])
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


FUNCTION = {"function": "math:prod"}


@pytest.mark.parametrize(
    ("kind", "options", "asks"),
    [
        *((kind, {}, True) for kind in ("additive", "first-error", "listwise", "pairwise", "pointwise")),
        ("callable", FUNCTION, False),
        ("checker", {}, False),
        ("prm", {"model": "nowhere"}, False),
        ("jury", {"judges": ["checker", {"kind": "callable", "options": FUNCTION}]}, False),
        ("jury", {"judges": ["checker", "pointwise"]}, True),
    ],
)
def test_a_judge_that_asks_no_policy_is_made_without_an_engine(
    kind: str, options: dict[str, object], asks: bool
) -> None:
    config = JudgeConfig(kind=kind, options=options, verdict="explained")

    assert asks_policy(config) is asks
    assert make_judge(config, ENGINE if asks else None, PROMPTS).scale in ("absolute", "relative")


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        (
            {"kind": "prm", "options": {"model": "./nowhere"}},
            RequestError,
            r"judge\.options.model: no model './nowhere'",
        ),
        ({"kind": "prm", "options": {"model": "embedded"}}, ConfigError, "does not say how it scores steps"),
        (
            {"kind": "pairwise", "votes": 4, "options": {"meta": "./nowhere"}},
            RequestError,
            r"judge\.options.meta: no model './nowhere'",
        ),
        ({"kind": "listwise", "votes": 4, "options": {"meta": "embedded"}}, ConfigError, "no head of two classes"),
        ({"kind": "pointwise", "options": {"meta": "embedded"}}, ConfigError, r"judge\.votes above 1"),
        (
            {"kind": "jury", "options": {"judges": [{"kind": "pointwise", "votes": 2, "options": {"meta": "./x"}}]}},
            RequestError,
            r"judge\.options.meta: no model './x'",
        ),
    ],
)
def test_a_model_that_cannot_score_is_refused_before_any_policy_is_loaded(
    settings: dict[str, object], error: type[PresrmError], told: str
) -> None:
    config = JudgeConfig.model_validate({"temperature": 0.5, **settings})
    with pytest.raises(error, match=told):
        check_judge(config, None, PROMPTS)


def test_a_judge_that_takes_any_keyword_may_ask_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine:
        scale = "absolute"

        def __init__(self, **options: object) -> None:
            self.options = options

    monkeypatch.setitem(JUDGES._table, "mine", Mine)

    assert asks_policy(JudgeConfig(kind="mine"))
    assert make_judge(JudgeConfig(kind="mine"), ENGINE, PROMPTS).options.keys() == {
        "engine",
        "prompts",
        "verdict",
        "sampling",
    }
