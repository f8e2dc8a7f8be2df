r"""What a clause says: where it ends, and the one value that it states, if it states one.

"12 cookies, which is 3 more than 9" ends at the comma and states 12. "5 or 6", "more than 5", "1 hour 30 minutes" and
"not 5" state no single value: they stay what they are, and are equal to no number.

>>> state("12 cookies, which is 3 more than 9."), state("not 5 but 6."), state("between 5 and 6 hours.")
('12', '6', 'between 5 and 6 hours')
"""
# ruff: noqa: RUF001 - marks of other scripts and of print are meant

import re
from collections.abc import Sequence

from presrm.answers.numbers import Number, bare_separators, find_numbers, plain_currency

Span = tuple[int, int, str]  # where something begins and ends, and what it holds
_LONGEST = 2_000  # characters of a clause; a longer one stays as it is
_LONGEST_TEXT = 3  # words of an answer that is no value
_DIGIT = re.compile(r"[0-9]")
_AMOUNT = re.compile(r"\.?[0-9]")
_DELIMITER = re.compile(r"\\[$\\]|\$\$?|\\[()\[\]]")
_CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*+\{[a-z]++\*?\}|\\[A-Za-z]++|\{[^{}]*+\}")
_WRAPPED = re.compile(r"\\(?:text[a-z]*|mbox|mathrm|mathbf|textbf|hbox)\s*\{([^{}]*)\}")
_SPACE = re.compile(r"\\[ ,;:]|~")
_AND_OR = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![a-z])")
_PROSE = re.compile(
    r"(?<![A-Za-z])(?!(?:sqrt|a?(?:rc)?(?:sin|cos|tan)h?|cot|sec|csc|log|exp|pi|mod)\b)[A-Za-z]{3,}"
    r"|\b(?:[Ii][fnst]|[Aa][nt]|[Ss]o|[Ww]e|[Hh]e|of|to|no|do|ft|kg|cm|mm|km|lb|oz|am|pm)\b|[^\W\d_\x00-\x7f\u0370-\u03ff]"
)
_VALUE = r"(?:[-+]?(?:\\?\$|[€£¥₹])?\s?-?(?:[0-9]|\.[0-9]|\\frac)[0-9.,/{}]*(?:\s[0-9]+/[0-9]+)?)"
# Behind "and", "or" or a comma another value stands only if it ends there, or has the name of one thing behind it.
_ANOTHER = (
    rf"(?:(?:{_VALUE}(?:\s*[A-Za-z]+)?|\(?[A-Z]\)?)(?=\s*(?:[.,;:!?)*]|$|\n|and\b|or\b))"
    r"|[-+]?[\\(\[{$]|[A-Za-z]\w?\s*=)"
)
_REASONS = (
    "because|since|as|so|where|which|who|that|while|when|whereas|given|thus|hence|therefore|but|from|after|with|rather|"
    "instead|although|though|due|using|leaving|making|for|not|meaning|resulting|via|porque|pues|weil|denn|parce|puisque|perché|poiché|потому"
)
_SHARE = r"(?<=[0-9]\s)(?:in\s+[0-9]{1,3}\b(?!\s[a-z])|(?:per|for\s+(?:every|each))\s+[0-9])"  # 3 in 4 is not 3
_PART = r"(?:an?|one|two|three|four|five|seven)[\s-](?:half|third|quarter|fourth|fifth|sixth|eighth|tenth)"
_ABBREVIATED = (  # 12 sq. ft; 1 hr. 5 min
    r"(?:(?<=\bsq)|(?<=\bcu)|(?<=\bMr)|(?<=\bMrs)|(?<=\bDr)|(?<=\bapprox))\.\s"
    r"|(?:(?<=\bhr)|(?<=\bhrs)|(?<=\bmin)|(?<=\bft)|(?<=\blb)|(?<=\blbs)|(?<=\byr)|(?<=\byrs)|(?<=\bgal))\.\s[0-9]"
)
_RATIO_GOES_ON = r"[0-9.]+\s*(?:[.,;:)]|$|\n|(?:in|as|or|and|ratio|[ap]\.?m)\b)"  # 3: 4, or a time
_END = re.compile(
    rf"""
    (?! {_ABBREVIATED} ) [.?…]+ (?= [\s*_"'`)\]] | $ )
  | ! (?= [\s*_"'`)\]]* (?: $ | \n | \s[A-Z] ) )            # not that of a factorial
  | [\n;。！？；] | <\| | </?[a-z] | \s[✓✅]
  | (?<!\{{) , (?! [0-9] | \s* (?:and\s|or\s)? \s* {_ANOTHER} )
  | [，、] (?! \s* {_ANOTHER} )
  | \s \( (?= [=≈] | [^()]*[A-Za-z]{{3}} ) (?! [^()]* \) \s* [-+*/=] )  # an aside: (that is, 3 of 4)
  | (?<=[0-9]) \s \( (?= [^(),]* [0-9] \s* [-+*/x×÷=] \s* [0-9] )
  | \s [-–—]+ \s (?= [A-Za-z]{{2}} ) | \s (?: — | --+ ) \s
  | (?<=[0-9*]) (?: \s? (?: [–—] | --+ ) \s? | -\s ) (?! (?:or|and|to)\b ) (?= [A-Za-z]{{2}} )  # 15—that is 5 each
  | (?<=[0-9*]) : \s+ (?! {_RATIO_GOES_ON} ) (?= [^\n]* (?: [A-Za-z]{{2}} | [0-9] \s* [-+*/x×÷=] ) )    # 15: 5 each
  | (?! {_SHARE} ) \b(?: {_REASONS} | i\.e | e\.g | by \s+ [a-z]+ing )\b
  | (?! {_SHARE} ) \b per\s+ (?= [0-9] ) | (?! {_SHARE} ) \b in \s+ (?! (?:a|the) \s+ range ) (?= \w )
  | (?<= [0-9]\s ) (?: on | at (?! \s+ (?:most|least) ) ) \s
  | \b(?:and|or)\b (?! \s* {_ANOTHER} | \s+ {_PART}
      | \s+ (?:more|less|fewer|greater|above|below|over|under|higher|lower|so|both|neither)\b )
    """,
    re.VERBOSE,
)
_OPEN = re.compile(r"(?:[\s*_`\"'“”‘’«»✅:…]+|(?<=\n)>\s)+")
_BULLET = re.compile(r"[ \t]*(?:[-*•+][ \t]+|[0-9]{1,2}[.)][ \t]+(?=\S))")
_NOT_BUT = re.compile(
    r"^\s*not\b[^.;\n]*?(?:\bbut\b|[,;—-]\s*(?:it(?:['’]s|\s+is)|rather|instead)\b)\s*(?:rather\s+)?"
    r"|^\s*(?:nicht|не|no(?:\s+es)?|n['’]est\s+pas|non(?:\s+è)?|não(?:\s+é)?)\b[^.;\n]*?"
    r"(?:\b(?:sondern|sino(?:\s+que)?|mais|bensì|mas)\b|,\s*а\b)|^\s*(?:并?不是|非)[^.。;\n]*?而是"
    r"|^[^.。\n]*?(?:ではなく|じゃなくて?|[이가]\s*아니라)",
    re.IGNORECASE,
)
_AMOUNT_FOLLOWS = r"\s+(?=[$€£¥₹]?\.?[0-9]|\\(?:\$|[dt]?frac))"
_NEGATIVE = re.compile(rf"^(?:minus|(?:a\s+)?negative){_AMOUNT_FOLLOWS}", re.IGNORECASE)
# 12 minus 7 is a difference.
_NEGATIVE_WITHIN = re.compile(
    rf"(?:\bnegative|(?:^|(?<=\b(?:is|be|to)\s)|(?<=\bwas\s)|(?<=\bequals\s)|(?<=[=:]\s))minus){_AMOUNT_FOLLOWS}",
    re.IGNORECASE,
)
_OTHER_NAME = re.compile(r"\s+\w+\s*(?:[.,;!?]|$)")
_VERB = re.compile(r".*(?:\b(?:is|are|was|were|be|equals?|becomes?)\b:?|=(?!\s*$)|:(?=\s))", re.DOTALL)
_AUXILIARY = re.compile(r"\b(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|must)\s*$")
_DENIED = re.compile(r"\b(?:can(?:not)?|could|may|might|not|never)\s+be:?$|n['’]t\s+be:?$")
# What makes of a number another one, a bound, a name, or nothing.
_CHANGED = re.compile(
    r"\b(?:least|most|more|less|fewer|greater|larger|smaller|higher|lower|under|above|below|over|exceed\w*|between|than|"
    r"not|never|neither|nor|no|none|except|without|unless|if|either|or|half|thirds?|quarters?|twice|double|triple|times|"
    r"squared|cubed|(?:square|cube)s?\s+(?:of|root)|roots?|factorial|modulo|mod|plus|minus|negative|multiples?|factors?|"
    r"powers?|divided|divisible|multiplied|to|up|until|before|per\s?mille|might|may|could|possibly|perhaps|maybe|probably|likely|unknown|"
    r"nicht|kein\w*|oder|mehr|weniger|zwischen|weder|mindestens|höchstens|über|unter|не|ни|или|либо|больше|меньше|более|"
    r"менее|между|от|до|más|menos|entre|ni|mayor|menor|pas|plus|moins|ou|non|più|meno|tra|fra|não|mais|"
    r"can|cannot|undefined|(?:four|fif|six|seven|eigh|nin|ten|hundred|thousand|million)ths|wrong|incorrect|mistaken|invalid|fails|R)\b|n['’]t\b|[<>≤≥≠]|\\(?:le|ge|ne|pm|mid)\b"
    r"|[不非或]|至[少多]|最[少多]|超过|[大小多少]于|以[上下]|之间|可能|也许|な[くい]|ません|または|未満|より|아니|아닙|또는|이상|이하|미만|초과",
    re.IGNORECASE,
)
_TIMES = re.compile(r"^\s*times(?=\s*$|\s+(?:an?|per|each|every|in)\b)")  # how often, and no factor
_NAME = re.compile(
    r"(?:\b(?:option|choice|question|problem|step|part|case|day|week|room|page|chapter|number|no\.|figure|grade|level|"
    r"type|stage|round|row|column|line|january|february|march|april|may|june|july|august|september|october|november|"
    r"december)\s*[#(]?|[#/^_:])$",
    re.IGNORECASE,
)
_MEASURED = re.compile(
    r"(-?[0-9][0-9.,]*)(?: (?:[gsh]|[cdm]?[lL]|[kcdm]?m(?:/s|/h)?|ft|mg/d?[lL])\^?\{?[23]?\}?"
    r"| ?(?:°|\^\\circ) ?[CF]?| ?[€£¥₹])"
)
_CHOICE = re.compile(r"(?:option |choice )?(?:\([A-K]\)|[A-K][.:)](?=\s|$))", re.IGNORECASE)
_OPERATOR_BEFORE = re.compile(r"[-+*/^({\[|<>\\]\s*$|\\[a-z]+\s*$")
_OPERATOR_BEHIND = re.compile(
    r"\s*(?:[-+*^(\[{=_!|]|/\s*[0-9]|:[0-9]|\\(?![ ,;:%]|text))|[A-Za-z](?![A-Za-z/^²³]|(?<=[mgslhL]))"
    r"|\s+(?![mgslhLaA]\b)[A-Za-z](?![\w'’/^²³])"
)
_BETWEEN = re.compile(r"\b(?:between|both|either)\s*$", re.IGNORECASE)
_AND = re.compile(r"\s*(?:[a-z]+\s+)?(?:and|or)\s+")
_POWER = re.compile(r"\s?(?:\^|\*\*)\s?(?:[0-9]+|\{[0-9]+\})")
_COMPOUND = re.compile(
    r":|,|\s*(?:to|or|-|(?:hours?|hrs?|h|minutes?|mins?|days?|weeks?|months?|years?|feet|foot|ft|yards?|miles?|"
    r"pounds?|lbs?|gallons?|quarts?|pints?|cups?|dollars?|met(?:er|re)s?|kilomet(?:er|re)s?|km|m|kg)\.?,?(?:\s+and)?)\s*"
)
_OF = re.compile(r"\b(?P<article>an?\s+)?[A-Za-z]+\s+of\s*$", re.IGNORECASE)


