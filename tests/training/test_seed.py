"""The seed stage: what the policy is shown, and that it learns it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM, AutoTokenizer

from presrm.config import JudgeConfig, LoraConfig, ModelConfig, SeedConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError, DataError, DivergedError
from presrm.files.jsonl import dump
from presrm.judging.labels import perturbed, questions
from presrm.problems.arithmetic import load_arithmetic
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.seeding import derive_seed
from presrm.splitters.newline import NewlineSplitter
from presrm.training.seed import Example, SeedStage, imitation, verdict
from presrm.types import Candidates, Checkpoint, LabelledSteps, Problem, Step, Trajectory

PROMPTS = PromptSet("compact")
SPLITTER = NewlineSplitter()
CPU = ModelConfig(device="cpu", dtype="float32")
PROBLEMS = load_arithmetic(num=6, seed=0)
Row = dict[str, float]
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
ADAPTER = {"adapter_config.json", "adapter_model.safetensors", "base.json"} | TOKENIZER
ADAPTER |= {"generation_config.json", "README.md"}


@pytest.fixture(scope="module")
def encoder(tiny_policy: Path) -> PromptEncoder:
    return PromptEncoder(AutoTokenizer.from_pretrained(tiny_policy))


def fit(
    policy: Path,
    out: Path,
    *,
    seed: int = 0,
    lora: LoraConfig | None = None,
    judge: str = "direct",
    parts: dict[str, Any] | None = None,
    **options: object,
) -> tuple[Checkpoint, list[Row]]:
    rows: list[Row] = []
    settings = SeedConfig.model_validate(
        {"ift": "arithmetic", "num_eft": 4, "batch_size": 8, "learning_rate": 3e-3, **options}
    )
    stage = SeedStage(
        settings,
        CPU,
        PROMPTS,
        SPLITTER,
        lora=lora,
        pack_tokens=1000,
        judge=JudgeConfig(verdict=judge),  # type: ignore[arg-type]
        seed=seed,
        on_log=rows.append,
        **(parts or {}),
    )
    return stage.fit(Checkpoint(str(policy)), PROBLEMS, out), rows


def test_a_solution_is_imitated_from_the_prompt_it_is_generated_from(encoder: PromptEncoder) -> None:
    problem = Problem("g", "How many?", "24", "48/2 = <<48/2=24>>24\n#### 24")

    example = imitation(problem, SPLITTER, encoder, PROMPTS)

    assert example.prompt == tuple(encoder.encode(PROMPTS.solve(Trajectory(problem))))
    assert example.reply[-1] == encoder.eos_id
    assert encoder.decode(example.reply[:-1]) == "48/2 = 24\n#### 24"


@pytest.mark.parametrize("direct", [True, False])
def test_a_verdict_ends_the_reply_only_where_it_is_generated(encoder: PromptEncoder, direct: bool) -> None:
    labelled = LabelledSteps(Trajectory(PROBLEMS[0]), Step("right\n"), Step("wrong\n"))
    question = questions(labelled, PROMPTS, direct=direct)[1]

    example = verdict(question, encoder)

    assert example == Example(
        "pairwise",
        PROBLEMS[0].id,
        tuple(encoder.encode(question.prompt)),
        tuple(encoder.content("B")) if direct else (*encoder.content("[[B]]"), encoder.eos_id),
    )


def test_the_loss_is_the_mean_over_reply_tokens(tiny_policy: Path, tmp_path: Path, encoder: PromptEncoder) -> None:
    _, rows = fit(tiny_policy, tmp_path / "out", num_eft=1, batch_size=100)

    model = AutoModelForCausalLM.from_pretrained(tiny_policy)
    (labelled,) = perturbed(PROBLEMS, SPLITTER, 1, derive_seed(0, "eft"))
    examples = [imitation(problem, SPLITTER, encoder, PROMPTS) for problem in PROBLEMS]
    examples += [verdict(question, encoder) for question in questions(labelled, PROMPTS, direct=True)]
    losses = []
    for example in examples:
        log_probs = log_softmax(model(torch.tensor([[*example.prompt, *example.reply]])).logits[0], -1)
        losses += [-log_probs[len(example.prompt) + i - 1, token].item() for i, token in enumerate(example.reply)]
    (step,) = [row for row in rows if "loss" in row]
    assert step["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_the_policy_learns_and_counts_are_logged_first(tiny_policy: Path, tmp_path: Path) -> None:
    checkpoint, rows = fit(tiny_policy, tmp_path / "out", epochs=8)

    assert checkpoint == Checkpoint(str(tmp_path / "out"))
    assert rows[0] == {"seed/dropped/unbalanced": 0, "seed/ift": 6, "seed/pairwise": 8, "seed/pointwise": 8}
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md",
        *(path.name for path in tiny_policy.iterdir()),
    }
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_equal_seeds_give_equal_bytes(tiny_policy: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(tiny_policy, tmp_path / name, seed=seed)

    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_with_lora_only_the_adapter_is_saved(tiny_policy: Path, tmp_path: Path) -> None:
    checkpoint, _ = fit(tiny_policy, tmp_path / "out", lora=LoraConfig(r=2, alpha=4))

    assert checkpoint == Checkpoint(str(tiny_policy), tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == ADAPTER
    assert any(
        weight.abs().sum() > 0
        for name, weight in load_file(tmp_path / "out/adapter_model.safetensors").items()
        if "lora_B" in name
    )


def test_long_examples_are_left_out_whole_groups_at_a_time(tiny_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'dropped/too_long': 22"):
        fit(tiny_policy, tmp_path / "out", max_tokens=10)


def test_single_labelled_steps_are_balanced(tiny_policy: Path, tmp_path: Path) -> None:
    row = {
        "input": "1 + 1 + 1? Step 1: 1 + 1 = 2 ки\nStep 2: 2 + 1 = 4 ки",
        "label": "1 + 1 + 1? Step 1: 1 + 1 = 2 +\nStep 2: 2 + 1 = 4 {}",
    }
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({**row, "label": row["label"].format(sign)}) for sign in "+-"))

    _, rows = fit(tiny_policy, tmp_path / "out", eft="rows", eft_path=path, parts={"decontaminate": list})

    assert rows[0] == {"seed/dropped/unbalanced": 2, "seed/ift": 6, "seed/pointwise": 2}


def test_rows_about_held_out_problems_teach_nothing(tiny_policy: Path, tmp_path: Path) -> None:
    row = {"input": "{}? Step 1: 2 ки\nStep 2: 3 ки", "label": "{}? Step 1: 2 +\nStep 2: 3 -"}
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "\n".join(json.dumps({k: v.replace("{}", name) for k, v in row.items()}) for name in ("ours", "held out"))
    )

    def ours_alone(problems: Sequence[Problem]) -> list[Problem]:
        assert [problem.question for problem in problems] == ["ours?", "held out?"], "once for each row"
        return [problem for problem in problems if problem.question == "ours?"]

    _, rows = fit(tiny_policy, tmp_path / "out", eft="rows", eft_path=path, parts={"decontaminate": ours_alone})

    assert rows[0] == {"seed/dropped/unbalanced": 0, "seed/ift": 6, "seed/pointwise": 2}


def test_self_written_rationales_take_an_engine(tiny_policy: Path, tmp_path: Path) -> None:
    parts = {"open_engine": lambda policy: ScriptedEngine(lambda prompt, rng: "Always the first. [[A]]")}
    _, rows = fit(tiny_policy, tmp_path / "out", judge="explained", rationale="self", parts=parts)

    assert rows[0] == {"seed/dropped/unbalanced": 0, "seed/ift": 6}


def test_contradicting_options_are_refused(tiny_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="eft_path"):
        fit(tiny_policy, tmp_path, eft="rows")
    with pytest.raises(ConfigError, match="held out"):
        fit(tiny_policy, tmp_path, eft="rows", eft_path=tmp_path / "rows.jsonl")
    with pytest.raises(ConfigError, match="explained"):
        fit(tiny_policy, tmp_path, rationale="self", judge="direct")
    with pytest.raises(ConfigError, match="engine"):
        fit(tiny_policy, tmp_path, eft="rollouts")


def test_nothing_is_written_to_the_terminal(
    tiny_policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(tiny_policy, tmp_path / "out")

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("epochs", "num_steps"), [(0.4, 2), (1.0, 6), (1.5, 9), (2.0, 12)])
def test_the_last_pass_may_be_a_part_of_one(tiny_policy: Path, tmp_path: Path, epochs: float, num_steps: int) -> None:
    _, rows = fit(tiny_policy, tmp_path / "out", epochs=epochs, batch_size=1)

    assert sum("loss" in row for row in rows) == num_steps, "six problems, one a step"


def test_a_rate_that_ruins_the_policy_ends_the_seed_stage(tiny_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"optimiser step 2 of 2: .* in float32"):
        fit(tiny_policy, tmp_path / "out", learning_rate=1e30)

    assert list(tmp_path.iterdir()) == []


def test_examples_beyond_the_positions_of_the_model_are_left_out(tiny_policy: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_policy, max_position_embeddings=150)
    model.save_pretrained(tmp_path / "short")
    AutoTokenizer.from_pretrained(tiny_policy).save_pretrained(tmp_path / "short")

    _, whole = fit(tiny_policy, tmp_path / "whole")
    _, rows = fit(tmp_path / "short", tmp_path / "out")
    _, asked = fit(tiny_policy, tmp_path / "asked", max_tokens=150)

    assert rows[0] == asked[0] != whole[0]
    assert rows[0]["seed/dropped/too_long"] > 0


def test_ranked_answers_teach_to_answer_and_to_give_points(tiny_policy: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    rows = [{"question": f"Why {n}?", "answers": [f"best {n}", f"middling {n}", f"worst {n}"]} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def judge(prompt: Any, rng: Any) -> str:
        answer = next(part.text for part in prompt.tail if part.is_content)
        points = {"best": 5, "middling": 3, "worst": 3}[answer.split()[0]]
        return f"So [[{points if '3' not in answer else 4}]]"  # the last question's answers are all alike

    _, logged = fit(
        tiny_policy,
        tmp_path / "out",
        eft="ranked",
        eft_path=path,
        judge="explained",
        parts={"open_engine": lambda policy: ScriptedEngine(judge), "decontaminate": list},
    )

    counts = {name: value for row in logged for name, value in row.items() if name.startswith("seed/")}
    assert counts["seed/ranked"] == 4
    assert counts["seed/ranked_agree"] == 3
    assert counts["seed/additive"] == 6  # 3 of 5 points, and 3 of the 6 of 3


def judgement(problem: Problem, step: str, reply: str | None, verdict: str = "yes") -> Problem:
    """A problem whose solution is a judgement of a first step."""
    shown = Candidates(Trajectory(Problem(problem.id, problem.question)), (Step(step),))
    return Problem(f"{problem.id}/{step}", problem.question, verdict, reply, "pointwise", shown)


def write_judgements(path: Path, *judgements: Problem) -> Path:
    path.write_text("".join(f"{dump(each)}\n" for each in judgements))
    return path


def test_a_judgement_is_imitated_as_it_is_written(encoder: PromptEncoder) -> None:
    made = judgement(PROBLEMS[0], " 1 + 1 = 2\n", "2 - 1 is 1. [[yes]]")

    example = imitation(made, SPLITTER, encoder, PROMPTS)

    prompt = PROMPTS.pointwise(Trajectory(PROBLEMS[0]), Step(" 1 + 1 = 2\n"))
    assert example.prompt == tuple(encoder.encode(prompt))
    assert example.reply == (*encoder.content("2 - 1 is 1. [[yes]]"), encoder.eos_id)
    assert (example.kind, example.problem) == ("pointwise", PROBLEMS[0].id)


def test_judgements_of_a_file_are_learned_beside_the_solutions(tiny_policy: Path, tmp_path: Path) -> None:
    rows = [judgement(problem, " 1 + 1 = 2\n", "So. [[no]]", "no") for problem in PROBLEMS]
    rows.append(judgement(PROBLEMS[0], " 1 + 2 = 2\n", None))
    path = write_judgements(tmp_path / "eft.jsonl", *rows)
    parts = {"decontaminate": lambda problems: [one for one in problems if one.question != PROBLEMS[1].question]}

    _, logged = fit(tiny_policy, tmp_path / "out", eft="judgements", eft_path=path, num_eft=100, parts=parts)

    assert (logged[0]["seed/ift"], logged[0]["seed/pointwise"]) == (len(PROBLEMS), len(PROBLEMS) - 1)
    assert "seed/pairwise" not in logged[0]


def test_examples_of_one_problem_share_an_optimiser_step(tiny_policy: Path, tmp_path: Path) -> None:
    texts = [f" 1 + {n} = 2\n" for n in range(3)]
    path = write_judgements(
        tmp_path / "eft.jsonl", *(judgement(each, text, "No. [[no]]", "no") for each in PROBLEMS for text in texts)
    )
    parts = {"decontaminate": list}

    _, logged = fit(
        tiny_policy, tmp_path / "out", eft="judgements", eft_path=path, num_eft=100, batch_size=4, parts=parts
    )

    steps = [row["step/lessons"] for row in logged if "step/lessons" in row]
    assert steps == [4.0] * len(PROBLEMS), "a solution and three judgements each"


@pytest.mark.parametrize(
    ("rows", "message"),
    [(None, "no file"), ([judgement(PROBLEMS[0], " 1 + 1 = 2\n", None)], "holds no judgement with a solution")],
)
def test_a_file_without_judgements_is_named(
    tiny_policy: Path, tmp_path: Path, rows: list[Problem] | None, message: str
) -> None:
    path = tmp_path / "eft.jsonl"
    if rows is not None:
        write_judgements(path, *rows)

    with pytest.raises(DataError, match=message):
        fit(tiny_policy, tmp_path / "out", eft="judgements", eft_path=path, parts={"decontaminate": list})
    with pytest.raises(ConfigError, match=r"judgements needs seed_stage\.eft_path"):
        fit(tiny_policy, tmp_path / "out", eft="judgements")
    with pytest.raises(ConfigError, match="which problems are held out"):
        fit(tiny_policy, tmp_path / "out", eft="judgements", eft_path=path)
