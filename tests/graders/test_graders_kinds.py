r"""What a grader makes of each kind of statement, as plain English and mathematics decide it.

A row of a kind: what a solution says, and the references that it is right and wrong for. ``[...]`` is a box.
"""
# ruff: noqa: RUF001 - marks of other scripts and of print are meant

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from presrm.graders import GRADERS
from presrm.protocols import Grader
from presrm.types import Grade

CASES = Path(__file__).parents[3] / "shared" / "faults" / "grading_cases.jsonl"
Row = tuple[str, str | None, str | None]  # the solution, a reference that it meets, and one that it does not

AUTO: dict[str, list[Row]] = {
    "the first clause states the answer": [
        ("The answer is 15, which is 5 more than 10.", "15", "5"),
        ("The final answer is 8 since 2 of the 10 left.", "8", "2"),
        ("The answer is 24 (that is, 4 groups of 6).", "24", "6"),
        ("The answer is 24 (4 x 6).", "24", "6"),
        ("The answer is 7 cookies with 2 left over.", "7", "2"),
        ("The answer is 7 so he needs 3 more.", "7", "3"),
        ("The answer is 7; 3 are left.", "7", "3"),
        ("The answer is 7 — 3 more than 4.", "7", "3"),
        ("The answer is $12$, and $5$ is left.", "12", "5"),
        ("The answer is 12 dollars per 3 hours.", "12", "3"),
        ("The answer is 12 in total for all 3 days.", "12", "3"),
        ("The answer is 4 * 3 = 12 cookies.", "12", "4"),
        (r"[14 \text{ hours (sitting)} + 20 \text{ hours (yoga)} = 34 \text{ hours}]", "34", "14"),
        (r"[\text{the number that it cannot be is } 5]", "5", None),
        (r"[\text{divisible by } 5]", None, "5"),
        (r"[\text{cannot be } 5]", None, "5"),
        ("The answer is 3.5, or 7/2.", "3.5", "2"),
        ("The answer, 6, is even.", "6", None),
        ("The answer to part 3 is 7.", "7", "3"),
        ("The number of coins that he has in 3 days is the answer. The answer is that he has 7.", "7", "3"),
        ("Final Answer: The number of points that could be in the domain is 19.", "19", None),
        (r"So [20]. The answer is 20, which is 5 less than 25.", "20", "5"),
        ("The answer is 12 -- 3 boxes of 4.", "12", "3"),
        ("The answer is 12 by adding 5 and 7.", "12", "7"),
        ("The answer is 12 via 5+7.", "12", "7"),
        ("The answer is 12 on day 3.", "12", "3"),
        ("La respuesta final es 18 porque 3 por 6 es 18.", "18", "3"),
        ("So 14 / 2 = 7. ", "7", "2"),
        ("Thus 7 = 3 + 4.", "7", "4"),
        ("Yes.", "Yes", "No"),
        ("The answer is Ann and Bob.", "Ann and Bob", "Ann"),
        ("The answer is Ann or Bob.", None, "Ann"),
    ],
    "hedges, bounds, ranges and negations are no number": [
        (f"The answer is {statement}.", None, "5")
        for statement in (
            r"5 or 7; either 5 or 7; $5$ or $7$; 5 and 7; between 5 and 7; from 5 to 7; 5 to 7 hours; 5-7 hours; "
            r"at least 5; at most 5; less than 5; greater than 5; over 5; up to 5; no more than 5; 5 or more; not "
            r"5; neither 5 nor 7; twice 5; half of 5; minus 5; negative 5; 5 times as many; 5 squared; 5 percent "
            r"of 40; > 5; ≥ 5; 5+; 5 more than x; the sum of 5; the square of 5; x = 5 or x = 7; anything but 5; "
            r"5x; 5!\text{ ways}; step 5; May 5; likely 5; 5 in 7; 5 per 7; 5 for every 7; >= 5; 5 is wrong; "
            r"5 does not work; 5 tenths; 5 thousandths; 5 and three quarters"
        ).split("; ")
    ]
    + [
        ("The answer could be 5 or 7.", None, "5"),
        ("The answer isn't 5.", None, "5"),
        ("The answer cannot be 5.", None, "5"),
        ("She earns between 5 and 7 dollars.", None, "7"),
        ("He runs 3,5 km.", None, "5"),
        ("It has 10^3 parts.", "1000", "10"),
    ],
    "so they are in a box": [
        (f"[{statement}]", None, "5")
        for statement in (
            r"5 \text{ or } 7; \text{either } 5 \text{ or } 7; 5 \text{ to } 7; \text{between } 5 \text{ and } 7; "
            r"\text{more than } 5; 5 \text{ or more}; \text{not } 5; 5 \text{ if } n \text{ is even}; \ge 5; > 5; "
            r"5+; 5!; 5x; 5:7; 5 \text{ R } 2; 5 \text{ remainder } 2; 5 \text{ when } x=1; \text{twice } 5; 5 "
            r"\text{ less than } y; \text{less than } 5; \text{at most } 5; 5 \text{ at most}; 5 \text{ of } 6; "
            r"\text{None of these, not }5; 5 \text{ apples and } 3 \text{ pears}; 5 \text{ per } 7; 5 \text{ tenths}; "
            r"5 \text{ hr. } 7 \text{ min.}"
        ).split("; ")
    ],
    "what takes a statement back": [
        ("The answer is not 5 but 6.", "6", "5"),
        ("The answer isn't 5 but 6.", "6", "5"),
        ("The answer is not 5, it is 6.", "6", "5"),
        ("The answer is 6, not 5.", "6", "5"),
        ("The answer is 6 rather than 5.", "6", "5"),
        ("The answer is 6 instead of 5.", "6", "5"),
        ("She has 6, not 5.", "6", "5"),
        ("I thought the answer is 5, but the answer is 6.", "6", "5"),
        ("The answer is 5. Wait, that is wrong. The answer is 6.", "6", "5"),
        ("My first answer is 5, but that is wrong. It should be 6.", "6", "5"),
        (r"[5]. Wait, I made a mistake. The answer is 6.", "6", "5"),
        (r"[5]. Wait, let me check: 2+3=5. Yes.", "5", None),
        (r"[5]. The correct answer is 6.", "6", "5"),
        (r"First [5]. But no: \boxed{6", "6", "5"),
        (r"First [5]. But no: []. So it is 6.", "6", "5"),
        (r"First [5]. But no: \boxed{", None, "5"),
        ("The answer is 5, no, 6.", "6", "5"),
        ("The answer is 5? No, 6.", "6", "5"),
        ("Is the answer 5? No.", None, "5"),
        ("One might think the answer is 5, but it is 6.", "6", "5"),
        ("I first thought that the answer was 5. It is 6.", "6", "5"),
        ("The answer is 6. The answer is not 5.", "6", "5"),
        ("The answer is 5. No: the answer is not 5.", None, "5"),
        ("5 is not the answer.", None, "5"),
        ("5 is wrong.", None, "5"),
        ("It isn't 5.", None, "5"),
        ("So x cannot be 5.", None, "5"),
        ("Hence she does not have 5.", None, "5"),
        ("The answer is not A; it is C.", "C", "A"),
    ],
    "quantities of several parts are not glued": [
        (r"[5\text{ ft }7\text{ in}]", r"5\text{ ft } 7\text{ in}", "57"),
        (r"[1\text{ hour }30\text{ minutes}]", None, "130"),
        (r"[1\text{ hour }30\text{ minutes}]", None, "1"),
        (r"[10\text{:}30]", "10:30", "1030"),
        (r"[2\text{, }3]", "2,3", "23"),
        (r"[12\text{ R }3]", None, "123"),
        (r"The answer is $2\text{ h }30\text{ min}$.", None, "230"),
        ("The answer is 3 hours and 20 minutes.", None, "3"),
        ("He is 5 feet 7 inches.", None, "7"),
        ("It ends at 8:30.", None, "30"),
        ("[1 2]", None, "12"),
        ("[2 5]", None, "7"),
        ("[5'7'']", None, "57"),
        (r"[5\text{ (or 6)}]", None, "5"),
        (r"[5 \to 6]", None, "6"),
        ("[2021-03-14]", "2021-03-14", "2004"),
        ("[3:4:5]", "6:8:10", "3:5:4"),
        ("[(1,2) and (3,4)]", "(1,2),(3,4)", "(1,2)"),
        (r"[\frac{\pi}{3}]", r"\frac\pi3", r"\frac3\pi"),
    ],
    "mathematics before a unit stays": [
        (rf"[{formula}\text{{ {unit}}}]", formula, "5")
        for formula, unit in (
            (r"5\pi", "cm"),
            ("5x", "cm"),
            (r"5\sqrt{2}", "units"),
            (r"\sqrt{5}", "cm"),
            ("x+5", "cm"),
            ("5^2", "cm"),
            (r"\frac{5}{x}", "cm"),
            ("-5", "dollars"),
            ("5(x+1)", "dollars"),
            ("5!", "ways"),
            (r"\binom{5}{2}", "ways"),
            (r"5\cdot 4", "ways"),
            ("5/6", "cups"),
            ("5i", "units"),
            ("2^{5}", "ways"),
            ("5 e", "cm"),
        )
    ],
    "units, scales and mixed numbers": [
        ("The answer is 3 1/2 cups.", "3.5", "3"),
        ("The answer is 2¾ cups", "2.75", "2"),
        ("So it takes ½ hour.", "0.5", "2"),
        ("The answer is 3 and a half hours.", "3.5", "3"),
        (r"[2\frac{5}{8}]", "2.625", r"\frac{10}{8}"),
        ("The answer is 2.5 million dollars.", "2500000", "2.5"),
        ("The answer is $5$ million.", "5000000", "5"),
        (r"[3 \text{ dozen}]", "36", "3"),
        (r"[\$2.5 \text{ billion}]", "2500000000", "2.5"),
        ("[1.2 x 10^5]", "120000", "1.2"),
        ("The answer is 1.2 × 10³.", "1200", "1.2"),
        ("The answer is 12 m².", "12", "2"),
        ("The answer is 12 m^2.", "12", "2"),
        (r"[15\ \mathrm{cm}^2]", "15", "2"),
        (r"[12^{\text{th}}]", "12", None),
        (r"[\nicefrac{1}{2}]", r"\frac12", None),
        (r"[3 \text{ for all } n]", "3", None),
        (r"[f(x)=2x \text{ for all } x]", "2x", "2"),
        (r"[n=5 \text{ only}]", "5", None),
        (r"[\text{about } 5]", "5", None),
        (r"[1{,}200\text{ people}]", "1200", "1"),
        (r"[3{:}45\text{ PM}]", r"3\!:\!45\text{ pm}", r"3:45\text{ am}"),
        ("The answer is 2 and three quarters.", "2.75", "2"),
        ("The answer is 3 Million.", "3000000", "3"),
        ("The answer is 3 lakh.", "300000", "3"),
        (r"[3(\frac12)]", "1.5", "3.5"),
        (r"[12\,\mathrm{mL}]", "12", "2"),
        (r"[12\,\mathrm{kg\cdot m/s^2}]", "12", "2"),
        (r"[12\;\text{m}/\text{s}]", "12", "2"),
        (r"[12 \text{ times}]", "12", "2"),
        ("[12 €]", "12", "2"),
        ("The answer is 12 mL.", "12", "2"),
        ("The answer is 12 °C.", "12", "2"),
        ("The answer is 12 cm2.", "12", "2"),
        ("The answer is 12 times a day.", "12", "2"),
    ],
    "numerals with a base": [
        (r"[\text{101}_2]", "101_{2}", "101_3"),
        ("[(101)_2]", "101_2", "1010_2"),
    ],
    "choices": [
        ("[(A) or (B)]", None, "A"),
        ("[A, B]", "A,B", "A"),
        (r"[\text{(A) and (C)}]", None, "A"),
        ("[A: 5, B: 6]", None, "A"),
        ("[A=5]", None, "A"),
        ("[(A)+(B)]", None, "A"),
        (r"[\text{not A}]", None, "A"),
        ("[A^c]", None, "A"),
        (r"[\text{(A) } 5]", "A", "B"),
        ("[B: 5]", "B", "A"),
        (r"[\text{option (A)}]", r"\text{(A)}", "B"),
        ("The answer is B, not C.", "B", "C"),
        ("The answer is A man with 3 dogs.", None, "A"),
        ("The answer is not A but B.", "B", "A"),
        ("The correct answer is (A): 5 apples.", "A", "B"),
        ("The correct choice is A.", "A", "B"),
        ("The best choice is (C).", "C", "A"),
        ("Option C is correct.", "C", "A"),
        ("So (C) is the answer.", "C", "A"),
        ("故选 B。", "B", "A"),
    ],
    "headings are no marks": [
        ("#### Step 1: add 5 and 3\n5 + 3 = 8\n#### Step 2: double it\n8 * 2 = 16\nThe answer is 16.", "16", "2"),
        ("#### 1. Count the cows\n4 + 5 = 9\n\nThe farmer has **9** cows.", "9", "1"),
        ("#### Final Answer\n16", "16", None),
        ("#### Part 2\n4 + 6 = 10", "10", "2"),
        ("[47]\n\n#### Check\nWorking back from step 2 to step 1 gives the same.", "47", "1"),
        ("4 + 6 = 10\n#### 10 eggs per day", "10", None),
        ("### Final Answer\n**47 cookies**", "47", None),
    ],
    "bullets, quotes, ticks and bold": [
        (opening.replace("%", "7"), "7", "-7")
        for opening in (
            "Answer:\n- %",
            "Answer:\n* %",
            "Answer:\n• %",
            "**Final Answer:**\n\n1. %",
            "Answer: `%`",
            'Answer: "%"',
            "Answer: “%”",
            "Answer: **%**",
            "Answer:\n```\n%\n```",
            "Answer:\n> %",
            "Answer - %",
            "Answer — %",
            "**Answer**: %",
            "### Answer: %",
            "## Final Answer\n\n%",
            "✅ Answer: %",
            "ANSWER = %",
            "The answer would be %. 3.",
            "The answer comes out to %, from 3 rows.",
            "The correct answer should be %, from 3.",
            "The answer equals %, from 3.",
        )
    ],
    "answers in other scripts": [
        (sentence.replace("%", "7"), "7", "3")
        for sentence in (
            "所以一共有 3 排，答案是 %。",
            "答案：%",
            "答案是：% 个苹果，而不是 3 个。",
            "答えは%です。3ではありません。",
            "정답은 %입니다.",
            "Ответ: %, а не 3.",
            "La respuesta es % manzanas.",
            "La réponse est %.",
            "Die Antwort ist %, nicht 3.",
            "Answer：%",
        )
    ]
    + [("الجواب هو ٧", "7", "3"), ("[４２]", "42", "2"), ("所以总共需要7天。", "7", "3")],
    "hedges and negations in other languages": [
        (sentence, None, "18")
        for sentence in (
            "答案至少是 18。",
            "答案超过 18。",
            "答案不是 18。",
            "答えは18ではありません。",
            "答えは17または18です。",
            "정답은 18이 아닙니다.",
            "Ответ: не 18.",
            "Ответ: больше 18.",
            "La respuesta no es 18.",
            "La respuesta es más de 18.",
            "La réponse n'est pas 18.",
            "La réponse est plus de 18.",
            "Die Antwort ist nicht 18.",
            "Die Antwort ist mehr als 18.",
            "La risposta non è 18.",
            "A resposta não é 18.",
        )
    ]
    + [
        ("答案不是 17，而是 18。", "18", "17"),
        ("答えは17ではなく18です。", "18", "17"),
        ("정답은 17이 아니라 18입니다.", "18", "17"),
        ("Ответ: не 17, а 18.", "18", "17"),
        ("La respuesta no es 17 sino 18.", "18", "17"),
        ("Die Antwort ist nicht 17, sondern 18.", "18", "17"),
    ],
    "words are no products": [
        (form.replace("%", word), word, anagram)
        for form in ("[%]", "The answer is %.", r"[\text{%}]")
        for word, anagram in (("listen", "silent"), ("tea", "eat"), ("Debra", "Bread"), ("Amy", "May"), ("on", "no"))
    ]
    + [("[xyz]", "xyz", "xyw"), ("[abc+1]", "1+abc", "1+abd")],
    "numbers that are tiny or huge": [
        ("[10^{-400}]", None, "10^{-401}"),
        (r"[\frac{1}{2006!}]", None, r"\frac{1}{2004!}"),
        ("[2^{-2000}]", None, "2^{-2001}"),
        ("[10^{500}]", "10^{499} \\cdot 10", "10^{501}"),
        ("[10^{-12}]", None, "0"),
    ],
    "repeating decimals": [
        (r"[0.1\overline{6}]", r"\frac16", "0.16"),
        (r"[0.\overline{36}]", r"0.3\overline{63}", r"0.\overline{363}"),
        (r"[3.\overline{142857}]", r"\frac{22}{7}", None),
        (r"[\frac{5}{9}]", r"0.\overline{5}", "0.5"),
        (r"[0.\overline{9}]", "1", "0.9"),
        (r"[0.\dot{3}]", r"\frac13", "0.3"),
    ],
    "the imaginary unit": [
        (r"[\sqrt{-4}]", "2i", "2"),
        (r"[\frac{1}{i}]", "-i", "i"),
        ("[(1+i)^2]", "2i", "-2i"),
        (r"[2e^{i\pi/2}]", "2i", "2"),
        ("[i^2]", "-1", "1"),
        ("[3-2i]", None, "3+2i"),
        ("[x_i + i]", "i + x_i", "x_i - 1"),
    ],
    "names in points": [
        ("[y=2, x=1]", "(1,2)", "(2,1)"),
        ("[y=1, x=2]", "(2,1)", "(1,2)"),
        ("[z=3,x=1,y=2]", "(1,2,3)", "(3,1,2)"),
        ("[(y,x)=(1,2)]", "(2,1)", "(x,y)=(1,2)"),
        (r"[y=2 \text{ and } x=1]", "(1,2)", "(2,1)"),
        ("[(1,2)]", "x=1,y=2", "x=2,y=1"),
        ("[x=2,y=2]", "(2,2)", "2"),
    ],
    "and, or and unions": [
        (r"[x<-4 \text{ or } x>1]", r"(-\infty,-4)\cup(1,\infty)", r"(-\infty,-4]\cup(1,\infty)"),
        (r"[x<-4 \text{ and } x>1]", None, r"x<-4 \text{ or } x>1"),
        (r"[x>1 \text{ and } x<2]", "(1,2)", r"x>1 \text{ or } x<2"),
        (r"[(-\infty, 1) \text{ or } (2,3)]", r"(-\infty,1)\cup(2,3)", "(2,3)"),
        (r"[(0,1)\text{ and }(2,3)]", r"(0,1)\cup(2,3)", None),
        (r"[x\ne1 \text{ and } x \ne 2]", r"(-\infty,1)\cup(1,2)\cup(2,\infty)", r"x \ne 1"),
        (r"[x=1 \text{ or } x>2]", r"\{1\}\cup(2,\infty)", r"(2,\infty)"),
        (r"[x=1 \text{ or } x=2]", "1,2", "1"),
        ("[2x>6]", "3<x", "x>6"),
        (r"[x<1 \text{ or } y>2]", None, r"x<1 \text{ or } x>2"),
        (r"[\{x\mid x\ge 0\}]", r"x \ge 0", "0"),
        (r"[3:45]", r"3:45 \text{ p.m.}", r"3:46 \text{ p.m.}"),
        (r"[3:45 \text{ a.m.}]", "3:45", r"3:45 \text{ p.m.}"),
        (r"[(1,3)\cap(2,4)]", "(2,3)", "(1,4)"),
        (r"[\text{all real numbers}]", r"\mathbb{R}", "0"),
        ("[5 = x]", "5", "x = 6"),
        (r"[\sin 30^\circ]", r"\frac12", "30"),
    ],
    "sets do not repeat, lists do": [
        (r"[\{2,1,1\}]", r"\{1,2\}", r"\{1,2,3\}"),
        ("[1,1,2]", r"\{1,2\}", "1,2"),
        (r"[\varnothing]", r"\emptyset", r"\{0\}"),
    ],
    "nothing equals nothing": [(r"[\text{}]", None, r"\text{ }"), (r"[\quad]", None, r"\;"), ("[.]", None, "$.$")],
    "the next question is another's": [
        ("2+8=10. The answer is 10.\n\nProblem: Bob has 3 and 4.\nThe answer is 7.", "10", "7"),
        ("So [10].\n\n### Problem 2\nBob\n[7]", "10", "7"),
        ("So [10].\nHuman: what about 7?\nAssistant: [7]", "10", "7"),
        ("The answer is 4.<|endoftext|>Question: what is 7?", "4", "7"),
        ("The answer is 4.\n\n### Question\nWhat is 7?\n### Answer\n7", "4", "7"),
        ("The answer is 4.\n\nExercise 2. Find 7.\nThe answer is 7.", "4", "7"),
        ("The answer is 4.\n\nHere is another problem: 7?\nThe answer is 7.", "4", "7"),
        ("The answer is 4.\n\nQ2. 7?\nThe answer is 7.", "4", "7"),
        ("答案：4\n\n问题：7？\n答案：7", "4", "7"),
        ("<thinking>The answer is 7.</thinking>\nThe answer is 4.", "4", "7"),
        ("<reasoning>The answer is 7.</reasoning><answer>4</answer>", "4", "7"),
        ("<answer>4</answer> I also considered 7.", "4", "7"),
        ("<think>[5]</think>The answer is 6.", "6", "5"),
        ("<think>Maybe the answer is [5]. Let me", None, "5"),
    ],
    "a comma with a space divides a list, one without may": [
        ("[100, 200]", "200, 100", "100200"),
        ("[12, 345]", "345,12", "12345"),
        ("[1, 234, 567]", None, "1234567"),
        ("[-12, 345]", "-12, 345", "-12345"),
        (r"[12,\ 345]", "345, 12", "12345"),
        (r"[\$12, 345]", None, "12345"),
        (r"[12, 345\text{ cm}]", None, "12345"),
        ("#### 12, 345", None, "12345"),
        ("The answer is 1, 234.", None, "1234"),
        ("The answer is $1, 234$.", None, "1234"),
        ("[12345]", "12,345", "12, 345"),
        (r"[12,\!345]", "12345", "345, 12"),
        ("[12{,}345]", "12345", "345, 12"),
        ("[14 {, }916]", "14916", None),
        ("[12,345]", "12345", "12346"),
        ("[81,256]", "81, 256", "81257"),
        ("[3,100]", "100,3", "3101"),
        ("[100,3]", "3,100", "3100"),
        ("[3,100]", "3100", "100,4"),
        ("[3,100]", "(3,100)", "(100,3)"),
        ("[1,234, 5]", "5, 1234", "12345"),
        ("[10,000, 20,000]", "20000, 10000", "1000020000"),
        ("[1，234]", "1234", "1235"),
    ],
    "what is not equal, or a bound, is no value": [
        (f"[{relation} 5]", None, "5")
        for relation in (r"\neq", r"\ne", r"\not=", r"\lt", r"\gt", r"\leqq", r"\ngeq", r"\nless", r"\ll", "!=", "≠")
    ]
    + [
        (r"[x \not= 5]", r"x \ne 5", "x = 5"),
        (r"[x \lt 5]", "x < 5", "x > 5"),
        (r"[\{x \mid x \neq 2\}]", r"x\ne2", r"x\ne3"),
        (r"[\{x \in \mathbb{R} : 2 \neq x\}]", r"x\neq2", "x=2"),
        (r"[x \ne 2]", r"\left\{x \,\middle|\, x \not= 2\right\}", "2"),
    ],
    "a name is dropped before a sign of equality, a formula is not": [
        (f"[{formula}=3]", None, "3")
        for formula in (
            r"x+y; x-y; 5-x; 2x; -x; x^2; 2xy; 2(x+1); \sqrt{x}; x \times y; x+y=z; AB+BC; \frac{x}{2}+1; "
            r"\frac{x+1}{2}; |x-2|"
        ).split("; ")
    ]
    + [
        (f"[{name}=3]", "3", "4")
        for name in (
            r"x; x=y; a_1; a_{n+1}; S_{10}; f(3); f(x+1); f^{-1}(3); f'(2); p(q(1)); A^{-1}; x^*; AB; AB^2; |A|; P(A); "
            r"P(X=2); \angle ABC; \overline{AB}; \frac{a}{b}; \cos 2x; \cos^2 x; \int_0^1 2x+2\,dx; \lfloor x \rfloor; "
            r"1+2; \binom{3}{1}; \sqrt{9}; 2^3-5; x=2+1; S=2x; \text{area}"
        ).split("; ")
    ]
    + [
        ("[3]", "x=3", "x+y=3"),
        ("[x+y=3]", "3=y+x", "x+y=4"),
        ("[y+2]", "x=y+2", "x+1=y+2"),
        ("The answer is x+y=3.", "x+y=3", "3"),
    ],
    "units that differ, where both sides state one": [
        (rf"[5{unit}]", rf"5{same}", rf"5{other}")
        for unit, same, other in (
            (r"\text{ hours}", r"\text{ hr}", r"\text{ minutes}"),
            (r"\text{ inches}", " in", r"\text{ feet}"),
            (r"\text{ hour}", "", r"\text{ day}"),
            (" km", r"\text{ kilometers}", " m"),
            ("m", r"\text{ minutes}", "s"),
            ("m", r"\text{ metres}", "h"),
            (r"\text{ cents}", "¢", r"\text{ dollars}"),
            (r"\%", r"\text{ percent}", r"\text{ dollars}"),
            (r"^\circ", r"\text{ degrees}", r"\%"),
            (" €", r"\text{ euros}", r"\text{ dollars}"),
            (r"\text{ cm}^2", r"\text{ square centimeters}", r"\text{ cm}^3"),
            (r"\text{ sq. ft.}", r"\text{ ft}^2", r"\text{ feet}"),
            (r"\text{ cm}^2", r"\text{ square units}", r"\text{ m}^2"),
            (r"\,\mathrm{km/h}", r"\text{ kilometers per hour}", r"\text{ m/s}"),
            (r"\text{ mph}", r"\text{ miles per hour}", r"\text{ km/h}"),
            (r"\text{ kg}", r"\text{ kilograms}", r"\text{ g}"),
            (r"\text{ lbs}", r"\text{ pounds}", r"\text{ kg}"),
            (r"\text{ pounds}", "£", r"\text{ dollars}"),
            (r"\text{ million dollars}", r"\text{ million}", r"\text{ million euros}"),
            (r"\pi\text{ cm}", r"\pi", r"\pi\text{ m}"),
            (r"\ \text{N}", r"\text{ newtons}", r"\text{ J}"),
            (r"\text{ kW}", r"\text{ kilowatts}", r"\text{ W}"),
            (r"\text{ apples}", r"\text{ oranges}", None),
            (r"\text{ in total}", r"\text{ cm}", None),
        )
    ]
    + [
        ("The answer is 5 minutes.", "5 min", r"5\text{ hours}"),
        ("9 km", "9 kilometers", "9 m"),
        ("He runs 9 km.", "9", "9 miles"),
        ("#### 5 minutes", "5", "5 hours"),
        ("The answer is $5, not 6.", r"\$5", r"5\text{ cents}"),
        ("The answer is 5 cents.", "5", r"\$5"),
        ("He works 18 hours, at 1 dollar. The answer is 18.", r"\$18", None),
        ("It takes 5 minutes. [5]", "5 hours", None),
        (r"[\$5]", "$5$", r"5\text{ cents}"),
        (r"[$5$]", r"5\text{ cents}", None),
        (r"[\$5\text{ per hour}]", r"5\text{ dollars}", "5 €"),
        (r"[5\text{ cm}, 7\text{ cm}]", "7, 5", r"5\text{ m}, 7\text{ m}"),
    ],
    "below zero in words": [
        ("The answer is minus 7.", "-7", "7"),
        ("The answer is negative 7 degrees.", "-7", "7"),
        ("The temperature is minus 7 degrees.", "-7", "7"),
        ("He has negative 7 dollars.", "-7", "7"),
        ("#### minus $7", "-7", "7"),
        (r"[\text{negative } 7]", "-7", "7"),
        (r"[-7]", r"\text{minus }7", "7"),
        ("The answer is 12 minus 7.", None, "-7"),
    ],
    "currencies before an amount": [
        (form.replace("%", mark + "1,200"), "1200", "200")
        for form in ("#### %", "The answer is %.", "He pays %.")
        for mark in ("US$", "US $", "A$", "Rs ", "Rs. ", "Rs.", "₹", "USD ", "EUR ")
    ]
    + [
        (r"[US\$7]", "7", None),
        (r"[\text{Rs. }7]", "7", None),
        ("#### 7 Rs.", "7", None),
        ("#### INR7", "7", None),
        ("#### -US$7", "-7", "7"),
        ("[7]", "Rs. 7", "Rs. 8"),
    ],
    "what a value is told to be": [
        ("The answer is 15: 5 each.", "15", "5"),
        ("#### 15: 5 each", "15", "5"),
        ("The answer is 15: 3 * 5 = 15.", "15", "3"),
        ("The answer is **15**: 5 each.", "15", "5"),
        ("The answer is **15**—that is 5 each.", "15", "5"),
        ("The answer is 15—that is 5 each.", "15", "5"),
        ("The answer is 15–that is 5 each.", "15", "5"),
        ("The answer is 15 --that is 5 each.", "15", "5"),
        ("The answer is 15- that is 5 each.", "15", "5"),
        ("#### 5…", "5", "0.5"),
        ("The answer is 5…", "5", None),
        ("The ratio is the answer. The answer is 3: 4.", "3:4", "3"),
        ("The answer is 5–or 7.", None, "5"),
        ("Day 2 total: 9 eggs", "9", "2"),
    ],
    "lists of words": [
        (r"[\text{Monday}, \text{Tuesday}]", "Tuesday, Monday", "Monday"),
        (r"[\text{Monday, Tuesday}]", r"\text{Tuesday}, \text{Monday}", "Tuesday, Sunday"),
        (r"[\text{red and blue}]", "blue, red", "blue, blue"),
        (r"[\text{Ann or Bob}]", r"\text{Bob or Ann}", r"\text{Ann and Bob}"),
        (r"[(\text{red},\text{blue})]", r"(\text{red},\text{blue})", r"(\text{blue},\text{red})"),
        ("The answer is Monday and Tuesday.", "Tuesday, Monday", "Tuesday, Sunday"),
    ],
    "a tolerance reaches into lists and points": [
        ("[4, 5.05]", "4, 5 (tolerance 0.1)", "4, 5 (tolerance 0.01)"),
        ("[5.05, 4]", "4, 5 (tolerance 0.1)", "(4, 5) (tolerance 0.1)"),
        ("[3.95, 4.05]", "4.1, 4 (tolerance 0.1)", "4.1, 4.1 (tolerance 0.1)"),
        ("[(4, 5.05)]", "(4, 5) (tolerance 0.1)", "(5, 4) (tolerance 0.1)"),
        (r"[\{5.05, 4\}]", r"\{4, 5\} (tolerance 0.1)", "4 (tolerance 2)"),
        ("[(1,2),(3,4.05)]", "(3,4),(1,2) (tolerance 0.1)", "(3,4),(2,1) (tolerance 0.1)"),
        ("[x=4.05, y=5]", "x=4, y=5 (tolerance 0.1)", "x=4, y=4 (tolerance 0.1)"),
        (r"[1 \pm 2.05]", "3, -1 (tolerance 0.1)", "3, 1 (tolerance 0.1)"),
        ("[4.25]", r"\boxed{4.2} (tolerance 0.1)", "4.2 (tolerance 0.01)"),
        ("[4.05]", "x=4 (tolerance 0.1)", "x=4 (tolerance 0.01)"),
        ("[B]", "B (tolerance 0.1)", "A (tolerance 0.1)"),
        ("[10^{17}]", "99999999999999999 (tolerance 1e+16)", "7 (tolerance 1e+16)"),
        (r"[5\text{ m}]", r"5 \text{ m} (tolerance 0.1)", r"5 \text{ s} (tolerance 0.1)"),
    ],
    "calculator marks": [
        ("He spends $3 = $<<3=3>>3 a day, so 3*5 = $<<3*5=15>>15 in 5 days.", "15", "5"),
        ("It costs 2*$4 = $<<2*4=8>>8.\nThen $8 + $2 = $<<8+2=10>>10", "10", "8"),
        ("He reads 100*7=<<100*7=700>>700 pages in 7 days", "700", "7"),
    ],
}
GSM8K: dict[str, list[Row]] = {
    "headings are no marks": [
        ("#### Step 1: add 5 and 3\n5 + 3 = 8\n#### Step 2: double it\n8 * 2 = 16\nThe answer is 16.", "16", "2"),
        ("#### 1. Count the cows\n4 + 5 = 9\n\nThe farmer has **9** cows.", "9", "1"),
        ("#### Conclusion\nThe farmer has 10 cows.", "10", None),
        ("#### Answer\n\n**10**", "10", None),
        ("#### Day 2 total: 9 eggs", "9", "2"),
        ("#### Janet = $9", "9", None),
        ("#### The answer is 8", "8", None),
        ("4 + 6 = 10\n#### 10\n#### Note\nNo 3 here.", "10", "3"),
        (r"2+8=10" + "\n" + r"#### [10]", "10", None),
        ("2+8=10\n#### 10\n\nQuestion: next 3?\nAnswer: 5\n#### 5", "10", "5"),
        ("2+8=10\n#### 10 or 11", None, "10"),
    ],
    "numbers are read whole": [
        ("She needs 2 1/2 cups.", "2.5", "0.5"),
        ("She needs 2½ cups.", "2.5", "2"),
        (r"She needs $2\frac{1}{2}$ cups.", "2.5", "2"),
        (r"She needs $\frac{3}{4}$ of a cup.", "0.75", "4"),
        ("Total: 1e3 eggs", "1000", "3"),
        ("The answer is 2.5 million.", "2500000", "2.5"),
        ("The area is 8 m^2.", "8", "2"),
        ("The area is 8 m².", "8", "2"),
        ("Total: 8:30", None, "8"),
        ("It takes 3 to 4 days", None, "4"),
        ("So 10 apples (5 red and 5 green).", "10", "5"),
        ("The answer is 6, not 5.", "6", "5"),
        (r"[8 \text{ or } 9]", None, "8"),
        ("The answer is 25%.", "25", None),
        ("Answer: (25)", "25", None),
        ("The answer is 25°.", "25", "5"),
        ("The answer is 12 sq. units.", "12", None),
        ("The answer is >= 3.", None, "3"),
        ("Thus 8 = 2³.", "8", "3"),
    ],
    "a tolerance, a sign and a currency in words": [
        ("#### 4.1", "4 (tolerance 0.1)", "4 (tolerance 0.05)"),
        ("#### minus 7", "-7", "7"),
        ("#### -7", "minus 7", "7"),
        ("#### Rs. 7", "US$7", "8"),
        (r"[x+y=3]", None, "3"),
        (r"[2x=6]", None, "6"),
        (r"[4 x 5 = 20]", "20", None),
        (r"[5 m + 3 m = 8 m]", "8", "5"),
        ("Price = 5 + 4 = 9", "9", "4"),
    ],
    "a label begins no answer": [
        ("Answer: She sells 16 - 3 - 4 = 9 eggs.\nShe makes 9 * 2 = $18 every day.", "18", "9"),
        ("To find the result:\n\n1. 4 * 18 = 72\n2. 72 - 25 = 47\n\nTherefore, there are **47 cookies**.", "47", "1"),
    ],
}


