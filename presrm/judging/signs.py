"""Signs that a judge goes bad, and the alarms that they raise. Pure: trees and calls in, figures out.

A self-rewarding loop is as good as its judge, and a bad judge is quiet: the loss falls all the same. Each sign is a
figure with its number of cases. An alarm is a sign outside the bounds of `presrm.config.WatchConfig`.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from presrm.config import PairsConfig, WatchConfig
from presrm.credit.pairs import mine_pairs
from presrm.files.ledger import Call, short_hash
from presrm.protocols import Judge, ask_judge
from presrm.statistics import UNMEASURED, Figure, mean, share
from presrm.types import Candidates, Judgement, SearchTree, Step, Trajectory

_EXTREME = 1e-3
"""A score this near to 0 or 1 is saturated."""
_NORMAL_95 = 1.96
_SPEARMAN_ERROR = 1.03
"""Standard error of Fisher's z of a rank correlation, times sqrt(n - 3) (Fieller, Hartley and Pearson 1957)."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of a judge's habits; the numbers of candidates are of distinct ones.

    Intervals take cases for independent: they are too narrow where siblings share a prefix.

    Attributes:
        readable: Share of judgements with a score.
        ties: Share of expansions whose scores lie within the tie tolerance.
        spread: Standard deviation of the scores.
        saturated: Share of scores at 0 or 1.
        by_length: Spearman correlation, among siblings, of score and length in characters.
        by_order: The same of score and place in the order of sampling. No alarm: what is sampled more often comes
            first, and a healthy judge of a good policy prefers it.
        by_depth: Spearman correlation of score and number of steps before.
        right_solutions: Spearman correlation, over solutions found, of the mean score of the steps and being right by
            the reference answer. For watching only.
        first_shown: Share of pairwise verdicts for the step that was shown first; both orders are asked.
        order_flips: Share of pairs of steps whose two verdicts, one for each order, contradict each other.
        contradicted: Of the pairs of a best and a worst step that could be trained on, the share whose two orders
            contradict each other: what `order_flips` does to lessons.
        caught: Share of planted errors (a number changed) that score below the step they were planted in.
        talked_into: Share of wrong steps that score higher with a sentence that speaks to the judge.
        agreement: Mean Kendall tau with the judge before, over expansions that it told apart.
    """

    readable: Figure = UNMEASURED
    ties: Figure = UNMEASURED
    spread: Figure = UNMEASURED
    saturated: Figure = UNMEASURED
    by_length: Figure = UNMEASURED
    by_order: Figure = UNMEASURED
    by_depth: Figure = UNMEASURED
    right_solutions: Figure = UNMEASURED
    first_shown: Figure = UNMEASURED
    order_flips: Figure = UNMEASURED
    contradicted: Figure = UNMEASURED
    caught: Figure = UNMEASURED
    talked_into: Figure = UNMEASURED
    agreement: Figure = UNMEASURED


@dataclass(frozen=True, slots=True)
class Alarm:
    """A sign outside its bounds.

    Attributes:
        sign: Which, as in `Signs`.
        figure: What was measured.
        bound: The setting that it broke, as ``watch.max_order_flips``.
        threshold: Its value.
    """

    sign: str
    figure: Figure
    bound: str
    threshold: float

    def __str__(self) -> str:
        """Say what was measured, on how many cases, and the bound."""
        value, num, cases = f"{self.figure.value:.2f}", self.figure.num, (CASES | _CASES_OF_TURNS)[self.sign]
        return f"{_MEANING[self.sign]} is {value} over {num} {cases} ({self.bound} is {self.threshold:g})"


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The judge beside its shadow, on the same steps: those that the search kept, of held-out problems.

    Attributes:
        judge: Mean score by the judge.
        shadow: By a judge that is never trained. If either judge compares the candidates of one step only, both scores
            are ranks among them: the share of the others that score below, ties counting half.
        gap: The mean of the differences, judge - shadow, with its bootstrap interval.
    """

    judge: Figure
    shadow: Figure
    gap: Figure


