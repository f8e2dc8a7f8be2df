r"""Old solutions -> steps, where the policy says where each begins (the segmentation of IFT data, paper section 3.2).

The policy writes a solution anew with ``Step n:`` put before each step. Its reply is only read for where the markers
stand: steps are cut out of the solution itself, and only if the reply holds the solution's text, all of it and nothing
else, between markers and the white space around them.

>>> find_steps("Half of 6 is 3. So $\\boxed{3}$.", "Step 1: Half of 6 is 3.\nStep 2: So $\\boxed{3}$.")
['Half of 6 is 3. ', 'So $\\boxed{3}$.']
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from presrm.errors import DataError
from presrm.formats.fields import question_of
from presrm.formats.solutions import solution_text
from presrm.prompts import PromptSet
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import Problem, Stop

_MARKER = re.compile(r"\bStep ([0-9]{1,4}):")
_ROOM = 256  # tokens, for the markers


class SegmentationError(DataError):
    """A solution that was not segmented; the message says why."""


def segment_rows(
    rows: Iterable[Mapping[str, Any]], engine: Engine, prompts: PromptSet, *, group_size: int = 64
) -> Iterator[dict[str, Any] | DataError]:
    """Let the policy segment the solutions of rows: each gains ``steps``, which join to it, and ``segmented``.

    ``segmented`` is the solution with a line for each step, which begins with its marker.

    Args:
        rows: With a question and a solution.
        engine: Runs the policy.
        prompts: The set whose ``segment`` template is asked.
        group_size: Solutions asked for at once.

    Yields:
        For each row the new row; in its place a `SegmentationError`, or a `DataError` for a row that cannot be asked.

    Raises:
        ConfigError: if the prompt set has no such template.
    """
    rest = iter(rows)
    while group := list(islice(rest, group_size)):
        asked = [_read(row) for row in group]
        found = iter(segment(engine, prompts, [each for each in asked if not isinstance(each, DataError)]))
        for row, each in zip(group, asked, strict=True):
            steps = each if isinstance(each, DataError) else next(found)
            if isinstance(steps, DataError):
                yield steps
            else:
                marked = "\n".join(f"Step {number}: {step.strip()}" for number, step in enumerate(steps, 1))
                yield {**row, "steps": steps, "segmented": marked}


def segment(
    engine: Engine, prompts: PromptSet, solutions: Sequence[tuple[str, str]]
) -> list[list[str] | SegmentationError]:
    """Let the policy segment solutions, given as a question and a text, greedily.

    Returns:
        For each its steps, or why it has none.
    """
    open_ones = [(question, text) for question, text in solutions if not _MARKER.search(text)]
    requests = []
    for question, text in open_ones:
        sampling = Sampling(max_tokens=len(text) + _ROOM)  # a token is hardly ever shorter than a character
        prompt = prompts.segment(Problem("", question), text)
        requests.append(Request(prompt, sampling=sampling, seed=derive_seed("segment", text)))
    replies = iter(engine.generate(requests) if requests else [])
    return [
        SegmentationError("the solution has markers already: cut it with --splitter marker")
        if _MARKER.search(text)
        else _take(text, *next(replies))
        for _, text in solutions
    ]


def _read(row: Mapping[str, Any]) -> tuple[str, str] | DataError:
    try:
        return question_of(row), solution_text(row)
    except DataError as error:
        return error


def _take(solution: str, reply: Completion) -> list[str] | SegmentationError:
    if reply.stop is Stop.NO_ROOM:
        return SegmentationError("the policy reads fewer tokens than the question and the solution have")
    if reply.stop is Stop.MAX_TOKENS:
        return SegmentationError("the reply is cut off")
    try:
        return find_steps(solution, reply.text)
    except SegmentationError as error:
        return error


def find_steps(solution: str, reply: str) -> list[str]:
    """Cut a solution, which holds no marker, where a reply put its markers.

    Raises:
        SegmentationError: if the markers are not ``Step 1:``, ``Step 2:``, ..., or the reply holds other text.
    """
    before, *marked = _MARKER.split(reply)
    numbers, pieces = marked[::2], [piece.strip() for piece in marked[1::2]]
    if not numbers:
        raise SegmentationError("the reply has no marker")
    if [int(number) for number in numbers] != list(range(1, len(numbers) + 1)):
        raise SegmentationError("the markers are not numbered 1, 2, ...")
    if before.strip():
        raise SegmentationError("the reply has text before its first marker")
    if not all(pieces):
        raise SegmentationError("a marker has no step")
    starts, end = [], 0
    for number, piece in enumerate(pieces, 1):
        start = len(solution) - len(solution[end:].lstrip())
        if not solution.startswith(piece, start):
            raise SegmentationError(f"step {number} of the reply is not what the solution says there")
        starts.append(start)
        end = start + len(piece)
    if solution[end:].strip():
        raise SegmentationError("the reply leaves out the end of the solution")
    return [solution[a:b] for a, b in pairwise([0, *starts[1:], len(solution)])]
