"""Do the tests notice it when a module comes to mean something else?

    python tests/mutants.py [--module PART_OF_A_PATH] [--num 10] [--seed 0]

Small changes of meaning are made, one at a time, in a copy of the package, and the fast tests of the module are run on
it. Each change that none of them notices is printed; those that ``mutants.txt`` beside this file explains change
nothing that a test could see, and are counted apart. The exit code is 1 if fewer than nine in ten of the others are
noticed.
"""

import argparse
import ast
import importlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "searchers/expanding": "searchers",
    "searchers/greedy": "searchers",
    "searchers/beam": "searchers",
    "searchers/best_of_n": "searchers",
    "searchers/worth": "searchers",
    "credit/pairs": "credit",
    "files/run": "files/test_files_run.py",
    "files/manifest": "files/test_files_run.py",
    "files/content": "files/test_files_run.py",
    "files/journal": "files/test_files_journal.py",
    "judges/pointwise": "judges/test_judges_pointwise.py",
    "judging/verdicts": "judging/test_judging_verdicts.py judges",
    "judging/labels": "judging/test_judging_labels.py",
    "judging/signs": "judging/test_judging_signs.py test_when_to_stop.py",
    "judging/health": "judging/test_judging_health.py",
    "answers/find": "answers/test_answers_find.py graders/test_graders_kinds.py",
    "graders/integral": "graders/test_integral.py",
    "evaluation/answers": "evaluation/test_evaluation_answers.py test_iteration.py",
    "evaluation/samples": "evaluation/test_evaluation_samples.py",
    "evaluation/votes": "evaluation/test_evaluation_votes.py evaluation/test_evaluation_samples.py",
    "evaluation/decontamination": "evaluation/test_evaluation_decontamination.py",
    "training/preference": "training/test_preference.py training/test_training_trainer.py",
    "training/packed": "training/test_training_trainer.py training/test_saving.py",
    "engines/hf": "engines/test_engines_hf.py engines/test_hf_laws.py engines/test_hf_reading.py",
    "engines/hf_decoding": "engines/test_hf_decoding.py",
    "packing/forward": "packing/test_packing_forward.py packing/test_packing_attention.py",
}
SWAPPED = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.FloorDiv: (ast.Mult,),
}
LIBRARIES = ("torch", "transformers.models.llama.modeling_llama", "peft", "hypothesis.strategies", "pydantic", "yaml")
OTHER_NAME = {"min": "max", "max": "min", "any": "all", "all": "any"}
LAST_MAY_GO = {"enumerate", "derive_seed"}
SAY_NOTHING = {"strict", "encoding", "indent", "device", "description"}
"""Keywords that only guard, are what the system does, are for the eye, or say something on a GPU alone."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change; `change` tells it without line numbers, so that it outlives other edits."""

    path: Path
    line: int
    change: str
    source: str

    def names(self) -> tuple[str, str]:
        """What explains it in ``mutants.txt``: itself, or its line whatever becomes of it."""
        return f"{self.path} {self.change}", f"{self.path} {self.change.partition(' -> ')[0]} -> anything"


