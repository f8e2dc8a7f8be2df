r"""A judge of steps that recomputes every equation between plain numbers in them.

    PYTHONPATH=benchmarks/judging presrm judge-steps FILE --judge callable --set judge.options.function=recompute:score

It reads ``a op b = c``, chains of it, brackets, powers, decimals and the common LaTeX of these. What it cannot read it
passes over, so it sees slips of arithmetic and nothing else.
"""

import ast
import operator
import re
from fractions import Fraction

_SIGNS = (
    (r"(\d\s*)\\text\s*\{[^{}]*\}", r"\1"),  # a unit
    (r"\\text\s*\{[^{}]*\}", "x"),
    (r"\\(?:left|right|,|;|!)|[$\\]?\$|\\[\[\]()]", ""),
    (r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"((\1)/(\2))"),
    (r"\\boxed\s*\{([^{}]*)\}", r"\1"),
    (r"\\times|\\cdot|[\u00d7\u00b7\u22c5]", "*"),
    (r"\\div|\u00f7", "/"),
    (r"[\u2212\u2013]", "-"),
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
    (r"(?m)^\s*[-*\u2022]\s+", ""),
)
_EQUALS = re.compile(r"(?<![<>!:=])=(?!=)")
_EXPRESSION = re.compile(r"(?:[-+*/^()\s]|\d+(?:\.\d+)?)+")
_DECIMALS = re.compile(r"-?\d+\.(\d+)")
_OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_LONGEST, _LARGEST_POWER, _LARGEST = 300, 12, 10**15


def score(problem: str, steps_before: list[str], step: str) -> float:
    """Give 0 if an equation of the step is false, 1 if all that can be read are true, 0.5 if none can be read.

    Args:
        problem: Not looked at, nor is `steps_before`.
        steps_before: See above.
        step: What is judged.
    """
    found = [is_true for line in _plain(step).splitlines() for is_true in _equations(line)]
    return float(all(found)) if found else 0.5


def _plain(text: str) -> str:
    for pattern, sign in _SIGNS:
        text = re.sub(pattern, sign, text)
    return text


def _equations(line: str) -> list[bool]:
    """Tell of each equation of a line that can be read whether it is true."""
    sides = _EQUALS.split(line)
    return [
        _agree(left, right)
        for left, right in zip(map(_last, sides), map(_first, sides[1:]), strict=False)
        if left is not None and right is not None and (left[1] or right[1])
    ]


Side = tuple[Fraction, bool, Fraction]
"""Its value, whether anything is computed, and how far rounding may be off."""


def _last(side: str) -> Side | None:
    """Read the expression that a side ends with, unless it goes on to the left with what is no number."""
    runs = list(_EXPRESSION.finditer(side))
    if not runs or runs[-1].end() != len(side):
        return None
    start, text = runs[-1].start(), runs[-1][0]
    before = side[:start]
    if before.strip() and (before[-1] == text[0] or text.lstrip()[:1] in tuple("+-*/^") or not text[0].isspace()):
        return None
    while text.count("(") > text.count(")") and "(" in text[:2]:
        text = text.replace("(", "", 1)
    found = _read(text)
    return None if found and before.strip() and not found[1] else found  # as in "25% of 20 = 5"


def _first(side: str) -> Side | None:
    """Read the expression that a side begins with, unless it goes on to the right with what is no number."""
    run = _EXPRESSION.match(side)
    if run is None:
        return None
    text, behind = run[0], side[run.end() :]
    if re.match(r"[\\{}^_!%:]", behind) or (behind[:1].isalpha() and not text[-1].isspace()):
        return None
    text = text.rstrip()
    while text.endswith(")") and text.count(")") > text.count("("):
        text = text[:-1].rstrip()
    return _read(text)


def _read(text: str) -> Side | None:
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    try:
        tree = ast.parse(text.replace("^", "**"), mode="eval").body
        value = _compute(tree, text.replace("^", "**"))
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None
    rounded = _DECIMALS.fullmatch(text)
    return value, isinstance(tree, ast.BinOp), Fraction(1, 2 * 10 ** len(rounded[1])) if rounded else Fraction(0)


def _compute(node: ast.expr, source: str) -> Fraction:
    """Compute exactly.

    Raises:
        ValueError: at what is no arithmetic, or too large.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(ast.get_source_segment(source, node) or "")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _compute(node.operand, source)
        return -value if isinstance(node.op, ast.USub) else value
    if not isinstance(node, ast.BinOp):
        raise ValueError("no arithmetic")
    left, right = _compute(node.left, source), _compute(node.right, source)
    if isinstance(node.op, ast.Pow):
        if right.denominator != 1 or abs(right) > _LARGEST_POWER:
            raise ValueError("a power that is too large, or broken")
        result = left ** int(right)
    elif type(node.op) in _OPERATIONS:
        result = _OPERATIONS[type(node.op)](left, right)
    else:
        raise ValueError("no arithmetic")
    if abs(result) > _LARGEST:
        raise ValueError("too large")
    return result


def _agree(left: Side, right: Side) -> bool:
    return abs(left[0] - right[0]) <= max(left[2], right[2])
