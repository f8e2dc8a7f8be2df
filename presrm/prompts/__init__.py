"""Prompts as sandboxed Jinja templates, rendered so that text from outside stays data.

A prompt set is a folder with `solve.jinja`, `pairwise.jinja` and `pointwise.jinja`, and, where such a judge is asked,
`first_error.jinja`, `additive.jinja`, `listwise.jinja`, `critique.jinja` and `inverse.jinja`; where the policy writes
problems, `write.jinja` and `variant.jinja`. Each has the blocks ``trunk`` (shared by every question about the same
prefix) and ``tail``, and may have ``system`` and ``forced`` (the beginning of the reply that a *direct* verdict is read
after). Values from outside enter through sentinels: templates see placeholders, and what fills them is kept apart as
content, which a tokenizer never reads as control tokens. A policy that solves gets the question verbatim; a judge gets
all content as `_show` shows it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from unicodedata import normalize

from jinja2 import StrictUndefined, Template

from presrm.errors import ConfigError, DataError, boundary
from presrm.prompts.bounded import BoundedEnvironment
from presrm.prompts.escaping import escape_controls
from presrm.prompts.repeating import repeat_steps, repeats_steps
from presrm.registry import nearest
from presrm.types import Candidates, Problem, Step, Trajectory

_PACKAGED = Path(__file__).parents[1] / "_prompts"
_CHECKOUT = Path(__file__).parents[2] / "prompts"
# Where content goes: only our own marks can stand in a rendered template, whose fence is then that of the problem.
_MARK = re.compile("\ufdd0[0-9a-f]{8}:(\\d+)\ufdd1")
_FEW_STEPS = 2
_LONGEST_SHOWN = 16_000
"""Characters of one step or question that a judge is shown: ten times the longest step of ProcessBench."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a prompt: our own scaffold, or content from a file or a model."""

    text: str
    is_content: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A worked problem: content, as an earlier turn and its reply."""

    question: str
    solution: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One user turn and the beginning of its reply, behind worked examples if there are any.

    Attributes:
        trunk: Parts shared with other prompts on the same prefix.
        tail: Parts of this prompt alone. The user turn is ``trunk + tail``.
        reply: Steps already written; the completion continues them.
        forced: Scaffold put at the beginning of the reply.
        system: The system turn, or none; read as content, whosever it is.
        template: The template that made it, as ``pairwise``, or nothing.
        subject: Of a question to a judge: what it is about, or none.
        examples: The turns before this one.
    """

    trunk: tuple[Part, ...]
    tail: tuple[Part, ...] = ()
    reply: tuple[Step, ...] = ()
    forced: str = ""
    system: str | None = None
    template: str = ""
    subject: "Subject | None" = None
    examples: tuple[Example, ...] = ()

    @property
    def text(self) -> str:
        """The user turn as a person would read it; with examples, they and it in one."""
        turn = "".join(part.text for part in (*self.trunk, *self.tail))
        if not self.examples:
            return turn
        shown = (f"Question: {example.question}\nAnswer: {example.solution}\n\n" for example in self.examples)
        return f"{''.join(shown)}Question: {turn}"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a question to a judge is about.

    Attributes:
        prefix: The partial trajectory.
        shown: The steps asked about, in the order shown.
    """

    prefix: Trajectory
    shown: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _Shown:
    """Text from outside as a prompt holds it: whole, or without its middle.

    Attributes:
        head: The beginning, or all of it.
        num_left_out: Characters between `head` and `tail`.
        tail: The end.
    """

    head: str
    num_left_out: int = 0
    tail: str = ""

    def parts(self, fence: str) -> tuple[Part, ...]:
        """The content, and where the middle is left out, that it is: in words that carry the fence, so ours."""
        if not self.num_left_out:
            return (_content(self.head),)
        told = Part(f" [{fence} {self.num_left_out} characters left out here] ")
        return (_content(self.head), told, _content(self.tail))


@lru_cache(maxsize=4096)
def _content(text: str) -> Part:
    """A step stands in the prompts of all later ones."""
    return Part(text, is_content=True)


@lru_cache(maxsize=4096)
def _show(text: str) -> _Shown:
    """Show text to a judge: control characters spelt out, and what no honest step or question reaches left out."""
    half = _LONGEST_SHOWN // 2
    if len(text) <= _LONGEST_SHOWN:
        return _Shown(escape_controls(text))
    return _Shown(escape_controls(text[:half]), len(text) - 2 * half, escape_controls(text[-half:]))


class PromptSet:
    """The templates of one folder.

    Args:
        name: A shipped set (``paper``, ``compact``, ``plain``) or the path of a folder.
        examples: Worked problems to show before every question that is to be solved.

    Raises:
        ConfigError: if there is no such set, or a template is malformed.
    """

    def __init__(self, name: str = "paper", examples: Sequence[Example] = ()) -> None:
        folder = _find(name)
        self.name = name
        self.examples = tuple(examples)
        self._sources: dict[str, str] = {}
        self._templates: dict[str, Template] = {}
        self._repeating: set[str] = set()
        self._environment = BoundedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        for path in sorted(folder.glob("*.jinja")):
            with boundary(ConfigError, f"prompt set {name!r}, {path.name}:"):
                source = path.read_text("utf-8")
            self._read(path.stem, source)
        missing = {"solve", "pairwise", "pointwise"} - self._sources.keys()
        if missing:
            raise ConfigError(f"prompt set {name!r} in {folder} lacks {', '.join(sorted(missing))}.jinja")

    def _read(self, stem: str, source: str) -> None:
        with boundary(ConfigError, f"prompt set {self.name!r}, {stem}.jinja:"):
            template = self._environment.from_string(source)
        if lacking := {"trunk", "tail"} - template.blocks.keys():
            raise ConfigError(f"prompt set {self.name!r}, {stem}.jinja: lacks block {', '.join(sorted(lacking))}")
        self._sources[stem], self._templates[stem] = source, template
        self._repeating = self._repeating - {stem} | ({stem} if repeats_steps(source) else set())

    @property
    def sources(self) -> Mapping[str, str]:
        """The text of each template, by its name."""
        return MappingProxyType(self._sources)

    def edited(self, sources: Mapping[str, str]) -> "PromptSet":
        """Give this set with other texts of some of its templates.

        Raises:
            ConfigError: if one of them is malformed.
        """
        other = copy(self)
        other.__dict__.pop("hash", None)
        other._sources, other._templates = dict(self._sources), dict(self._templates)
        for stem, source in sources.items():
            if source != self._sources.get(stem):
                other._read(stem, source)
        return other

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the names and texts of all templates, in hexadecimal."""
        digest = sha256()
        for stem, source in sorted(self._sources.items()):
            digest.update(f"{stem}\0{source}\0".encode())
        return digest.hexdigest()

    def solve(self, prefix: Trajectory) -> Prompt:
        """Ask for the next steps of `prefix`.

        Behind examples the question stands without words of ours, as theirs do: they show what a solution looks like,
        and the ``solve`` template might ask for another form. Of a problem whose solution is a judgement, the judge's
        question is asked.
        """
        problem = prefix.problem
        if problem.shown is not None:
            return replace(self._question(problem, problem.shown), reply=prefix.steps)
        if self.examples:
            question = Part(problem.question, is_content=True)
            prompt = Prompt((question,), reply=prefix.steps, template="solve", examples=self.examples)
        else:
            prompt = self._render("solve", problem, {"question": problem.question}, reply=prefix.steps)
        if problem.system is None and not problem.history:
            return prompt
        earlier = tuple(Example(question, reply) for question, reply in problem.history)
        return replace(prompt, system=problem.system or prompt.system, examples=(*prompt.examples, *earlier))

    def _question(self, problem: Problem, shown: Candidates) -> Prompt:
        """Ask the question of a problem whose solution is a judgement; of a hinted one the right verdict is told."""
        kind = problem.kind.removesuffix("-hinted")
        asks: Mapping[str, Callable[..., Prompt]] = {
            "pairwise": self.pairwise,
            "pairwise-direct": partial(self.pairwise, direct=True),
            "pointwise": self.pointwise,
            "pointwise-direct": partial(self.pointwise, direct=True),
            "listwise": lambda prefix, *steps: self.listwise(prefix, steps),
            "first-error": self.first_error,
        }
        if kind not in asks:
            raise DataError(
                f"a problem of kind {problem.kind!r:.80} cannot be asked: known are judgements, {', '.join(asks)}"
            )
        with boundary(DataError, f"a problem of kind {problem.kind!r} with {len(shown.steps)} steps shown"):
            prompt = asks[kind](shown.prefix, *shown.steps)
        if kind == problem.kind:
            return prompt
        told = (Part("\nThe right verdict is known: "), Part(problem.answer or "", is_content=True), Part(". Say why."))
        return replace(prompt, tail=(*prompt.tail, *told))

    def pairwise(self, prefix: Trajectory, first: Step, second: Step, *, direct: bool = False) -> Prompt:
        """Ask which of two next steps is better, A (`first`) or B (`second`)."""
        values = {"step_a": first.text, "step_b": second.text}
        return self._judge("pairwise", Subject(prefix, (first, second)), values, direct)

    def pointwise(self, prefix: Trajectory, step: Step, *, direct: bool = False) -> Prompt:
        """Ask whether one next step is right, yes or no."""
        return self._judge("pointwise", Subject(prefix, (step,)), {"step": step.text}, direct)

    def first_error(self, solution: Trajectory, *, direct: bool = False) -> Prompt:
        """Ask for the index of the first wrong step of a solution, its steps numbered from 0."""
        return self._judge("first_error", Subject(solution, ()), {}, direct)

    def additive(self, prefix: Trajectory, step: Step) -> Prompt:
        """Ask how many of five points a solution earns that has come as far as `step`."""
        return self._judge("additive", Subject(prefix, (step,)), {"step": step.text}, direct=False)

    def listwise(self, prefix: Trajectory, candidates: Sequence[Step]) -> Prompt:
        """Ask for one score for each of several next steps, numbered from 1."""
        subject = Subject(prefix, tuple(candidates))
        return self._judge("listwise", subject, {}, direct=False, candidates=tuple(step.text for step in candidates))

    def critique(self, prefix: Trajectory, candidates: Sequence[Step], critique: str) -> Prompt:
        """Ask whether what a judge wrote about several next steps is sound, yes or no: a direct verdict."""
        subject, texts = Subject(prefix, tuple(candidates)), tuple(step.text for step in candidates)
        return self._judge("critique", subject, {"critique": critique}, direct=True, candidates=texts)

    def inverse(self, problem: Problem, answer: str, task: str) -> Prompt:
        """Ask whether a final answer passes an easier check than solving; `task` says which, in our words."""
        subject = Subject(Trajectory(problem), (Step(answer),))
        return self._judge("inverse", subject, {"answer": answer, "task": task}, direct=False)

    def segment(self, problem: Problem, solution: str) -> Prompt:
        """Ask for a solution anew, with ``Step n:`` before each of its steps and nothing else changed."""
        return self._render("segment", problem, {"question": problem.question, "solution": solution})

    def write(self, examples: Sequence[Problem]) -> Prompt:
        """Ask for one new problem of the kind of `examples`."""
        frame = Problem(" ".join(example.id for example in examples), "")
        return self._render("write", frame, {}, {"examples": [one.question for one in examples]}, show=_show)

    def variant(self, problem: Problem, how: str) -> Prompt:
        """Ask for a variant of `problem`; `how` says in a few words of ours what it has to be, as ``easier``."""
        return self._render("variant", problem, {"question": problem.question, "how": how}, show=_show)

    def _judge(
        self,
        stem: str,
        subject: Subject,
        values: Mapping[str, str],
        direct: bool,
        candidates: tuple[str, ...] = (),
    ) -> Prompt:
        prefix = subject.prefix
        lists = {"steps": [step.text for step in prefix.steps], "candidates": candidates}
        values = {"question": prefix.problem.question, **values}
        return self._render(stem, prefix.problem, values, lists, show=_show, direct=direct, subject=subject)

    def _render(
        self,
        stem: str,
        problem: Problem,
        values: Mapping[str, str],
        lists: Mapping[str, Sequence[str]] = MappingProxyType({"steps": ()}),
        *,
        show: Callable[[str], _Shown] = _Shown,
        direct: bool = False,
        reply: tuple[Step, ...] = (),
        subject: Subject | None = None,
    ) -> Prompt:
        if stem not in self._templates:
            raise ConfigError(f"prompt set {self.name!r} lacks {stem}.jinja, which this judge asks")
        contents = [show(text) for text in (*values.values(), *chain.from_iterable(lists.values()))]
        fence = _fence(problem.id, contents)
        marks = [f"\ufdd0{fence}:{i}\ufdd1" for i in range(len(contents))]
        rest = iter(marks)
        context: dict[str, object] = {name: next(rest) for name in values}
        context |= {name: list(islice(rest, len(texts))) for name, texts in lists.items()}
        context |= {"fence": fence, "direct": direct}
        template = self._templates[stem]
        self._environment.begin()

        def block(name: str, **changed: object) -> str:
            filled_in = template.new_context({**context, **changed})
            return "".join(template.blocks[name](filled_in)) if name in template.blocks else ""

        def parts(pieces: Sequence[str]) -> tuple[Part, ...]:
            filled = [
                contents[int(piece)].parts(fence) if i % 2 else (Part(piece),)
                for i, piece in enumerate(pieces)
                if piece
            ]
            return tuple(part for part in chain.from_iterable(filled) if part.text)

        def trunk() -> list[str]:
            first, num_steps = len(values), len(lists.get("steps", ()))
            if stem not in self._repeating or num_steps <= _FEW_STEPS:
                return _MARK.split(block("trunk"))
            few = block("trunk", steps=marks[first : first + _FEW_STEPS])
            return repeat_steps(_MARK.split(few), first, num_steps)

        def scaffold(name: str) -> str:
            text = block(name)
            if _MARK.search(text):
                raise ConfigError(f"prompt set {self.name!r}, {stem}.jinja: block {name} holds text from outside")
            return text

        with boundary(ConfigError, f"prompt set {self.name!r}, {stem}.jinja:"):
            return Prompt(
                trunk=parts(trunk()),
                tail=parts(_MARK.split(block("tail"))),
                reply=reply,
                forced=scaffold("forced") if direct else "",
                system=scaffold("system") or None,
                template=stem,
                subject=subject,
            )


def fenced(name: str, texts: Sequence[str]) -> tuple[str, list[tuple[Part, ...]]]:
    """Show texts from outside in a prompt that no template makes: a fence that stands in none of them, and each text.

    Args:
        name: Determines the fence, with the texts.
        texts: Content, shown as a judge is shown it.
    """
    contents = [_show(text) for text in texts]
    fence = _fence(name, contents)
    return fence, [content.parts(fence) for content in contents]


def _find(name: str) -> Path:
    root = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    for folder in (root / name, Path(name)):
        if folder.is_dir():
            return folder
    shipped = [path.name for path in root.iterdir() if path.is_dir()]
    raise ConfigError(f"no prompt set {name!r}; {nearest(name, shipped)} (or give the path of a folder)")


def _fence(problem_id: str, contents: Sequence[_Shown]) -> str:
    """Give a word that stands in none of `contents`, the same on every run.

    Nor does it stand across two of them: steps are often written without anything between them. Nor does one that only
    looks like it, in capitals or full-width letters.
    """
    joined = normalize("NFKC", "".join(shown.head + shown.tail for shown in contents)).casefold()
    attempt = 0
    while True:
        fence = sha256(f"{attempt}\0{problem_id}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
        if fence not in joined:
            return fence
        attempt += 1
