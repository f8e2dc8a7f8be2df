"""Settings found beside a policy choose prompts, steps and numbers, and nothing that loads or runs."""

from pathlib import Path

import yaml

from presrm.cli.settings import settings_for, settings_to_judge
from presrm.config import Config, load_config


def beside(tmp_path: Path, *overrides: str) -> str:
    """A run folder from someone else, with these settings."""
    policy = tmp_path / "run/iterations/2/policy"
    policy.mkdir(parents=True)
    values = load_config("embedded", overrides).model_dump(mode="json")
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump(values))
    return str(policy)


def test_prompts_steps_and_numbers_are_taken(tmp_path: Path) -> None:
    policy = beside(tmp_path, "prompts=plain", "splitter=sentence", "search.num_candidates=5", "judge.kind=pointwise")
    config = settings_for([policy], ["search.max_steps=7"])
    assert (config.prompts, config.splitter, config.judge.kind) == ("plain", "sentence", "pointwise")
    assert (config.search.num_candidates, config.search.max_steps) == (5, 7)


def test_engines_devices_programs_and_code_are_not(tmp_path: Path) -> None:
    policy = beside(
        tmp_path,
        "model={id: 'http://host/v1#m', engine: vllm, engine_options: {python: /tmp/x}, device: cuda, dtype: float16}",
        "judge={kind: callable, options: {function: 'os:system'}}",
        "problems={train: 'jsonl:/etc/passwd'}",
        "threads=64",
    )
    config, default = settings_for([policy], []), Config()
    assert config.model == default.model
    assert config.judge == default.judge
    assert config.problems == default.problems
    assert config.threads == default.threads


def test_options_of_a_judge_are_not_taken(tmp_path: Path) -> None:
    config = settings_for(
        [beside(tmp_path, "judge={kind: listwise, options: {meta: true}, votes: 2, temperature: 1}")], []
    )
    assert (config.judge.kind, config.judge.votes, config.judge.options) == ("listwise", 2, {})


def test_steps_are_judged_with_the_prompts_that_the_judge_was_trained_with(tmp_path: Path) -> None:
    policy = beside(tmp_path, "judge={kind: pointwise, max_tokens: 17}")
    config = settings_to_judge({"model.id": policy, "judge.kind": "first-error"}, ["threads=1"])
    assert (config.prompts, config.judge.kind, config.judge.max_tokens) == ("compact", "first-error", 17)
    assert config.model.id == policy
    assert settings_to_judge({"model.id": str(tmp_path), "judge.kind": "pointwise"}, None).prompts == Config().prompts
