"""Hostile or damaged inputs: of each, what lies in the folder, the command that gets it, and what is told of it.

`CASES` is a table: name, exit code, part of the one line on standard error, command, files. A file is text or bytes, or
a function of its path that makes it. Commands run in a folder of their own.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from made_run import make_run

from presrm.files.jsonl import dump, plain
from presrm.types import Candidate, Expansion, Judgement, PreferencePair, Problem, SearchTree, Step, Stop, Trajectory

KEY = "sk-canary-3f9a\u00a0"
"""A key with a space that is easily missed behind it."""
Content = str | bytes | Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        name: Of the case.
        code: The exit code.
        told: What the line on standard error holds.
        command: Behind ``presrm``.
        files: By name.
        env: Environment variables.
    """

    name: str
    code: int
    told: str
    command: str
    files: Mapping[str, Content] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


def line(value: Any) -> str:
    """A row of JSON Lines."""
    return json.dumps(value) + "\n"


# Lines that are no row, whatever the verb.
LINES: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "is empty; one JSON object a line is expected"),
    ("blank", "\n \n\t\n", "is empty; one JSON object a line is expected"),
    ("bom-only", b"\xef\xbb\xbf", "is empty"),
    ("not-utf8", b'{"solution": "\xff"}\n', "line 1: invalid UTF-8 at byte 15 of the line"),
    ("utf16", '{"solution": "a"}\n'.encode("utf-16"), "line 1: invalid UTF-8 at byte 1"),
    ("nul", b"\0\0\0\0\n", "line 1: malformed JSON at column 1"),
    ("cut", '{"solution": "a', "line 1: malformed JSON at column 14: Unterminated string"),
    ("two", '{"solution": "a"} {}\n', "line 1: malformed JSON at column 19: Extra data"),
    ("comment", "// rows\n", "line 1: malformed JSON"),
    ("python", "{'solution': 'a'}\n", "line 1: malformed JSON at column 2"),
    ("array", "[1, 2]\n", "line 1: expected an object, found list"),
    ("text", '"a"\n', "line 1: expected an object, found str"),
    ("number", "7\n", "line 1: expected an object, found int"),
    ("null", "null\n", "line 1: expected an object, found NoneType"),
    ("true", "true\n", "line 1: expected an object, found bool"),
    ("nan", '{"solution": NaN}\n', "line 1: NaN is not JSON"),
    ("infinity", '{"solution": -Infinity}\n', "line 1: -Infinity is not JSON"),
    ("overflow", '{"solution": 1e999}\n', "line 1: 1e999 is too large a number"),
    ("digits", '{"solution": ' + "9" * 5000 + "}\n", "line 1: "),
    ("deep", '{"solution": ' + "[" * 100_000 + "]" * 100_000 + "}\n", "line 1: nested too deeply"),
    ("html", "<!DOCTYPE html>\n", "line 1: malformed JSON"),
    ("lfs", "version https://git-lfs.github.com/spec/v1\n", "line 1: malformed JSON"),
]

SOLUTIONS: list[tuple[str, Any, str]] = [
    ("none", {}, "expected a solution"),
    ("solution-number", {"solution": 7}, "solution"),
    ("solution-null", {"solution": None}, "solution"),
    ("solution-blank", {"solution": " \n"}, "solution"),
    ("steps-text", {"steps": "a"}, "steps"),
    ("steps-mixed", {"steps": ["a", 7]}, "steps"),
    ("steps-empty", {"steps": []}, "expected a question"),
    ("steps-objects", {"steps": [{"txt": "a"}]}, "steps"),
]

