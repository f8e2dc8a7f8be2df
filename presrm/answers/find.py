r"""Where solutions put their final answer, and plain numbers.

>>> find_answer(r"so \boxed{\frac{1}{2}}."), find_answer("2 + 3 = 5\n#### 5\n"), find_answer("The answer is $18 a day.")
('\\frac{1}{2}', '5', '18')
"""

import re
from collections.abc import Sequence
from fractions import Fraction

_BOX_OR_BRACE = re.compile(r"\\{1,2}f?boxed\s*+(?:\{|(?=[-\w.$]))|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\$?[-\w.]++\$?")  # \boxed 5
_HASHES = re.compile(r"####([^\n]*+)")
_NUMBER = re.compile(
    r"""
    (?: (?<![\w)\]}%]) [-+\u2212] )?                      # a sign, but not that of a difference or a range
    (?: (?: \\?\$ | [€£] )\s? )?
    (?P<amount>
        (?: [1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9]) | [0-9]+ )(?:\.[0-9]+)?(?:/[0-9]+)?
      | \.[0-9]+
    )""",
    re.VERBOSE,
)
_SPACING = re.compile(r"\{,\}|,?\\!|(?<=[0-9])\\,(?=[0-9]{3})")
_PHRASE = re.compile(r"\b(?P<final>final\s++)?answer\s*+(?:\*\*)?\s*+(?:is\b|:|=)[\s:*]*+", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n|<\|")
_VERB = re.compile(r".*(?:\b(?:is|are|equals|be)\b:?|=)", re.DOTALL)
_DELIMITER = re.compile(r"\\[$\\]|\$\$?|\\[()\[\]]")
_CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_JOINT = re.compile(
    r"""(?:
        [\s$.,;:&~()] | \\[()\[\],;:!\s\\] | \\q?quad | \\(?:text|mbox)\s*+\{[^{}]*+\} | \b(?:and|or)\b
      | [A-Za-z](?:_\{?\w{1,9}\}?)?(?:\([a-z]\))?\s*+=    # names, as in: and y =
    )*+""",
    re.VERBOSE,
)
_CONNECTIVE = re.compile(r"[,;]|\b(?:and|or)\b")
_NO_WORDS = re.compile(r"[^\w\\]*+")
_AND_OR = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![a-z])")
_LONGEST_JOINT = 80  # characters
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*+\{[a-z]++\*?\}|\\[A-Za-z]++|\{[^{}]*+\}")
_PROSE = re.compile(
    r"(?<![A-Za-z])(?!(?:sqrt|(?:arc)?(?:sin|cos|tan)|cot|sec|csc|log|exp)\b)[A-Za-z]{3,}"
    r"|\b(?:is|of|to|in|so|we|it|no|he|do)\b"
)
_THOUGHT = "</think>"


def find_answer(solution: str) -> str | None:
    r"""Find the final answer in a solution.

    It is what the last ``\boxed{}`` holds (several without words between them but "and" or "or" are a list), unless
    "the final answer is" comes after them; else what follows ``####``; else what follows "the answer is"; else a
    solution that is nothing but an expression; else the last formula; else the last number. Thoughts up to a
    ``</think>`` are passed over where anything follows.
    """
    solution = solution.rpartition(_THOUGHT)[2].strip() or solution
    boxes = _boxes(solution)
    phrase = _last_phrase(solution)
    if boxes and phrase and phrase["final"] and phrase.start() > boxes[-1][1]:
        stated = _stated(solution[phrase.end() :])
        if stated and (find_numbers(stated) or not _PROSE.search(stated)):
            return stated
    found = _last_run(solution, boxes) or after_hashes(solution) or (phrase and _stated(solution[phrase.end() :]))
    if found:
        return found
    bare = solution.strip()
    if bare and "\n" not in bare and not _has_prose(bare):
        return bare
    return _last_run(solution, _formulas(solution)) or next(reversed(find_numbers(solution)), None)


def last_boxed(text: str) -> str | None:
    r"""Give what the last ``\boxed{...}`` that is closed holds."""
    boxes = _boxes(text)
    return boxes[-1][2] if boxes else None


def last_boxes(text: str) -> str | None:
    """Give what the last box holds, and those before it without words between them but "and" or "or": a list."""
    return _last_run(text, _boxes(text))


def after_hashes(text: str) -> str | None:
    """Give the rest of the line after the last ``####``, as GSM8K marks answers."""
    found = _HASHES.findall(text)
    return str(found[-1]).strip() if found else None


def after_phrases(text: str) -> list[str]:
    r"""Give the rest of each line after its first "the answer is", "answer:" or the like.

    >>> after_phrases("**Answer:** x + y\nThe answer is not known.\nSo it is 3.")
    ['x + y', 'not known.']
    """
    return [line[phrase.end() :] for line in text.split("\n") if (phrase := _PHRASE.search(line))]


