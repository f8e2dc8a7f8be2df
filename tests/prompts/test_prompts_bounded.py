"""Templates from anywhere end, and values stay of a size that can be held."""

import time
from pathlib import Path

import pytest
from jinja2.exceptions import SecurityError
from transformers import AutoTokenizer

from presrm.errors import ConfigError
from presrm.prompts import PromptSet, bounded, encoding
from presrm.prompts.bounded import BoundedEnvironment, ends_within
from presrm.prompts.encoding import PromptEncoder
from presrm.types import Problem, Trajectory

HOSTILE = {
    "nested loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "loops that write": "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
    "a loop in a macro": "{% macro m() %}{% for i in range(9999) %}{% endfor %}{% endmacro %}"
    "{% for j in range(9999) %}{{ m() }}{% endfor %}",
    "a macro of itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a long text": "{{ 'a' * 1000000000 }}",
    "a long list": "{{ [1] * 1000000000 }}",
    "a large number": "{{ 9 ** 9999999999 }}",
    "a large range": "{{ range(10 ** 12) | list }}",
    "a way out": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
}


@pytest.fixture(autouse=True)
def low_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_MOST_TURNS", 20_000)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_template_that_would_not_end_is_stopped(name: str) -> None:
    environment, began = BoundedEnvironment(), time.process_time()
    with pytest.raises((SecurityError, RecursionError, OverflowError)):
        environment.from_string(HOSTILE[name]).render()
    assert time.process_time() - began < 5


def test_loops_count_anew_for_every_rendering_and_change_nothing_that_is_written() -> None:
    environment = BoundedEnvironment()
    template = environment.from_string("{% for i in range(15000) %}{{ i % 2 }}{% else %}none{% endfor %}{{ 3 * 'ab' }}")
    for _ in range(3):
        environment.begin()
        assert template.render() == "01" * 7500 + "ababab"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_prompt_set_that_does_not_end_is_named(name: str, tmp_path: Path) -> None:
    for stem in ("solve", "pairwise", "pointwise"):
        source = f"{{% block trunk %}}{HOSTILE[name]}{{% endblock %}}{{% block tail %}}{{% endblock %}}"
        (tmp_path / f"{stem}.jinja").write_text(source)
    with pytest.raises(ConfigError, match=rf"prompt set '{tmp_path}', \w+\.jinja:.* raised"):
        PromptSet(str(tmp_path)).solve(Trajectory(Problem("p", "?")))


def test_a_chat_template_that_does_not_end_is_named(tiny_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_SECONDS", 0.3)
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    tokenizer.chat_template = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    encoder = PromptEncoder(tokenizer)
    with pytest.raises(ConfigError, match=r"the chat template of .* does not end; set model\.chat_template"):
        encoder.encode(PromptSet("plain").solve(Trajectory(Problem("p", "?"))))


def spin(limit: float, error: Exception) -> None:
    with ends_within(limit, error):
        while True:
            pass


def test_what_ends_in_time_is_left_alone() -> None:
    with ends_within(0.2, ValueError("late")):
        pass
    time.sleep(0.4)
    with pytest.raises(ValueError, match="late"):
        spin(0.1, ValueError("late"))
    with pytest.raises(KeyError), ends_within(60, ValueError("late")):
        raise KeyError
