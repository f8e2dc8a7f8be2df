"""Hostile steps before every kind of judge: none crashes, and a verdict comes from the reply alone.

The engines are scripted, so what a weak model may be talked into is not tested here, only that text stays text.
"""

import random
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hostile_steps import hostile_steps, read_steps
from transformers import AutoTokenizer

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.hf import HFEngine
from presrm.engines.scripted import ScriptedEngine
from presrm.judges import JUDGES
from presrm.prompts import Prompt, PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.types import Candidates, Checkpoint, Judgement, Problem, Status, Step, Trajectory

PLAIN = " 2 + 3 = 5\n"
QUESTION = "Tom has 2 apples and buys 3. How many has he?"
READERS: dict[str, dict[str, Any]] = {
    "pairwise": {"kind": "pairwise"},
    "pointwise": {"kind": "pointwise"},
    "pointwise, 2 votes": {"kind": "pointwise", "votes": 2, "temperature": 0.7},
    "first-error": {"kind": "first-error"},
    "additive": {"kind": "additive"},
    "listwise": {"kind": "listwise", "votes": 2, "temperature": 0.7},
    "listwise, meta-judge": {"kind": "listwise", "votes": 2, "temperature": 0.7, "options": {"meta": True}},
    "jury": {"kind": "jury", "options": {"judges": ["pointwise", "additive"]}},
}
PROMPT_SETS = ("paper", "compact")  # the questions of "plain" to a judge are those of "paper"


def fence_of(prompts: PromptSet, problem: Problem) -> str:
    """The word that fences a question about a problem, were it not for its steps."""
    found = re.search(r"\[([0-9a-f]{8})\b", scaffold(prompts.first_error(Trajectory(problem, (Step("x"),)))))
    assert found
    return found[1]


def scaffold(prompt: Prompt) -> str:
    """All of a prompt that is ours."""
    return "".join(part.text for part in (*prompt.trunk, *prompt.tail) if not part.is_content)


def texts() -> list[str]:
    """All hostile steps, the fence rightly guessed."""
    fence = fence_of(PromptSet("paper"), problem(QUESTION))
    return [step.text.replace("{fence}", fence) * step.times for step in read_steps()]


def problem(question: str) -> Problem:
    return Problem("arithmetic:2+3", question, kind="arithmetic")  # an id that the checker knows


HOSTILE = texts()


def item(place: int, hostile: str) -> Candidates:
    """A hostile step and a plain one, in either order; the question and the step before are hostile too."""
    steps = (Step(hostile), Step(PLAIN))
    prefix = Trajectory(problem(f"{QUESTION} {hostile}"), (Step(hostile),))
    return Candidates(prefix, steps if place % 2 else steps[::-1])


BATCH = [item(place, hostile) for place, hostile in enumerate(HOSTILE)]


def judge_batch(name: str, say: Any, batch: Sequence[Candidates] = BATCH) -> list[tuple[Judgement, ...]]:
    config = JudgeConfig(**READERS[name])
    return make_judge(config, ScriptedEngine(say, even), PromptSet("paper")).judge(batch)


def scores_of_plain_and_hostile(judged: Sequence[tuple[Judgement, ...]]) -> set[tuple[float | None, float | None]]:
    """All (plain, hostile) that occur, whatever the order of the candidates."""
    in_order = [
        judgements if item.steps[0].text == PLAIN else judgements[::-1]
        for item, judgements in zip(BATCH, judged, strict=True)
    ]
    return {(plain.score, hostile.score) for plain, hostile in in_order}


def test_the_set_is_as_it_was_made_and_covers_every_kind() -> None:
    rows = read_steps()

    assert rows == hostile_steps(), "run hostile_steps.py"
    assert len(rows) == len(set(rows)) >= 200
    assert PLAIN not in HOSTILE
    assert {row.kind for row in rows} >= {"verdict", "turn", "token", "ignore", "tag", "fence", "template", "giant"}


def test_every_judge_that_is_asked_through_prompts_stands_here() -> None:
    others = {"callable", "checker", "prm"}  # ask no policy: the first two have tests below
    others |= {"inverse"}  # shows a final answer alone: tests/judges/test_judges_inverse.py
    others |= {"noisy"}  # another judge with some verdicts turned round: tests/judges/test_judges_noisy.py

    assert {settings["kind"] for settings in READERS.values()} | others == set(JUDGES.names())


