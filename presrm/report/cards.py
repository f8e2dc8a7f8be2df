"""Cards for the Hub: ``README.md`` of a policy and of lessons, with the front matter that the Hub reads."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from presrm.report.behind import to_lines
from presrm.report.facts import LESSONS, TREES, RunFacts
from presrm.report.summary import escape, to_markdown

_CITATION = """## Citation

```bibtex
@misc{zhang2025process,
  title = {Process-based Self-Rewarding Language Models},
  author = {Zhang, S. and Liu, X. and Zhang, X. and Liu, J. and Luo, Z. and Huang, S. and Gong, Y.},
  year = {2025},
  eprint = {2503.03746},
  archivePrefix = {arXiv}
}
```"""
_FRONT = re.compile(r"(?s)\A---\n.*?\n---\n")
_HEADING = re.compile(r"(?m)^(#+ )")


def model_card(
    facts: RunFacts, number: int, training: str, *, is_adapter: bool, base: str, base_sha256: str | None
) -> str:
    """Give the card of M(number): base, data, commands, hashes, the table of iterations and the card of the judge.

    Args:
        facts: Of the run.
        number: T of the M(T).
        training: The card that its training wrote; nothing where there is none.
        is_adapter: Whether it is an adapter, and not a whole model.
        base: The model that the run started from, or that the adapter is on.
        base_sha256: Of the base's weights, where they are on this machine.
    """
    config = facts.config
    front: dict[str, Any] = {"library_name": "peft" if is_adapter else "transformers"}
    if base_sha256 is None:
        front["base_model"] = base
    front["tags"] = ["presrm", "self-rewarding", *(["lora"] if is_adapter else [])]
    kind = "AutoPeftModelForCausalLM" if is_adapter else "AutoModelForCausalLM"
    report = to_markdown(facts.summaries, facts.about, to_lines(facts, escape))
    sections = [
        _front(front),
        f"# M{number} of {escape(config.name)}",
        f"Made by presrm, method `{config.method.kind}`, {'an adapter' if is_adapter else 'a whole model'}. "
        f"Every revision `M<t>` of this repository is the policy of one iteration; this one is M{number} of "
        f"{len(facts.summaries)} policies.",
        _table(
            [
                ("base", escape(base)),
                ("weights of the base (sha256)", base_sha256 or "the base is on the Hub"),
                ("problems trained on", escape(f"{config.problems.train}, {config.problems.num_train} an iteration")),
                ("problems measured on", escape(f"{config.problems.held_out}, {config.problems.num_held_out}")),
                ("judge", escape(f"{config.judge.kind}, verdict {config.judge.verdict}")),
            ]
        ),
        "## How to load it\n\n```python\n"
        f"from {'peft' if is_adapter else 'transformers'} import {kind}\nfrom transformers import AutoTokenizer\n\n"
        f'model = {kind}.from_pretrained("NAME", revision="M{number}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("NAME", revision="M{number}")\n```',
        "## Commands\n\nThe settings are in `config.presrm.yaml`, with files named without their folders.\n\n"
        f"```\npresrm train config.presrm.yaml --iterations {config.iterations}\npresrm verify RUN\n"
        "presrm export RUN --to hub --out FOLDER\n```",
        f"## Hashes\n\n`presrm.json` holds them too.\n\n{_hashes(facts, number)}",
        f"## The run\n\n{_below(report)}",
    ]
    if training:
        sections.append(f"## Its training\n\n{_below(_FRONT.sub('', training))}")
    return "\n\n".join([*sections, _CITATION]) + "\n"


def data_card(facts: RunFacts, numbers: Sequence[int]) -> str:
    """Give the card of the lessons of a run, and of the trees that they come from."""
    names = [name for name in (*LESSONS, TREES) if any(facts.num_rows(number, name) for number in numbers)]
    front: dict[str, Any] = {
        "tags": ["presrm", "preference", "process-supervision"],
        "configs": [{"config_name": name.partition(".")[0], "data_files": f"*/{name}"} for name in names],
    }
    config = facts.config
    head = f"| iteration | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}"
    rows = [
        f"| M{number} | {' | '.join(str(facts.num_rows(number, name) or '-') for name in names)} |"
        for number in numbers
    ]
    threshold = f"{config.judge.kind} ({config.judge.verdict})"
    sections = [
        _front(front),
        f"# Lessons of {escape(config.name)}",
        f"Made by presrm, method `{config.method.kind}`. `M<t>/` holds what the policy M<t> was trained on, and "
        "the search trees that it comes from: every candidate step with the judgement of the policy before, and the "
        "reason where there is none. No person has checked them.",
        "\n".join([head, *rows]),
        "A row of `trees.jsonl` is a problem: its expansions, each with candidates, their scores from 0 to 1 and which "
        "were kept. A row of `pairs.jsonl` is a prefix and two steps, `chosen` and `rejected`, with the margin of "
        "their scores. Token ids are those of the policy's tokenizer.",
        _table(
            [
                ("problems", escape(config.problems.train)),
                ("judge", escape(threshold)),
                ("candidates a step", str(config.search.num_candidates)),
                ("temperature", f"{config.search.temperature:g}"),
            ]
        ),
        "Questions and reference answers are those of the problem set, and its license holds for them.",
        *(f"## Hashes of M{number}\n\n{_hashes(facts, number)}" for number in numbers),
        _CITATION,
    ]
    return "\n\n".join(sections) + "\n"


def _front(values: dict[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(["| what | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _hashes(facts: RunFacts, number: int) -> str:
    artefacts = facts.manifest["artefacts"]
    named = sorted(name for name in artefacts if name.startswith(f"{number}/") and "sha256" in artefacts[name])
    return _table([(f"`{name}`", f"`{artefacts[name]['sha256']}`") for name in named])


def _below(text: str) -> str:
    """Give a page as a part of another: its title left out, its headings one lower."""
    return _HEADING.sub(r"#\1", re.sub(r"\A\s*# .*\n", "", text)).strip()
