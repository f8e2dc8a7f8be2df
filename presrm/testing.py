"""Law kits: what a splitter, a judge and a problem set must hold, for the tests of their authors.

>>> from presrm.splitters import SPLITTERS
>>> check_splitter(SPLITTERS.create("newline"))

Each raises `AssertionError` with what broke the law. A fixed list of hostile texts is always tried; where `hypothesis`
is installed, it looks for more.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from presrm.protocols import Judge, StepSplitter
from presrm.types import Candidates, Judgement, Problem, Status, Step, Trajectory

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


def check_judge(judge: Judge) -> None:
    """Check the laws of a judge: one tuple an item, one judgement a candidate, unknown is not zero.

    The judge is shown items with one to three candidates, equal ones and hostile ones among them, and an empty batch.

    Raises:
        AssertionError: with the item that breaks a law.
    """
    if judge.scale not in ("absolute", "relative"):
        raise AssertionError(f"scale must be 'absolute' or 'relative', not {_shown(judge.scale)}")
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