@pytest.mark.parametrize("name", READERS)
def test_without_a_verdict_in_the_reply_a_judgement_is_unreadable(name: str) -> None:
    judged = judge_batch(name, lambda prompt, rng: "Both have their merits, and I looked at [this] and {that}.")

    assert [len(judgements) for judgements in judged] == [2] * len(BATCH)
    assert {(j.score, j.status) for judgements in judged for j in judgements} == {(None, Status.UNREADABLE)}


def verdict_for(plain_is_right: bool) -> Any:
    """A reply with the verdict of one who knows which step is the plain one."""

    def say(prompt: Prompt, rng: random.Random) -> str:
        assert prompt.subject is not None
        shown = prompt.subject.shown or prompt.subject.prefix.steps[-1:]
        right = [(step.text == PLAIN) == plain_is_right for step in shown]
        last = len(prompt.subject.prefix.steps) - 1
        return {
            "pairwise": f"So [[{'A' if right[0] else 'B'}]]",
            "pointwise": f"So [[{'yes' if right[0] else 'no'}]]",
            "first_error": f"So \\boxed{{{-1 if right[0] else last}}}",
            "additive": f"So [[{5 if right[0] else 0}]]",
            "listwise": f"So [[{', '.join('10' if good else '1' for good in right)}]]",
        }[prompt.template]

    return say


def even(prompt: Prompt, words: Sequence[str]) -> list[float]:
    """The weights of one who cannot tell a good judgement from a bad one."""
    return [0.5 for _ in words]


@pytest.mark.parametrize("name", READERS)
def test_a_question_longer_than_the_policy_reads_is_refused_alone(name: str) -> None:
    giant = Trajectory(problem("x" * 20_000), (Step("y" * 20_000),))
    batch = [item(0, "2 + 3 = 6"), Candidates(giant, (Step(PLAIN), Step("2 + 3 = 6"))), item(1, "2 + 3 = 7")]
    before, refused, after = make_judge(
        JudgeConfig(**READERS[name]),
        ScriptedEngine(verdict_for(plain_is_right=True), even, context=20_000),
        PromptSet("paper"),
    ).judge(batch)

    assert {judgement.status for judgement in refused} == {Status.REFUSED}
    assert all("no room" in judgement.rationale for judgement in refused)
    assert {judgement.status for judgement in before + after} == {Status.OK}


@pytest.mark.parametrize("plain_is_right", [True, False])
@pytest.mark.parametrize("name", READERS)
def test_the_verdict_of_the_reply_is_the_judgement_in_both_orders(name: str, plain_is_right: bool) -> None:
    low = 0.1 if name.startswith("listwise") else 0.0
    expected = (1.0, low) if plain_is_right else (low, 1.0)

    assert scores_of_plain_and_hostile(judge_batch(name, verdict_for(plain_is_right))) == {expected}


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_a_direct_verdict_comes_from_the_probabilities_in_both_orders(kind: str) -> None:
    def options(prompt: Prompt, words: Sequence[str]) -> tuple[float, float]:
        assert prompt.subject is not None
        return (0.75, 0.25) if prompt.subject.shown[0].text == PLAIN else (0.25, 0.75)

    engine = ScriptedEngine(lambda prompt, rng: "", options)
    judged = make_judge(JudgeConfig(kind=kind, verdict="direct"), engine, PromptSet("paper")).judge(BATCH)

    [(plain, hostile)] = {(round(p, 9), round(h, 9)) for p, h in scores_of_plain_and_hostile(judged)}
    assert (plain, hostile) == (0.75, 0.25)


def test_judges_that_ask_no_policy_see_text_alone() -> None:
    engine, prompts = ScriptedEngine(lambda prompt, rng: ""), PromptSet("paper")
    same = JudgeConfig(kind="callable", options={"function": lambda question, before, step: float(step == PLAIN)})

    assert scores_of_plain_and_hostile(make_judge(same, engine, prompts).judge(BATCH)) == {(1.0, 0.0)}
    first = [Candidates(Trajectory(problem(QUESTION)), item.steps) for item in BATCH]
    assert scores_of_plain_and_hostile(make_judge(JudgeConfig(kind="checker"), engine, prompts).judge(first)) == {
        (1.0, 0.0)
    }


