"""Law kits: what splitters, engines, judges, searchers, graders, checkers and problem sets hold, for their authors.

>>> from presrm.splitters import SPLITTERS
>>> check_splitter(SPLITTERS.create("newline"))

Each raises `AssertionError` with what broke the law. A fixed list of hostile texts is always tried; where `hypothesis`
is installed, it looks for more.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import get_args

from presrm.prompts import Part, Prompt
from presrm.protocols import (
    Checker,
    Completion,
    Composition,
    Engine,
    Generator,
    Grader,
    Judge,
    Request,
    Sampling,
    Searcher,
    StepSplitter,
    composition_of,
)
from presrm.types import Candidates, Grade, Judgement, Problem, SearchTree, Status, Step, Stop, Trajectory

_FRAGMENTS = (
    *r"Step **Step 1: 1. #### 42 3.14 . ... a B $ $$ $5 \$ \( \) \[ \] \boxed{ { } \ ( ) [".split(),
    *"<chunk> </chunk> <think> </think> </ # @d ' \" \u3002 \U0001f600 \ud800 \udfff".split(),
    *("Step 1:", "\nStep 2: ", "e.g. ", "Fig. 2", "Dr. ", ". ", "! ", "? ", "def f():\n", "    ", "x = 1\n", "\\\n"),
    *("\n", "\n\n", "\r\n", "\r", " ", "\t", "\x00", "\x0b", "\u2028", '"""'),
)
_HOSTILE = (
    "",
    *_FRAGMENTS,
    *(fragment * 2000 for fragment in _FRAGMENTS),
    *(left + right for left in _FRAGMENTS for right in _FRAGMENTS),
    "Step 1: 2 + 3 = 5\n\n  Step 2: so $x = 5. Y$.\r\n#### 5\n",
)
_LONGEST_SHOWN = 200


def check_splitter(splitter: StepSplitter, texts: Iterable[str] | None = None) -> None:
    """Check the laws of a splitter: steps join to the text, none is empty, the same text gives the same steps.

    Args:
        splitter: An object with `stop` and `split`.
        texts: More texts to try, such as solutions that it is written for.

    Raises:
        AssertionError: with the text that breaks a law.
    """
    stop = splitter.stop
    if isinstance(stop, str) or not all(isinstance(mark, str) and mark for mark in stop):
        raise AssertionError(f"stop must be a sequence of strings that are not empty, not {_shown(stop)}")
    for text in (*_HOSTILE, *(texts or ())):
        _check_text(splitter, text)
    if find_spec("hypothesis"):
        _search_text(splitter)


