"""Config -> judge: a registered kind, its votes, and what it is asked through."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from presrm.assembly.options import arguments_of
from presrm.config import JudgeConfig, parse_config
from presrm.errors import ConfigError, JudgeError, RequestError, boundary
from presrm.judges import JUDGES
from presrm.judges.voted import VotedJudge
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Judge, Sampling, check_scale

_SCORERS = {"prm": "model", "pairwise": "meta", "pointwise": "meta", "listwise": "meta"}
"""Which option of a judge names a model that scores."""
_TIE_TOLERANCE = {"explained": 0.0, "direct": 0.02}


def asks_policy(config: JudgeConfig) -> bool:
    """Whether the judge asks an engine: a process reward model, a function or a checker does not.

    Raises:
        RequestError: if there is no such judge, or the members of a jury are not given as they should be.
    """
    members = _member_settings(config)
    return "engine" in _keywords(JUDGES.factory(config.kind)) or any(map(asks_policy, members.values()))


def make_judge(config: JudgeConfig, engine: Engine | None, prompts: PromptSet) -> Judge:
    """Make a judge.

    Its factory gets those of ``engine``, ``prompts``, ``verdict``, ``sampling`` and ``votes`` that it takes, and the
    options. A judge that does not count votes itself judges several times.

    Args:
        config: Its settings.
        engine: Runs the policy that judges; may be none unless `asks_policy`.
        prompts: What it is asked with.

    Raises:
        ConfigError: if the settings contradict each other, or the factory does not take the options.
        JudgeError: if the factory raises, or what it makes does not say what its scores are.
    """
    factory, arguments = _arguments(config, engine, prompts, make_judge)

    def make(**replaced: object) -> Judge:
        with boundary(JudgeError, f"judge {config.kind!r}"):
            judge = factory(**{**arguments, **replaced})
        check_scale(judge, config.kind)
        return judge

    if config.votes == 1 or "votes" in arguments:
        return make()
    assert engine is not None  # only a judge that asks one has votes
    return VotedJudge(lambda reseeded: make(engine=reseeded), engine, config.votes)


def check_judge(config: JudgeConfig, engine: Engine | None, prompts: PromptSet) -> None:
    """Refuse what `make_judge` would refuse, and models that cannot score, before any policy or function is loaded.

    Raises:
        ConfigError: as `make_judge`; or if a model that is to score has no head for it.
        RequestError: if there is no such model.
    """
    factory, arguments = _arguments(config, engine, prompts, check_judge)
    option = _SCORERS.get(config.kind, "")
    model = arguments.get(option)
    if isinstance(model, str):
        from presrm.engines.hf_prm import check_scorer  # which loads torch

        factory(**arguments)  # these judges load nothing before they are asked
        format: Any = "token-classification" if option == "meta" else arguments.get("format", "auto")
        try:
            check_scorer(model, None if format == "auto" else format)
        except ConfigError:
            raise
        except RequestError as error:  # there is no such model
            raise RequestError(f"judge.options.{option}: {error}") from error


def _arguments(
    config: JudgeConfig,
    engine: Engine | None,
    prompts: PromptSet,
    make_member: Callable[[JudgeConfig, Engine | None, PromptSet], object],
) -> tuple[Callable[..., Judge], dict[str, object]]:
    """Give the factory of a judge and its arguments; `make_member` makes the members of a jury."""
    factory = JUDGES.factory(config.kind)
    keywords = _keywords(factory)
    _check_verdict(config, keywords)
    _check_votes(config, keywords)
    sampling = Sampling(config.temperature, config.top_p, config.max_tokens)
    offered: dict[str, object] = {
        "engine": engine,
        "prompts": prompts,
        "verdict": config.verdict,
        "sampling": sampling,
    }
    if "votes" in inspect.signature(factory).parameters:
        offered["votes"] = config.votes
    options = dict(config.options)
    made = {name: make_member(member, engine, prompts) for name, member in _member_settings(config).items()}
    if options.pop("judges", None) is not None:
        offered["judges"] = made
    elif options.pop("judge", None) is not None:
        (offered["judge"],) = made.values()
    return factory, arguments_of(factory, options, offered, "judge.options")


def _keywords(factory: Callable[..., Judge]) -> Collection[str]:
    """The keywords that the factory of a judge takes, of those that we offer if it takes any."""
    parameters = inspect.signature(factory).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return {"engine", "prompts", "verdict", "sampling", *parameters}
    return parameters.keys()


def _member_settings(config: JudgeConfig) -> dict[str, JudgeConfig]:
    """Give the settings of the judges within a judge by name: its own, but options and votes of their own."""
    one = config.options.get("judge")
    listed = config.options.get("judges", [] if one is None else [one])
    if not isinstance(listed, list) or not all(isinstance(member, str | Mapping) for member in listed):
        raise ConfigError(
            f"judge.options.judges: expected a list of kinds, or of settings of judges, found {listed!r:.80}"
        )
    inherited = config.model_dump(exclude={"kind", "options", "votes"})
    members = {}
    for number, member in enumerate(listed, start=1):
        own = {"kind": member} if isinstance(member, str) else member
        settings = parse_config(
            {"judge": {**inherited, **own}}, f"judge.options.judge{'' if one else f's, number {number}'}"
        ).judge
        members[f"{number} {settings.kind}"] = settings
    return members


def _check_verdict(config: JudgeConfig, taken: Collection[str]) -> None:
    """Refuse a direct verdict of a judge that can only read what is written; `taken` as for `_check_votes`."""
    if config.verdict == "direct" and "sampling" in taken and "verdict" not in taken:
        raise ConfigError(
            f"judge.verdict direct: judge {config.kind!r} reads a written reply; set judge.verdict to explained"
        )


def _check_votes(config: JudgeConfig, taken: Collection[str]) -> None:
    """Refuse votes that could not differ; `taken` are the keywords of the judge's factory."""
    if config.votes == 1:
        return
    if "engine" not in taken:
        raise ConfigError(f"judge.votes {config.votes}: judge {config.kind!r} draws nothing itself, so it has one vote")
    if config.verdict == "direct" and "verdict" in taken:
        raise ConfigError(f"judge.votes {config.votes}: a direct verdict is not drawn; set judge.verdict to explained")
    if config.temperature == 0:
        raise ConfigError(f"judge.votes {config.votes}: all would be the same; set judge.temperature above 0")


def reads_directly(config: JudgeConfig) -> bool:
    """Whether a judge of this kind can read its verdict from token probabilities, too."""
    return "verdict" in _keywords(JUDGES.factory(config.kind))


def tie_tolerance(config: JudgeConfig) -> float:
    """The spread of scores up to which candidates are tied."""
    return _TIE_TOLERANCE[config.verdict] if config.tie_tolerance is None else config.tie_tolerance
