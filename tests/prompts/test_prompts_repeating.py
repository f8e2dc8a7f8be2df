from pathlib import Path

import pytest

from presrm.prompts import PromptSet
from presrm.prompts.repeating import repeats_steps
from presrm.types import Problem, Step, Trajectory

PROBLEM = Problem("p", "What is 2 + 3?")
PLAIN = (
    "{{ question }}{% for step in steps %}{{ step }}{% endfor %}",
    "{% set word = fence %}{{ question }}{% for step in steps %}\n[{{ step }}]{% endfor %}{{ word }}",
    "{% for question in steps %}{{ question }}, {% endfor %}{{ question }}",
    "{{ question }}1{% for step in steps %}2{{ step }}3{% endfor %}4",
)
OTHERS = (
    "{{ question }}",
    "{% for step in steps %}{{ loop.index }}{{ step }}{% endfor %}",
    "{% for step in steps %}{{ step }}{% else %}none{% endfor %}",
    "{% for step in steps if step != question %}{{ step }}{% endfor %}",
    "{% for step in steps %}{{ step }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for step in steps[1:] %}{{ step }}{% endfor %}",
    "{% for step in steps %}{{ step }}{% endfor %}{{ steps|length }}",
    "{% set steps = [question, question, question] %}{% for step in steps %}{{ step }}{% endfor %}",
    "{% set comma = joiner(', ') %}{% for step in steps %}{{ comma() }}{{ step }}{% endfor %}",
    "{% set last = namespace(step='') %}{% for step in steps %}{{ last.step }}{% set last.step = step %}{% endfor %}",
    "{% for step in steps %}{{ step|upper }}{% endfor %}",
    "{% for step in steps %}{{ step }}{{ step }}{% endfor %}",
    "{% for step in steps %}{{ step }}{{ question }}{% endfor %}",
    "{% for step in steps %}{{ step }}{% endfor %}{{ self.tail() }}",
    "{% for step in steps %}a{% endfor %}{% for step in steps %}{{ step }}{% endfor %}",
    "{% for a, b in steps %}{{ a }}{% endfor %}",
    "{% if direct %}{% for step in steps %}{{ step }}{% endfor %}{% endif %}",
)


def template(trunk: str) -> str:
    return f"{{% block trunk %}}{trunk}{{% endblock %}}{{% block tail %}}{{{{ step }}}}{{% endblock %}}"


def prompt_set(folder: Path, trunk: str) -> PromptSet:
    for stem in ("solve", "pairwise", "pointwise"):
        (folder / f"{stem}.jinja").write_text(template(trunk if stem == "pointwise" else "{{ question }}"), "utf-8")
    return PromptSet(str(folder))


def steps(num: int) -> tuple[Step, ...]:
    return tuple(Step(("a" * 20_000 if number == 3 else f"{number % 5} + 1") + "\n") for number in range(num))


@pytest.mark.parametrize("trunk", PLAIN)
def test_a_plain_loop_is_known(trunk: str) -> None:
    assert repeats_steps(template(trunk))


@pytest.mark.parametrize("trunk", OTHERS)
def test_a_loop_that_depends_on_more_is_not(trunk: str) -> None:
    assert not repeats_steps(template(trunk))
    assert not repeats_steps("{% block tail %}" + PLAIN[0] + "{% endblock %}")


@pytest.mark.parametrize("trunk", PLAIN)
def test_what_is_repeated_is_what_the_template_says(
    trunk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompt_set(tmp_path, trunk)
    quick = [prompts.pointwise(Trajectory(PROBLEM, steps(num)), Step("so")) for num in range(13)]
    monkeypatch.setattr(prompts, "_repeating", set())

    assert quick == [prompts.pointwise(Trajectory(PROBLEM, steps(num)), Step("so")) for num in range(13)]


@pytest.mark.parametrize("name", ["paper", "compact", "plain"])
def test_a_shipped_template_goes_through_two_steps_however_many_there_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, prefix = PromptSet(name), Trajectory(PROBLEM, steps(50))
    asks = (
        lambda: prompts.pairwise(prefix, Step("a"), Step("b")),
        lambda: prompts.pointwise(prefix, Step("a"), direct=True),
        lambda: prompts.additive(prefix, Step("a")),
        lambda: prompts.critique(prefix, (), "sound"),
        lambda: prompts.listwise(prefix, ()),
    )
    quick = []
    for ask in asks:
        quick.append(ask())
        assert prompts._environment._num_turns == 2
    monkeypatch.setattr(prompts, "_repeating", set())

    assert quick == [ask() for ask in asks]
    assert prompts._environment._num_turns == 50