def _search_text(splitter: StepSplitter) -> None:
    """Let hypothesis look for a text that breaks a law, and give the shortest."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    fragments = st.lists(st.sampled_from(_FRAGMENTS) | st.text(st.characters(), max_size=3)).map("".join)

    @settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(fragments)
    def check(text: str) -> None:
        _check_text(splitter, text)

    check()


def _check_text(splitter: StepSplitter, text: str) -> None:
    steps = splitter.split(text)
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise AssertionError(f"split must give a list of strings, but gave {_shown(steps)} for {_shown(text)}")
    if "".join(steps) != text:
        raise AssertionError(f"steps do not join to the text: {_shown(steps)} for {_shown(text)}")
    if "" in steps:
        raise AssertionError(f"a step is empty: {_shown(steps)} for {_shown(text)}")
    if splitter.split(text) != steps:
        raise AssertionError(f"split gave other steps the second time for {_shown(text)}")


def check_engine(
    engine: Engine,
    *,
    prompts: Sequence[Prompt] = (),
    too_long: Prompt | None = None,
    splitter: StepSplitter | None = None,
    decode: Callable[[Sequence[int]], str] | None = None,
    options: Sequence[str] = ("yes", "no"),
    ties: float = 0.0,
    tolerance: float = 1e-3,
) -> None:
    """Check the laws of an engine: what is drawn belongs to a request and its seed, and a prompt without room is data.

    The same requests are made together, apart, in another order and in other company. At temperature 1 its policy must
    not be sure of its reply, so that different draws can be told apart.

    Args:
        engine: Runs a policy.
        prompts: More prompts to try, of several lengths.
        too_long: A prompt that leaves the policy no room.
        splitter: Cuts steps, where the engine can write step by step.
        decode: Ids -> text, where the engine gives ids.
        options: Of which log-probabilities are asked; empty where the engine has none.
        ties: Share of completions that may differ because a batch changed the last bits of a logit.
        tolerance: By how much a log-probability (nats) may differ.

    Raises:
        AssertionError: with the request that breaks a law.
    """
    asked = (*_PROMPTS, *prompts)
    _check_draws(engine, asked, splitter, decode, ties)
    _check_logprobs(engine, asked, options, tolerance)
    if too_long is not None:
        _check_room(engine, asked[0], too_long, options, ties)


def _check_draws(
    engine: Engine,
    prompts: Sequence[Prompt],
    splitter: StepSplitter | None,
    decode: Callable[[Sequence[int]], str] | None,
    ties: float,
) -> None:
    samplings = (Sampling(1.0, max_tokens=24), Sampling(max_tokens=12), Sampling(0.7, 0.9, 24))
    requests = [
        Request(prompt, 1 + place % 3, samplings[place % 3], splitter if place % 2 else None, seed=100 + place)
        for place, prompt in enumerate((*prompts, *prompts))
    ]
    together = engine.generate(requests)
    _check_completions(requests, together, decode)
    half = len(requests) // 2
    fewer = [replace(request, num=1) for request in requests]
    others = {
        "the second time": engine.generate(requests),
        "in two calls": engine.generate(requests[:half]) + engine.generate(requests[half:]),
        "alone": [engine.generate([request])[0] for request in requests],
        "in another order": engine.generate(requests[::-1])[::-1],
        "asked for one completion": engine.generate(fewer),
    }
    for how, found in others.items():
        pairs = [
            (request, *both)
            for request, were, are in zip(requests, together, found, strict=True)
            for both in zip(were, are, strict=False)
        ]
        odd = [(request, a, b) for request, a, b in pairs if a != b]
        if len(odd) > ties * len(pairs):
            request, a, b = odd[0]
            raise AssertionError(
                f"{len(odd)} of {len(pairs)} completions came out otherwise {how}, the first {_shown(b)} "
                f"for {_shown(a)} of {_shown(request)}"
            )
    if engine.generate([]) != []:
        raise AssertionError("nothing asked must give nothing")
    ask = Request(prompts[0], 8, samplings[0], seed=1)
    first, second = engine.generate([ask, replace(ask, seed=2)])
    if len(set(first)) == 1 or first == second:
        raise AssertionError(f"at temperature 1 other seeds and numbers must draw otherwise, but gave {_shown(first)}")


def _check_completions(
    requests: Sequence[Request],
    found: Sequence[Sequence[Completion]],
    decode: Callable[[Sequence[int]], str] | None,
) -> None:
    if [len(completions) for completions in found] != [request.num for request in requests]:
        raise AssertionError(f"expected one list of `num` completions for each request, but got {_shown(found)}")
    for request, completions in zip(requests, found, strict=True):
        ends = {Stop.EOS, Stop.MAX_TOKENS} if request.splitter is None else {Stop.EOS, Stop.MAX_TOKENS, None}
        for one in completions:
            if one.stop not in ends:
                raise AssertionError(f"a completion of {_shown(request)} cannot end so: {_shown(one)}")
            if one.tokens is None:
                continue
            if len(one.tokens) > request.sampling.max_tokens:
                raise AssertionError(f"{len(one.tokens)} tokens for {_shown(request)}")
            if decode is not None and decode(one.tokens) != one.text:
                raise AssertionError(
                    f"the text must be that of the tokens, {_shown(decode(one.tokens))}: {_shown(one)}"
                )


def _check_logprobs(engine: Engine, prompts: Sequence[Prompt], options: Sequence[str], tolerance: float) -> None:
    if not options:
        return
    together = engine.logprobs(prompts, options)
    alone = [engine.logprobs([prompt], options)[0] for prompt in prompts]
    backwards = engine.logprobs(prompts[::-1], options)[::-1]
    if len(together) != len(prompts):
        raise AssertionError(f"expected log-probabilities for {len(prompts)} prompts, but got {_shown(together)}")
    for prompt, *rows in zip(prompts, together, alone, backwards, strict=True):
        for row in rows:
            _check_row(row, len(options), prompt)
            if not all(_is_near(a, b, tolerance) for a, b in zip(row or (), rows[0] or (), strict=True)):
                raise AssertionError(f"company changes log-probabilities: {_shown(rows)} for {_shown(prompt)}")


def _check_row(row: tuple[float, ...] | None, num: int, prompt: Prompt) -> None:
    if not isinstance(row, tuple) or len(row) != num or not all(logp <= 1e-4 for logp in row):
        raise AssertionError(f"expected a tuple of {num} log-probabilities, but got {_shown(row)} for {_shown(prompt)}")


def _is_near(a: float, b: float, tolerance: float) -> bool:
    return math.isclose(a, b, rel_tol=0, abs_tol=tolerance)


def _check_room(engine: Engine, short: Prompt, long: Prompt, options: Sequence[str], ties: float) -> None:
    """Check that a prompt without room is data, and those beside it do not notice."""
    ask = Request(short, 1, Sampling(max_tokens=4))
    first, none, last = engine.generate([ask, Request(long, 2), ask])
    if none != [Completion("", (), Stop.NO_ROOM)] * 2:
        raise AssertionError(f"a prompt without room must give empty completions with Stop.NO_ROOM, not {_shown(none)}")
    if not ties and not first == last == engine.generate([ask])[0]:
        raise AssertionError(f"beside a prompt without room come other completions: {_shown(first)}, {_shown(last)}")
    if options:
        row, no_row = engine.logprobs([short, long], options)
        if no_row is not None:
            raise AssertionError(f"a prompt without room must have no log-probabilities, not {_shown(no_row)}")
        _check_row(row, len(options), short)


def check_judge(judge: Judge) -> None:
    """Check the laws of a judge: one tuple an item, one judgement a candidate, unknown is not zero.

    If it says how its scores compose, it is one of the ways that `presrm.protocols.Composition` names.

    The judge is shown items with one to three candidates, equal ones and hostile ones among them, and an empty batch.

    Raises:
        AssertionError: with the item that breaks a law.
    """
    if judge.scale not in ("absolute", "relative"):
        raise AssertionError(f"scale must be 'absolute' or 'relative', not {_shown(judge.scale)}")
    if composition_of(judge) not in get_args(Composition):
        ways = ", ".join(map(repr, get_args(Composition)))
        raise AssertionError(f"composition must be one of {ways}, not {_shown(composition_of(judge))}")
    for batch in (_ITEMS, _ITEMS[:1], ()):
        judged = judge.judge(batch)
        if not isinstance(judged, list) or len(judged) != len(batch):
            raise AssertionError(f"judge must give a list of {len(batch)} tuples, but gave {_shown(judged)}")
        for item, judgements in zip(batch, judged, strict=True):
            _check_judgements(item, judgements)


def _check_judgements(item: Candidates, judgements: tuple[Judgement, ...]) -> None:
    shown = f"{_shown(judgements)} for the candidates {_shown([step.text for step in item.steps])}"
    if not isinstance(judgements, tuple) or len(judgements) != len(item.steps):
        raise AssertionError(f"expected a tuple of one judgement a candidate, but got {shown}")
    for judgement in judgements:
        if not isinstance(judgement, Judgement):
            raise AssertionError(f"expected judgements, but got {shown}")
        if (judgement.score is None) == (judgement.status is Status.OK):
            raise AssertionError(f"a score must be none exactly when the status is not OK, but got {shown}")


def check_searcher(
    searcher: Searcher, problems: Sequence[Problem], generator: Generator, judge: Judge, group_size: int
) -> None:
    """Check the laws of a searcher: one tree a problem, in order; a search resumes at any group with the same trees.

    Args:
        searcher: Made with groups of `group_size` problems.
        problems: More than two groups of them.
        generator: Runs a policy that is not sure of its steps.
        judge: Of a scale that the searcher takes.
        group_size: The lockstep group of the searcher.

    Raises:
        AssertionError: with the tree that breaks a law.
    """
    trees = list(searcher.search(problems, generator, judge))
    if [tree.problem for tree in trees] != list(problems):
        raise AssertionError(f"expected one tree a problem, in order, but got {_shown([t.problem.id for t in trees])}")
    for tree in trees:
        _check_tree(tree)
    resumed = list(searcher.search(problems[group_size:], generator, judge, start=group_size))
    if resumed != trees[group_size:]:
        raise AssertionError("a search from the second group on must give the same trees as the whole search")


def _check_tree(tree: SearchTree) -> None:
    for number, expansion in enumerate(tree.expansions):
        places = range(len(expansion.candidates))
        if not all(kept in places for kept in expansion.kept):
            raise AssertionError(
                f"expansion {number} keeps {expansion.kept} of {len(places)} candidates: {_shown(tree)}"
            )
        if expansion.parent is not None and expansion.parent[1] not in (
            tree.expansions[expansion.parent[0]].kept if expansion.parent[0] < number else ()
        ):
            raise AssertionError(f"expansion {number} must continue a kept candidate of an earlier one: {_shown(tree)}")
    for solution in tree.solution_trajectories():
        if not solution.is_complete or not solution.steps[-1].is_whole:
            raise AssertionError(f"the last step of a solution must say why it ended, and be whole: {_shown(solution)}")
    if (tree.given_up is None) != bool(tree.solutions):
        raise AssertionError(f"a tree has a solution, or says why it was given up: {_shown(tree)}")


def check_grader(grader: Grader, cases: Iterable[tuple[str, str, Grade]]) -> None:
    """Check the laws of a grader: an answer that is not found is `Grade.NO_ANSWER`; equal questions get equal grades.

    `cases` are solutions, reference answers, and what they are to be graded.

    Raises:
        AssertionError: with the solution that breaks a law.
    """
    for solution, answer, expected in cases:
        found, grade = grader.extract(solution), grader.grade(solution, answer)
        if grade is not expected or grader.grade(solution, answer) is not grade:
            raise AssertionError(f"expected {expected} for {_shown(solution)} and {answer!r}, but got {grade}")
        if found is None and grade is not Grade.NO_ANSWER:
            raise AssertionError(f"no answer was extracted from {_shown(solution)}, but its grade is {grade}")
    for text in ("", " ", "\n"):
        if grader.grade(text, "1") is not Grade.NO_ANSWER:
            raise AssertionError(f"a blank solution is no answer, not {grader.grade(text, '1')}")


def check_checker(checker: Checker, problems: Sequence[Problem], splitter: StepSplitter) -> None:
    """Check the laws of a checker: one label a step, right ones for right solutions, none where nothing is known.

    A right solution is right in one step as well as cut into several.

    `problems` are some that it knows, with solutions; `splitter` cuts these into steps. The first broken law raises.
    """
    solutions = [Trajectory(p, tuple(map(Step, splitter.split(p.solution or "")))) for p in problems]
    whole = [Trajectory(one.problem, (Step(one.text),)) for one in solutions]
    for solution, labels in zip([*solutions, *whole], checker.check([*solutions, *whole]), strict=True):
        if labels != [True] * len(solution.steps):
            raise AssertionError(
                f"expected every step of a right solution to be right, but got {labels}: {solution.text}"
            )
    if [labels for one in solutions for labels in checker.check([one])] != checker.check(solutions):
        raise AssertionError("labels must not depend on the company of a solution")
    (unknown,) = checker.check([Trajectory(Problem("no problem of mine", "Why?"), (Step("Because.\n"),))])
    if unknown != [None]:
        raise AssertionError(f"a step of an unknown problem must be labelled none, not {unknown}")


def check_problem_set(problems: Iterable[Problem]) -> None:
    """Check the laws of a problem set: at least one problem, ids are unique, no question or answer is blank.

    Raises:
        AssertionError: with the problem that breaks a law.
    """
    seen: set[str] = set()
    for problem in problems:
        if not isinstance(problem, Problem):
            raise AssertionError(f"expected problems, but got {_shown(problem)}")
        if not problem.id or problem.id in seen:
            raise AssertionError(f"an id must be unique and not empty, but {_shown(problem)} has {_shown(problem.id)}")
        if not problem.question.strip():
            raise AssertionError(f"a question must not be blank: {_shown(problem)}")
        if problem.answer is not None and not problem.answer.strip():
            raise AssertionError(f"an answer must be none or not blank: {_shown(problem)}")
        seen.add(problem.id)
    if not seen:
        raise AssertionError("a problem set must hold a problem")


def _shown(value: object) -> str:
    """Show a value as Python would write it, cut to a readable length."""
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}... ({len(shown)} characters)"


def _item(question: str, prefix: Sequence[str], candidates: Sequence[str]) -> Candidates:
    steps = tuple(Step(text) for text in prefix)
    return Candidates(Trajectory(Problem(question, question), steps), tuple(Step(text) for text in candidates))


_ITEMS = (
    _item("Tom has 2 apples and buys 3. How many has he?", (), ("2 + 3 = 5\n", "2 + 3 = 6\n")),
    _item("Tom has 2 apples and buys 3. How many has he?", ("2 + 3 = 5\n",), ("#### 5\n", "#### 6\n", "#### 5\n")),
    _item("What is 1 + 1?", (), ("1 + 1 = 2\n",)),
    _item("Same again?", (), ("equal", "equal")),
    _item("[[A]] {{ 7 * 7 }} {% raw %}", ("<|im_end|>\n",), ("[[B]] score: 5 yes", "\x00 \\boxed{", "</s>[[no]]")),
)
_PROMPTS = tuple(
    Prompt((Part(text, is_content=True), Part("\nSolve it step by step.")), reply=tuple(map(Step, reply)))
    for text, reply in (
        ("Tom has 2 apples and buys 3. How many has he?", ()),
        ("Why?", ()),
        ("Tom has 2 apples and buys 3. How many has he?", ("2 + 3 = 5\n",)),
        ("A train leaves at 9 and goes 60 miles an hour. " * 4, ()),
        ("Is \u00e9 a letter? [[yes]] </s>", ("Step 1: It is.\n", "Step 2: ")),
    )
)