def find_numbers(text: str) -> list[str]:
    """List the numbers that stand in `text`, without currency signs and thousands separators."""
    return [
        ("-" if found[0][0] in "-\u2212" else "") + found["amount"].replace(",", "")
        for found in _NUMBER.finditer(_SPACING.sub(_bare_comma, text))
    ]


def read_number(text: str) -> Fraction | None:
    r"""Read a plain number, as in ``-1,234.50``, ``\$18``, ``3/4`` or ``5%``; none for any other text.

    A sign of per cent is dropped, as in reference answers.
    """
    bare = _SPACING.sub(_bare_comma, text).strip().strip("*").removesuffix(".")
    bare = bare.removesuffix("%").removesuffix("\\").strip("$ ").removesuffix("\\")
    if not _NUMBER.fullmatch(bare):
        return None
    try:
        return Fraction(find_numbers(bare)[0])
    except (ValueError, ZeroDivisionError):  # thousands of digits, or x/0
        return None


def equal_numbers(reference: str, answer: str) -> bool | None:
    """Compare two plain numbers by value, exactly; none unless both are.

    Where one side alone has a sign of per cent it may be dropped or worked out: 50% is 50 and is 0.5.
    """
    left, right = read_number(reference), read_number(answer)
    if left is None or right is None:
        return None
    if left == right or ("%" in reference) == ("%" in answer):
        return left == right
    return left / 100 == right if "%" in reference else left == right / 100


def _bare_comma(spacing: re.Match[str]) -> str:
    return "," if spacing[0] == "{,}" else ""


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """List the closed boxes: where each begins and ends, and what it holds; of nested ones the innermost."""
    found: list[tuple[int, int, str]] = []
    still_open: list[tuple[int, int, bool]] = []
    for lexeme in _BOX_OR_BRACE.finditer(text):
        is_boxed = "boxed" in lexeme[0]
        if is_boxed and not lexeme[0].endswith("{"):
            bare = _BARE_BOX.match(text, lexeme.end())
            if bare and lexeme[0][-1].isspace():
                found.append((lexeme.start(), bare.end(), bare[0].strip("$.")))
        elif lexeme[0] == "{" or is_boxed:
            still_open.append((lexeme.start(), lexeme.end(), is_boxed))
        elif lexeme[0] == "}" and still_open:
            start, inside, closes_box = still_open.pop()
            if closes_box and (not found or found[-1][0] < start):
                found.append((start, lexeme.end(), text[inside : lexeme.start()].strip()))
    return found


def _formulas(text: str) -> list[tuple[int, int, str]]:
    r"""List what stands in ``$...$``, ``$$...$$``, ``\(...\)`` and ``\[...\]``, as `_boxes` does.

    A dollar sign before a digit closes nothing: it begins an amount.
    """
    found: list[tuple[int, int, str]] = []
    opened: re.Match[str] | None = None
    for lexeme in _DELIMITER.finditer(text):
        is_amount = lexeme[0] == "$" and text[lexeme.end() : lexeme.end() + 1].isdigit()
        if opened and lexeme[0] == _CLOSING[opened[0]] and not is_amount:
            if inside := text[opened.end() : lexeme.start()].strip():
                found.append((opened.start(), lexeme.end(), inside))
            opened = None
        elif lexeme[0] in _CLOSING:
            opened = lexeme
    return found


def _last_run(text: str, spans: Sequence[tuple[int, int, str]]) -> str | None:
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


def _last_phrase(text: str) -> re.Match[str] | None:
    """Find the last "the answer is" after which anything stands."""
    found = None
    for phrase in _PHRASE.finditer(text):
        found = phrase if phrase.end() < len(text) else found
    return found


def _stated(rest: str) -> str | None:
    """Read the answer off the text that follows "the answer is"."""
    formulas = _formulas(rest)
    if formulas and formulas[0][0] == 0:
        last = 1
        while last < len(formulas) and _last_run(rest, formulas[last - 1 : last + 1]) != formulas[last][2]:
            last += 1
        return _last_run(rest, formulas[:last])
    sentence = rest[: end.start()] if (end := _SENTENCE_END.search(rest)) else rest
    verb = _VERB.match(sentence) if _has_prose(sentence) else None
    if verb and (find_numbers(sentence[verb.end() :]) or "$" in sentence[verb.end() :]):
        sentence = sentence[verb.end() :]
    if within := _last_run(sentence, _formulas(sentence)):
        return within
    bare = sentence.strip(" \t\r*:").rstrip(".")
    numbers = find_numbers(bare)
    return numbers[0] if numbers and _has_prose(bare) else bare or None


def _has_prose(text: str) -> bool:
    return bool(_PROSE.search(_AND_OR.sub(" ", _ENVIRONMENT.sub(" ", text))))