def state(text: str) -> str | None:
    """Read what the first clause of `text` states: its value, where that is one; else the clause as it is."""
    return value_of(first_clause(text))


def first_clause(text: str) -> str:
    """Cut `text` where its first clause ends, without bullets, quotes and marks of emphasis around it."""
    is_new_line = False
    while True:
        opened = _OPEN.match(text)
        is_new_line |= bool(opened and "\n" in opened[0])
        text = text[opened.end() :] if opened else text
        bullet = _BULLET.match(text) if is_new_line else None
        if not bullet:
            break
        text = text[bullet.end() :]
        is_new_line = False
    whole, text = text, plain_currency(text[:_LONGEST]).replace('\\"', '"')
    if corrected := _NOT_BUT.match(text):
        text = text[corrected.end() :]
    masked = _masked(text)
    for end in _END.finditer(masked):
        before = masked[: end.start()].strip(" *_`\"'(")
        if end[0][0] == ":" and has_prose(before):
            continue  # a label
        if (end[0] == "not" and _AUXILIARY.search(before)) or (end[0] == "as" and before.endswith("times")):
            continue
        if end[0] in ("and", "or") and not _DIGIT.search(before) and _OTHER_NAME.match(masked, end.end()):
            continue
        # Words that end a clause may also stand within its subject: "the number of coins that he has is 5".
        if before and (not end[0][0].isalpha() or _DIGIT.search(before) or len(before.split()) <= _LONGEST_TEXT):
            return _unwrapped(text[: end.start()])
    return _unwrapped(text if len(whole) <= _LONGEST else whole)


