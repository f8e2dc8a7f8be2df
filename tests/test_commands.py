"""Every command that README, docs, examples, benchmarks and help texts show is one, and works on the embedded policy.

`train` is run with a few problems and one iteration; ``my.yaml`` is what ``presrm config new`` writes; servers and the
Hub are ones of this machine. Commands of several processes are slow tests. Only read (verb, flags, keys of ``--set``
and names of parts have to exist) are those of vLLM (`make test-servers` runs the engine) and SGLang, of help texts, and
of benchmarks. Those of docs/extending.md are run by `tests/test_extending.py`, the tour by `tests/test_tour.py`.
"""

import ast
import importlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from fake_hub import asked_instead
from fake_server import FakeServer
from typer.main import get_command

from presrm import JUDGES, METHODS, SEARCHERS, SPLITTERS, load_config
from presrm.cli import app, main

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(EXAMPLES.glob("*.py"))]
READ_PAGES = [*sorted((ROOT / "benchmarks").glob("*/*.md")), *sorted((ROOT / "presrm/cli").glob("*.py"))]
COMMAND = re.compile(r"^ *(?:\$ )?(?:[\w. ]+\| )?(presrm [a-z].*)$", re.MULTILINE)
ONLY_READ = re.compile(r"engine=(?:vllm|sglang)|\bmy\.py|my_package")
ON_A_RUN = re.compile(r"\bruns/.*|pairs\.jsonl|--judge prm")
ON_A_SERVER = re.compile(r"https?://[^/]+/v1#\S+")
OF_SEVERAL = re.compile(r"\bray\b|training\.launch")
REGISTRIES: dict[str, Any] = {"judge": JUDGES, "method": METHODS, "searcher": SEARCHERS, "splitter": SPLITTERS}
# What is shown -> what is there.
CONCRETE = {
    r"\b(?:DIR|BASE)\b|Qwen/Qwen3-8B": "embedded",
    r"--num 20\b": "--num 2",
    r"iterations/\d/": "iterations/2/",
    r"Qwen/Qwen2\.5-Math-PRM-7B": "prm",  # what `fit-prm` made
    r"workers: 8, resources: {num_gpus: 1}": "workers: 2",
}
WORKED = [
    {"question": f"Tom has {n} cups. Tom buys 2.", "answer": f"{n} + 2 = {n + 2}\n#### {n + 2}"} for n in range(9)
]
SMALL = ("problems.num_train=4", "problems.num_held_out=8", "evaluation.num_judge_problems=4", "threads=1")
SMALLER = (*SMALL, "iterations=1", "problems.num_held_out=2", "evaluation.num_judge_problems=2", "watch.num_problems=0")
SEEDS = ("seed_stage.num_ift=2", "seed_stage.num_eft=2", "search.temperature=1.5")  # ten examples: candidates differ