QUESTIONED: list[tuple[str, Any, str]] = [
    ("no-question", {"solution": "a"}, "question"),
    ("question-list", {"question": [1], "solution": "a"}, "question"),
    ("label-text", {"question": "q", "steps": ["a"], "label": "right"}, "label"),
    ("label-beyond", {"question": "q", "steps": ["a"], "label": 1}, "label"),
    ("label-before", {"question": "q", "steps": ["a"], "label": -2}, "label"),
    ("labels-short", {"question": "q", "steps": ["a", "b"], "labels": [True]}, "labels"),
    ("labels-odd", {"question": "q", "steps": ["a"], "labels": ["perhaps"]}, "labels"),
    ("prm800k", {"question": {"problem": "q"}, "label": {"steps": [{"completions": []}]}}, ""),
    (
        "prm800k-choice",
        {"question": {"problem": "q"}, "label": {"steps": [{"completions": [], "chosen_completion": 9}]}},
        "chosen_completion",
    ),
    ("math-shepherd", {"input": "q Step 1: a ки", "label": "q Step 1: b +"}, "label"),
]

PAIR: dict[str, Any] = plain(
    PreferencePair("2/p/0", Trajectory(Problem("p", "1 + 1?")), Step("2", stop=Stop.EOS), Step("3", stop=Stop.EOS), 0.5)
)
PAIRS: list[tuple[str, Any, str]] = [
    ("none", {}, ""),
    ("no-rejected", {"prompt": "q", "chosen": "a"}, "rejected"),
    ("alike", {"prompt": "q", "chosen": "a", "rejected": "a"}, "rejected: expected another text than chosen"),
    ("blank", {"prompt": "q", "chosen": " ", "rejected": "a"}, "chosen"),
    ("number", {"prompt": "q", "chosen": 1, "rejected": "a"}, "chosen"),
    ("no-prompt", {"chosen": "a", "rejected": "b"}, ""),
    ("tools", {"prompt": "q", "chosen": "a", "rejected": "b", "tools": [{"name": "run"}]}, "tools"),
    ("images", {"prompt": "q", "chosen": "a", "rejected": "b", "images": ["x.png"]}, "images"),
    ("documents", {"prompt": "q", "chosen": "a", "rejected": "b", "documents": ["d"]}, "documents"),
    ("role", {"prompt": [{"role": "root", "content": "q"}], "chosen": "a", "rejected": "b"}, "prompt"),
    ("no-turns", {"prompt": [], "chosen": "a", "rejected": "b"}, "prompt"),
    ("own-unknown-field", {**PAIR, "weight": 2}, "weight: expected no such field in a pair of a run"),
    ("own-margin-0", {**PAIR, "margin": 0}, "margin: expected more than 0 and at most 1"),
    ("own-margin-2", {**PAIR, "margin": 2}, "margin: expected more than 0 and at most 1"),
    ("own-margin-text", {**PAIR, "margin": "wide"}, "margin"),
    ("own-token-negative", {**PAIR, "chosen": {"text": "2", "tokens": [-1]}}, "chosen.tokens: expected token ids"),
    ("own-token-huge", {**PAIR, "chosen": {"text": "2", "tokens": [2**40]}}, "chosen.tokens: expected token ids"),
    ("own-token-text", {**PAIR, "chosen": {"text": "2", "tokens": ["a"]}}, "chosen.tokens"),
    ("own-stop", {**PAIR, "chosen": {"text": "2", "stop": "tired"}}, "chosen.stop"),
    ("own-prefix", {**PAIR, "prefix": {"steps": []}}, "prefix.problem"),
    ("own-alike", {**PAIR, "rejected": PAIR["chosen"]}, "rejected: expected another text than chosen"),
    ("own-no-text", {**PAIR, "chosen": {"tokens": [1]}}, "chosen.text"),
]

LEAF = Candidate(Step("2", stop=Stop.EOS), Judgement(1.0))
TREE: dict[str, Any] = json.loads(
    dump(SearchTree(Problem("p", "1 + 1?"), (Expansion(None, (LEAF,), (0,)),), solutions=((0, 0),)))
)


