"""Tells word problems in plain English: what happens, and the plan of operations that it asks for.

>>> import random
>>> story = tell(random.Random(2), 2)
>>> len(story.plan.operations)
2

Long, since each kind of story is a method of its own, and they share one teller: read any of them alone.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from presrm.problems.arithmetic import wording as w
from presrm.problems.arithmetic.plan import LARGEST, Operand, Operation, Plan, Result, apply

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_TENSE = re.compile(r"<([^<>~]*)~([^<>~]*)>")
_SLOT = re.compile(r"\{([^{}]*)\}")
_NUMBER = re.compile(r"\b\d+\b")
_SYLLABLES = (
    "ba be bi bo da de di do fa fi ga go ka ke ki ko la le li lo ma mi mo na ne "
    "no pa pe po ra re ri ro sa si so ta te ti to va vi wa zo lin mar ten vol gar bel nox"
).split()


@dataclass(frozen=True, slots=True)
class Story:
    """A question in plain English, and what it asks for."""

    question: str
    plan: Plan
    words: Mapping[str, str]


class _ImpossibleError(Exception):
    """This story cannot go on within the numbers of the world: tell another."""


def tell(rng: random.Random, num_operations: int, words: Mapping[str, str] | None = None) -> Story:
    """Tell one story that takes so many operations, all of whose values lie between 1 and `LARGEST`.

    Args:
        rng: Draws everything.
        num_operations: One to five.
        words: Who and what it is about, of another story; drawn unless given.
    """
    while True:
        teller = _Teller(rng, num_operations)
        if words is not None:
            teller.words = dict(words)
        try:
            teller.tell()
        except _ImpossibleError:
            continue
        return Story(teller.text(), Plan(tuple(teller.operations)), teller.words)


def _forms(word: str) -> tuple[str, str]:
    """Singular and plural."""
    one, _, many = word.partition("/")
    return one, many or f"{one}s"


class _Teller:
    """One story while it is told.

    Attributes:
        operations: What it asks for so far.
        value: What that comes to.
        left: How many operations are still to come.
    """

    def __init__(self, rng: random.Random, num_operations: int) -> None:
        self.rng = rng
        self.operations: list[Operation] = []
        self.last: Operand = 0
        self.value = 0
        self.left = num_operations
        self.sentences: list[str] = []
        self.past = rng.random() < 0.55
        self.small = rng.random() < 0.5
        self.words = self._cast()

    # -- words ---------------------------------------------------------------------------------------------------------

    def _made_up(self) -> str:
        return "".join(self.rng.choices(_SYLLABLES, k=self.rng.randint(2, 3)))

    def _cast(self) -> dict[str, str]:
        rng, words = self.rng, {}
        woman = rng.random() < 0.5
        names = [*rng.sample(w.WOMEN if woman else w.MEN, 2), *rng.sample(w.MEN if woman else w.WOMEN, 2)]
        names = [self._made_up().capitalize() if rng.random() < 0.1 else name for name in names]
        for slot, name in zip(("A", "other", "third", "fourth"), names, strict=True):
            words[slot] = name
        words |= {"Other": names[1], "Third": names[2]}
        words |= {"he": "she", "him": "her", "his": "her"} if woman else {"he": "he", "him": "him", "his": "his"}
        words |= {"He": words["he"].capitalize(), "His": words["his"].capitalize()}
        for suffix, things in zip(("", "2"), rng.sample(w.THINGS, 2), strict=True):
            one, many = _forms(self._made_up() if rng.random() < 0.08 else things)
            words |= {f"thing{suffix}": one, f"things{suffix}": many}
        for suffix, people in zip(("", "2"), rng.sample(w.PEOPLE, 2), strict=True):
            words["person" + suffix], words["people" + suffix] = _forms(people)
        words["box"], words["boxes"] = _forms(rng.choice(w.BOXES))
        words["unit"] = rng.choice(("hour", "day", "day", "week", "month"))
        words["units"] = f"{words['unit']}s"
        words["place"] = rng.choice(w.PLACES)
        words["relative"], words["city"] = rng.choice(w.RELATIVES), rng.choice(w.CITIES)
        words |= dict(zip(("colour", "colour2", "colour3"), rng.sample(w.COLOURS, 3), strict=True))
        times = rng.choice(w.PARTS_OF_TIME)
        words |= {f"t{i + 1}": _SLOT.sub(lambda slot: words[slot[1]], time) for i, time in enumerate(times)}
        words["t2_"] = words["t2"][0].upper() + words["t2"][1:]
        return words

    def say(self, templates: Sequence[str] | str, **values: object) -> str:
        """Fill in one of the templates."""
        rng = self.rng
        text = templates if isinstance(templates, str) else rng.choice(templates)
        text = _SLOT.sub(lambda slot: "{" + rng.choice(slot[1].split("|")) + "}", text)
        while _CHOICE.search(text):
            text = _CHOICE.sub(lambda choice: rng.choice(choice[1].split("|")), text)
        text = _TENSE.sub(lambda tense: tense[1 + (self.past if rng.random() < 0.93 else not self.past)], text)
        words: dict[str, object] = {**self.words, **values}
        if "{A}" not in text and not any(self.words["A"] in sentence for sentence in self.sentences):
            words |= {
                "he": words["A"],
                "He": words["A"],
                "him": words["A"],
                "his": f"{words['A']}'s",
                "His": f"{words['A']}'s",
            }

        def fill(slot: re.Match[str]) -> str:
            name = slot[1]
            if name == ",":
                return rng.choice(("", ","))
            if name == "things?":
                return str(words["things"]) if rng.random() < 0.55 else ""
            return str(words[name])

        while _SLOT.search(text):
            text = _SLOT.sub(fill, text)
        text = re.sub(r"\b([Aa]) (?=[aeiou]|hour)", r"\1n ", re.sub(r"\s+", " ", text))
        return re.sub(r" ([.,?])", r"\1", text).strip()

    def add(self, templates: Sequence[str] | str, **values: object) -> None:
        """Add a sentence or more."""
        text = self.say(templates, **values)
        if text:
            self.sentences.append(text[0].upper() + text[1:])

    def text(self) -> str:
        """All of the story."""
        told = " ".join(s if s[-1] in ".?=" or not s[-1].isalnum() else f"{s}." for s in self.sentences)
        style = self.rng.random()
        if self.rng.random() < 0.04:
            told = _NUMBER.sub(lambda n: w.WORDS[int(n[0])] if int(n[0]) < len(w.WORDS) else n[0], told)
            told = told[0].upper() + told[1:]
        if style < 0.03:
            return told.lower()
        if style < 0.06:
            return told.rstrip(".?").rstrip()
        return told

    # -- numbers -------------------------------------------------------------------------------------------------------

    def number(self, low: int, high: int) -> int:
        """Draw a number of the question."""
        if high < low:
            raise _ImpossibleError
        if self.small and high > 20 and self.rng.random() < 0.7:
            high = max(low, 20)
        return self.rng.randint(low, high)

    def operate(self, left: Operand, operator: str, right: Operand, *, to: bool = True) -> Operand:
        """Add an operation; unless `to` is false, it becomes what the story has come to."""
        operation = Operation(left, operator, right)
        try:
            results = Plan((*self.operations, operation)).results()
        except ValueError:
            raise _ImpossibleError from None
        if not 1 <= results[-1] <= LARGEST or self.left < 1:
            raise _ImpossibleError
        self.operations.append(operation)
        self.left -= 1
        made = Result(len(self.operations) - 1)
        if to:
            self.last, self.value = made, results[-1]
        return made

    def draw(self, operator: str) -> int:
        """Draw what can be done with the value next."""
        value = self.value
        if operator == "/":
            divisors = [n for n in range(2, 13) if value % n == 0]
            if not divisors:
                raise _ImpossibleError
            return self.rng.choice(divisors)
        low, high = {"+": (1, LARGEST - value), "-": (1, value - 1), "*": (2, min(9, LARGEST // value))}[operator]
        return self.number(low, high)

    # -- stories ----------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """Tell one of the stories that take so many operations."""
        stories = [
            (self._bare, 2, 1, 5), (self._orders, 1.3, 1, 5), (self._holder, 5, 1, 5), (self._level, 2, 1, 4),
            (self._parts, 3, 1, 5),
            (self._groups, 3.5, 1, 5), (self._compare, 2.5, 1, 2), (self._difference, 1.5, 1, 1),
            (self._unknown, 2, 1, 1),
            (self._share, 1.2, 1, 1), (self._budget, 2.5, 2, 4), (self._products, 1.5, 3, 5), (self._cost, 1.0, 1, 3),
            (self._rate, 0.4, 1, 1), (self._fact, 0.4, 1, 1), (self._area, 0.3, 1, 1),
        ]  # fmt: skip
        fitting = [(story, weight) for story, weight, least, most in stories if least <= self.left <= most]
        (story,) = self.rng.choices([story for story, _ in fitting], [weight for _, weight in fitting])
        story()
        if self.left:
            raise _ImpossibleError
        if len(self.sentences) > 1 and story not in (self._bare, self._orders) and self.rng.random() < 0.07:
            place = self.rng.randrange(1, len(self.sentences))
            self.sentences.insert(place, self.say(w.DISTRACTORS, n=self.rng.randint(2, 60)))

    def _bare(self) -> None:
        signs = self.rng.randrange(3)
        value = first = self.number(2, LARGEST)
        operators, numbers = [], []
        product = self.rng.random() < 0.5
        for place in range(self.left):
            # times and divided by come first, so that every reading gives the same
            allowed = "*/" if place == 0 and product else "+-"
            operator = self.rng.choice(allowed)
            self.value = value
            n = self.draw(operator)
            operators.append(operator)
            numbers.append(n)
            value = apply(operator, value, n) or 0
        self.last = first
        for operator, n in zip(operators, numbers, strict=True):
            self.operate(self.last, operator, n)
        if len(operators) == 1 and self.rng.random() < 0.85:
            it = self.say(w.BARE[operators[0]], x=first, y=numbers[0])
        else:
            it = f"{first}" + "".join(f"{w.SIGNS[o][signs]}{n}" for o, n in zip(operators, numbers, strict=True))
            if self.rng.random() < 0.06:
                it = it.replace(" ", "") if signs == 0 else it
        self.add(w.ASK_BARE, it=it)

    def _orders(self) -> None:
        rng = self.rng
        self.value = first = self.number(2, LARGEST)
        operators = [rng.choice("+-*/") for _ in range(self.left)]
        self.last = first
        numbers = []
        for operator in operators:
            n = self.draw(operator)
            numbers.append(n)
            self.operate(self.last, operator, n)
        orders = []
        if rng.random() < 0.5 or len(operators) == 1:
            orders.append(self.say(w.ORDERS[operators[0]], x=first, y=numbers[0]))
        else:
            orders.append(self.say(w.STARTS, x=first))
            orders.append(self.say(w.THEN_ORDERS[operators[0]], y=numbers[0]))
        orders += [self.say(w.THEN_ORDERS[o], y=n) for o, n in zip(operators[1:], numbers[1:], strict=True)]
        text = orders[0]
        for order in orders[1:]:
            text += rng.choice(
                (
                    f", {order}",
                    f" and {order}",
                    f", then {order}",
                    f". Then {order}",
                    f" and then {order}",
                    f". {order.capitalize()}",
                )
            )
        self.add(text + ".")
        self.add(w.WHAT_NOW)

    def _holder(self) -> None:
        self.value = self.number(2, LARGEST)
        self.last = self.value
        if self.rng.random() < 0.3:
            if self.rng.random() < 0.4:
                self.words |= {"thing": self.words["person"], "things": self.words["people"]}
            self.add(w.PLACE_OPENINGS, n=self.value)
            self._changes(place=True)
        else:
            self.add(w.OPENINGS, n=self.value)
            self._changes(place=False)

    def _changes(self, *, place: bool, ask: Sequence[str] | None = None) -> None:
        """Tell what happens, until no operation is left, and ask."""
        joined = False
        while self.left:
            joined = self._change(place=place, may_join=joined or self.rng.random() < 0.6)
        if self.rng.random() < 0.06:
            self.sentences.append("")  # the question is asked in one go
        self.add(ask or (w.ASK_PLACE if place else w.ASK_PERSON))
        self.sentences = [s for s in self.sentences if s]

    def _change(self, *, place: bool, may_join: bool) -> bool:
        rng = self.rng
        operator = rng.choices("+-*/", [4, 4, 1.2, 0.5])[0]
        if operator == "/" and (self.value % 2 or rng.random() < 0.5):
            operator = "-"
        n = 2 if operator == "/" else self.draw(operator)
        if operator == "*" and n > 3 and rng.random() < 0.3:
            n = rng.choice((2, 3))
        self.operate(self.last, operator, n)
        if operator in "*/":
            named = {("*", 2): w.DOUBLES, ("*", 3): w.TRIPLES}.get((operator, n))
            templates = w.HALVES if operator == "/" else named if named and rng.random() < 0.6 else w.TIMES
            self.add(templates, n=n)
            return False
        if place:
            self._sentence(w.PLACE_GAINS if operator == "+" else w.PLACE_LOSSES, n)
            return False
        if rng.random() < 0.3:
            self._sentence(w.GAIN_SENTENCES if operator == "+" else w.LOSS_SENTENCES, n)
            return False
        if operator == "-" and self.left and self.value > 1 and rng.random() < 0.08:
            m = self.draw("-")
            self.operate(self.last, "-", m)
            clause = self.say(w.TWO_USES, n=n, m=m)
        else:
            clause = self.say(w.GAINS if operator == "+" else w.LOSSES, n=n)
        before = self.sentences[-1] if self.sentences else ""
        if may_join and before and before[-1].isalpha() and self._subject_is_a(before) and rng.random() < 0.7:
            self.sentences[-1] = (
                before + rng.choice((" and ", ", then ", " and then ", ", ", " but ", ", but ")) + clause
            )
            return True
        subject = rng.choice(("{A}", "{he}", "{he}"))
        self._sentence([f"{subject} {clause}"], n)
        return True

    def _subject_is_a(self, sentence: str) -> bool:
        return sentence.split(" ")[0] in (self.words["A"], self.words["He"], "A", "The")

    def _sentence(self, templates: Sequence[str], n: int) -> None:
        """Add a sentence, perhaps joined to the one before."""
        text = self.say(templates, n=n)
        if self.rng.random() < 0.3 and not text.startswith(("At the", "Later", "In the")):
            connect = self.rng.choice(w.CONNECTS)
            first = text.split(" ")[0]
            keep = first in (self.words["A"], self.words["other"]) or first.isdigit()
            text = f"{connect}{self.rng.choice(('', ','))} {text if keep else text[0].lower() + text[1:]}"
        elif self.sentences and self.sentences[-1][-1].isalpha() and self.rng.random() < 0.12:
            first = text.split(" ")[0]
            keep = first in (self.words["A"], self.words["other"]) or first.isdigit()
            self.sentences[-1] += self.rng.choice((" and ", ", and ", ", but ", " but ", "; ")) + (
                text if keep else text[0].lower() + text[1:]
            )
            return
        self.sentences.append(text[0].upper() + text[1:])

    def _level(self) -> None:
        opening, up, down, ask = self.rng.choice(w.LEVELS)
        self.value = self.number(2, LARGEST)
        self.last = self.value
        self.add(opening, n=self.value)
        while self.left:
            operator = self.rng.choice("+-")
            n = self.draw(operator)
            self.operate(self.last, operator, n)
            text = self.say(up if operator == "+" else down, n=n)
            before = self.sentences[-1]
            first, _, rest = text.partition(" ")
            if (
                first in ("It", self.words["He"])
                and before.startswith((first, self.words["A"], "The temp", "The lift", "A lift"))
                and self.rng.random() < 0.4
            ):
                self.sentences[-1] = before + self.rng.choice((" and ", ", then ", " and then ", ", but ")) + rest
            else:
                self._sentence([text], n)
        self.add(ask)

    def _parts(self) -> None:
        template = self.rng.choice([t for t in w.PARTS if self.left > 1 or "{c}" not in t])
        a = self.number(1, LARGEST - 2)
        b = self.number(1, LARGEST - a)
        total = self.operate(a, "+", b)
        c = 0
        if "{c}" in template:
            c = self.number(1, LARGEST - self.value)
            self.operate(total, "+", c)
        if "{people}" in template:
            self.words["things"] = "people"
        self.add(template, a=a, b=b, c=c)
        way = "km" in template
        if self.left and not way and self.rng.random() < 0.9:
            self._changes(place=self.rng.random() < 0.4)
        elif way:
            if self.left:
                raise _ImpossibleError
            self.add(w.ASK_WAY)
        else:
            self.add(w.ASK_PARTS if "dollars" not in template else w.ASK_COST)

    def _product(self) -> tuple[int, int]:
        g = self.number(2, 12)
        return g, self.number(2, min(LARGEST // g, 30))

    def _multiply(self, template: str, g: int, e: int) -> Operand:
        """Multiply in the order in which the numbers are told."""
        return self.operate(*((g, "*", e) if template.find("{g}") < template.find("{e}") else (e, "*", g)))

    def _groups(self) -> None:
        g, e = self._product()
        template = self.rng.choice(w.GROUPS)
        self._multiply(template, g, e)
        self.add(template, g=g, e=e)
        if self.left and self.rng.random() < 0.3:
            n = self.draw("+")
            self.operate(self.last, "+", n)
            loose = self.rng.choice(w.LOOSE)
            if loose.startswith("and"):
                self.sentences[-1] += self.rng.choice((" ", ", ")) + self.say(loose, n=n)
            else:
                self.add(loose, n=n)
        if self.left == 1 and self.rng.random() < 0.15:
            self._share_rest()
        elif self.left:
            self._changes(place=self.rng.random() < 0.15)
        else:
            self.add(w.ASK_TOTAL)

    def _share_rest(self) -> None:
        g = self.draw("/")
        self.operate(self.last, "/", g)
        self.add(w.SHARE_REST, g=g)

    def _cost(self) -> None:
        g, e = self._product()
        template = self.rng.choice(w.COSTS)
        self._multiply(template, g, e)
        self.add(template, g=g, e=e)
        while self.left:
            n = self.draw("+")
            self.operate(self.last, "+", n)
            self.add(w.MORE_COSTS, n=n)
        self.add(w.ASK_COST)

    def _rate(self) -> None:
        g, e = self._product()
        template = self.rng.choice(w.RATES)
        self._multiply(template, g, e)
        self.add(template, g=g, e=e)
        self.add(w.ASK_WAY)

    def _fact(self) -> None:
        each, template = self.rng.choice(w.FACTS)
        g = self.number(2, LARGEST // each)
        self.operate(g, "*", each)
        self.add(template, g=g)

    def _area(self) -> None:
        g, e = self._product()
        self.operate(g, "*", e)
        self.add(w.AREAS, g=g, e=e)

    def _compare(self) -> None:
        rng = self.rng
        if rng.random() < 0.3:
            a, times = self.number(2, 40), rng.randint(2, 5)
            other = self.operate(a, "*", times)
            said = {
                2: rng.choice(("twice", "2 times", "two times")),
                3: rng.choice(("three times", "3 times")),
                4: "4 times",
                5: "5 times",
            }[times]
            template = rng.choice(w.TWICE)
            self.add(template, a=a, times=said)
        else:
            template = rng.choice(w.COMPARES)
            a = self.value = self.number(2, LARGEST)
            operator = rng.choice("+-")
            n = self.draw(operator)
            other = self.operate(a, operator, n)
            more, older = ("more", "older") if operator == "+" else (rng.choice(("fewer", "less")), "younger")
            self.add(template, a=a, n=n, more=more, older=older)
        ask_one = next((asks for mark, asks in w.ASK_SECOND.items() if mark in template), w.ASK_OTHER)
        if self.left:
            self.operate(a, "+", other)
            self.add(w.ASK_BOTH)
        else:
            self.add(ask_one)

    def _difference(self) -> None:
        a = self.number(3, LARGEST)
        b = self.number(1, a - 1)
        self.operate(a, "-", b)
        self.add(w.DIFFERENCES, a=a, b=b)

    def _unknown(self) -> None:
        if self.rng.random() < 0.35:
            a = self.number(3, LARGEST)
            n = self.number(1, a - 1)
            self.operate(a, "-", n)
            self.add(w.UNKNOWN_CHANGES, a=a, n=n)
            return
        operator = self.rng.choice("+-")
        a = self.value = self.number(2, LARGEST)
        n = self.draw("-" if operator == "+" else "+")
        self.operate(a, "-" if operator == "+" else "+", n)
        ask, ask2 = self.say(w.ASK_BEFORE), self.say(w.ASK_PLACE_BEFORE)
        self.add(w.UNKNOWNS[operator], a=a, n=n, ask=ask, ask2=ask2)

    def _share(self) -> None:
        g = self.number(2, 12)
        n = g * self.number(2, LARGEST // g)
        self.operate(n, "/", g)
        self.add(w.SHARES, n=n, g=g)

    def _budget(self) -> None:
        g, e = self._product()
        n = self.number(g * e + 1, LARGEST)
        template = self.rng.choice(w.BUDGETS)
        first = template.find("{g}") < template.find("{e}")
        product = self.operate(*((g, "*", e) if first else (e, "*", g)), to=False)
        self.operate(n, "-", product)
        self.add(template, n=n, g=g, e=e)
        if self.left == 1 and self.rng.random() < 0.4:
            self._share_rest()
        elif self.left:
            if "dollars" in template:
                self.words |= {"things": "dollars", "thing": "dollar"}
            self._changes(place=False)
        else:
            self.add(w.ASK_LEFT)

    def _products(self) -> None:
        """Two products, together or one from the other."""
        (g, e), (h, f) = self._product(), self._product()
        one = self.operate(g, "*", e)
        two = self.operate(h, "*", f, to=False)
        if g * e > h * f and self.rng.random() < 0.3:
            self.operate(one, "-", two)
            self.add("{A} <has~had> {g} {boxes} [with|of] {e} {things} [each|]", g=g, e=e)
            self.add("{He} [gives away|sells|gave away|sold] {h} {boxes} [with|of] {f} {things?} [each|]", h=h, f=f)
            self._changes(place=False)
            return
        self.operate(one, "+", two)
        box2 = _forms(self.rng.choice(w.BOXES))[1]
        self.add(w.PRODUCTS, g=g, e=e, h=h, f=f, box2=box2)
        if self.left:
            self._changes(place=False)
        else:
            self.add(w.ASK_TOTAL)
