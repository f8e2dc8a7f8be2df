"""What a judge of steps writes before its verdict, made from what is known of the step.

First which quantity is asked for and what the numbers of the step count, in the words of the question, and whether that
is the operation to do. Then the sum, checked by an operation that is easier than solving: a difference by the sum that
undoes it, a quotient by the product, each digit by digit from the right.

>>> question = "Tom had 90 cards. He lost 63 of them. How many cards are left?"
>>> explain(question, [], "90 - 63 = 37", Finding.SUM)
'How many cards are: 90 cards - 63 of them: yes. 37+63: 7+3=10 3+6+1=10, 100. Not 90. [[no]]'
>>> explain(question, [], "90 - 63 = 27", Finding.RIGHT)
'How many cards are: 90 cards - 63 of them: yes. 27+63: 7+3=10 2+6+1=9, 90. Is 90. [[yes]]'
>>> explain(question, [], "90 + 63 = 153", Finding.OPERATION)
'How many cards are: 90 cards + 63 of them: no. [[no]]'
>>> explain(question, ["90 - 63 = 27"], "#### 27", Finding.RIGHT)
'How many cards are: 27, the last, done. [[yes]]'
"""

import re
from collections.abc import Sequence
from fractions import Fraction

from presrm.checkers.operations import Finding, Operation, read_operation

_WORDS_BEHIND = 3
_WEAK = {"a", "an", "and", "at", "by", "for", "from", "if", "in", "is", "of", "on", "or", "that", "the", "to", "with"}
_ASKED = re.compile(r"\b(?:how|what|which|find|calculate|determine)\b", re.IGNORECASE)


def explain(question: str, before: Sequence[str], step: str, finding: Finding) -> str:
    """Write what leads to the verdict on a step, and the verdict.

    Args:
        question: Of the problem.
        before: The steps so far.
        step: Is judged.
        finding: What is known of it.
    """
    verdict = "[[yes]]" if finding is Finding.RIGHT else "[[no]]"
    if finding is Finding.FORM:
        return f"No step. {verdict}"
    operation = read_operation(step)
    if operation is None:
        return f"{asked(question)}: {_end(before, step, finding)} {verdict}"
    counted = " ".join(
        [_counted(operation.left, question, before), operation.operator, _counted(operation.right, question, before)]
    )
    if finding is Finding.OPERATION:
        return f"{asked(question)}: {counted}: no. {verdict}"
    return f"{asked(question)}: {counted}: yes. {check_sum(operation)} {verdict}"


def _end(before: Sequence[str], step: str, finding: Finding) -> str:
    answer = step.strip().removeprefix("#### ")
    last = read_operation(before[-1]) if before else None
    if last is None or written(last.result) != answer:
        return f"{answer}, not the last."
    return f"{answer}, the last, {'done' if finding is Finding.RIGHT else 'not done'}."


def asked(question: str) -> str:
    """Quote the beginning of what is asked for: the last question word and three words behind it.

    >>> asked("Ann has 3 pens. If she buys 2 more, how many pens does she have?")
    'How many pens does'
    """
    found = [match.start() for match in _ASKED.finditer(question)]
    words = question[found[-1] :].split() if found else question.split()[-4:]
    quoted = " ".join(words[:4]).rstrip("?.,:;!")
    return quoted[:1].upper() + quoted[1:]


def _counted(number: Fraction, question: str, before: Sequence[str]) -> str:
    """A number with what it counts: the words behind it in the question, or that it comes from a step before."""
    text = written(number)
    results = [operation.result for line in before if (operation := read_operation(line))]
    if number in results:
        return f"{text} so far"
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", question)
    found = re.search(rf"(?<![\d.]){re.escape(text)}(?!\d|\.\d)", plain)
    if not found:
        return text
    words: list[str] = []
    for word in plain[found.end() :].split()[:_WORDS_BEHIND]:
        words.append(word.strip("().,:;?!"))
        if word[-1] in ".,:;?!)":
            break
    while words and (words[-1].lower() in _WEAK or not words[-1]):
        words.pop()
    return " ".join([text, *words])


def written(number: Fraction) -> str:
    """Write a number as a solution does.

    >>> written(Fraction(5, 2)), written(Fraction(12)), written(Fraction(1, 20))
    ('2.5', '12', '0.05')
    """
    return f"{float(number):.10f}".rstrip("0").rstrip(".")


def check_sum(operation: Operation) -> str:
    """Work out whether the result of an operation is right.

    A decimal point is left out where it changes nothing: both numbers are taken as often ten times.

    >>> check_sum(read_operation("27 * 16 = 432"))
    '27*16: 7*6=42 2*6+4=16, 162 7*1=7 2*1=2, 27. 162+270: 2+0=2 6+7=13 1+2+1=4, 432. Is 432.'
    >>> check_sum(read_operation("504 / 9 = 56"))
    '56*9: 6*9=54 5*9+5=50, 504. Is 504.'
    """
    left, operator, right, result = operation.left, operation.operator, operation.right, operation.result
    one, other, target = {
        "+": (left, right, result),
        "-": (result, right, left),
        "*": (left, right, result),
        "/": (result, right, left),
    }[operator]
    if min(one, other, target) < 0:
        value = one + other if operator in "+-" else one * other
        return f"{written(one)} and {written(other)}, {written(value)}. {_compare(value, target)}"
    if operator in "+-":
        scale = 10 ** max(map(_decimals, (one, other)))
        value, work = _add(int(one * scale), int(other * scale))
        return f"{work} {_compare(Fraction(value), target * scale)}"
    scales = [10 ** _decimals(number) for number in (one, other)]
    value, work = _multiply(int(one * scales[0]), int(other * scales[1]))
    return f"{work} {_compare(Fraction(value), target * scales[0] * scales[1])}"


def _compare(value: Fraction, target: Fraction) -> str:
    return f"{'Is' if value == target else 'Not'} {written(target)}."


def _decimals(number: Fraction) -> int:
    return len(written(number).partition(".")[2])


def _digits(number: int) -> list[int]:
    """Digits of a number, the units first."""
    return [int(digit) for digit in reversed(str(number))]


def _add(one: int, other: int) -> tuple[int, str]:
    """Add in columns, the units first."""
    left, right = _digits(one), _digits(other)
    columns, carry = [], 0
    for place in range(max(len(left), len(right))):
        terms = [digits[place] for digits in (left, right) if place < len(digits)] + [carry] * (carry > 0)
        columns.append(f"{'+'.join(map(str, terms))}={sum(terms)}")
        carry = sum(terms) // 10
    return one + other, f"{one}+{other}: {' '.join(columns)}, {one + other}."


def _multiply(one: int, other: int) -> tuple[int, str]:
    """Multiply by one digit after the other, the units first, and add up what that gives."""
    if len(str(one)) < len(str(other)):
        one, other = other, one
    rows, total, sums = [], 0, []
    for place, digit in enumerate(_digits(other)):
        columns, carry = [], 0
        for each in _digits(one):
            product = each * digit + carry
            columns.append(f"{each}*{digit}{f'+{carry}' if carry else ''}={product}")
            carry = product // 10
        rows.append(f"{' '.join(columns)}, {one * digit}")
        if place:
            sums.append(_add(total, one * digit * 10**place)[1])
        total += one * digit * 10**place
    return total, " ".join([f"{one}*{other}: {' '.join(rows)}.", *sums])
