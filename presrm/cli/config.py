"""``presrm config``: the shipped configs, every setting, and a config of one's own from five questions."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic_core import PydanticUndefined
from rich.console import Console

from presrm.cli.progress import RichProgress
from presrm.cli.show import print_table
from presrm.cli.verbs import Suggesting
from presrm.config import FREE, Config, Section, fields, parse_config, section_of, shipped_configs
from presrm.errors import RequestError, UnknownNameError
from presrm.registry import nearest

_QUESTIONS = {
    "model": ("Which model? A Hub id, a folder, a .gguf file or 'embedded'", "embedded"),
    "train": ("Which problems to train on? For example gsm8k, gsm8k:PATH or a JSON Lines file", "arithmetic"),
    "held_out": ("Which held-out problems score every policy? Named alike; none of them is trained on", "arithmetic"),
    "splitter": ("What ends a step? newline, paragraph, sentence or marker (Step 1:)", "newline"),
    "size": ("How much work? small (minutes on a CPU), medium or large (as in the paper, for a GPU)", "small"),
}
_SIZES = {  # problems of an iteration, held-out problems, those that test the judge, candidates a step, iterations
    "small": (16, 50, 20, 3, 1),
    "medium": (100, 200, 100, 4, 2),
    "large": (1000, 500, 200, 6, 3),
}

app = typer.Typer(
    cls=Suggesting,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="List, print, describe and write configs.",
)


@app.command("list")
def list_configs() -> None:
    """List the shipped configs; presrm train NAME runs one."""
    rows = [(name, _headline(text)) for name, text in sorted(shipped_configs().items())]
    print_table(Console(), ("config", "what it is"), rows)


@app.command("show")
def show_config(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a shipped config.")]) -> None:
    """Print a shipped config.

    Save and edit it for a config of your own: presrm config show embedded > mine.yaml
    """
    shipped = shipped_configs()
    if name not in shipped:
        raise UnknownNameError(f"no shipped config {name!r}; {nearest(name, shipped)}")
    print(shipped[name], end="")


@app.command("schema")
def show_schema() -> None:
    """Describe every key of a config, as a JSON schema."""
    print(json.dumps(Config.model_json_schema(), indent=2))


@app.command("keys")
def show_keys(
    section: Annotated[
        str | None, typer.Argument(metavar="[SECTION]", help="Only these, for example search or training.lora. [all]")
    ] = None,
) -> None:
    """List every setting: key, default and meaning.

    Any of them can be set in a config file or with --set. A run may change those marked * when it resumes.

    \b
      $ presrm config keys search
      $ presrm config keys training.lora
    """
    found = [(key, field) for key, field in fields() if section is None or _is_under(key, section)]
    if not found:
        raise UnknownNameError(
            f"no setting or section {section!r}; {nearest(str(section), [key for key, _ in fields()])}"
        )
    print_table(Console(), ("key", "default", "what it is"), [_row(key, field) for key, field in found])


@app.command("new")
def new_config(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write, not yet there. [standard output]")
    ] = None,
) -> None:
    """Write a config from five answers.

    Asks for the model, the problems, the held-out problems, what ends a step, and how much work. Without a terminal it
    reads the answers from standard input, one a line; an empty or missing line takes the default. If the model is on
    this machine, a few questions are put to it: if it cannot write verdicts that can be read, the config has it judge
    by token probabilities (judge.verdict: direct).

    \b
      $ presrm config new --out mine.yaml
      $ printf '%s\\n' DIR train.jsonl test.jsonl paragraph medium | presrm config new --out mine.yaml
      $ presrm train mine.yaml --dry-run
    """
    if out is not None and out.exists():
        raise RequestError(f"--out {out} is there already; choose another name")
    from presrm.assembly.probe import probe_verdicts
    from presrm.splitters import SPLITTERS

    answers = dict(_ask())
    for key, known in (("splitter", SPLITTERS.names()), ("size", list(_SIZES))):
        if answers[key] not in known:
            raise UnknownNameError(f"unknown {key} {answers[key]!r}; {nearest(answers[key], known)}")
    name = "mine" if out is None else out.stem
    config = parse_config(yaml.safe_load(_write(name, answers, "explained", "not probed")), "these answers")
    readable = probe_verdicts(config, RichProgress())
    verdict, why = "explained", "the model is not on this machine, so whether its verdicts can be read was not probed"
    if readable is not None:
        verdict = "explained" if readable.num_hits * 2 >= readable.num else "direct"
        why = f"a probe of this model could read {readable.num_hits} of {readable.num} explained verdicts"
    text = _write(name, answers, verdict, why)
    if out is None:
        print(text, end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, "utf-8")
    print(f"The config is {out}; next: presrm train {out} --dry-run")


def _ask() -> Iterator[tuple[str, str]]:
    """Ask the five questions: of a person at a terminal, else of the lines of standard input."""
    for key, (question, default) in _QUESTIONS.items():
        is_person = sys.stdin.isatty()
        answer = str(typer.prompt(question, default=default, err=True)) if is_person else sys.stdin.readline()
        yield key, answer.strip() or default


def _write(name: str, answers: dict[str, str], verdict: str, why: str) -> str:
    """Write the config, with comments."""
    num_train, num_held_out, num_judge, num_candidates, iterations = _SIZES[answers["size"]]
    told = {key: json.dumps(value, ensure_ascii=False) for key, value in answers.items()}
    prompts = "compact" if answers["model"] == "embedded" else "paper"
    short = answers["model"] == "embedded"
    return f"""\
# A config from five answers. `presrm config keys` lists every setting; what is not named here has its default.
# presrm train FILE --dry-run shows the plan; presrm train FILE runs it.
name: {json.dumps(name)}
seed: 0                  # every random draw derives from it
iterations: {iterations}            # policies made from M1: M2, M3, ...
splitter: {told["splitter"]}
prompts: {prompts}           # paper, compact (short) or plain

model:
  id: {told["model"]}

problems:
  train: {told["train"]}
  num_train: {num_train}         # new problems in every iteration
  held_out: {told["held_out"]}
  num_held_out: {num_held_out}     # they score every policy, and none of them is trained on

search:
  num_candidates: {num_candidates}    # candidates for each step; the paper uses 6
  temperature: {0.3 if short else 0.5}
  max_step_tokens: {24 if short else 128}

judge:
  kind: pairwise         # compares every two candidates, in both orders
  verdict: {verdict}    # {why}
  max_tokens: {24 if short else 256}        # of an explanation

training:
  learning_rate: {"5.0e-5" if short else "1.0e-5"}  # the paper's 5e-7 is for 7B parameters
  batch_pairs: {32 if num_train > 50 else 8}
{"" if short else "  lora: {r: 16, alpha: 32}  # train an adapter; remove this line to train all weights" + chr(10)}
evaluation:
  max_tokens: {64 if short else 300}        # of a whole solution
  num_judge_problems: {num_judge}
"""


def _is_under(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _row(key: str, field: Any) -> tuple[str, str, str]:
    """Give key, default and meaning of a setting, or of a section what it is about."""
    section = section_of(field.annotation)
    if section is not None and field.description is None:
        return key, "", (section.__doc__ or "").partition("\n")[0]
    default = field.get_default(call_default_factory=True)
    shown = (
        "none" if default is None else "" if default is PydanticUndefined or isinstance(default, Section) else default
    )
    free = " *" if (field.json_schema_extra or {}) == FREE else ""
    return key, f"{shown if isinstance(shown, str) else json.dumps(shown)}{free}", field.description or ""


def _headline(text: str) -> str:
    first = text.lstrip().partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""
