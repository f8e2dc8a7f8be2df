"""Policies on benchmarks, with a model that is loaded."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from presrm.assembly import evaluation as evaluation_module
from presrm.assembly import parts as parts_module
from presrm.assembly.evaluation import evaluate_policies, load_benchmark, load_examples
from presrm.assembly.runs import train
from presrm.config import load_config
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import RunConfigError
from presrm.methods.parts import SilentProgress
from presrm.prompts import Prompt
from presrm.protocols import Completion, Request

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


def write(prompt: Prompt, rng: random.Random) -> str:
    """Run on behind the answer, to the next question, as a base model does; some replies end before there is one."""
    total = sum(map(int, re.findall(r"([0-9]+) \+ ([0-9]+)\?", prompt.text)[-1]))
    return f"It is {total}.\n#### {total}\n\nQuestion: 1 + 1?\nAnswer: 2" if total % 3 else "and " * 200


@pytest.mark.parametrize("template", ["plain", "chatml"])
@pytest.mark.parametrize("num_tokens", ["told", "not told"])
def test_a_run_and_presrm_eval_give_the_same_rows(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, num_tokens: str
) -> None:
    class Engine(ScriptedEngine):
        def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
            drawn = super().generate(requests)
            return drawn if num_tokens == "told" else [[replace(one, tokens=None) for one in of] for of in drawn]

    problems = tmp_path / "sums.jsonl"
    rows = [{"id": f"p{n}", "question": f"{n} + {n * n}?" + " " * (n % 4), "answer": str(n + n * n)} for n in range(9)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for module in (parts_module, evaluation_module):
        monkeypatch.setattr(module, "open_engine", lambda policy, model, **kwargs: Engine(write))
    settings = [f"model.id={tiny_policy}", f"model.chat_template={template}", f"problems.held_out={problems}"]
    settings += ["iterations=0", "evaluation.num_judge_problems=0", "watch.num_problems=0", "evaluation.group_size=4"]
    settings += ["evaluation.max_tokens=100", "evaluation.grader=gsm8k", "splitter=sentence"]
    config = load_config(None, settings)
    train(config, tmp_path / "run", SilentProgress())
    evaluate_policies(
        [str(tiny_policy)],
        [load_benchmark(str(problems), config, None, None)],
        config,
        tmp_path / "evals",
        SilentProgress(),
    )
    (samples,) = tmp_path.glob("evals/*/samples_sums_greedy.jsonl")
    ours = [json.loads(line) for line in (tmp_path / "run/iterations/1/answers.jsonl").read_text().splitlines()]
    theirs = [json.loads(line) for line in samples.read_text().splitlines()]
    for row in theirs:
        del row["audit"]
    assert sorted(theirs, key=lambda row: row["doc_id"]) == ours
    assert {row["stops"][0] for row in ours} == {"answer" if template == "plain" else "eos", "max_tokens"}
    assert {row["num_tokens"][0] is None for row in ours} == {num_tokens == "not told"}
    assert {row["exact_match"] for row in ours} == {0.0, 1.0}
