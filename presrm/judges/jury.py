"""Several judges that judge the same candidates: their mean or majority, and how far they are apart."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, get_args

from presrm.errors import ConfigError
from presrm.judging.orders import contradicted_by_most
from presrm.protocols import Composition, Judge, ask_judge, composition_of
from presrm.types import Candidates, Judgement, Status

Rule = Literal["mean", "majority"]


class JuryJudge:
    """Puts the readable scores of its members together; a member that cannot say has no say.

    Its scores compose as those of its members do, where these agree on it. Where they do not, a path is as good as its
    worst step: the one way that neither favours short paths nor forgets a step.

    Args:
        judges: The members by name. In a config a list, ``judge.options: {judges: [pointwise, {kind: additive}]}``,
            where a member has the settings of ``judge``, but options and votes of its own.
        rule: ``mean`` of the scores; or ``majority``: 1 if more members score above 0.5 than below it, 0 if fewer,
            else 0.5.

    Raises:
        ConfigError: if there is no member, or no such rule.
    """

    scale: Literal["absolute", "relative"]
    composition: Composition

    def __init__(self, judges: Mapping[str, Judge], *, rule: Rule = "mean") -> None:
        if not judges:
            raise ConfigError("judge.options.judges: a jury needs a judge")
        if rule not in get_args(Rule):
            raise ConfigError(f"judge.options.rule {rule!r:.80}: expected {' or '.join(get_args(Rule))}")
        self._judges = dict(judges)
        self._rule = rule
        self.scale = "relative" if any(judge.scale == "relative" for judge in judges.values()) else "absolute"
        compositions = {composition_of(judge) for judge in judges.values()}
        self.composition = compositions.pop() if len(compositions) == 1 else "min"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Let every member judge the whole batch.

        The rationale says how far the readable scores are apart, then what each member said. Where no member can say
        the judgement has the status on which they agree, else `Status.UNREADABLE`.

        Raises:
            JudgeError: naming the member that raised, or did not give one judgement for each candidate.
        """
        said = [ask_judge(judge, batch, name) for name, judge in self._judges.items()]
        return [
            tuple(self._unite(of_step) for of_step in zip(*of_item, strict=True)) for of_item in zip(*said, strict=True)
        ]

    def _unite(self, members: Sequence[Judgement]) -> Judgement:
        scores = [member.score for member in members if member.score is not None]
        apart = f"{max(scores) - min(scores):.4g} apart" if scores else "no score"
        rationale = [f"{len(scores)} of {len(members)} judges readable, {apart}"]
        for name, member in zip(self._judges, members, strict=True):
            found = member.status if member.score is None else f"{member.score:.4g}"
            rationale.append(f"{name}, {found}:\n{member.rationale}")
        text = "\n\n".join(rationale)
        if scores:
            score = fmean(scores) if self._rule == "mean" else _majority(scores)
            return Judgement(score, rationale=text, contradicted=contradicted_by_most(members))
        causes = {member.status for member in members}
        return Judgement(None, causes.pop() if len(causes) == 1 else Status.UNREADABLE, text)


def _majority(scores: Sequence[float]) -> float:
    lead = sum((score > 0.5) - (score < 0.5) for score in scores)
    return 0.5 if lead == 0 else float(lead > 0)
