"""Trees -> preference pairs, with what ``pairs`` asks for that takes a policy: another judge, or another proposer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from presrm.config import PairsConfig
from presrm.credit.consistency import doubts, rank_agreement
from presrm.credit.pairs import MinedPairs, ends_alike, mine_pairs
from presrm.credit.solutions import imitate_solutions
from presrm.files.run import IterationDir
from presrm.judging.problems import Judgements
from presrm.methods.stages import Stages
from presrm.types import Candidates, Checkpoint, Lesson, PreferencePair, SearchTree, Step


def mined_pairs(
    trees: Sequence[SearchTree], options: PairsConfig, policy: Checkpoint, stages: Stages, iteration: IterationDir
) -> MinedPairs:
    """Mine pairs, and mend them: anchored rejection, then the second judge, then how far a pair is in doubt.

    Args:
        trees: Searched with `policy`.
        options: Which pairs.
        policy: Searched, and judges again.
        stages: What can be done.
        iteration: Gets ``anchors.jsonl`` and ``anchored.jsonl``, ``second.jsonl``, ``before.jsonl``, as needed.
    """
    mined = mine_pairs(trees, options, iteration.number)
    if options.anchor:
        mined = replace(mined, pairs=_anchored(mined.pairs, options, policy, stages, iteration))
    if options.second_judge is not None:
        mined = _agreed(mined, policy, stages, iteration)
    if options.consistency != "off":
        confidences = _confidences(mined.pairs, trees, policy, stages, iteration)
        found = doubts(confidences, by=options.consistency)
        mined = replace(mined, pairs=tuple(map(_doubted, mined.pairs, found)))
    return mined


def with_solutions(
    pairs: Sequence[PreferencePair], trees: Sequence[SearchTree], options: PairsConfig, iteration: IterationDir
) -> list[Lesson]:
    """Put the solutions that the searches arrived at beside the pairs, as ``pairs.solution_weight`` says."""
    if not options.solution_weight:
        return [*pairs]
    shown = imitate_solutions(trees, str(iteration.number), options.solution_weight, min_score=options.solution_min)
    return [*pairs, *shown]


def _doubted(pair: PreferencePair, doubt: float) -> PreferencePair:
    return replace(pair, doubt=doubt)


def _anchored(
    pairs: Sequence[PreferencePair], options: PairsConfig, policy: Checkpoint, stages: Stages, iteration: IterationDir
) -> tuple[PreferencePair, ...]:
    """Reject what M1 proposes where the judge scores it lower (Temporal Self-Rewarding, arXiv 2508.06026).

    All three steps are judged together, so that a judge of relative scale compares them; the margin is of that judging.
    """
    proposed = stages.propose([pair.prefix for pair in pairs], stages.start(), iteration, "anchors.jsonl")
    items = [
        Candidates(pair.prefix, (pair.chosen, pair.rejected, step)) for pair, step in zip(pairs, proposed, strict=True)
    ]
    judged = stages.judge_again(items, policy, iteration, "anchored.jsonl")
    mended = list(map(_with_anchor, pairs, proposed, judged))
    if options.ends == "alike":
        mended = [new if ends_alike(new.chosen, new.rejected) else old for new, old in zip(mended, pairs, strict=True)]
    return tuple(mended)


def _with_anchor(pair: PreferencePair, anchor: Step, judged: Judgements) -> PreferencePair:
    chosen, rejected, other = (judgement.score for judgement in judged.judgements)
    if not anchor.is_whole or chosen is None or rejected is None or other is None:
        return pair
    return replace(pair, rejected=anchor, margin=chosen - other) if other < rejected <= chosen else pair


def _agreed(mined: MinedPairs, policy: Checkpoint, stages: Stages, iteration: IterationDir) -> MinedPairs:
    """Keep the pairs that the second judge orders alike; of an expansion that has none left the cause is disagreed."""
    items = [Candidates(pair.prefix, (pair.chosen, pair.rejected)) for pair in mined.pairs]
    judged = stages.judge_again(items, policy, iteration, "second.jsonl", second=True)
    agree = [
        chosen.score is not None and rejected.score is not None and chosen.score > rejected.score
        for chosen, rejected in (one.judgements for one in judged)
    ]
    kept = tuple(pair for pair, is_agreed in zip(mined.pairs, agree, strict=True) if is_agreed)
    lost = {place_of(pair) for pair in mined.pairs} - {place_of(pair) for pair in kept}
    dropped = Counter(mined.dropped)
    dropped.update({"disagreed": len(lost)} if lost else {})
    both = mined.both_orders
    orders = tuple(one for one, is_agreed in zip(both, agree, strict=True) if is_agreed) if both else ()
    return replace(mined, pairs=kept, dropped=dict(dropped), both_orders=orders)


def _confidences(
    pairs: Sequence[PreferencePair],
    trees: Sequence[SearchTree],
    policy: Checkpoint,
    stages: Stages,
    iteration: IterationDir,
) -> list[float | None]:
    """How far the judge of the policy before ranks the candidates of each pair as this one did; none without one."""
    earlier = stages.before(policy, iteration)
    if earlier is None:
        return [None] * len(pairs)
    scored = {
        f"{iteration.number}/{tree.problem.id}/{number}": (tree.prefix(number), tree.expansions[number])
        for tree in trees
        for number in range(len(tree.expansions))
    }
    asked = [scored[place_of(pair)] for pair in pairs]
    items = [Candidates(prefix, tuple(one.step for one in made.whole.values())) for prefix, made in asked]
    judged = stages.judge_again(items, earlier, iteration, "before.jsonl")
    return [
        rank_agreement([one.judgement.score for one in made.whole.values()], [one.score for one in again.judgements])
        for (_, made), again in zip(asked, judged, strict=True)
    ]


def place_of(pair: PreferencePair) -> str:
    """Name the expansion that a pair is from: ``<iteration>/<problem>/<expansion>``, see `PreferencePair.id`.

    >>> from presrm.types import Problem, Trajectory
    >>> pair = PreferencePair("2/p/1/0/3", Trajectory(Problem("p/1", "?")), Step("a"), Step("b"), 1.0)
    >>> place_of(pair)
    '2/p/1/0'
    """
    iteration, _, rest = pair.id.partition("/")
    problem = pair.prefix.problem.id
    return f"{iteration}/{problem}/{rest.removeprefix(f'{problem}/').partition('/')[0]}"