def value_of(clause: str) -> str | None:
    """Give the one value that a clause states, in digits or as its formula; else the clause; none for nothing."""
    if len(clause) > _LONGEST:
        return clause
    clause = _NEGATIVE.sub("-", clause)
    spans = formulas(clause)
    if measured := _MEASURED.fullmatch(clause):
        return find_numbers(measured[1])[0].text
    if not has_prose(masked := _masked(clause)) or _CHOICE.match(clause):
        return _bare(clause, spans) or None
    verb = _VERB.match(masked)
    if verb and not _DENIED.search(verb[0]) and re.search(r"\d", masked[verb.end() :]):
        clause = _NEGATIVE.sub("-", clause[verb.end() :].strip(" *_`"))
        masked, spans = _masked(clause), formulas(clause)
        if not has_prose(masked):
            return _bare(clause, spans) or None
    if spans:
        return _stated_formula(clause, masked, spans)
    text = bare_separators(clause)
    numbers = find_numbers(text)
    if len(numbers) != 1 or not _is_alone(text, numbers[0].start, numbers[0].end):
        return clause.strip() or None
    return numbers[0].text


def last_value(text: str) -> str | None:
    """Give the last value that stands in `text`: a number, or the several that make up one, as in 5 feet 7 inches."""
    text = _NEGATIVE_WITHIN.sub("-", bare_separators(text))
    groups: list[list[Number]] = []
    for number in find_numbers(text):
        is_between = groups and _BETWEEN.search(text, 0, groups[-1][0].start)
        if groups and (_AND if is_between else _COMPOUND).fullmatch(text, groups[-1][-1].end, number.start):
            groups[-1].append(number)
        else:
            groups.append([number])
    if not groups:
        return None
    start, end = groups[-1][0].start, groups[-1][-1].end
    power = _POWER.match(text, end)
    return text[start : power.end() if power else end] if power or len(groups[-1]) > 1 else groups[-1][0].text