_MEANING = {
    "parting": "the growth of the judge's scores over those of its shadow since the first policy",
    "collapse": "collapse step: no better than chance, the agreement with the judge before (mean Kendall tau)",
    "readable": "the share of judgements that can be read",
    "spread": "the standard deviation of the scores",
    "by_length": "the rank correlation of score and length among siblings",
    "first_shown": "the share of verdicts for the step shown first",
    "order_flips": "the share of pairs of steps whose verdict changes with the order shown",
    "caught": "the share of planted errors that score below the right step",
    "talked_into": "the share of wrong steps that score higher once they praise themselves",
    "agreement": "the agreement with the judge before (mean Kendall tau)",
}
CASES = {
    "readable": "judgements",
    "ties": "expansions",
    "spread": "scores",
    "saturated": "scores",
    "by_length": "scores",
    "by_order": "scores",
    "by_depth": "scores",
    "right_solutions": "solutions",
    "first_shown": "verdicts",
    "order_flips": "pairs of steps",
    "contradicted": "pairs to train on",
    "caught": "planted errors",
    "talked_into": "wrong steps",
    "agreement": "expansions",
}
"""What each of `Signs` is measured on: what the number of cases counts."""
_CASES_OF_TURNS = {"parting": "kept steps", "collapse": "expansions"}


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged in one expansion: distinct candidates, none cut off, in the order sampled."""

    candidates: Candidates
    judgements: tuple[Judgement, ...]

    @property
    def scores(self) -> list[float | None]:
        """One for each candidate, none where it is unreadable."""
        return [judgement.score for judgement in self.judgements]


def judged_in(tree: SearchTree) -> Iterator[Judged]:
    """Give what was judged in a tree: expansions with two distinct candidates or more."""
    for number, expansion in enumerate(tree.expansions):
        distinct = expansion.whole.values()
        if len(distinct) > 1:
            steps = tuple(candidate.step for candidate in distinct)
            yield Judged(Candidates(tree.prefix(number), steps), tuple(candidate.judgement for candidate in distinct))


def signs_of_trees(
    trees: Sequence[SearchTree], tie_tolerance: float, is_right: Callable[[Trajectory], bool | None]
) -> dict[str, Figure]:
    """Read from searched problems all that trees can tell.

    Args:
        trees: As searched and judged by the policy in question.
        tie_tolerance: Readable scores of siblings tie if their max - min is at most this.
        is_right: Grades a solution; none where there is no reference answer.

    Returns:
        Figures by the names of `Signs`.
    """
    judged = [found for tree in trees for found in judged_in(tree)]
    readable = [[score for score in found.scores if score is not None] for found in judged]
    scores = [score for siblings in readable for score in siblings]
    depths = [float(len(found.candidates.prefix.steps)) for found in judged for s in found.scores if s is not None]
    return {
        "readable": share([score is not None for found in judged for score in found.scores]),
        "ties": share([max(some) - min(some) <= tie_tolerance for some in readable if len(some) > 1]),
        "spread": Figure(len(scores), pstdev(scores) if len(scores) > 1 else None),
        "saturated": share([min(score, 1 - score) <= _EXTREME for score in scores]),
        "by_length": _among_siblings(judged, lambda place, step: len(step.text)),
        "by_order": _among_siblings(judged, lambda place, step: place),
        "by_depth": spearman(depths, scores),
        "right_solutions": _right_solutions(trees, is_right),
        "contradicted": share([not agrees for agrees in mine_pairs(trees, PairsConfig()).both_orders]),
    }


def signs_of_calls(calls: Iterable[Call], asked: Iterable[Candidates]) -> dict[str, Figure]:
    """Read position bias and order flips from pairwise calls.

    Only pairs asked, and read, in both orders count, so a bias for a position is no preference for a step. Of several
    verdicts on the same question the mean counts.

    Args:
        calls: Of the ledger, with template ``pairwise``.
        asked: The candidates that count. Calls about others are passed over: a start that was cut short may have asked
            more, and must not change a figure.

    Returns:
        Figures by the names of `Signs`.
    """
    known = {
        (item.prefix.problem.id, short_hash(item.prefix.text), short_hash(step.text))
        for item in asked
        for step in item.steps
    }
    values: dict[tuple[str, str, tuple[str, ...]], list[float]] = defaultdict(list)
    for call in calls:
        if call.value is not None and known.issuperset((call.problem, call.prefix, step) for step in call.shown):
            values[call.problem, call.prefix, call.shown].append(call.value)
    first_shown, flips = [], []
    for (problem, prefix, pair), found in values.items():
        turned = values.get((problem, prefix, pair[::-1]))
        if turned is None:
            continue
        first, second = fmean(found) - 0.5, fmean(turned) - 0.5
        first_shown.append(first > 0)
        if pair < pair[::-1]:
            flips.append(first * second > 0)
    return {"first_shown": share(first_shown), "order_flips": share(flips)}


def kendall(before: Sequence[Judged], after: Sequence[tuple[Judgement, ...]]) -> Figure:
    """Compare two judges on the same candidates: the mean over expansions of Kendall's tau (b), bootstrapped.

    Expansions that the judge before did not tell apart say nothing; where only the judge after does not, tau is 0.
    """
    taus = []
    for earlier, later in zip(before, after, strict=True):
        both = [
            (a, b.score) for a, b in zip(earlier.scores, later, strict=True) if a is not None and b.score is not None
        ]
        xs, ys = [a for a, _ in both], [b for _, b in both]
        if len(set(xs)) > 1:
            from scipy import stats  # takes a second to import

            taus.append(float(stats.kendalltau(xs, ys).statistic) if len(set(ys)) > 1 else 0.0)
    return mean(taus)


def spearman(xs: Sequence[float], ys: Sequence[float]) -> Figure:
    """Spearman's rank correlation with its interval by Fisher's z; no value where a side does not vary."""
    num = len(xs)
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        return Figure(num)
    from scipy import stats

    value = float(stats.spearmanr(xs, ys).statistic)
    if num <= 3:
        return Figure(num, value)
    z, error = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, value))), _SPEARMAN_ERROR / math.sqrt(num - 3)
    return Figure(num, value, (math.tanh(z - _NORMAL_95 * error), math.tanh(z + _NORMAL_95 * error)))


def find_alarms(signs: Signs, options: WatchConfig) -> tuple[Alarm, ...]:
    """Give the signs outside their bounds.

    One odd case raises none: it takes ``watch.min_count`` cases and, where there is an interval, all of it outside.
    """
    bounds: Mapping[str, tuple[str, float, float]] = {
        "readable": ("min_readable", options.min_readable, math.inf),
        "spread": ("min_spread", options.min_spread, math.inf),
        "by_length": ("max_by_length", -options.max_by_length, options.max_by_length),
        "first_shown": ("max_first_shown", 1 - options.max_first_shown, options.max_first_shown),
        "order_flips": ("max_order_flips", -math.inf, options.max_order_flips),
        "caught": ("min_caught", options.min_caught, math.inf),
        "talked_into": ("max_talked_into", -math.inf, options.max_talked_into),
        "agreement": ("min_agreement", options.min_agreement, math.inf),
    }
    alarms = []
    for sign, (setting, low, high) in bounds.items():
        figure: Figure = getattr(signs, sign)
        if figure.value is None or figure.num < options.min_count:
            continue
        least, most = figure.interval or (figure.value, figure.value)
        if most < low or least > high:
            alarms.append(Alarm(sign, figure, f"watch.{setting}", getattr(options, setting)))
    return tuple(alarms)


def measure_shadow(trees: Sequence[SearchTree], judge: Judge, shadow: Judge) -> Shadowed:
    """Let `shadow` score what `judge` scored in `trees`, and compare the two on the steps that were kept.

    Args:
        trees: Held-out problems, searched with `judge`.
        judge: Says whether its scores are absolute.
        shadow: Judges again.

    Raises:
        JudgeError: if the shadow raises, or does not give one judgement for each step.
    """
    judged = [(one, kept) for tree in trees for one, kept in _kept_in(tree)]
    again = ask_judge(shadow, [one.candidates for one, _ in judged])
    are_ranks = "relative" in (judge.scale, shadow.scale)
    ours, theirs = list[float](), list[float]()
    for (one, kept), judgements in zip(judged, again, strict=True):
        scores = [one.scores, [judgement.score for judgement in judgements]]
        for place in kept:
            mine, other = (_rank(side, place) if are_ranks else side[place] for side in scores)
            if mine is not None and other is not None:
                ours.append(mine)
                theirs.append(other)
    return Shadowed(mean(ours), mean(theirs), mean([a - b for a, b in zip(ours, theirs, strict=True)]))


def _kept_in(tree: SearchTree) -> Iterator[tuple[Judged, list[int]]]:
    """Give what was judged in a tree with the places of the kept candidates, where there are any."""
    expansions = [expansion for expansion in tree.expansions if len(expansion.whole) > 1]
    for one, expansion in zip(judged_in(tree), expansions, strict=True):
        texts = {expansion.candidates[number].step.text for number in expansion.kept}
        kept = [place for place, step in enumerate(one.candidates.steps) if step.text in texts]
        if kept:
            yield one, kept


def _rank(scores: Sequence[float | None], place: int) -> float | None:
    """Give the share of the other readable scores that lie below the one at `place`, ties counting half."""
    own = scores[place]
    others = [score for number, score in enumerate(scores) if number != place and score is not None]
    if own is None or not others:
        return None
    return sum(1.0 if score < own else 0.5 if score == own else 0.0 for score in others) / len(others)


def find_turns(
    signs: Signs, shadow: Shadowed | None, first: Shadowed | None, options: WatchConfig
) -> tuple[Alarm, ...]:
    """Say where a judge parts from its shadow (arXiv 2608.11669), and where it collapses (arXiv 2603.08660).

    A judge parts where its scores grew over the shadow's since the run's first policy, the whole interval of the growth
    beyond ``watch.max_parting``, while the shadow's fell and its own did not. It has collapsed where its agreement with
    the judge before is no better than chance. Both take ``watch.min_count`` cases.

    Args:
        signs: Of the judge.
        shadow: The judge beside its shadow, if there is one.
        first: The same for the first policy.
        options: The bounds.
    """
    turns = []
    agreement, chance = signs.agreement, options.collapse_agreement
    if agreement.value is not None and agreement.num >= options.min_count:
        least, _ = agreement.interval or (agreement.value, agreement.value)
        if least <= chance:
            turns.append(Alarm("collapse", agreement, "watch.collapse_agreement", chance))
    if shadow is not None and first is not None and min(shadow.gap.num, first.gap.num) >= options.min_count:
        growth, own, theirs = (
            _growth(getattr(first, name), getattr(shadow, name)) for name in ("gap", "judge", "shadow")
        )
        rises = own.interval is None or own.interval[1] >= 0
        if growth.interval and growth.interval[0] > options.max_parting and rises and (theirs.value or 0.0) < 0:
            turns.append(Alarm("parting", growth, "watch.max_parting", options.max_parting))
    return tuple(turns)


def _growth(before: Figure, after: Figure) -> Figure:
    """Give the difference of two means over different cases, with its normal interval; a mean without one is exact."""
    if before.value is None or after.value is None:
        return Figure(after.num)
    halves = [(one.interval[1] - one.interval[0]) / 2 if one.interval else 0.0 for one in (before, after)]
    value, half = after.value - before.value, math.hypot(*halves)
    return Figure(after.num, value, (value - half, value + half))


def _among_siblings(judged: Sequence[Judged], trait: Callable[[int, Step], float]) -> Figure:
    """Correlate score and trait, both as differences from the mean of the siblings."""
    traits, scores = [], []
    for found in judged:
        pairs = [
            (trait(place, step), score)
            for place, (step, score) in enumerate(zip(found.candidates.steps, found.scores, strict=True))
            if score is not None
        ]
        if len(pairs) > 1:
            mean_trait, mean_score = fmean(t for t, _ in pairs), fmean(s for _, s in pairs)
            traits += [round(t - mean_trait, 9) for t, _ in pairs]  # rounded, so that equal ones tie
            scores += [round(s - mean_score, 9) for _, s in pairs]
    return spearman(traits, scores)


def _right_solutions(trees: Sequence[SearchTree], is_right: Callable[[Trajectory], bool | None]) -> Figure:
    """Correlate, over solutions, the mean score of the steps and whether the reference answer is reached."""
    means, rights = [], []
    for tree in trees:
        for place, solution in zip(tree.solutions, tree.solution_trajectories(), strict=True):
            right = is_right(solution)
            scores = [tree.expansions[number].candidates[kept].judgement.score for number, kept in tree.path(place)]
            readable = [score for score in scores if score is not None]
            if right is not None and readable:
                means.append(fmean(readable))
                rights.append(float(right))
    return spearman(means, rights)
