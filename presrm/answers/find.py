r"""Where solutions put their final answer.

>>> find_answer(r"so \boxed{\frac{1}{2}}."), find_answer("2 + 3 = 5\n#### 5\n"), find_answer("The answer is $18 a day.")
('\\frac{1}{2}', '5', '18')
"""
# ruff: noqa: RUF001 - marks of other scripts and of print are meant

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from unicodedata import category

from presrm.answers.clauses import Span, first_clause, formulas, has_prose, last_value, state, value_of
from presrm.answers.numbers import fold, plain_currency

_BOX_OR_BRACE = re.compile(r"\\{1,2}f?boxed\s*+(?:\{|(?=[-\w.$]))|\\.|[{}]", re.DOTALL)
_BOX = re.compile(r"boxed")
_BARE_BOX = re.compile(r"\$?[-\w.]++\$?")  # \boxed 5
_HASHES = re.compile(r"#{4,}([^\n#]*+)")
_HEADING = re.compile(
    r"\s*(?:(?:step|part|case|phase|section|question|problem|method|approach)\s*[0-9A-Z]*\s*[:.)-]|[0-9]+[.)]\s)",
    re.IGNORECASE,
)
_MARKS = re.compile(r"[\s#*_>-]*+")
_PHRASE = re.compile(
    r"""
    (?: \b (?P<weak> (?:first|initial|previous|original|wrong|incorrect|tentative|old|possible) \s+ )?
        (?P<final> (?: (?:final|corrected|correct|actual|right|true) \s+ )+ )?
        (?: answers? | (?P<loose> solutions? | results? )
          | (?:(?<=correct\s)|(?<=right\s)|(?<=best\s)) (?:option|choice) )
        (?: \s*\*{1,2} )?
        (?: \s+ (?:to|for|of|in|here|now|then|therefore|thus|we|that|must|rounded) \b [^.\n:=]{0,80}? )?
        (?: \s+ (?P<maybe> (?:might|may|could) \s+ be )
          | \s+ (?P<negated> (?:is|was|are|would|should|can|could|will|must) \s* (?:n['’]t|not) (?:\s+be)? ) (?!\s+only)
          | \s+ (?: is | are | was | (?:would|should|must|will|has\s+to) \s+ be
                  | (?:comes?|works?|turns?) \s+ (?:out\s+)? to (?:\s+be)? | equals? | becomes? ) \b
          | \s* [:=：]
          | (?<=answer) \s+ [-–—] (?=\s)
          | , (?= \s [^\s,]{1,40} , \s (?:is|was)\b )       # The answer, 17, is prime.
          | (?<=answer) [\s*_]* \n )                        # a heading
      | (?: 答案 (?:应?选)? | [故应]选 | 答え | 解答 | 正解 | (?<!回)答 | 정답은? | 답은? | ответ | respuesta
          | solución | réponse | antwort | risposta | resposta | odpowiedź | الجواب | الإجابة | उत्तर
          | đáp\s án | trả\s lời | cevap )
        (?: \s+ finale? \b )? \s* \*{0,2} \s*
        (?: 是 | 为 | 為 | は | が | es\b | est\b | (?:ist|lautet)\b | è | é\b | это | هو | هي | là\b | to\s )?
    ) [ \t:：=]*+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SOUGHT = re.compile(  # or supposed
    r"\b(?:might|could|may|would|first|initially|originally|tempting|some|many)\b[^.\n]{0,15}\b(?:think|thought|say|believed?|"
    r"guess(?:ed)?|assumed?|conclude|claim)\b(?:\s+that)?(?:\s+(?:the|our|my))?\s*$"
    r"|\bif\s+(?:the|our|my)\s*$|\b(?:find|get|obtain|compute|calculate|determine|verify|check|for|know)\s+(?:the|our|an?|your)?\s*$",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:wait|actually|mistaken?|wrong|incorrect|oops|forgot|correction|not\s+(?:right|correct))\b", re.IGNORECASE
)
_IS_WRONG = re.compile(
    r"(?:\?\s*|,\s*)no\b[\s,.]|[^.\n]{0,40}\b(?:that|this|it|which)(?:['’]s|\s+(?:is|was))\s+"
    r"(?:wrong|incorrect|not\s+(?:right|correct)|an?\s+(?:mistake|error))",
    re.IGNORECASE,
)
_JOINT = re.compile(
    r"""(?:
        [\s$.,;:&~()] | \\[()\[\],;:!\s\\] | \\q?quad | \\(?:text|mbox)\s*+\{[^{}]*+\} | \b(?:and|or)\b
      | [A-Za-z](?:_\{?\w{1,9}\}?)?(?:\([a-z]\))?\s*+=    # names, as in: and y =
    )*+""",
    re.VERBOSE,
)
_CONNECTIVE = re.compile(r"[,;]|\b(?:and|or)\b")
_NO_WORDS = re.compile(r"[^\w\\]*+")
_LONGEST_JOINT = 80  # characters
_THOUGHT = re.compile(r"<(?:think(?:ing)?|thoughts?|reasoning)>")
_THOUGHT_END = re.compile(r".*</(?:think(?:ing)?|thoughts?|reasoning)>", re.DOTALL)
_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)
_CALCULATOR = re.compile(r"<<[^<>\n]*+>>")
_TURN = re.compile(r"(?:\s*(?:<\|[^|<>\n]{1,40}\|>(?:assistant\b)?|</?s>|<[be]os>))+")
_TURN_END = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<end_of_turn>|<eos>|\[/?INST\]")
_NEXT_QUESTION = re.compile(
    r"\n[\s#*>-]*(?:(?:(?:here(?:\s+is|['’]s)\s+)?(?:the\s+)?(?:next|another|new|follow-?up)\s+)?"
    r"(?:question|problem|exercise|task|q|user|human|instruction|问题|題目|题目|問題|質問|문제|질문|вопрос|задача|pregunta|problema|"
    r"frage|aufgabe|exercice)\s*\d*\s*\**\s*[:：]"
    r"|(?<=#\s)(?:question|problem|exercise|task|instruction)\s*\d*\s*\n|(?:question|problem|exercise|q)\s*\d+\s*\**\s*[.)]\s)",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()]*\)")
_RULED_OUT = re.compile(
    r",?\s+(?:but\s+|and\s+)?\b(?:\w+n['’]t|can(?:\s?not)|not|never|rather than|instead of)\s+"
    r"(?:(?:be|have|equal)\s+)?\S*\d\S*"
    r"|\S*\d\S*\s+(?:is|was|does|can|could|will|would)\s*(?:n['’]t|not|wrong|incorrect|false|impossible)\b"
    r"|\S*\d\S*\?\s*No\b",
    re.IGNORECASE,
)
# What an equation comes to, though other numbers follow: = 30 pages in 5 days
_RESULT = re.compile(
    r"[0-9)%]\s*=\s*(\$?[0-9][0-9.,/]*)(?=\D)(?!.*\b(?:so|then|and|which|thus|therefore)\b)"
    r"[^=.;]*?\b(?:in|for|per|after|from|to|by|of|over|within|during|because)\b[^=]*$"
)
# The number that the sum behind it explains: 7 = 3 + 4
_EXPLAINED = re.compile(r"(?:^|[A-Za-z:,]\s)\s*(\$?[0-9][0-9.,]*)\s*=(?=[^=]*[-+*/×÷^])[\s0-9.,$()+*/×÷^{}-]+$")
_CHOSEN = re.compile(
    r"(?:\b(?:option|choice|answer)\s+\(?|\()(?P<letter>[A-K])\)?\s+is\s+(?:therefore\s+|thus\s+)?(?:the\s+)?"
    r"(?:(?:correct|right|best)\b|(?:final\s+)?answer\b)",
    re.IGNORECASE,
)
_NEVER = 1 << 62  # where a box ends that is not closed
_NUM_PHRASES = 20  # that are looked at, from the last
_LONGEST_LINE = 1_000  # characters
_LAST = 20_000  # characters of a solution in which the last number is looked for


class _Phrase(NamedTuple):
    is_final: bool
    statement: str
    clause: str


class _Found(NamedTuple):
    answer: str | None
    clause: str | None = None  # of prose, in which it stands


def find_answer(solution: str, *, prefers_hashes: bool = False) -> str | None:
    r"""Find the final answer in a solution.

    It is what the last ``\boxed{}`` holds (several without words between them but "and" or "or" are a list), unless
    "the final answer is" comes after them; else what follows ``####``; else what follows "the answer is"; else a
    solution that is nothing but an expression; else the last formula; else the last number. Of prose the first clause
    counts, and of a clause that states one value the value. Thoughts are passed over, and so is what follows an end of
    turn or the question that a model asks itself next.

    Args:
        solution: The text.
        prefers_hashes: Read ``####`` before boxes, as for GSM8K.
    """
    return _find(solution, prefers_hashes).answer


def find_clause(solution: str) -> str | None:
    """Give the clause that states the final answer, with the unit that `find_answer` leaves out; none outside of prose.

    >>> find_clause("The answer is 5 hours."), find_clause("It is 9 km."), find_clause("7")
    ('5 hours', 'It is 9 km', None)
    """
    return _find(solution).clause


def _find(solution: str, prefers_hashes: bool = False) -> _Found:
    text = _conclusion(solution)
    boxes = _boxes(text)
    if prefers_hashes and (marked := after_hashes(text)) and "boxed" not in marked:
        return _Found(state(marked), first_clause(marked))
    if boxes:
        return _Found(_boxed(text, boxes))
    if marked := after_hashes(text):
        return _Found(state(marked), first_clause(marked))
    if phrase := next(_phrases(text), None):
        return _Found(phrase.statement if _says_something(phrase.statement or "") else None, phrase.clause)
    if chosen := list(_CHOSEN.finditer(text)):
        return _Found(chosen[-1]["letter"])
    bare = text.strip()
    if "\n" not in bare and (not has_prose(bare) or len(bare.split()) == 1) and _says_something(bare):
        return _Found(bare)
    answer, clause = _last_run(text, formulas(text)) or _last_number(text), first_clause(bare)
    return _Found(answer, clause if answer and value_of(clause) == answer else None)


def _says_something(text: str) -> bool:
    """Whether there is more than marks: a letter, a digit or a mathematical sign."""
    return any(c.isalnum() or category(c) == "Sm" for c in text)


def last_boxed(text: str) -> str | None:
    r"""Give what the last ``\boxed{...}`` that is closed holds."""
    boxes = [content for _, end, content in _boxes(text) if end < _NEVER]
    return boxes[-1] if boxes else None


def last_boxes(text: str) -> str | None:
    """Give what the last box holds, and those before it without words between them but "and" or "or": a list."""
    return _last_run(text, _boxes(text))


def after_hashes(text: str) -> str | None:
    r"""Give the rest of the line after the last ``####``, as GSM8K marks answers.

    A heading of Markdown is no mark: ``#### Step 2: double it``, or words with text below them.

    >>> after_hashes("#### 1. Add\n5 + 3\n#### 8"), after_hashes("#### Check\nIt holds."), after_hashes("#### Paris")
    ('8', None, 'Paris')
    """
    for found in reversed(list(_HASHES.finditer(text))):
        line = found[1].strip().strip("*").strip()
        follows = text[found.end() :].strip()
        if not line:
            continue
        phrase = _PHRASE.match(line + "\n")
        if phrase and phrase.end() >= len(line):
            return first_clause(follows) or None
        line = line[phrase.end() :] if phrase else line
        if _HEADING.match(line):
            continue
        stated = value_of(first_clause(line)) or line
        if not follows or not has_prose(stated):
            return line if not has_prose(stated) or not follows else stated
    return None


def after_phrases(text: str) -> list[str]:
    r"""Give the rest of each line after its first "the answer is", "answer:" or the like.

    >>> after_phrases("**Answer:** x + y\nThe answer is not known.\nSo it is 3.")
    ['x + y', 'not known.']
    """
    found = ((line, phrase) for line in text.split("\n") if (phrase := _PHRASE.search(line)))
    return [("not " if phrase["negated"] else "") + line[phrase.end() :].lstrip(" \t*:=") for line, phrase in found]


def _conclusion(solution: str) -> str:
    """Give the part of a solution where its answer may stand."""
    solution = plain_currency(solution)
    thoughts = _THOUGHT_END.match(solution)
    behind = solution[thoughts.end() :] if thoughts else solution
    text = behind if behind.strip() else solution
    if thought := _THOUGHT.search(text if behind.strip() else ""):
        text = text[: thought.start()]  # never closed
    tagged = [found[1] for found in _TAGGED.finditer(text) if found[1].strip()]
    if tagged:
        return tagged[-1]
    text = _CALCULATOR.sub("", text)
    if opened := _TURN.match(text):
        text = text[opened.end() :]
    if (end := _TURN_END.search(text)) and text[: end.start()].strip():
        text = text[: end.start()]
    marks = [mark.end() for pattern in (_BOX, _HASHES, _PHRASE) if (mark := pattern.search(text))]
    question = _NEXT_QUESTION.search(text, min(marks)) if marks else None
    return text[: question.start()] if question else text


def _boxes(text: str) -> list[Span]:
    """List the boxes: where each begins and ends, and what it holds; of nested ones the innermost.

    Of those never closed the last counts, if no other comes after it: a solution that was cut off.
    """
    found: list[Span] = []
    still_open: list[tuple[int, int, bool]] = []
    for lexeme in _BOX_OR_BRACE.finditer(text):
        is_boxed = "boxed" in lexeme[0]
        if is_boxed and not lexeme[0].endswith("{"):
            bare = _BARE_BOX.match(text, lexeme.end())
            if bare and (lexeme[0][-1].isspace() or bare[0].strip("$.-")[:1].isdigit()):
                found.append((lexeme.start(), bare.end(), bare[0].strip("$.")))
        elif lexeme[0] == "{" or is_boxed:
            still_open.append((lexeme.start(), lexeme.end(), is_boxed))
        elif lexeme[0] == "}" and still_open:
            start, inside, closes_box = still_open.pop()
            if closes_box and (not found or found[-1][0] < start):
                found.append((start, lexeme.end(), text[inside : lexeme.start()].strip()))
    cut = next((box for box in reversed(still_open) if box[2]), None)
    if cut and (not found or found[-1][0] < cut[0]):
        found.append((cut[0], _NEVER, text[cut[1] :].partition("\n")[0].strip().rstrip(".$ ")))
    return found


def _boxed(text: str, boxes: Sequence[Span]) -> str | None:
    """Give what the last box holds, or what takes it back."""
    rest = text[boxes[-1][1] :]
    if not boxes[-1][2]:
        phrase = next(_phrases(rest), None)
        return phrase.statement if phrase else _last_number(rest)
    is_taken_back = bool(_TAKEN_BACK.search(rest))
    for phrase in _phrases(rest):
        if (phrase.is_final or is_taken_back) and not has_prose(phrase.statement):
            return phrase.statement
    return _last_run(text, boxes)


def _phrases(text: str) -> Iterator[_Phrase]:
    """Give what "the answer is" and the like announce, the last first, but for what is taken back or a mere label."""
    denied: list[_Phrase] = []
    for found in reversed(list(_PHRASE.finditer(text))[-_NUM_PHRASES:]):
        rest = text[found.end() :]
        clause = first_clause(rest)
        if (
            found["weak"]
            or _SOUGHT.search(text[max(0, found.start() - 60) : found.start()])
            or not clause
            or _IS_WRONG.match(rest, len(clause))
        ):
            continue
        prefix = "not " if found["negated"] else "maybe " if found["maybe"] else ""
        statement = state(prefix + rest) or clause
        is_prose = has_prose(statement)
        begins = bool(_MARKS.fullmatch(text, 0, found.start()))
        if is_prose and found["loose"]:
            continue
        end = rest.find(clause) + len(clause)
        follows = rest[end : end + _LONGEST_LINE].strip(" .*\n")
        if follows and is_prose and not any(map(str.isdigit, statement)) and len(statement.split()) > 4:
            continue
        if begins and any(map(str.isdigit, follows)) and len(clause.split()) > 3:
            continue  # the label of a whole solution
        phrase = _Phrase(bool(found["final"]), statement, clause)
        if statement.startswith("not "):
            denied.append(phrase)
        elif f"not {statement}" not in [other.statement for other in denied]:
            yield phrase
    yield from denied[:1]


def _last_number(text: str) -> str | None:
    """Give the last number, but for those in brackets or ruled out, where others stand beside them."""
    for whole in reversed(text[-_LAST:].split("\n")):
        line = whole[-_LONGEST_LINE:]
        if found := last_value(line):
            if explained := _EXPLAINED.search(fold(line).strip(" .!*")):
                return last_value(explained[1])
            if result := _RESULT.search(line):
                return last_value(result[1])
            allowed = _RULED_OUT.sub(" ", line)
            if not last_value(allowed):
                return f"not {found}"
            return last_value(_ASIDE.sub(" ", allowed)) or last_value(allowed)
    return None


def _last_run(text: str, spans: Sequence[Span]) -> str | None:
    """Join the last span and those before it that only commas, "and" or "or" keep apart."""
    if not spans:
        return None
    run = [spans[-1]]
    for span in reversed(spans[:-1]):
        between = text[span[1] : run[-1][0]]
        is_joined = _NO_WORDS.fullmatch(between) or (_CONNECTIVE.search(between) and _JOINT.fullmatch(between))
        if len(between) > _LONGEST_JOINT or not is_joined:
            break
        run.append(span)
    return ", ".join(dict.fromkeys(content for _, _, content in reversed(run))).strip() or None