def tree(**changes: Any) -> dict[str, Any]:
    """A tree of one expansion, of which something is changed."""
    [expansion] = TREE["expansions"]
    [candidate] = expansion["candidates"]
    inner = {key: value for key, value in changes.items() if key in ("parent", "kept", "candidates")}
    judged = {**candidate, **{key: value for key, value in changes.items() if key in ("step", "judgement")}}
    outer = {key: value for key, value in changes.items() if key in ("problem", "solutions", "dropped", "expansions")}
    return {**TREE, "expansions": [{**expansion, "candidates": [judged], **inner}], **outer}


TREES: list[tuple[str, Any, str]] = [
    ("none", {}, "problem: Field required"),
    ("parent-itself", tree(parent=[0, 0]), "expansions.0.parent: expected a candidate of an expansion made before"),
    ("parent-later", tree(parent=[7, 0]), "expansions.0.parent"),
    ("parent-negative", tree(parent=[-1, 0]), "expansions.0.parent"),
    ("kept-beyond", tree(kept=[1]), "expansions.0.kept"),
    ("kept-negative", tree(kept=[-1]), "expansions.0.kept"),
    ("solution-beyond", tree(solutions=[[1, 0]]), "solutions"),
    ("solution-short", tree(solutions=[[0]]), "solutions.0"),
    ("dropped-beyond", tree(dropped=[4]), "dropped"),
    ("score-beyond", tree(judgement={"score": 1.5}), "lies outside [0, 1]"),
    ("score-missing", tree(judgement={"score": None}), "contradicts status"),
    ("score-and-refused", tree(judgement={"score": 0.5, "status": "refused"}), "contradicts status"),
    ("status", tree(judgement={"score": None, "status": "bored"}), "judgement.status"),
    ("step-number", tree(step={"text": 2}), "step.text"),
    ("stop", tree(step={"text": "a", "stop": "tired"}), "step.stop"),
    ("question", tree(problem={"id": "p", "question": 7}), "problem.question"),
    ("expansions", tree(expansions={"a": 1}), "expansions"),
]

