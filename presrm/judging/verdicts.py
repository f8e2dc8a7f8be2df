"""What a judge's reply says, before it becomes a score.

Two ways to read a verdict: from a reply that ends with it (`read_end`, the one reader of all written kinds), or
*directly*, from the probabilities of two words. `ask_explained` and `ask_direct` answer a question with two outcomes
and give the probability of the first.

A judge that reads its replies itself tells with `tell` what it read, so that the verdict ledger can keep it.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Protocol, TypeVar, runtime_checkable

from presrm.judging.critiques import TrainedMeta, better_half
from presrm.prompts import Prompt
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import LEAST_MASS, Candidates, Status, Stop, Verdict

EXPLANATION = Sampling(max_tokens=512)
"""How an explained verdict is written unless a judge is told otherwise: greedily."""
BRACKETS = re.compile(r"\[\[([^\[\]]*)\]\]")
"""Where most kinds of judge write their verdict: in ``[[...]]``."""
NUM_POINTS = 5
"""The most that the additive rubric gives."""
_POINTS = {str(points): points for points in range(NUM_POINTS + 1)}
HIGHEST_SCORE = 10
"""The most that a list of scores gives a candidate; the least is 1."""
_SCORES = {str(score): score for score in range(1, HIGHEST_SCORE + 1)}
_BOX = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_INDEX = re.compile(r"\s*(?:\\text\s*\{)?\s*(?:paragraph[\s_~]*)?\}?[\s_~]*(-1|[0-9]{1,9})\s*\}?\s*", re.IGNORECASE)
"""An index, perhaps as ``\\text{paragraph } 1`` or ``paragraph_1``."""
_NO_ROOM = Verdict(None, Status.REFUSED, "the question leaves the policy no room for a reply, or the server refuses it")
_WITHHELD = "(withheld by the content filter of the server)"
ValueT = TypeVar("ValueT")

_THOUGHT = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad)"
_OPENS = re.compile(
    rf"<\s*(?:\w+:)?{_THOUGHT}\b[^<>]*>"
    rf"|<\|\s*(?:(?:begin|start)_(?:of_)?)?{_THOUGHT}\s*\|>"
    r"|\[\s*think(?:ing)?\s*\]|◁\s*think\s*▷|<\|channel\|>\s*(?:analysis|commentary)\b",
    re.IGNORECASE,
)
_CLOSES = re.compile(
    rf"<\s*/\s*(?:\w+:)?{_THOUGHT}\s*>"
    rf"|<\|\s*(?:end_(?:of_)?|/\s*){_THOUGHT}\s*\|>"
    r"|\[\s*/\s*think(?:ing)?\s*\]|◁\s*/\s*think\s*▷"
    r"|<\|channel\|>\s*final\b|assistantfinal",  # the second where special tokens are left out of the text
    re.IGNORECASE,
)
_REST = re.compile(
    r"""(?: [^\w?,:;(\[{<>=+/&@#\u2013\u2014\u2026\uff08\uff0c\uff1a\uff1b\uff1f-] | _
        | </?[a-z][^<>\n]{0,40}> | <[|\uff5c][^<>\n]{0,40}[|\uff5c]> | (?<=\n)-{3,}(?=\s|\Z) )*""",
    re.VERBOSE | re.IGNORECASE,
)
"""What may stand behind a verdict: white space, closing punctuation, marks and signs, tags and end tokens."""
_SENTENCE_END = re.compile(r"""[.!?]['"\u201d\u2019)*_`\]]*(?=\s)\s*|[\u3002\uff01\uff1f]\s*|(?<![:,\s])\s*\n\s*""")
_QUIET = r"(?:[^\w.!?:\u3002\uff01\uff1a\uff1f]|_)"
_BESIDE = re.compile(
    rf"(?:[^\w?\uff1f]|_|\b(?:or|and|nor|vs|versus)\b)*|{_QUIET}*[^\W\d_]{{1,8}}{_QUIET}*", re.IGNORECASE
)
"""What parts two verdicts that stand side by side: marks, an "or", or one short word of any language."""
_OPENING = re.compile(r"[^\W\d_]{2}(?:(?<=[a-z]{2})[a-z]*)?")
"""How a line opens: its first word, or its first two letters in scripts that do not part words."""
_TURNS = re.compile(
    r"""\b(?:at\ first|first|initially|earlier|but|instead|rather|actually|now|wait|no|correction|final|finally
    |total|overall|altogether|so|therefore|thus|hence)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_CHOICE = re.compile(
    r"""\b(?:or|if|when|unless|else|otherwise|whether|oder|wenn|falls|sonst|ou|si|sinon|o|sino|se|caso|или|если|иначе)\b
    |[或若]|如果|否则|または|もし""",
    re.VERBOSE | re.IGNORECASE,
)
_CONCLUDES = re.compile(r"(?<!if )\b(?:so|therefore|thus|hence|consequently|since|because)\b", re.IGNORECASE)
_LONGEST_LEAD = 400
_DUTY = (
    r"(?:must|shall|should|(?:am|are|is)\s+to"
    r"|(?:have|has|had|needs?|needed|got|ought|wants?|wanted)\s+(?:(?:me|us)\s+)?to)"
)
_ORDER = re.compile(
    rf"""(?:
      \b{_DUTY}\s+(?:\w+\s+){{0,2}}?
        (?:end|finish|close|conclude|reply|respond|answer|write|output|print|return|state|say|give|use|choose|put)\b
    | \b(?:reply|response|answer|output|verdict|ending|form|format|judge?ment|it)\s+{_DUTY}\s+(?:only\s+)?be\b
    | \b(?:supposed|required|asks?|asked|tells?|told|instructs?|instructed|expects?|expected|meant|allowed)\s+
        (?:(?:me|us|you)\s+)?to\b
    | (?:^|[,;:"'(\u201c\u2018\u2013\u2014-]|\b(?:then|and|or|please|to|not))\s*
        (?:end|finish|conclude|reply|respond|answer)\s+(?:(?:my|your|the)\s+\w+\s+)?(?:with|in|by)\b
    | \byour\s+(?:reply|response|verdict)\b
    | (?<!\bI\s)\b(?:says|said|claims?|claimed|states|stated|writes|wrote|contains|asserts?|asserted|insists?)\b
    | \b(?:instructions?|prompt|template|format|form)\s+(?:is|was|says?|said|asks?|wants?|requires?|demands?)\b
    | \b(?:such\s+as|as\s+in|(?:for\s+)?example|sample|for\s+instance|e\.g\.|otherwise|else)
    | (?<!even\s)(?<!as\s)\b(?:if|when|unless)\b[^,;:]*
        \b(?:right|wrong|correct|incorrect|better|best|sound|valid|errors?|mistakes?|so|not)\b
    )
    (?:[\s:,*_~`'"\u2018-\u201d()$-]|\\[(\[]|\b(?:
        with|in|by|as|be|is|are|to|of|i|we|you|it|my|your|our|the|this|that|a|an|one|exactly|only|either|just|then|simply|
        will|shall|would|must|should|put|say|give|use|write|reply|answer|respond|end|output|form|format|verdict|response|
        final|last|line|words?|following|text|phrase|string|output
    )\b)*\Z""",
    re.VERBOSE | re.IGNORECASE,
)
"""An order, a condition or somebody's words that run into the verdict: then it is mentioned, not given."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a judge read in one reply.

    Attributes:
        verdict: In a few characters, as ``A`` or ``4``; nothing if it is unreadable.
        value: That verdict as one number, where it is one (see `presrm.files.ledger.Call`), else none.
        status: OK, or why there is no verdict.
    """

    verdict: str
    value: float | None = None
    status: Status = Status.OK


@runtime_checkable
class Listener(Protocol):
    """An engine that wants to know what a judge read in its replies."""

    def tell(self, readings: Sequence[Reading]) -> None:
        """Hear what was read in the replies of the last call, one after the other."""
        ...


def tell(engine: object, readings: Sequence[Reading]) -> None:
    """Tell an engine that listens what was read in the replies of its last call; others need not know.

    Args:
        engine: Was asked.
        readings: One for each reply, in the order of the requests; of a request with several replies one after another.
    """
    if readings and isinstance(engine, Listener):
        engine.tell(readings)


def read_end(
    reply: Completion, marker: re.Pattern[str], parse: Callable[[str], ValueT | None]
) -> tuple[ValueT | None, Status]:
    """Read the verdict that a reply ends with.

    Thoughts are passed over, closed or not, also where the reply holds only the closing tag, as under templates that
    open them in the prompt. Behind a verdict there may be white space, closing punctuation and markup, but no further
    word. Two different verdicts side by side, or in one sentence that does not take the first back, are none; nor is
    one that a quoted instruction, an order or a condition ends in.

    Args:
        reply: As written; that it was cut off does not matter where a verdict ends it.
        marker: Finds what is written in the form of a verdict; its group 1 is given to `parse`.
        parse: Gives the value of a verdict, or none for what is no verdict.

    Returns:
        The value and OK; else none and why: TRUNCATED for a reply that was cut off, REFUSED for one that was never
        written or is withheld, UNREADABLE for any other.
    """
    if reply.stop in (Stop.NO_ROOM, Stop.FILTERED):
        return None, Status.REFUSED
    value = _find_end(reply.text, marker, parse)
    if value is not None:
        return value, Status.OK
    return None, Status.TRUNCATED if reply.stop is Stop.MAX_TOKENS else Status.UNREADABLE


def without_thoughts(text: str) -> str:
    """Give what stands behind the thoughts of a reply: nothing where they do not end."""
    text = text[max((closed.end() for closed in _CLOSES.finditer(text)), default=0) :]
    return "" if _OPENS.search(text) else text


def _find_end(text: str, marker: re.Pattern[str], parse: Callable[[str], ValueT | None]) -> ValueT | None:
    text = without_thoughts(text)
    written = [(match, parse(match[1])) for match in marker.finditer(text)]
    if not written or written[-1][1] is None or not _REST.fullmatch(text, written[-1][0].end()):
        return None
    found = [(match, value) for match, value in written if value is not None]
    starts = [0, *(end.end() for end in _SENTENCE_END.finditer(text))]

    def is_mention(place: int) -> bool:
        """Whether a sentence speaks of verdicts instead of giving one."""
        match, value = found[place]
        start = max(start for start in starts if start <= match.start())
        others = [at for at, other in found[:place] if at.start() >= start and other != value]
        return any(not _takes_back(text[at.end() : match.start()]) for at in others) or _is_order(
            text[start : match.start()][-_LONGEST_LEAD:], text[match.end() :]
        )

    if is_mention(len(found) - 1):
        return None
    (last, value), before = found[-1], found[:-1]
    if before and before[-1][1] != value and _are_beside(text, before[-1][0], last):
        return value if is_mention(len(before) - 1) else None
    return value


def _are_beside(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    r"""Whether two verdicts stand side by side, or end two lines in a row that open alike, whatever the language.

    >>> texts = "[[yes]]\nou [[no]]", "Falls ja: [[yes]]\nFalls nein: [[no]]"
    >>> [_are_beside(text, *BRACKETS.finditer(text)) for text in texts]
    [True, True]
    """
    between = text[one.end() : other.start()]
    if _BESIDE.fullmatch(between):
        return not _TURNS.search(between)
    marks, line_end, lead = between.rpartition("\n")
    openings = [_OPENING.search(part.lower()) for part in (text[: one.start()].rpartition("\n")[2], lead)]
    alike = None not in openings and len({at and at[0] for at in openings}) == 1
    return bool(line_end) and not re.search(r"\w", marks) and alike and not _TURNS.search(lead)


def _takes_back(between: str) -> bool:
    """Whether what stands between two verdicts of one sentence makes the second count, and no choice of them.

    >>> [_takes_back(between) for between in (" at first, but now ", " if it is right, but ", " and ")]
    [True, False, False]
    """
    return bool(_TURNS.search(between)) and not _CHOICE.search(between)


def _is_order(lead: str, rest: str) -> bool:
    """Whether a sentence tells how to reply, up to a verdict, or quotes somebody.

    >>> [_is_order(lead, "") for lead in ("The reply must be ", "I have to end with ", "So I have to end with ")]
    [True, True, False]
    """
    before, _, quoted = lead.replace("“", '"').rpartition('"')
    is_open = lead.count('"') % 2 == 1 or lead.rfind("“") > lead.rfind("”")
    if is_open and before.strip() and re.search(r"\w", quoted) and re.match(r"""[^\w"”]*["”]""", rest):
        return True
    return bool(_ORDER.search(lead)) and not _CONCLUDES.search(lead)


def word_of(words: tuple[str, str]) -> Callable[[str], str | None]:
    """Give a `parse` for `read_end`: which of two words is written, in whatever case."""
    known = {word.lower(): word for word in words}
    return lambda written: known.get(written.strip(" \t\n*_`'\"").lower())


def read_points(reply: Completion) -> tuple[int | None, Status]:
    """Read the ``[[points]]`` that a reply ends with, as `read_end`; a number off the scale is no verdict."""
    return read_end(reply, BRACKETS, lambda written: _POINTS.get(written.strip()))


def read_scores(reply: Completion, num: int | None = None) -> tuple[tuple[int, ...] | None, Status]:
    """Read the scores from 1 to 10 in double brackets that a reply ends with, if there are `num`, or more than one."""

    def parse(written: str) -> tuple[int, ...] | None:
        scores = tuple(_SCORES[one.strip()] for one in written.split(",") if one.strip() in _SCORES)
        is_whole = len(scores) == written.count(",") + 1
        return scores if is_whole and (len(scores) > 1 if num is None else len(scores) == num) else None

    return read_end(reply, BRACKETS, parse)


def read_first_error(reply: Completion, num_steps: int | None = None) -> tuple[int | None, Status]:
    r"""Read the ``\boxed{index}`` that a reply ends with, -1 for no error; an index off the solution is no verdict."""

    def parse(written: str) -> int | None:
        index = _INDEX.fullmatch(written)
        if index is None or (num_steps is not None and int(index[1]) >= num_steps):
            return None
        return int(index[1])

    return read_end(reply, _BOX, parse)


def ask_or_refuse(engine: Engine, requests: Sequence[Request]) -> list[list[Completion] | Verdict]:
    """Complete requests; one whose prompt leaves no room gets a verdict that says so."""
    drawn = engine.generate(requests) if requests else []
    return [_NO_ROOM if any(one.stop is Stop.NO_ROOM for one in replies) else replies for replies in drawn]


def shown(reply: Completion) -> str:
    """What a rationale shows of a reply: its text, or that it was withheld."""
    return f"{reply.text}{_WITHHELD}" if reply.stop is Stop.FILTERED else reply.text


def ask_explained(
    engine: Engine,
    prompts: Sequence[Prompt],
    words: tuple[str, str],
    sampling: Sampling,
    votes: int = 1,
    meta: TrainedMeta | None = None,
) -> list[Verdict]:
    """Let the policy explain, and read the ``[[word]]`` that each reply ends with.

    Only the reply is read: a verdict inside the material has no say. The draw depends on the text of the prompt alone,
    so neither order nor company of the questions changes a verdict.

    Args:
        engine: Is asked.
        prompts: The questions, about steps.
        words: The two outcomes.
        sampling: Of the replies.
        votes: Replies to each question. The probability is the share of the readable ones that name the first word.
        meta: Of the readable votes on a question only the half that it rates higher counts.
    """
    requests = [Request(p, votes, sampling, seed=derive_seed("verdict", p.text)) for p in prompts]
    replies = ask_or_refuse(engine, requests)
    read = [[] if isinstance(drawn, Verdict) else [_read(one, words) for one in drawn] for drawn in replies]
    _tell_verdicts(engine, list(chain(*read)), words)
    readable = [[vote for vote in of_one if vote.probability is not None] for of_one in read]
    counted = readable if meta is None else _better(prompts, readable, meta)
    return [_unite(of_one, better) if of_one else _NO_ROOM for of_one, better in zip(read, counted, strict=True)]


def _better(
    prompts: Sequence[Prompt], readable: Sequence[Sequence[Verdict]], meta: TrainedMeta
) -> list[Sequence[Verdict]]:
    """Give the votes on each question that count."""
    asked = []
    for prompt, votes in zip(prompts, readable, strict=True):
        assert prompt.subject is not None  # a question to a judge has one
        shown = Candidates(prompt.subject.prefix, prompt.subject.shown)
        asked += [(shown, vote.rationale) for vote in votes]
    ratings = iter(meta.rate(asked))
    return [[votes[place] for place in better_half([next(ratings) for _ in votes])] for votes in readable]


def _unite(votes: Sequence[Verdict], counted: Sequence[Verdict]) -> Verdict:
    """Put the votes on a question together: the mean of those that count."""
    if len(votes) == 1:
        return votes[0]
    num_readable = sum(vote.probability is not None for vote in votes)
    told = f"{num_readable} of {len(votes)} votes readable"
    told += f", {len(counted)} of them counted" if len(counted) < num_readable else ""
    said = [
        f"vote {number}, {vote.status if vote.probability is None else f'{vote.probability:.4g}'}:\n{vote.rationale}"
        for number, vote in enumerate(votes, start=1)
    ]
    rationale = "\n\n".join([told, *said])
    if counted:
        return Verdict(fmean(vote.probability or 0.0 for vote in counted), rationale=rationale)
    causes = {vote.status for vote in votes}
    return Verdict(None, causes.pop() if len(causes) == 1 else Status.UNREADABLE, rationale)


def ask_direct(engine: Engine, prompts: Sequence[Prompt], words: tuple[str, str]) -> list[Verdict]:
    """Read each verdict from the probabilities with which the reply goes on with either word."""
    rows = engine.logprobs(prompts, words) if prompts else []
    verdicts = [_NO_ROOM if row is None else _weigh(row[0], row[1], words) for row in rows]
    _tell_verdicts(engine, verdicts, words)
    return verdicts


def _tell_verdicts(engine: Engine, verdicts: Sequence[Verdict], words: tuple[str, str]) -> None:
    tell(engine, [_reading(verdict, words) for verdict in verdicts if verdict is not _NO_ROOM])


def _reading(verdict: Verdict, words: tuple[str, str]) -> Reading:
    if verdict.probability is None:
        return Reading("", status=verdict.status)
    likelier = words[verdict.probability < 0.5] if verdict.probability != 0.5 else " or ".join(words)
    return Reading(likelier, verdict.probability)


def _read(reply: Completion, words: tuple[str, str]) -> Verdict:
    word, status = read_end(reply, BRACKETS, word_of(words))
    return Verdict(None if word is None else float(word == words[0]), status, shown(reply))


def _weigh(logp_first: float, logp_second: float, words: tuple[str, str]) -> Verdict:
    """Weigh two log-probabilities (nats); -inf is an unknown one, such as a server leaves out of its top list.

    An unknown word has between nothing and all the probability that the known one leaves, so the share of the known
    one, of probability p, lies between p and 1. Only above 1/2 does that say which is likelier; the verdict is then the
    middle, (1 + p) / 2.
    """
    logps = (logp_first, logp_second)
    rationale = ", ".join(
        f"P({word}) {'unknown' if logp == -math.inf else f'= {math.exp(logp):.4f}'}"
        for word, logp in zip(words, logps, strict=True)
    )
    first, second = map(math.exp, logps)
    known = first + second
    # Written so that a NaN, too, is unreadable.
    if not known >= LEAST_MASS:
        return Verdict(None, Status.UNREADABLE, rationale)
    if -math.inf not in logps:
        return Verdict(first / known, rationale=rationale)
    if known <= 0.5:
        return Verdict(None, Status.UNREADABLE, rationale)
    middle = (1 + min(known, 1)) / 2
    return Verdict(middle if first else 1 - middle, rationale=rationale)