@cache
def named(name: str) -> Grader:
    return GRADERS.create(name)


def misgraded(name: str, rows: list[Row]) -> list[str]:
    grader = named(name)
    wrong = []
    for solution, right, other in rows:
        text = boxed(solution)
        for reference, is_right in ((right, True), (other, False)):
            if reference is not None and (grader.grade(text, reference) is Grade.CORRECT) is not is_right:
                wrong.append(
                    f"{solution!r} for {reference!r}: {grader.grade(text, reference)}, {grader.extract(text)!r}"
                )
    return wrong


def boxed(text: str) -> str:
    return text.replace("[", r"\boxed{").replace("]", "}")


@pytest.mark.parametrize("kind", AUTO)
def test_statements_are_graded_as_they_are_meant(kind: str) -> None:
    assert misgraded("auto", AUTO[kind]) == []


@pytest.mark.parametrize("kind", GSM8K)
def test_solutions_of_word_problems_are_graded_as_they_are_meant(kind: str) -> None:
    assert misgraded("gsm8k", GSM8K[kind]) == []


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not at hand")
def test_firm_cases_are_graded_right() -> None:
    """No wrong answer counts as correct, and of all at most 2 % are misgraded."""
    counts = Counter[str]()
    for case in map(json.loads, CASES.read_text(encoding="utf-8").splitlines()):
        if case["weight"] == "firm":
            grade = named(case["grader"]).grade(case["solution"], case["answer"])
            counts["all"] += 1
            counts["wrong"] += grade != case["expected"]
            counts["falsely correct"] += grade is Grade.CORRECT and case["expected"] != "correct"
    assert counts["falsely correct"] == 0
    assert counts["wrong"] <= 0.02 * counts["all"]