def other_nodes(node: ast.AST) -> Iterator[ast.expr]:  # noqa: C901  # one case a kind of change
    """What could stand for a node and would mean something else."""
    match node:
        case ast.Compare(left, [op], [right]):
            yield from (ast.Compare(left, [other()], [right]) for other in SWAPPED.get(type(op), ()))
        case ast.BoolOp(op, values):
            yield ast.BoolOp(SWAPPED[type(op)][0](), values)
            yield from (ast.BoolOp(op, values[:i] + values[i + 1 :]) for i in range(len(values)) if len(values) > 2)
            yield from (values if len(values) == 2 else ())
        case ast.BinOp(left, op, right):
            yield from (ast.BinOp(left, other(), right) for other in SWAPPED.get(type(op), ()))
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
            yield from (ast.Constant(0) for _ in range(value not in (0, -1)))
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.Call(ast.Name(name), args, keywords) if name in OTHER_NAME:
            yield ast.Call(ast.Name(OTHER_NAME[name]), args, keywords)
        case ast.Call(ast.Name(name), [*args, _], keywords) if name in LAST_MAY_GO and args:
            yield ast.Call(ast.Name(name), args, keywords)
    if isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in SAY_NOTHING:
                yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Pieces of the source under a node, each with another text to stand there."""
    match node:
        case (
            ast.Raise()
            | ast.JoinedStr()
            | ast.Expr(ast.Constant())
            | ast.Expr(ast.Call(ast.Attribute(ast.Name("logger"))))
        ):
            return  # what is said, not what is done
        case ast.If(test) | ast.While(test):
            yield test, "False"
        case ast.Expr(ast.Call()):
            yield node, "pass"
        case ast.comprehension(_, _, ifs):
            yield from ((test, "True") for test in ifs)
    if isinstance(node, ast.expr):
        yield from ((node, f"({ast.unparse(other)})") for other in other_nodes(node))
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and getattr(child, "arg", None) not in SAY_NOTHING:
                    yield from changes(child)


def mutants(path: Path) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its text."""
    lines = (ROOT / path).read_bytes().splitlines(keepends=True)
    for node, text in changes(ast.parse(b"".join(lines))):
        first, last = node.lineno - 1, node.end_lineno - 1
        piece = lines[first][: node.col_offset] + text.encode() + lines[last][node.end_col_offset :]
        old = " ".join(b"".join(lines[first : last + 1]).decode().split())
        change = f"`{old}` -> `{' '.join(piece.decode().split())}`"
        yield Mutant(path, first + 1, change, b"".join([*lines[:first], piece, *lines[last + 1 :]]).decode())


def run_tests(copy: Path, tests: str) -> None:
    """End this process with the exit code of pytest."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1), os.dup2(nowhere.fileno(), 2)
    os.chdir(copy)
    sys.path[0] = str(copy)
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *(f"tests/{name}" for name in tests.split())]))


def is_noticed(copy: Path, tests: str, timeout: float | None) -> bool:
    """Whether the tests fail, or do not end, on the copy as it stands."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=(copy, tests))
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode != 0


def idle(found: list[Mutant], explained: str) -> list[str]:
    """The lines of ``mutants.txt`` about a module that are about none of its mutants: its text is another by now."""
    names = tuple(f"{name}:" for mutant in found for name in mutant.names())
    return [
        line for line in explained.splitlines() if line.startswith(f"{found[0].path} ") and not line.startswith(names)
    ]


def main() -> int:
    """Try the mutants, print those that no test noticed, and the share of each module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--module", default="", help="only modules whose path holds this")
    parser.add_argument("--num", type=int, default=10, help="mutants a module")
    parser.add_argument("--seed", default="0", help="of the choice of mutants")
    options = parser.parse_args()
    explained = Path(__file__).with_suffix(".txt").read_text("utf-8")
    num_noticed = num_tried = 0
    for library in LIBRARIES:
        importlib.import_module(library)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        os.environ["PYTHONPATH"] = folder
        for child in ROOT.iterdir():
            if child.name in ("presrm", "tests"):
                shutil.copytree(child, copy / child.name)
            elif not child.name.startswith("."):
                (copy / child.name).symlink_to(child)
        for module, tests in TESTS.items():
            if options.module not in module:
                continue
            path, start = Path(f"presrm/{module}.py"), time.monotonic()
            if is_noticed(copy, tests, None):
                sys.exit(f"the tests of {path} fail on the module as it is: tests/{tests}")
            timeout = 30 + 5 * (time.monotonic() - start)
            found = list(mutants(path))
            print("".join(f"  explains nothing: {line}\n" for line in idle(found, explained)), end="", flush=True)
            tried = random.Random(f"{options.seed} {module}").sample(found, min(options.num, len(found)))
            known = [mutant for mutant in tried if any(f"{line}:" in explained for line in mutant.names())]
            noticed = 0
            for mutant in sorted(set(tried) - set(known), key=lambda mutant: mutant.line):
                (copy / path).write_text(mutant.source, "utf-8")
                if is_noticed(copy, tests, timeout):
                    noticed += 1
                else:
                    print(f"  {path}:{mutant.line} {mutant.change}", flush=True)
            shutil.copy2(ROOT / path, copy / path)
            num = len(tried) - len(known)
            print(f"{path}: {noticed} of {num} noticed; {len(known)} change nothing", flush=True)
            num_noticed, num_tried = num_noticed + noticed, num_tried + num
    print(f"{num_noticed} of {num_tried} noticed ({num_noticed / max(num_tried, 1):.0%})")
    return int(num_noticed < 0.9 * num_tried)


if __name__ == "__main__":
    sys.exit(main())