JUDGED: list[tuple[str, Any, str]] = [
    ("text", {"question": "q", "judged": "all good"}, "judged: expected what judge-steps writes"),
    ("empty", {"question": "q", "judged": []}, "judged: expected what judge-steps writes"),
    ("score", {"question": "q", "judged": [{"text": "a", "score": 3}]}, "judged.0: expected a text and a score"),
    ("no-text", {"question": "q", "judged": [{"score": 1}]}, "judged.0"),
    ("no-question", {"judged": [{"text": "a", "score": 1}]}, "question"),
    ("mark", {"question": "q", "judged": [{"text": "a ки", "score": 1}]}, "Math-Shepherd marks steps"),
]

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
CONFIGS: list[tuple[str, str | bytes, str]] = [
    ("bomb", BOMB, "is not valid YAML: it stands for more than 100000 values"),
    ("itself", "name: &a [*a]\n", "nested too deeply, or holds itself"),
    ("deep", "name: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    ("tab", "search:\n\tkind: greedy\n", "is not valid YAML"),
    ("open", "name: [a\n", "is not valid YAML"),
    ("two-documents", "seed: 0\n---\nseed: 1\n", "is not valid YAML"),
    ("python", "name: !!python/object/apply:os.system ['touch pwned']\n", "is not valid YAML"),
    ("latin-1", "name: caf\u00e9\n".encode("latin-1"), "is not a text file in UTF-8"),
    ("binary", b"\x00\x01\x02", "is not valid YAML"),
    ("list", "- seed: 0\n", "must hold keys and values"),
    ("text", "hello\n", "must hold keys and values"),
    ("unknown", "sed: 0\n", "unknown key 'sed'; did you mean 'seed'?"),
    ("nested-unknown", "judge: {knd: pairwise}\n", "did you mean 'judge.kind'?"),
    ("section", "judge: pairwise\n", "judge is a section of keys and values"),
    ("number-text", "seed: many\n", "seed"),
    ("number-nan", "search: {temperature: .nan}\n", "search.temperature"),
    ("number-inf", "training: {learning_rate: .inf}\n", "training.learning_rate"),
    ("negative", "iterations: -1\n", "iterations"),
    ("up", "name: ../../elsewhere\n", "should be the name of a folder, without a path"),
    ("absolute", "name: /etc\n", "should be the name of a folder, without a path"),
    ("dots", "name: ..\n", "should be the name of a folder, without a path"),
    ("newline", 'name: "a\\nb"\n', "should be the name of a folder, without a path"),
    ("long", f"name: {'a' * 300}\n", "should be the name of a folder, without a path"),
    ("method", "method: {kind: presmr}\n", "did you mean 'presrm'?"),
    ("searcher", "search: {kind: greedi}\n", "did you mean 'greedy'?"),
    ("splitter", "splitter: newlin\n", "did you mean 'newline'?"),
    ("engine", "model: {engine: hff}\n", "engine"),
    ("option", "search: {options: {depth: 3}}\n", "search.options.depth"),
    ("objective", "objective: {options: {bta: 1}}\n", "objective.options.bta"),
    ("prompts", "prompts: nowhere\n", "no prompt set 'nowhere'"),
    ("code", "judge: {kind: nowhere.py:Judge}\n", "nowhere.py"),
    ("problems", "problems: {train: jsonl:nowhere.jsonl}\n", "no file nowhere.jsonl"),
    ("template", "model: {chat_template: nowhere.jinja}\n", "neither 'chatml', nor 'plain', nor a file"),
]


def link(target: str) -> Callable[[Path], object]:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def folder(path: Path) -> None:
    """An empty folder."""
    path.mkdir()


def fifo(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def made(damage: Callable[[Path], object] = lambda run: None) -> Callable[[Path], object]:
    """A run, and then something is done to it."""

    def make(path: Path) -> None:
        make_run(path, with_ledger=False, iterations=1, num_assessed=2)
        damage(path)

    return make


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Change a file of a run."""

    def damage(run: Path) -> None:
        (run / name).write_bytes(change((run / name).read_bytes()))

    return damage


def manifest(change: Callable[[dict[str, Any]], object], *, signed: bool = True) -> Callable[[Path], object]:
    """Change the manifest of a run; signed: with a hash of what it says now, as anybody can."""
    from presrm.files.manifest import hash_manifest

    def damage(run: Path) -> None:
        told = json.loads((run / "manifest.json").read_text())
        change(told)
        if signed:
            told["sha256"] = hash_manifest(told)
        (run / "manifest.json").write_text(json.dumps(told))

    return damage


SCORES = "iterations/2/scores.json"
NOT_ITS = "config.yaml: not the settings of the run"
RUNS: list[tuple[str, int, str, Content]] = [
    ("absent", 1, "holds no run: it has no manifest.json", folder),
    ("file", 1, "holds no run: it has no manifest.json", "not a folder"),
    ("manifest-empty", 1, "manifest.json is damaged", made(edit("manifest.json", lambda _: b""))),
    ("manifest-cut", 1, "manifest.json is damaged", made(edit("manifest.json", lambda text: text[:-40]))),
    ("manifest-list", 1, "manifest.json is damaged", made(edit("manifest.json", lambda _: b"[]"))),
    ("manifest-binary", 1, "manifest.json is damaged", made(edit("manifest.json", lambda _: b"\xff\xfe"))),
    ("manifest-deep", 1, "manifest.json is damaged", made(edit("manifest.json", lambda _: b"[" * 100_000))),
    (
        "manifest-edited",
        1,
        "it is not what was written last",
        made(manifest(lambda told: told["config"].update(seed=7), signed=False)),
    ),
    (
        "manifest-format",
        1,
        "was written by another version of presrm",
        made(manifest(lambda told: told.update(format=99))),
    ),
    ("manifest-no-artefacts", 1, "is damaged: artefacts", made(manifest(lambda told: told.pop("artefacts")))),
    (
        "manifest-rows-text",
        1,
        "is damaged: artefacts",
        made(manifest(lambda told: told["artefacts"]["2/trees.jsonl"].update(rows="many"))),
    ),
    (
        "manifest-rows-negative",
        1,
        "is damaged: artefacts",
        made(manifest(lambda told: told["artefacts"]["2/trees.jsonl"].update(bytes=-1))),
    ),
    (
        "manifest-hash",
        1,
        "is damaged: artefacts",
        made(manifest(lambda told: told["artefacts"]["2/trees.jsonl"].update(sha256="0"))),
    ),
    (
        "manifest-outside",
        1,
        "the manifest names a file outside of the run",
        made(manifest(lambda told: told["artefacts"].update({"../../../outside.txt": {"sha256": "0" * 64}}))),
    ),
    (
        "manifest-absolute",
        1,
        "the manifest names a file outside of the run",
        made(manifest(lambda told: told["artefacts"].update({"/etc/passwd": {"sha256": "0" * 64}}))),
    ),
    (
        "flipped-byte",
        1,
        f"{SCORES}: changed since it was finished",
        made(edit(SCORES, lambda text: text.replace(b"2", b"3", 1))),
    ),
    (
        "shorter",
        1,
        "trees.jsonl: changed since it was finished",
        made(edit("iterations/2/trees.jsonl", lambda text: text[:-9])),
    ),
    ("gone", 1, f"{SCORES}: missing; restore it", made(lambda run: (run / SCORES).unlink())),
    (
        "swapped-rows",
        1,
        "trees.jsonl: changed since it was finished",
        made(edit("iterations/2/trees.jsonl", lambda text: b"".join(reversed(text.splitlines(keepends=True))))),
    ),
    (
        "config-edited",
        1,
        NOT_ITS,
        made(edit("config.yaml", lambda text: text + b"\n# x\nseed: 9\n")),
    ),
    ("config-bomb", 1, NOT_ITS, made(edit("config.yaml", lambda _: BOMB.encode()))),
    (
        "link",
        1,
        "is a symbolic link, and nothing is written through one",
        made(lambda run: (run / "report.md").symlink_to("../outside.txt")),
    ),
    (
        "link-artefact",
        1,
        "is a symbolic link",
        made(lambda run: ((run / SCORES).unlink(), (run / SCORES).symlink_to("/etc/passwd"))),
    ),
    ("link-folder", 1, "is a symbolic link", made(lambda run: (run / "iterations/9").symlink_to("/etc"))),
]

# A run, and what another verb than verify says of it.
DAMAGED: list[tuple[str, int, str, str, Content]] = [
    ("status-none", 2, "is no run folder", "status run", folder),
    ("status-manifest", 2, "cannot be read as a run", "status run", made(edit("manifest.json", lambda _: b"{"))),
    ("status-config", 0, NOT_ITS, "status run", made(edit("config.yaml", lambda _: BOMB.encode()))),
    ("status-edited", 0, NOT_ITS, "status run", made(edit("config.yaml", lambda text: text + b"seed: 9\n"))),
    ("status-no-config", 0, NOT_ITS, "status run", made(lambda run: (run / "config.yaml").unlink())),
    (
        "report-edited",
        0,
        NOT_ITS,
        "report run",
        made(edit("config.yaml", lambda text: text.replace(b"seed: 0", b"seed: 9"))),
    ),
    ("status-scores", 2, "cannot be read as a run", "status run", made(edit(SCORES, lambda _: b"[]"))),
    ("report-scores", 2, "cannot be read as a run", "report run", made(edit(SCORES, lambda _: b"{}"))),
    ("export-none", 2, "holds no pairs: no iterations/*/pairs.jsonl", "export run --to trl --out x.jsonl", folder),
    (
        "export-pairs",
        2,
        "pairs.jsonl, line 1",
        "export run --to trl --out x.jsonl",
        made(edit("iterations/2/pairs.jsonl", lambda _: b"{}\n")),
    ),
    (
        "export-trees",
        2,
        "no row can be used; line 1",
        "export run --to prm800k --out x.jsonl",
        made(edit("iterations/2/trees.jsonl", lambda _: b"{}\n")),
    ),
    ("rerun-none", 2, "holds no run", "rerun run --from fit --iteration 2", folder),
    (
        "rerun-code",
        2,
        "to use it, add --config run/config.yaml",
        "rerun run --from fit --iteration 2",
        made(edit("config.yaml", lambda text: text.replace(b"kind: pairwise", b"kind: evil.py:Judge"))),
    ),
    (
        "rerun-address",
        2,
        "to use it, add --config run/config.yaml",
        "rerun run --from fit --iteration 2",
        made(edit("config.yaml", lambda text: text.replace(b"id: embedded", b"id: http://evil.example/v1#m"))),
    ),
    (
        "train-other",
        1,
        "is not empty and holds no run",
        "train --out run",
        lambda path: (path.mkdir(), (path / "mine.txt").write_text("mine")),
    ),
    (
        "train-link",
        1,
        "is a symbolic link",
        "train --out run",
        lambda path: (path.mkdir(), (path / "config.yaml").symlink_to("../outside.txt")),
    ),
    ("train-file", 2, "'--out': dir 'run' is a file", "train --out run", "mine"),
]

SPLIT_ROW = line({"solution": "a\nb"})
OUTPUTS: list[tuple[str, int, str, str, Mapping[str, Content]]] = [
    ("over-input", 2, "would overwrite the input", "split in.jsonl --out in.jsonl", {"in.jsonl": SPLIT_ROW}),
    ("over-input-grade", 2, "would overwrite the input", "grade in.jsonl --out ./in.jsonl", {"in.jsonl": SPLIT_ROW}),
    ("over-input-pairs", 2, "would overwrite the input", "pairs in.jsonl --out in.jsonl", {"in.jsonl": line(TREE)}),
    (
        "link",
        1,
        "is a symbolic link, and nothing is written through one",
        "split in.jsonl --out out.jsonl",
        {"in.jsonl": SPLIT_ROW, "out.jsonl": link("outside.txt")},
    ),
    (
        "link-rejected",
        1,
        "is a symbolic link",
        "split in.jsonl --out out.jsonl",
        {"in.jsonl": SPLIT_ROW + "{\n", "out.jsonl.rejected.jsonl": link("outside.txt")},
    ),
    (
        "link-lock",
        1,
        "is a symbolic link",
        "split in.jsonl --out out.jsonl",
        {"in.jsonl": SPLIT_ROW, ".out.jsonl.lock": link("outside.txt")},
    ),
    (
        "link-state",
        1,
        "is a symbolic link",
        "grade in.jsonl --out out.jsonl",
        {"in.jsonl": line({"solution": "2", "answer": "2"}), "out.jsonl.state.json": link("outside.txt")},
    ),
    (
        "not-ours",
        2,
        "exists and is no unfinished output",
        "grade in.jsonl --out out.jsonl",
        {"in.jsonl": line({"solution": "2", "answer": "2"}), "out.jsonl": "mine"},
    ),
    ("folder", 1, "out.jsonl", "split in.jsonl --out out.jsonl", {"in.jsonl": SPLIT_ROW, "out.jsonl": folder}),
    (
        "state-damaged",
        1,
        "out.jsonl.state.json is damaged",
        "grade in.jsonl --out out.jsonl",
        {"in.jsonl": line({"solution": "2", "answer": "2"}), "out.jsonl": "mine", "out.jsonl.state.json": "{"},
    ),
    (
        "export-there",
        2,
        "is there already; choose a new file",
        "export in.jsonl --to trl --out out.jsonl",
        {"in.jsonl": line(PAIR), "out.jsonl": "mine"},
    ),
    (
        "fit-there",
        2,
        "is there already; choose a new folder",
        "fit in.jsonl --out out",
        {"in.jsonl": line(PAIR), "out": lambda path: (path.mkdir(), (path / "mine").write_text("mine"))},
    ),
    ("in-folder", 2, "is a folder", "split in.jsonl", {"in.jsonl": folder}),
    ("in-none", 2, "no file nowhere.jsonl", "split nowhere.jsonl", {}),
    ("in-long", 1, "File name too long", f"split {'a' * 300}.jsonl", {}),
    ("in-suffix", 2, "in.xlsx", "split in.xlsx", {"in.xlsx": "x"}),
    ("parquet", 2, "in.parquet", "split in.parquet", {"in.parquet": b"PAR1junkPAR1"}),
    ("csv-binary", 2, "in.csv", "split in.csv", {"in.csv": b"\xff\xfe\x00\x01"}),
    ("json-object", 2, "in.json", "split in.json", {"in.json": '{"a": 1}'}),
    ("escape", 2, "\\x1b[31mred", "split \x1b[31mred.jsonl", {}),
]

MODELS: list[tuple[str, int, str, str, Mapping[str, Content]]] = [
    ("folder-empty", 2, "has no config.json", "judge-steps in.jsonl --model m", {"m": folder}),
    ("gguf", 2, "is not a GGUF file", "judge-steps in.jsonl --model m.gguf", {"m.gguf": "nothing"}),
    ("gguf-none", 2, "there is no such file", "judge-steps in.jsonl --model m.gguf", {}),
    ("name", 2, "no such folder, and no Hub id", "judge-steps in.jsonl --model ../../m", {}),
    ("password", 2, "it may hold a password", "judge-steps in.jsonl --model ftp:user:hunter2@host", {}),
    ("train-address", 2, "its weights cannot be trained", "train --model http://user:hunter2@host/v1#m", {}),
    ("train-address-capitals", 2, "its weights cannot be trained", "train --model HTTPS://user:hunter2@host/v1#m", {}),
    ("address-password", 2, "", "judge-steps in.jsonl --model http://user:hunter2@host/v1#m", {}),
    ("address-no-host", 2, "", "judge-steps in.jsonl --model http://#m", {}),
    ("address-port", 2, "", "judge-steps in.jsonl --model http://host:99999/v1#m", {}),
    ("address-no-name", 2, "", "judge-steps in.jsonl --model http://127.0.0.1:9/v1", {}),
    ("address-key", 2, "", "judge-steps in.jsonl --model http://127.0.0.1:9/v1?key=hunter2#m", {}),
    ("address-scheme", 2, "", "judge-steps in.jsonl --model gopher://host/#m", {}),
]


def _cases() -> list[Case]:
    cases = [Case(f"line-{name}", 2, told, "split in.jsonl", {"in.jsonl": text}) for name, text, told in LINES]
    tables = {
        "solution": (SOLUTIONS, "split in.jsonl"),
        "judged-row": (QUESTIONED, "judge-steps in.jsonl --judge checker"),
        "pair": (PAIRS, "fit in.jsonl --dry-run"),
        "tree": (TREES, "pairs in.jsonl --out out.jsonl"),
        "judged": (JUDGED, "export in.jsonl --to math-shepherd --out out.jsonl"),
    }
    for kind, (table, command) in tables.items():
        cases += [Case(f"{kind}-{name}", 2, told, command, {"in.jsonl": line(row)}) for name, row, told in table]
    cases += [Case(f"config-{n}", 2, told, "train c.yaml --dry-run", {"c.yaml": text}) for n, text, told in CONFIGS]
    cases += [Case(f"run-{name}", code, told, "verify run", {"run": content}) for name, code, told, content in RUNS]
    cases += [Case(name, code, told, command, {"run": content}) for name, code, told, command, content in DAMAGED]
    cases += [Case(f"output-{n}", code, told, command, files) for n, code, told, command, files in OUTPUTS]
    rows = line({"question": "q", "solution": "a"})
    cases += [
        Case(f"model-{name}", code, told, command, {"in.jsonl": rows, **files}, {"OPENAI_API_KEY": KEY})
        for name, code, told, command, files in MODELS
    ]
    return cases


CASES = _cases()
