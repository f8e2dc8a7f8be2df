"""The examples do what they say: judge, train with an own splitter, use the policy elsewhere, and the notebook."""

import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import resources
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = EXAMPLES / "from_step_to_policy.ipynb"
QUESTION = "Tom has 31 cups. Tom buys 12 more. How many cups does Tom have now?"


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_judging_a_file_finds_the_first_wrong_step_of_each_solution(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("judge_a_file")

    example.main()

    steps = [block.splitlines()[1:] for block in capsys.readouterr().out.strip().split("\n\n")]
    wrong = [[line.split(maxsplit=1)[1] for line in lines if float(line.split()[0]) < 0.5] for lines in steps]
    assert wrong == [[], ["61 + 35 = 86"], ["72 - 24 = 38"]]


def test_training_on_own_problems_makes_a_policy_that_is_used_without_presrm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    first, second = load("train_on_own_problems").main(
        run, ("problems.num_train=6", "problems.num_held_out=8", "threads=1")
    )

    assert (first.name, second.name) == ("M1", "M2")
    assert not [record for record in caplog.records if record.name.startswith("presrm")]  # it is a fresh run
    assert "splitter: equation" in (run / "config.yaml").read_text("utf-8")
    questions = (EXAMPLES / "problems.jsonl").read_text("utf-8")
    for line in (run / "iterations/2/trees.jsonl").read_text("utf-8").splitlines():
        assert json.loads(line)["problem"]["question"] in questions

    without = "import runpy, sys; sys.modules['presrm'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    answer = json.loads((run / "iterations/2/answers.jsonl").read_text("utf-8").splitlines()[0])
    question, [[solution]] = answer["doc"]["question"], answer["resps"]
    done = subprocess.run(
        [sys.executable, "-c", without, EXAMPLES / "use_a_policy_elsewhere.py", run / "iterations/2/policy", question],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == solution.strip()


def test_an_adapter_is_used_elsewhere_as_a_model_is(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = str(resources.files("presrm") / "embedded")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules=["q_proj"]))
    adapted.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path)

    solve = load("use_a_policy_elsewhere").solve

    assert solve(tmp_path, QUESTION) == solve(Path(base), QUESTION)  # a new adapter changes nothing


def printed_by_the_notebook() -> list[str]:
    """Run the cells of the notebook, and give what each prints."""
    names: dict[str, object] = {"__name__": "notebook"}
    printed = []
    for cell in code_cells(json.loads(NOTEBOOK.read_text("utf-8"))):
        with redirect_stdout(StringIO()) as output:
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
        printed.append(output.getvalue())
    return printed


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_prints_what_it_shows() -> None:
    cells = code_cells(json.loads(NOTEBOOK.read_text("utf-8")))
    shown = ["".join(line for output in cell["outputs"] for line in output["text"]) for cell in cells]

    # Another processor may count otherwise, but not say otherwise.
    assert [re.sub(r"\d+", "0", text) for text in printed_by_the_notebook()] == [
        re.sub(r"\d+", "0", text) for text in shown
    ], "python tests/test_examples.py writes the outputs anew"


def write_notebook() -> None:
    """Write what the cells print now into the notebook."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    for number, (cell, text) in enumerate(zip(code_cells(notebook), printed_by_the_notebook(), strict=True), start=1):
        cell["execution_count"] = number
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}]
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write_notebook()
