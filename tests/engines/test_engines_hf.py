"""The engine on transformers, run on models made on the spot: a random one, and one that writes a given text."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import copytree

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, Phi3Config

from presrm.engines.drafting import step_end
from presrm.engines.hf import HFEngine
from presrm.errors import EngineError, SplitterError
from presrm.packing.layout import Pack
from presrm.prompts import Part, Prompt, PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Completion, Engine, Request, Sampling, StepSplitter
from presrm.splitters import SPLITTERS
from presrm.types import Checkpoint, Problem, Step, Stop, Trajectory

QUESTIONS = (
    "Tom has 12 apples.",
    "He buys 3.",
    "How many apples does Tom have now? " * 3,
    "Why?",
    "Is 4 enough for é?",
)
TEXTS = (
    "Step 1: 12 + 3 = 15\nStep 2: 15 - 4 = 11\n#### 11",
    "We add 3.5 and 2. Then é is 5.5! Done.",
    "One paragraph\nof two lines.\n\nAnother 🎉 one.\n\n",
    "<think>12 + 3</think><chunk>15</chunk>\nso",
    "x = 1\ny = x + 1\nprint(y)\n",
    "🎉\n🎉🎉\n é\n",
)
LONGEST = 256  # what the writing policy reads and writes at most, in tokens
DRAW = Sampling(temperature=1.0, top_p=0.95, max_tokens=12)

Writer = Callable[..., HFEngine]


@dataclass
class Lines:
    stop: Sequence[str] = ()

    def split(self, text: str) -> list[str]:
        return text.splitlines(keepends=True)


def ask(question: str = "How many?", reply: Sequence[Step] = ()) -> Prompt:
    return Prompt((Part(question, is_content=True), Part("\nSolve it.")), reply=tuple(reply))


@pytest.fixture(scope="module")
def engine(tiny_policy: Path) -> HFEngine:
    return HFEngine(Checkpoint(str(tiny_policy)), device="cpu")


@pytest.fixture(scope="module")
def encoder(engine: HFEngine) -> PromptEncoder:
    return engine.encoder


@pytest.fixture(scope="module")
def writer(tiny_policy: Path, encoder: PromptEncoder, tmp_path_factory: pytest.TempPathFactory) -> Writer:
    """Makes an engine whose policy writes given ids behind ``ask()``.

    A GPT-2 without blocks: a position embeds as itself, and the head maps it to the token that comes next.
    """

    @cache
    def make(*script: int) -> HFEngine:
        size = {"n_positions": LONGEST, "n_embd": LONGEST, "n_layer": 1, "n_head": 1}
        ends = {"bos_token_id": None, "eos_token_id": None}
        vocabulary = len(encoder.tokenizer)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, tie_word_embeddings=False, **size, **ends))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            model.transformer.ln_f.weight.fill_(1)
            model.transformer.wpe.weight.copy_(torch.eye(LONGEST))
            for position, token in enumerate(script, len(encoder.encode(ask())) - 1):
                model.lm_head.weight[token, position] = 10
        folder = tmp_path_factory.mktemp("writer")
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_policy).save_pretrained(folder)
        return HFEngine(Checkpoint(str(folder)), device="cpu")

    return make


def write(engine: Engine, splitter: StepSplitter | None = None, num: int = 1, max_tokens: int = 100) -> Completion:
    """One completion of ``ask()``; several must be equal."""
    sampling = Sampling(max_tokens=max_tokens)
    [completions] = engine.generate([Request(ask(), num, sampling, splitter)])
    assert completions == [completions[0]] * num
    return completions[0]


def write_steps(engine: Engine, splitter: StepSplitter) -> list[Completion]:
    """Write a solution step by step, each behind the ones before it."""
    written: list[Completion] = []
    while not written or written[-1].stop is None:
        reply = [Step(step.text, step.tokens) for step in written]
        [[step]] = engine.generate([Request(ask(reply=reply), 1, Sampling(max_tokens=100), splitter)])
        written.append(step)
    return written


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", SPLITTERS.names())
def test_a_solution_is_written_step_by_step_as_the_splitter_cuts_it(
    writer: Writer, encoder: PromptEncoder, kind: str, text: str
) -> None:
    splitter, script = SPLITTERS.create(kind), encoder.content(text)
    steps = write_steps(writer(*script, encoder.eos_id), splitter)

    assert [token for step in steps for token in step.tokens] == script
    assert "".join(step.text for step in steps) == text
    assert all(step.text == encoder.decode(step.tokens) for step in steps)
    assert steps[-1].stop is Stop.EOS
    rest = text
    for step in steps[:-1]:  # ends with the first token that ends at or after the cut
        cut = splitter.split(rest)[0]
        assert step.text.startswith(cut)
        assert len(encoder.decode(step.tokens[:-1]).rstrip("\ufffd")) < len(cut)
        rest = rest.removeprefix(step.text)
    assert len(splitter.split(rest)) < 2


def test_what_was_drawn_behind_a_step_is_dropped(writer: Writer, encoder: PromptEncoder) -> None:
    script = encoder.content("Step 1: 12 + 3 = 15\nStep 2: 15")
    step = write(writer(*script), SPLITTERS.create("marker"))

    assert step.text == "Step 1: 12 + 3 = 15\n"
    assert step.stop is None


def test_a_step_goes_on_to_the_end_of_a_token_that_straddles_the_cut(encoder: PromptEncoder) -> None:
    def decode(ids: Sequence[int]) -> str:
        return "".join({1: "so", 2: ".\nSt", 3: "ep"}[i] for i in ids)

    assert step_end([1], Lines(), decode) is None
    assert step_end([1, 2], Lines(), decode) == 2
    assert step_end([1, 2, 3], Lines(), decode) == 2


def test_a_step_does_not_end_inside_a_character() -> None:
    tokens = [b"5", b"\n\xf0\x9f", b"\x8e", b"\x89", b"."]

    def decode(ids: Sequence[int]) -> str:
        return b"".join(tokens[i] for i in ids).decode(errors="replace")

    ends = [step_end(range(count), Lines(), decode) for count in range(1, 6)]
    assert ends == [None, None, None, 4, 4]


def test_bytes_that_never_make_a_character_are_text_once_others_follow() -> None:
    tokens = [b"5\n\xf0", b"\xf0", b"x", b"y"]

    def decode(ids: Sequence[int]) -> str:
        return b"".join(tokens[i] for i in ids).decode(errors="replace")

    assert step_end(range(2), Lines(), decode) is None
    assert step_end(range(3), Lines(), decode) == 1


@pytest.mark.parametrize("stop", [(), ("\n",), ("never",)])
def test_hints_save_work_and_change_nothing(writer: Writer, encoder: PromptEncoder, stop: Sequence[str]) -> None:
    step = write(writer(*encoder.content("12\n34\n56"), encoder.eos_id), Lines(stop))

    assert (step.text, step.stop) == ("12\n", None)


def test_an_end_token_right_behind_the_delimiter_ends_the_solution(writer: Writer, encoder: PromptEncoder) -> None:
    step = write(writer(*encoder.content("2 + 3 = 5\n"), encoder.eos_id), Lines())

    assert (step.text, step.stop) == ("2 + 3 = 5\n", Stop.EOS)
    assert encoder.eos_id not in step.tokens


def test_an_end_token_at_once_gives_an_empty_completion(writer: Writer, encoder: PromptEncoder) -> None:
    assert write(writer(encoder.eos_id), Lines()) == Completion("", (), Stop.EOS)


def test_a_reply_ends_at_its_limit(writer: Writer, encoder: PromptEncoder) -> None:
    script = encoder.content("12 + 3 = 15")

    assert write(writer(*script), max_tokens=4) == Completion(
        encoder.decode(script[:4]), tuple(script[:4]), Stop.MAX_TOKENS
    )


def test_a_step_that_is_over_with_its_last_allowed_token_is_whole(writer: Writer, encoder: PromptEncoder) -> None:
    script = encoder.content("1\n2")

    assert write(writer(*script), Lines(), max_tokens=len(script)).stop is None
    assert write(writer(*script), Lines(), max_tokens=len(script) - 1).stop is Stop.MAX_TOKENS


def test_no_more_is_written_than_the_model_can_read(writer: Writer, encoder: PromptEncoder) -> None:
    room = LONGEST - len(encoder.encode(ask()))
    completion = write(writer(*encoder.content("x") * room), max_tokens=10_000)

    assert (completion.text, completion.stop) == ("x" * room, Stop.MAX_TOKENS)


def test_a_prompt_that_does_not_fit_is_data(writer: Writer, encoder: PromptEncoder) -> None:
    engine = writer(*encoder.content("x"), encoder.eos_id)
    full = next(prompt for n in range(LONGEST) if len(encoder.encode(prompt := ask("x" * n))) == LONGEST)
    brim = next(prompt for n in range(LONGEST) if len(encoder.encode(prompt := ask("x" * n))) == LONGEST - 1)

    none, some, written = engine.generate([Request(full, 2), Request(brim), Request(ask())])
    assert none == [Completion("", (), Stop.NO_ROOM)] * 2
    assert (len(some[0].tokens), some[0].stop) == (1, Stop.MAX_TOKENS)
    assert (written[0].text, written[0].stop) == ("x", Stop.EOS)
    one, two = "x", "xy"
    assert [len(encoder.scaffold(option)) for option in (one, two)] == [1, 2]
    assert [row is None for row in engine.logprobs([full, brim, ask()], [one])] == [True, False, False]
    assert [row is None for row in engine.logprobs([brim, ask()], [one, two])] == [True, False]


@pytest.fixture
def with_generation_config(tmp_path: Path) -> Callable[[HFEngine, dict[str, object]], HFEngine]:
    def reopen(engine: HFEngine, settings: dict[str, object]) -> HFEngine:
        copytree(engine.checkpoint.model, tmp_path, dirs_exist_ok=True)
        (tmp_path / "generation_config.json").write_text(json.dumps(settings))
        return HFEngine(Checkpoint(str(tmp_path)), device="cpu")

    return reopen


def test_every_end_token_the_model_names_ends_a_reply(
    writer: Writer, encoder: PromptEncoder, with_generation_config: Callable[..., HFEngine]
) -> None:
    other_end, letter = encoder.tokenizer.convert_tokens_to_ids("<|pad|>"), encoder.content("x")[0]
    engine = with_generation_config(writer(letter, other_end), {"eos_token_id": [other_end]})

    assert write(engine) == Completion("x", (letter,), Stop.EOS)


def test_the_models_own_filters_and_penalties_do_not_count(
    writer: Writer, encoder: PromptEncoder, with_generation_config: Callable[..., HFEngine]
) -> None:
    script = [*encoder.content("x") * 5, encoder.eos_id]
    engine = with_generation_config(writer(*script), {"repetition_penalty": 1e9, "min_new_tokens": 9})

    assert write(engine).text == "xxxxx"


def test_completions_of_one_prompt_share_its_reading(writer: Writer, encoder: PromptEncoder) -> None:
    engine = writer(*encoder.content("12 + 3\n4"))

    assert write(engine, Lines(), num=3).text == "12 + 3\n"
    assert engine.tokens_read == len(encoder.encode(ask()))
    assert engine.tokens_generated == 3 * len(encoder.content("12 + 3\n4"))


def test_its_work_is_counted_while_it_writes(tiny_policy: Path) -> None:
    class Watching:
        """Cuts nothing, and looks at what the engine has done so far."""

        stop = ()

        def __init__(self, engine: HFEngine) -> None:
            self.engine = engine
            self.seen: list[tuple[int, int]] = []

        def split(self, text: str) -> list[str]:
            work = self.engine.work()
            self.seen.append((work["tokens read"], work["tokens written"]))
            return [text] if text else []

    with HFEngine(Checkpoint(str(tiny_policy)), device="cpu") as engine:
        assert engine.work() == {"tokens read": 0, "tokens written": 0}
        watching = Watching(engine)
        engine.generate([Request(ask(), 2, Sampling(temperature=1.0, max_tokens=6), watching, seed=1)])
        read, written = zip(*watching.seen, strict=True)
        assert set(read) == {engine.tokens_read}
        assert list(written) == sorted(written)
        assert 1 <= written[0] < engine.tokens_generated
        engine.generate([Request(ask(), 3, Sampling(max_tokens=2))])
        engine.logprobs([ask(), ask("another question")], ["a", "b"])
        work = engine.work()
    assert (work["steps"], work["solutions"], work["questions"]) == (2, 3, 2)
    assert (work["tokens read"], work["tokens written"]) == (engine.tokens_read, engine.tokens_generated)


def test_what_tokens_take_is_estimated_without_a_clock(tiny_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HFEngine(Checkpoint(str(tiny_policy)), device="cpu") as engine:
        monkeypatch.setattr("time.monotonic", lambda: 1 / 0)
        once = engine.seconds(1000, 10)
        assert once == engine.seconds(1000, 10) > 0
        assert engine.seconds(2000, 20) == pytest.approx(2 * once)
        assert engine.seconds(0, 1) > engine.seconds(1, 0), "writing a token takes longer than reading one"


def test_the_same_call_gives_the_same_bytes(engine: HFEngine) -> None:
    requests = [Request(ask(question), 3, DRAW, Lines(), seed=7) for question in QUESTIONS]
    state = torch.random.get_rng_state()

    first = engine.generate(requests)

    assert engine.generate(requests) == first
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's own random numbers are left alone"
    assert engine.generate([Request(ask(QUESTIONS[0]), 3, DRAW, Lines(), seed=8)]) != first[:1]
    assert len({completion.text for completion in first[0]}) > 1


def test_a_greedy_completion_does_not_depend_on_what_else_is_asked(engine: HFEngine, tiny_policy: Path) -> None:
    requests = [Request(ask(question), 2, Sampling(max_tokens=20)) for question in QUESTIONS]
    together = engine.generate(requests)

    assert [engine.generate([request])[0] for request in requests] == together
    small = HFEngine(Checkpoint(str(tiny_policy)), device="cpu", batch_tokens=1)
    assert small.generate(requests) == together
    assert [replies[0] for replies in together] == [replies[1] for replies in together]


def test_different_samplings_go_in_one_call(engine: HFEngine) -> None:
    samplings = [Sampling(max_tokens=3), DRAW, Sampling(max_tokens=5)]
    together = engine.generate([Request(ask(), 1, sampling) for sampling in samplings])

    assert together == [engine.generate([Request(ask(), 1, sampling)])[0] for sampling in samplings]


def test_draws_follow_the_policys_probabilities(engine: HFEngine) -> None:
    [completions] = engine.generate([Request(ask(), 2000, Sampling(temperature=1.0, max_tokens=1))])
    letters = [completion.text for completion in completions if completion.text.isascii()]
    favourite = max(set(letters), key=letters.count)

    [(logp,)] = engine.logprobs([ask()], [favourite])
    share = math.exp(logp)
    assert share > 0.01
    assert letters.count(favourite) / 2000 == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 2000))


@pytest.mark.parametrize("packed", [True, False])
def test_logprobs_are_those_of_one_plain_forward_pass(
    packed: bool, encoder: PromptEncoder, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packed:
        monkeypatch.setattr("presrm.engines.hf.takes_packs", lambda model: False)
    engine = HFEngine(Checkpoint(str(tiny_policy)), device="cpu")
    options = ["A", " 15", "[[A]] or", "[[A]] and", "no way"]
    model = AutoModelForCausalLM.from_pretrained(tiny_policy)
    expected = []
    for question in QUESTIONS:
        prompt = encoder.encode(ask(question))
        for option in options:
            ids = encoder.scaffold(option)
            with torch.no_grad():
                logps = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            expected.append(sum(float(logps[len(prompt) - 1 + i, token]) for i, token in enumerate(ids)))

    rows = engine.logprobs([ask(question) for question in QUESTIONS], options)

    assert [logp for row in rows for logp in row] == pytest.approx(expected, abs=1e-4)
    assert len({len(encoder.scaffold(option)) for option in options}) > 2


def test_logprobs_do_not_depend_on_the_batch(engine: HFEngine, tiny_policy: Path) -> None:
    prompts, options = [ask(question) for question in QUESTIONS], ["A", "B", " maybe so"]
    together = engine.logprobs(prompts, options)

    small = HFEngine(Checkpoint(str(tiny_policy)), device="cpu", batch_tokens=1)
    for prompt, row in zip(prompts, together, strict=True):
        assert small.logprobs([prompt], options)[0] == pytest.approx(row, abs=1e-4)


def test_logprobs_read_each_prompt_once_for_options_of_one_token(tiny_policy: Path) -> None:
    engine = HFEngine(Checkpoint(str(tiny_policy)), device="cpu")
    engine.logprobs([ask()], ["A", "B"])

    assert engine.tokens_read == len(engine.encoder.encode(ask()))


def test_what_judge_prompts_have_in_common_is_read_once(tiny_policy: Path) -> None:
    engine, prompts = HFEngine(Checkpoint(str(tiny_policy)), device="cpu"), PromptSet("compact")
    path = [Step(f"1 + {n} = {n + 1}\n") for n in range(16)]
    problem = Problem("p", "What is 1 + 2?")
    asked = [prompts.pointwise(Trajectory(problem, tuple(path[:i])), step, direct=True) for i, step in enumerate(path)]

    together = engine.logprobs(asked, ["yes", "no"])

    read, alone = engine.tokens_read, sum(len(engine.encoder.encode(prompt)) for prompt in asked)
    assert read < alone / 2
    for prompt, row in zip(asked, together, strict=True):
        assert engine.logprobs([prompt], ["yes", "no"])[0] == pytest.approx(row, abs=1e-4)


def test_out_of_memory_halves_the_packs_down_to_one_prompt(tiny_policy: Path) -> None:
    class SmallDevice(HFEngine):
        """Holds so many tokens."""

        room = 150

        def _run_pack(self, packed: Pack, num_kept: Sequence[int]) -> list[float]:
            if len(packed.layout.ids_T) > self.room:
                raise torch.OutOfMemoryError
            return super()._run_pack(packed, num_kept)

    prompts = [ask(question) for question in QUESTIONS]
    engine = SmallDevice(Checkpoint(str(tiny_policy)), device="cpu")

    expected = HFEngine(Checkpoint(str(tiny_policy)), device="cpu").logprobs(prompts, ["A", "B"])
    assert [x for row in engine.logprobs(prompts, ["A", "B"]) for x in row] == pytest.approx(
        sum(expected, ()), abs=1e-4
    )
    engine.room = 1
    with pytest.raises(EngineError, match=r"out of memory on one row of \d+ tokens; allow fewer tokens"):
        engine.logprobs(prompts, ["A", "B"])


@pytest.mark.parametrize("pad", [None, "<|pad|>", "<|beyond|>"])
def test_a_pad_token_without_an_embedding_matters_to_nobody(pad: str | None, tiny_policy: Path, tmp_path: Path) -> None:
    copytree(tiny_policy, tmp_path, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    tokenizer.pad_token = pad
    tokenizer.save_pretrained(tmp_path)
    engine = HFEngine(Checkpoint(str(tmp_path)), device="cpu")
    usual = HFEngine(Checkpoint(str(tiny_policy)), device="cpu")
    requests = [Request(ask(question), 2, DRAW, seed=place) for place, question in enumerate(QUESTIONS)]

    assert engine.generate(requests) == usual.generate(requests)
    engine.__dict__["_has_tree_attention"] = False
    prompts = [ask(question) for question in QUESTIONS]
    assert engine.logprobs(prompts, ["A", " B"]) == [
        pytest.approx(row, abs=1e-4) for row in usual.logprobs(prompts, ["A", " B"])
    ]


def test_a_tokenizer_of_another_model_is_named(tiny_policy: Path, tmp_path: Path) -> None:
    copytree(tiny_policy, tmp_path, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|beyond|>"]})
    tokenizer.chat_template = "{{ messages[0].content }}<|beyond|>"
    tokenizer.save_pretrained(tmp_path)
    engine = HFEngine(Checkpoint(str(tmp_path)), device="cpu")

    with pytest.raises(EngineError, match=r"no embedding \('<\|beyond\|>'; it has \d+\)"):
        engine.generate([Request(ask())])


def test_nothing_asked_nothing_given(engine: HFEngine) -> None:
    assert engine.generate([]) == []
    assert engine.logprobs([], ["A"]) == []
    assert engine.logprobs([ask()], []) == [()]
    with pytest.raises(ValueError, match="empty"):
        engine.logprobs([ask()], [""])


def test_out_of_memory_halves_the_batch_down_to_one_row(tiny_policy: Path, caplog: pytest.LogCaptureFixture) -> None:
    class SmallDevice(HFEngine):
        """Holds two rows."""

        rows = 2

        def _complete(self, batch: ...) -> ...:
            if len(batch) > self.rows:
                raise torch.OutOfMemoryError
            return super()._complete(batch)

    requests = [Request(ask(question), 1, Sampling(max_tokens=5)) for question in QUESTIONS]
    engine = SmallDevice(Checkpoint(str(tiny_policy)), device="cpu")

    assert engine.generate(requests) == HFEngine(Checkpoint(str(tiny_policy)), device="cpu").generate(requests)
    assert "out of memory: going on with batches of" in caplog.text
    engine.rows = 0
    with pytest.raises(EngineError, match=r"out of memory on one row of \d+ tokens; allow fewer tokens"):
        engine.generate(requests)


@pytest.mark.parametrize("packs", [True, False])
def test_no_batch_holds_more_tokens_than_it_may_and_none_less_than_it_could(
    packs: bool, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presrm.engines.hf.takes_packs", lambda model: packs)
    sizes: list[int] = []

    class Watched(HFEngine):
        def _complete(self, batch: ...) -> ...:
            sizes.append(len(batch) * (max(len(row.ids) for row in batch) + batch[0].sampling.max_tokens))
            return super()._complete(batch)

        def _score_rows(self, batch: ...) -> ...:
            sizes.append(len(batch) * max(len(row.ids) for row in batch))
            return super()._score_rows(batch)

        def _run_pack(self, packed: Pack, num_kept: Sequence[int]) -> list[float]:
            sizes.append(len(packed.layout.ids_T))
            return super()._run_pack(packed, num_kept)

    prompts = [ask(f"{number} why? " * (1 + number)) for number in range(12)]
    whole = Watched(Checkpoint(str(tiny_policy)), device="cpu")
    small = Watched(Checkpoint(str(tiny_policy)), device="cpu", batch_tokens=300)
    for run in (
        lambda engine: engine.generate([Request(prompt, sampling=Sampling(max_tokens=5)) for prompt in prompts]),
        lambda engine: engine.logprobs(prompts, ["A", "B"]),
    ):
        sizes.clear()
        expected = run(whole)
        assert len(sizes) == 1
        (total,) = sizes
        sizes.clear()
        result = run(small)
        assert max(sizes) <= 300 < total
        assert len(sizes) <= 2 * total / 300 + 1
        if isinstance(expected[0][0], float):
            assert result == [pytest.approx(row, abs=1e-3) for row in expected]
        else:
            assert result == expected


def test_a_splitter_that_breaks_its_law_is_named(writer: Writer, encoder: PromptEncoder) -> None:
    class Shouting(Lines):
        def split(self, text: str) -> list[str]:
            return super().split(text.upper())

    class Broken(Lines):
        def split(self, text: str) -> list[str]:
            raise LookupError("no idea")

    engine = writer(*encoder.content("one\ntwo"))
    with pytest.raises(SplitterError, match=r"splitter Shouting cut .* do not join"):
        write(engine, Shouting())
    with pytest.raises(SplitterError, match="splitter Broken raised LookupError: no idea"):
        write(engine, Broken())


def test_leaving_it_closes_it_and_it_says_what_ran(tiny_policy: Path) -> None:
    with HFEngine(Checkpoint(str(tiny_policy)), device="cpu") as engine:
        about = engine.describe()
    assert about["device"] == "cpu"
    assert about["dtype"] == "float32"
    assert about["parameters"] > 1000
    with pytest.raises(EngineError, match="closed"):
        engine.generate([Request(ask())])


def test_one_by_one_padded_rows_have_the_positions_that_they_have_alone(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On learned positions, which padding would shift, and for a model that takes no packs."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    torch.manual_seed(0)
    size = {"n_positions": LONGEST, "n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.5}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **size, bos_token_id=None, eos_token_id=None)).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr("presrm.engines.hf.takes_packs", lambda model: False)
    engine = HFEngine(Checkpoint(str(tmp_path)), device="cpu")
    prompts, options = [ask(question) for question in QUESTIONS], ["A", "[[A]] and"]

    rows = engine.logprobs(prompts, options)
    total = 0
    for prompt, row in zip(prompts, rows, strict=True):
        for option, logp in zip(options, row, strict=True):
            ids, target = engine.encoder.encode(prompt), engine.encoder.scaffold(option)
            with torch.no_grad():
                table = model(torch.tensor([[*ids, *target]])).logits[0].log_softmax(-1)
            assert logp == pytest.approx(sum(float(table[len(ids) - 1 + i, t]) for i, t in enumerate(target)), abs=1e-3)
            total += len(ids) + len(target)
    assert engine.tokens_read == total


def test_prompts_on_both_sides_of_a_change_of_rotary_factors_are_judged_as_alone(
    tiny_policy: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        original_max_position_embeddings=64,
        max_position_embeddings=512,
        rope_scaling={"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 9.0, 20.0, 40.0]},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = HFEngine(Checkpoint(str(tmp_path)), device="cpu")
    prompts = [ask("Why?"), ask("Why is it? " * 12), ask("How?")]
    lengths = [len(engine.encoder.encode(prompt)) for prompt in prompts]
    assert min(lengths) < 60 < 70 < max(lengths)

    together = engine.logprobs(prompts, ["A", "B"])
    alone = [engine.logprobs([prompt], ["A", "B"])[0] for prompt in prompts]
    for row, expected in zip(together, alone, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)