def unwrap(text: str) -> str:
    r"""Write words in ``\text{}`` and the like as bare words.

    >>> unwrap(r"5 \text{ apples}")
    '5 apples'
    """
    return " ".join(_SPACE.sub(" ", _WRAPPED.sub(r" \1 ", text)).split())


def has_prose(text: str) -> bool:
    """Tell whether words stand in `text`, not mathematics alone."""
    return bool(_PROSE.search(_AND_OR.sub(" ", _ENVIRONMENT.sub(" ", text))))


def formulas(text: str) -> list[Span]:
    r"""List what stands in ``$...$``, ``$$...$$``, ``\(...\)`` and ``\[...\]``.

    As in Markdown, a dollar sign closes nothing behind a space or before a digit: it begins an amount.
    """
    found: list[Span] = []
    opened: re.Match[str] | None = None
    for lexeme in _DELIMITER.finditer(text):
        is_amount = lexeme[0] == "$" and bool(_AMOUNT.match(text, lexeme.end()))
        if opened and lexeme[0] == _CLOSING[opened[0]] and not is_amount:
            inside = text[opened.end() : lexeme.start()]
            was_amount = lexeme[0] == "$" and _AMOUNT.match(inside) and (inside[-1:].isspace() or has_prose(inside))
            if not was_amount:
                if inside.strip():
                    found.append((opened.start(), lexeme.end(), inside.strip()))
                opened = None
                continue
        if lexeme[0] in _CLOSING:
            opened = lexeme
    return found


def _masked(text: str) -> str:
    """Write digits over formulas, so that nothing is looked for in them."""
    for start, end, _ in formulas(text):
        text = text[:start] + "0" * (end - start) + text[end:]
    return text


def _unwrapped(text: str) -> str:
    text = text.strip()
    while (bare := text.strip("*_`\"'“”‘’«» \t\r")) != text:
        text = bare
    return text.removesuffix(".").rstrip(" ,:")


def _bare(clause: str, spans: Sequence[Span]) -> str:
    for start, end, inside in reversed(spans):
        clause = clause[:start] + inside + clause[end:]
    return _unwrapped(clause).strip("$ ") if clause.count("$") == 1 else _unwrapped(clause)


def _stated_formula(clause: str, masked: str, spans: Sequence[Span]) -> str:
    numbers = find_numbers(masked)
    start, end, inside = spans[0]
    is_only = len(spans) == 1 and all(start <= number.start < end for number in numbers)
    if is_only and _is_alone(masked, start, end):
        scale = find_numbers(f"1{clause[end:]}")[0]
        return inside if scale.text == "1" else f"{inside}{clause[end : end + scale.end - 1]}"
    return _bare(clause, spans)


def _is_alone(text: str, start: int, end: int) -> bool:
    """Tell whether the words around a value leave it what it is."""
    before, behind = text[:start], _TIMES.sub("", text[end:])
    if any(map(_CHANGED.search, (before, behind))) or _NAME.search(before):
        return False
    if _OPERATOR_BEFORE.search(before) or _OPERATOR_BEHIND.match(behind):
        return False
    part = _OF.search(before)
    return part is None or bool(part["article"]) or "total" in part[0]