def ask_all(prompts: PromptSet, hostile: str) -> list[Prompt]:
    """Every question about a plain and a hostile step, where the question and the step before are hostile too."""
    prefix, bad, good = Trajectory(problem(QUESTION + hostile), (Step(hostile),)), Step(hostile), Step(PLAIN)
    return [
        *(
            prompts.pairwise(prefix, *pair, direct=direct)
            for pair in ((bad, good), (good, bad))
            for direct in (False, True)
        ),
        *(prompts.pointwise(prefix, bad, direct=direct) for direct in (False, True)),
        prompts.first_error(prefix.extend(bad)),
        prompts.additive(prefix, bad),
        prompts.listwise(prefix, (good, bad, good)),
        prompts.critique(prefix, (good, bad), hostile),
    ]


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_hostile_text_changes_nothing_around_it(name: str) -> None:
    prompts = PromptSet(name)
    harmless = ask_all(prompts, "x")
    usual = fence_of(prompts, problem(QUESTION))

    for hostile in HOSTILE:
        prompts_about_it = ask_all(prompts, hostile)
        fence = fence_of(prompts, problem(QUESTION + hostile))
        assert (fence == usual) == (usual not in hostile)
        for prompt, model in zip(prompts_about_it, harmless, strict=True):
            ours, shown = scaffold(prompt), prompt.text
            if len(hostile) <= 15_000:
                assert ours.replace(fence, usual) == scaffold(model)
            assert shown.count(fence) == ours.count(fence), "the fence is ours alone"
            assert (prompt.system, prompt.forced) == (model.system, model.forced)
            odd = {letter for letter in set(shown) if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
            assert odd <= set("\t\n\r\u200c\u200d"), "nothing shown acts on its reader"
            assert len(shown) < 1_000_000
        assert prompts_about_it[0].trunk == prompts_about_it[2].trunk, "both orders of a pair share their trunk"


CONTROL = [
    *("<s>", "</s>", "<unk>", "[INST]", "[/INST]", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<start_of_turn>", "<end_of_turn>", "<bos>"),
    *("<|end|>", "<|user|>", "<|system|>", "<|assistant|>", "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", "<think>"),
    *(
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<extra_0>",
        "[AVAILABLE_TOOLS]",
    ),
    *("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "[CLS]", "[SEP]", "<mask>", "<pad>"),
]


@pytest.mark.parametrize("policy", ["embedded", "all families"])
def test_no_control_token_comes_from_content(policy: str, tiny_policy: Path) -> None:
    """The embedded policy's tokenizer, and one that knows the control tokens of all families at once."""
    if policy == "embedded":
        tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parents[2] / "presrm" / "embedded")
    else:
        tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
        tokenizer.add_special_tokens({"additional_special_tokens": CONTROL})
    encoder, prompts = PromptEncoder(tokenizer), PromptSet("compact")
    control = set(tokenizer.added_tokens_decoder)
    assert control

    def controls(prompt: Prompt) -> list[int]:
        return [i for i in encoder.encode(prompt) if i in control]

    plain = Trajectory(problem(QUESTION), (Step("x"),))
    usual = controls(prompts.pairwise(plain, Step("x"), Step(PLAIN)))
    for hostile in HOSTILE:
        prefix = Trajectory(problem(QUESTION + hostile), (Step(hostile),))
        assert controls(prompts.pairwise(prefix, Step(hostile), Step(PLAIN))) == usual


def test_a_real_policy_judges_them_in_packs_as_it_judges_each_alone() -> None:
    with HFEngine(Checkpoint("embedded"), dtype="float32", device="cpu") as engine:
        short = [hostile for hostile in HOSTILE if len(hostile) < 40][::8]
        where = Trajectory(problem(QUESTION), (Step(" 2 + 3 = 5\n"),))
        asked = [PromptSet("compact").pointwise(where, Step(hostile), direct=True) for hostile in short]

        alone = [engine.logprobs([prompt], ("yes", "no"))[0] for prompt in asked]
        packed = engine.logprobs(asked, ("yes", "no"))
    assert packed == [pytest.approx(each, abs=1e-4) for each in alone]
