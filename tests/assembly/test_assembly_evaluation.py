"""Policies on benchmarks, with a model that is loaded."""

import json
from pathlib import Path

import pytest

from presrm.assembly.evaluation import evaluate_policies, load_benchmark, load_examples
from presrm.config import load_config
from presrm.errors import RunConfigError
from presrm.methods.stages import SilentProgress

PLAIN = ["model.chat_template=plain", "model.device=cpu", "evaluation.max_tokens=4"]


def evaluate(policy: Path, out: Path, *settings: str) -> dict[str, object]:
    config = load_config(None, [*PLAIN, *settings])
    benchmark = load_benchmark("arithmetic", config, 3, None)
    examples = {"arithmetic": load_examples("arithmetic", 2, benchmark, config, SilentProgress())}
    (result,) = evaluate_policies([str(policy)], [benchmark], config, out, SilentProgress(), examples=examples)
    assert (result.way, result.num) == ("greedy-2-shot", 3)
    (folder,) = out.iterdir()
    return dict(json.loads((folder / "results.json").read_text()))


def test_a_model_without_a_chat_template_is_evaluated_on_examples(tiny_policy: Path, tmp_path: Path) -> None:
    results = evaluate(tiny_policy, tmp_path)
    assert results["n-shot"] == {"arithmetic_greedy-2-shot": 2}
    with pytest.raises(RunConfigError, match=r"examples: .* -> "):
        evaluate(tiny_policy, tmp_path, "seed=1")
    with pytest.raises(RunConfigError, match="chat_template: 'plain' -> 'chatml'"):
        evaluate(tiny_policy, tmp_path, "model.chat_template=chatml")
