"""Trees -> preference pairs (paper section 3.3). Pure.

Each expansion that was kept gives at most one pair, the kept candidate over the lowest one; with ``rejected: all`` one
for each candidate that scored below it. Every expansion that gives none is counted once, by cause: the expansions with
pairs and the causes add up to the expansions.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from presrm.config import PairsConfig
from presrm.credit.consistency import vote_doubt
from presrm.files.ledger import short_hash
from presrm.types import Expansion, PreferencePair, SearchTree, Step, Stop

_CAUSES = {
    "tie": "tied",
    "rolled_back": "taken back after a tie",
    "unanimous": "with one distinct candidate",
    "unreadable": "without two readable judgements",
    "truncated": "with every candidate cut off",
    "no_room": "without room for a candidate",
    "filtered": "with every candidate withheld",
    "given_up": "of problems given up",
    "left": "of paths left for better ones",
    "contradicted": "whose two orders contradict each other (pairs.require_both_orders)",
    "across_end": "of which one step ends the solution and the other does not (pairs.ends)",
    "disagreed": "on which the second judge does not agree (pairs.second_judge)",
    "min_margin": "below pairs.min_margin",
    "over_max_per_problem": "over pairs.max_per_problem",
}
_ADVICE = {
    "tie": "raise search.temperature, or lower judge.tie_tolerance",
    "unanimous": "raise search.temperature or search.num_candidates",
    "unreadable": "raise judge.max_tokens, or set judge.verdict: direct",
    "no_room": "choose a policy that reads more, or shorter problems",
    "truncated": "raise search.max_step_tokens, or check that splitter suits what the policy writes",
    "contradicted": "set pairs.require_both_orders=false, or choose a judge that goes less by position",
    "min_margin": "lower pairs.min_margin",
}


@dataclass(frozen=True, slots=True)
class MinedPairs:
    """Pairs, and what gave none.

    Attributes:
        pairs: In the order of the trees and of their expansions; of one expansion the widest first.
        dropped: Number of expansions that gave no pair at all, by cause: ``tie``, ``rolled_back``, ``unanimous``,
            ``unreadable``, ``truncated``, ``no_room``, ``filtered``, ``given_up``, ``left``, ``contradicted``,
            ``across_end``, ``min_margin``, ``over_max_per_problem``. Causes that did not occur are absent.
        both_orders: One entry for each pair whose judge was asked in both orders: whether the two verdicts go together.
        num_problems: Trees that were mined.
        num_expansions: Theirs.
        given_up: Number of problems without a solution, by reason.
    """

    pairs: tuple[PreferencePair, ...]
    dropped: Mapping[str, int]
    both_orders: tuple[bool, ...] = ()
    num_problems: int = 0
    num_expansions: int = 0
    given_up: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "MinedPairs") -> "MinedPairs":
        """Give what was mined from the trees of both."""
        return MinedPairs(
            self.pairs + other.pairs,
            {**(Counter(self.dropped) + Counter(other.dropped))},
            self.both_orders + other.both_orders,
            self.num_problems + other.num_problems,
            self.num_expansions + other.num_expansions,
            {**(Counter(self.given_up) + Counter(other.given_up))},
        )

    @property
    def num_contradicted(self) -> int | None:
        """Pairs whose two orders contradict each other; none where no judge was asked in both."""
        return self.both_orders.count(False) if self.both_orders else None


def mine_pairs(trees: Iterable[SearchTree], options: PairsConfig, iteration: int | None = None) -> MinedPairs:
    """Mine the pairs of all trees.

    Chosen is the candidate on the way to a solution (the best of several), rejected the one with the lowest readable
    score (the first sampled of several); their pair is called ``<iteration>/<problem>/<expansion>``. With
    ``rejected: all`` every other text with a readable score below the chosen one's is rejected too, in a pair called
    ``<iteration>/<problem>/<expansion>/<candidate>``. The paper mines complete solutions alone, and a step that led
    nowhere is no example to follow: the kept expansions of a problem that was given up count as ``given_up``, those of
    paths that better ones outdid as ``left``.

    With ``by: worth`` candidates are ranked by what the search came to think of them, not by their scores.
    ``length_tier`` prefers short and rejects long candidates among those that score nearly alike. Its chosen one need
    not be the one that the search went on with, and ``labels: votes`` says how far a pair is in doubt.

    ``require_both_orders``, ``ends``, ``min_margin`` and ``max_per_problem`` take single pairs away. An expansion
    counts under them only when that leaves it without any.
    """
    pairs: list[PreferencePair] = []
    dropped: Counter[str] = Counter()
    agree: list[bool] = []
    num_problems = num_expansions = 0
    given_up: Counter[str] = Counter()
    for tree in trees:
        num_problems += 1
        num_expansions += len(tree.expansions)
        given_up.update([tree.given_up] if tree.given_up is not None else ())
        found: list[tuple[Expansion, list[PreferencePair]]] = []
        solved = {place for end in tree.solutions for place in tree.path(end)}
        name = tree.problem.id if iteration is None else f"{iteration}/{tree.problem.id}"
        for number, made in enumerate(tree.expansions):
            result = _mine(tree, number, solved, options, f"{name}/{number}")
            if isinstance(result, str):
                dropped[result] += 1
                continue
            held = [pair for pair in result if not (options.require_both_orders and contradicts(made, pair))]
            alike = [pair for pair in held if options.ends == "any" or ends_alike(pair.chosen, pair.rejected)]
            wide = [pair for pair in alike if pair.margin >= options.min_margin]
            if wide:
                found.append((made, wide))
            else:
                dropped["min_margin" if alike else "across_end" if held else "contradicted"] += 1
        by_margin = sorted(chain.from_iterable(members for _, members in found), key=lambda pair: -pair.margin)
        widest = {pair.id for pair in by_margin[: options.max_per_problem]}
        for made, members in found:
            kept = [pair for pair in members if pair.id in widest]
            if not kept:
                dropped["over_max_per_problem"] += 1
            pairs += kept
            told = (contradicts(made, pair) for pair in kept)
            agree += [not one for one in told if one is not None]
    return MinedPairs(tuple(pairs), dict(dropped), tuple(agree), num_problems, num_expansions, dict(given_up))


def contradicts(made: Expansion, pair: PreferencePair) -> bool | None:
    """Whether the two orders contradict each other on the steps of a pair of an expansion: both name the first shown.

    None where the judge was not asked in both orders.
    """
    told = made.whole[pair.chosen.text].judgement.contradicted
    return None if told is None else short_hash(pair.rejected.text) in told


def ends_alike(one: Step, other: Step) -> bool:
    """Whether both steps end the solution, or neither does."""
    return (one.stop is None) == (other.stop is None)


def explain_no_pairs(mined: MinedPairs) -> str:
    """Say in one line why `mined` holds no pairs, with counts, and what to change."""
    line = f"no preference pairs from {mined.num_problems} problems and {mined.num_expansions} expansions"
    if told := explain_dropped(mined):
        line += f": {told}"
    if mined.given_up:
        line += "; given up: " + ", ".join(f"{count} for {why}" for why, count in sorted(mined.given_up.items()))
    advice = next((_ADVICE[cause] for cause, _ in _causes(mined) if cause in _ADVICE), None)
    return f"{line}; {advice}" if advice else line


def explain_dropped(mined: MinedPairs) -> str:
    """Say in a clause how many expansions gave no pair, by cause, the commonest first; nothing where all gave one."""
    return ", ".join(f"{count} {_CAUSES[cause]}" for cause, count in _causes(mined))


def _causes(mined: MinedPairs) -> list[tuple[str, int]]:
    return sorted(mined.dropped.items(), key=lambda item: (-item[1], item[0]))


def _mine(
    tree: SearchTree, number: int, solved: Container[tuple[int, int]], options: PairsConfig, name: str
) -> list[PreferencePair] | str:
    """Give the pairs of one expansion, widest first, or the cause why it has none.

    Args:
        tree: Of one problem.
        number: Of the expansion.
        solved: The (expansion, candidate) of every step of a solution.
        options: Which rejected candidates, and what ranks them.
        name: Of the pair with the lowest one.
    """
    made = tree.expansions[number]
    scores = made.scores
    if options.by == "worth":
        scores = {i: one.worth for i, one in enumerate(made.candidates) if one.worth is not None}
    cause = _no_pair(made)
    if number in tree.dropped:
        return "rolled_back"
    on_path = [i for i in made.kept if (number, i) in solved]
    if not on_path:
        if tree.given_up is not None and made.kept:
            return "given_up"
        return cause or ("left" if made.kept or any(one.worth is not None for one in made.candidates) else "tie")
    if cause is not None:
        return cause
    readable = [i for i in on_path if i in scores]
    if not readable:
        return "unreadable"
    chosen = max(readable, key=scores.__getitem__)
    below = _below(made, scores, chosen)
    if not below:
        return "tie"
    lowest, *others = below
    if options.length_tier is not None:
        chosen, lowest = _by_length(made, scores, options.length_tier)
    return [
        PreferencePair(
            id=name if rejected == lowest else f"{name}/{rejected}",
            prefix=tree.prefix(number),
            chosen=made.candidates[chosen].step,
            rejected=made.candidates[rejected].step,
            margin=(margin := scores[chosen] - scores[rejected]),
            doubt=vote_doubt(margin) if options.labels == "votes" else 0.0,
        )
        for rejected in (lowest, *(others if options.rejected == "all" else ()))
    ]


def _below(made: Expansion, scores: Mapping[int, float], chosen: int) -> list[int]:
    """The candidates with other texts that score below the chosen one, lowest first, each text once."""
    texts = [candidate.step.text for candidate in made.candidates]
    below: dict[str, int] = {}
    for i in sorted(scores, key=scores.__getitem__):
        if scores[i] < scores[chosen] and texts[i] != texts[chosen]:
            below.setdefault(texts[i], i)
    return list(below.values())


def _by_length(made: Expansion, scores: Mapping[int, float], share: float) -> tuple[int, int]:
    """Choose the shortest of the best candidates and the longest of the worst (Meta-Rewarding, arXiv 2407.19594).

    The best are those from ``(1 - share) max + share min`` on; the worst, likewise, those up to
    ``(1 - share) min + share max``. Both hold a candidate, and below a share of one half never the same.
    """
    most, least = max(scores.values()), min(scores.values())
    best = [i for i, score in scores.items() if score >= (1 - share) * most + share * least]
    worst = [i for i, score in scores.items() if score <= (1 - share) * least + share * most]

    def length(i: int) -> int:
        step = made.candidates[i].step
        return len(step.text if step.tokens is None else step.tokens)

    return min(best, key=lambda i: (length(i), -scores[i], i)), max(worst, key=lambda i: (length(i), -scores[i], -i))


def _no_pair(made: Expansion) -> str | None:
    """Say why an expansion cannot hold a pair, whatever was kept."""
    if not made.whole:
        stops = {candidate.step.stop for candidate in made.candidates}
        return "no_room" if stops == {Stop.NO_ROOM} else "filtered" if stops == {Stop.FILTERED} else "truncated"
    if len(made.whole) == 1:
        return "unanimous"
    if sum(candidate.judgement.score is not None for candidate in made.whole.values()) < 2:
        return "unreadable"
    return None