def blocks(page: Path) -> list[str]:
    """Give the fenced blocks of a page, or the lines of a script that show a command; continued lines are one."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    return re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if page.suffix == ".md" else [text]


def commands(pages: Iterable[Path]) -> list[str]:
    """Give the commands of `pages`, without what stands behind them: a comment, or where the output goes."""
    lines = (line for page in pages for block in blocks(page) for line in COMMAND.findall(block))
    return sorted({re.split(r" {3,}[#a-z]| > | \| head", line)[0].strip() for line in lines})


SHOWN = commands(PAGES)
TOLD = set(commands([ROOT / "docs/tour.md"])) - set(commands([page for page in PAGES if page.name != "tour.md"]))
RUN = [each for each in SHOWN if not ONLY_READ.search(each) and each not in TOLD]
HERE = [each for each in RUN if not ON_A_SERVER.search(each) and not OF_SEVERAL.search(each)]


def read(command: str) -> dict[str, Any]:
    """Read a command as the program does, without running it; gives what every parameter is."""
    verb, arguments = get_command(app), shlex.split(command)[1:]
    while True:
        context = verb.make_context("presrm", list(arguments))
        if not hasattr(verb, "commands"):
            return context.params
        _, verb, arguments = verb.resolve_command(context, [*context._protected_args, *context.args])


def run(command: str, *more: str, code: int = 0) -> None:
    """Run a command, its places taken by what is there."""
    for shown, there in CONCRETE.items():
        command = re.sub(shown, there, command)
    arguments = [*shlex.split(command)[1:], *more]
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == code, shlex.join(["presrm", *arguments])


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that commands name."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES, "examples")
    solutions = [json.loads(line) for line in (EXAMPLES / "solutions.jsonl").read_text("utf-8").splitlines()]
    write_rows(Path("solutions.jsonl"), solutions)
    write_rows(Path("processbench.jsonl"), [row | {"label": -1} for row in solutions])
    judged = [{"text": solution["solution"], "score": 1.0} for solution in solutions]
    write_rows(Path("checked.jsonl"), [row | {"judged": [one]} for row, one in zip(solutions, judged, strict=True)])
    write_rows(Path("solved.jsonl"), [row | {"answer": "39"} for row in solutions])
    labelled = [{"question": row["question"], "solution": row["answer"], "label": -1} for row in WORKED]
    write_rows(Path("labelled.jsonl"), labelled)
    write_rows(Path("judgements.jsonl"), [row | {"steps": [row["solution"]]} for row in labelled])
    write_rows(Path("train.jsonl"), WORKED)
    write_rows(Path("test.jsonl"), WORKED[:2])
    return tmp_path


def test_commands_are_found_on_the_pages() -> None:
    assert "presrm judge-steps - " not in SHOWN
    assert {"presrm judge-steps -", "presrm train --dry-run", "presrm fit pairs.jsonl --model DIR --out policy"} <= set(
        SHOWN
    )
    assert len(SHOWN) > 30


@pytest.mark.parametrize("command", sorted({*SHOWN, *commands(READ_PAGES)}))
def test_a_command_can_be_read(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPLITTERS._table, "equation", "presrm.splitters.newline:NewlineSplitter")
    values = read(command)

    load_config("embedded", values.get("settings") or [])
    for name, registry in REGISTRIES.items():
        if (part := values.get(name)) is not None and ":" not in part:
            assert part in registry


@pytest.mark.parametrize("command", [each for each in HERE if not ON_A_RUN.search(each) or " train " in each])
def test_a_command_works(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPLITTERS._table, "equation", "presrm.splitters.newline:NewlineSplitter")
    few = SMALLER * (command.startswith("presrm train") and "--dry-run" not in command) + SEEDS * (
        "gsm8k-small" in command
    )

    with Path("solutions.jsonl").open(encoding="utf-8") as rows:
        monkeypatch.setattr("sys.stdin", rows)
        run(command, *(word for each in few for word in ("--set", each)))


def test_commands_on_a_run_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [word for each in SMALL for word in ("--set", each)]
    settings += ["--set", "training.lora={r: 4, alpha: 8}"]
    run("presrm train --iterations 1 --set watch.num_problems=0 --out made", *settings)
    pair = json.loads(Path("made/iterations/2/pairs.jsonl").read_text("utf-8").splitlines()[0])["id"]
    shown = [each for each in HERE if ON_A_RUN.search(each) and " train " not in each]  # export, then fit
    for name in {name for each in shown for name in re.findall(r"runs/[\w-]+", each)}:
        shutil.copytree("made", name)

    shutil.copy("made/iterations/2/trees.jsonl", "trees.jsonl")
    with asked_instead("hf_token", monkeypatch) as hub:
        for command in shown:
            run(re.sub(r"(explain \S+) .+", rf'\1 "{pair}"', command))
    assert {"model USER/NAME", "dataset USER/NAME-lessons"} == set(hub.repositories)
    assert all(found.tags for found in hub.repositories.values())


@pytest.mark.parametrize("command", [each for each in RUN if ON_A_SERVER.search(each)])
def test_a_command_works_on_a_server(command: str, folder: Path) -> None:
    from presrm.engines.hf_loading import load_tokenizer

    reply, tokenizer, paths = "That is so. [[yes]]", load_tokenizer("embedded"), set()

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        paths.add(path)
        if path == "/v1/completions":  # by ids
            choice = {"text": reply, "token_ids": tokenizer.encode(reply, add_special_tokens=False)}
        else:
            choice = {"message": {"role": "assistant", "content": reply}}
        return 200, {"choices": [{"index": 0, "finish_reason": "stop", **choice}]}

    server = FakeServer(answer)
    server.longest = 4096
    try:
        run(ON_A_SERVER.sub(server.model.model, command))
    finally:
        server.shutdown()
        server.server_close()
    assert paths == {"/v1/completions" if "model.tokenizer" in command else "/v1/chat/completions"}
    rows = [json.loads(line) for line in Path("solutions.judged.jsonl").read_text("utf-8").splitlines()]
    assert {step["score"] for row in rows for step in row["judged"]} == {1.0}


@pytest.mark.slow
@pytest.mark.parametrize("command", [each for each in RUN if OF_SEVERAL.search(each)])
def test_a_command_of_several_processes_works(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if "kind: ray" in command:
        pytest.importorskip("ray")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    run("presrm config new --out my.yaml")
    is_refused = "fsdp2" in command and not torch.cuda.is_available()
    run(command, *(word for each in SMALLER for word in ("--set", each)), code=2 if is_refused else 0)
    told = "asks for fsdp2, but accelerate does not shard on a processor" in capsys.readouterr().err
    assert (told, Path("runs/my/iterations/2/policy/model.safetensors").exists()) == (is_refused, not is_refused)


@pytest.mark.parametrize(
    "page", READ_PAGES[: -len(list((ROOT / "presrm/cli").glob("*.py")))], ids=lambda page: page.parent.name
)
def test_the_scripts_of_benchmarks_have_the_flags_that_are_shown(page: Path) -> None:
    for block in blocks(page):
        for script, flags in re.findall(r"\bpython (\S+\.py)([^#\n;]*)", block):
            text = (ROOT / script).read_text("utf-8")
            for flag in re.findall(r"--[a-z][a-z-]*", flags):
                assert flag in text, f"{script} has no {flag}"


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*/*.py")), ids=lambda path: path.parent.name)
def test_what_the_scripts_of_benchmarks_take_from_the_package_is_there(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("presrm"):
            module = importlib.import_module(node.module or "")
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{node.module} has no {missing}"


def test_targets_and_extras_that_are_shown_exist() -> None:
    text = "\n".join(block for page in [*PAGES[:1], ROOT / "CONTRIBUTING.md"] for block in blocks(page))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]

    targets = re.findall(r"^\$ make ([\w-]+)", text, re.MULTILINE)
    assert "demo" in targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    named = {name for names in re.findall(r"pip install .*\[([\w,-]+)\]", text) for name in names.split(",")}
    assert "server" in named
    assert named <= extras.keys()
