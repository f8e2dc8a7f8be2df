"""A setting that would have no effect is refused, not ignored."""

import pytest

from presrm.config import ObjectiveConfig, load_config
from presrm.errors import ConfigError, UnknownNameError
from presrm.training.objectives import OBJECTIVES, make_objective


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "dpo",
            {"bta": 1},
            "'objective.options.bta'; did you mean 'objective.options.beta'. keys of objective.options: weight, b",
        ),
        (
            "dpo",
            {"pack_tokens": 1},
            "'objective.options.pack_tokens'; keys of objective.options: weight, beta, label_smoothing",
        ),
        ("dpo", {"beta": 0}, "objective.options.beta: .*greater than 0, found 0"),
        (
            "ipo",
            {"label_smoothing": 0.1},
            "'objective.options.label_smoothing'; keys of objective.options: weight, beta",
        ),
        ("imitation", {"beta": 0.1}, "'objective.options.beta'; keys of objective.options: none"),
    ],
)
def test_what_an_objective_does_not_read_is_refused(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_objective(ObjectiveConfig(kind=kind, options=options))


@pytest.mark.parametrize("kind", OBJECTIVES.names())
def test_whatever_is_registered_can_be_named_in_a_config(kind: str) -> None:
    config = load_config("embedded", [f"objective.kind={kind}"])

    assert make_objective(config.objective).name == kind


def test_options_reach_the_objective_as_values() -> None:
    made = make_objective(load_config(None, ["objective.options.beta=0.3"]).objective)

    assert made == OBJECTIVES.create("dpo", beta=0.3)
    assert made != OBJECTIVES.create("dpo", beta=0.2)


def test_an_unknown_objective_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown objective 'dop'; did you mean 'dpo'"):
        make_objective(ObjectiveConfig(kind="dop"))
