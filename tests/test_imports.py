"""Looking costs nothing: no torch until a model is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_run import make_run

HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "sympy", "scipy", "matplotlib"}


@pytest.mark.parametrize(
    "command",
    [
        "import presrm",
        "import presrm; presrm.Problem; presrm.Judge; presrm.load_config('embedded'); presrm.PromptSet('compact')",
        "from presrm.cli import main; main(['--help'])",
        "from presrm.cli import main; main(['train', '--help'])",
        "from presrm.cli import main; main(['config', 'list'])",
        "from presrm.cli import main; main(['trian'])",
        "import presrm.splitters, presrm.judges, presrm.searchers, presrm.graders, presrm.problems, presrm.engines",
    ],
)
def test_nothing_heavy_is_loaded(command):
    program = f"""
import sys
try:
    exec({command!r})
except SystemExit:
    pass
print(*({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == ""


def test_a_policy_without_an_adapter_needs_no_peft() -> None:
    program = "import sys, presrm.engines.hf, presrm.packing.forward; assert 'peft' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_imported_for_policies_is_never_looked_through_for_garbage_and_policies_are() -> None:
    program = """
import gc
from presrm.assembly.engines import importing, limit_threads
from presrm.config import ModelConfig

with importing():
    import torch
assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)
limit_threads(1, ModelConfig(id="embedded"))
num = gc.get_freeze_count()
assert gc.isenabled() and num > 100_000
kept = [[] for _ in range(100_000)]
with importing():
    import presrm.engines.hf
assert gc.isenabled() and gc.get_freeze_count() <= num
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_run_begins_without_transformers(tmp_path) -> None:
    """What is refused is refused at once, and a finished run is shown at once."""
    program = """
import sys
from presrm.assembly import runs
from presrm.config import load_config
from presrm.methods.parts import SilentProgress

runs.run_loop = lambda *args: []
runs.train(load_config("embedded", ["threads=1"]), __import__("pathlib").Path("run"), SilentProgress())
assert "transformers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "train --out new",
        "train --dry-run",
        "search --out trees.jsonl",
        "judge-steps rows.jsonl",
        "eval --num 2",
        "solve",
        "fit pairs.jsonl --model embedded --out policy",
        "fit pairs.jsonl --model embedded --dry-run",
        "check-pairs pairs.jsonl --tokenizer embedded",
        "export embedded --merge --out whole",
        "split rows.jsonl --segmenter model --out split.jsonl",
        "fit-prm labelled.jsonl --model embedded --out prm",
        "report run",
        "config new",
    ],
)
def test_what_takes_seconds_to_import_is_imported_within_a_stage(tmp_path, command) -> None:
    """So that a command says what it does from its first second on, however slow the machine."""
    files = {
        "rows": {"question": "1 + 1?", "solution": "1 + 1 = 2\n#### 2"},
        "labelled": {"question": "1 + 1?", "steps": ["1 + 1 = 2\n", "#### 2"], "labels": [1, 1]},
        "pairs": {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"},
    }
    for name, row in files.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    make_run(tmp_path / "run")
    program = """
import os, sys, traceback
from presrm.cli import main, progress

shown, begin = [], progress.RichProgress.__init__

def begin_and_remember(self, *arguments, **options):
    begin(self, *arguments, **options)
    shown.append(self)

class Watch:
    def find_spec(name, path, target=None):
        if name in ("torch", "transformers", "matplotlib"):
            is_within = any(one._stages for one in shown)
            print("within a stage" if is_within else "".join(traceback.format_stack()), flush=True)
            os._exit(0)

progress.RichProgress.__init__ = begin_and_remember
sys.meta_path.insert(0, Watch)
main(sys.argv[1:])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.stdout.endswith("within a stage\n"), ended.stdout + ended.stderr


JUDGE = """
from presrm import Judgement

class MyJudge:
    scale = "absolute"
    def judge(self, batch):
        return [tuple(Judgement(1.0) for _ in item.steps) for item in batch]
"""


ENGINE = """
from presrm import Completion, Stop

class MyEngine:
    def __enter__(self):
        return self
    def __exit__(self, *exception):
        pass
    def generate(self, requests):
        return [[Completion("#### 2", None, Stop.EOS) for _ in range(one.num)] for one in requests]
    def logprobs(self, prompts, options):
        return [tuple(0.0 for _ in options) for _ in prompts]
"""


@pytest.mark.parametrize(
    "command",
    [
        ("judge-steps", "rows.jsonl", "--judge", "checker"),
        ("judge-steps", "rows.jsonl", "--judge", "my.py:MyJudge"),
        ("judge-steps", "rows.jsonl", "--engine", "my.py:MyEngine"),
        ("eval", "--engine", "my.py:MyEngine", "--num", "2"),
        ("eval", "--engine", "my.py:MyEngine", "--num", "2", "--search", "beam"),
        ("solve", "1 + 1?", "--engine", "my.py:MyEngine"),
    ],
    ids=" ".join,
)
def test_parts_that_need_no_torch_load_none(tmp_path, command):
    (tmp_path / "my.py").write_text(JUDGE + ENGINE)
    (tmp_path / "rows.jsonl").write_text('{"question": "q", "solution": "1 + 1 = 2\\n#### 2"}\n')
    program = f"""
import sys
from presrm.cli import main
try:
    main({[*command]!r})
except SystemExit as end:
    assert end.code == 0
print(*({HEAVY - {"scipy"}!r} & set(sys.modules)), file=sys.stderr)
"""
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert ended.stderr.splitlines()[-1] == ""
