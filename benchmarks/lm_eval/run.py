"""`presrm eval` against lm-evaluation-harness (hf backend) on the same prompts: equal texts, equal answers, speed.

    $ python benchmarks/lm_eval/run.py --out benchmarks/lm_eval/embedded.json
    $ python benchmarks/lm_eval/run.py --model DIR --problems gsm8k:test.jsonl --num 100 --max-tokens 256 --out FILE

The harness reads our rendered prompts verbatim, and stops at the same end tokens after at most as many tokens. Both
decode greedily in one process, by turns. The seconds are those from prompts to texts, tokenising included: of ours in
`generate` of the engine, of the harness in `generate_until`, with the batch size that suits it best of those given.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM

from presrm.assembly.evaluation import load_benchmark
from presrm.cli.settings import settings_for
from presrm.engines.hf import HFEngine
from presrm.evaluation.answers import evaluate
from presrm.graders import GRADERS
from presrm.prompts import PromptSet
from presrm.protocols import Sampling
from presrm.splitters import SPLITTERS
from presrm.types import Checkpoint, Trajectory

Seconds = tuple[float, float]
HERE = Path(__file__).parent
EMBEDDED = HERE.parents[1] / "presrm/embedded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--problems", default="arithmetic", help="as presrm eval takes them")
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--max-tokens", type=int, help="longest reply [as presrm eval]")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[100], help="that the harness is tried with")
    parser.add_argument("--batch-tokens", type=int, help="of ours [model.batch_tokens]")
    parser.add_argument("--threads", type=int, default=1, help="of both")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("evals/lm_eval"), help="prompts and texts go here")
    parser.add_argument("--out", type=Path, help="gets what is printed")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    found = compare(options)
    machine = json.loads(subprocess.check_output([sys.executable, str(HERE.parent / "machine.py")]))
    text = json.dumps({"machine": machine, "lm_eval": version("lm_eval"), **found}, indent=1) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run both by turns, and compare texts, answers and seconds."""
    config = settings_for([options.model], [])
    torch.set_num_threads(options.threads)
    benchmark = load_benchmark(options.problems, config, options.num, None)
    problems = sorted(benchmark.problems, key=lambda problem: -len(problem.question))  # as presrm eval works them
    longest = options.max_tokens or config.evaluation.max_tokens
    batch_tokens = options.batch_tokens or config.model.batch_tokens
    engine = HFEngine(Checkpoint(options.model), dtype="float32", device="cpu", batch_tokens=batch_tokens)
    grader, prompts = GRADERS.create(benchmark.grader), PromptSet(config.prompts)
    grader.grade("1", "1")
    asked = [tuple(engine.encoder.encode(prompts.solve(Trajectory(problem)))) for problem in problems]
    harness = Harness(options, engine, [engine.encoder.decode(ids) for ids in asked], longest)
    ours_s: list[Seconds] = []
    theirs_s: dict[int, list[Seconds]] = {size: [] for size in options.batch_sizes}
    theirs: dict[int, list[str]] = {}
    for _ in range(options.repeats):
        with timed(engine, "generate") as seconds:
            groups = evaluate(
                problems,
                engine,
                prompts,
                grader,
                sampling=Sampling(max_tokens=longest),
                splitter=SPLITTERS.create(config.splitter, **config.splitter_options),
                group_size=config.evaluation.group_size,
            )
            samples = [answer.solutions[0] for group in groups for answer in group]
        ours_s.append(sums(seconds))
        for size in options.batch_sizes:
            with timed(harness.lm, "generate_until") as seconds:
                theirs[size] = harness.run(size)
            theirs_s[size].append(sums(seconds))
    best = min(options.batch_sizes, key=lambda size: min(theirs_s[size]))
    pairs = [(sample.text, text) for sample, text in zip(samples, theirs[best], strict=True)]
    same_prompts = [harness.lm.tok_encode(text) == list(ids) for text, ids in zip(harness.prompts, asked, strict=True)]
    divergences = [
        {"id": problem.id, "same_prompt_ids": is_same, **harness.divergence(ids, ours, text)}
        for problem, ids, is_same, (ours, text) in zip(problems, asked, same_prompts, pairs, strict=True)
        if ours != text
    ]
    answers = [
        sample.extracted == grader.extract(text)
        for sample, (ours, text) in zip(samples, pairs, strict=True)
        if ours == text
    ]
    lines = [json.dumps({"ours": ours, "theirs": text}) + "\n" for ours, text in pairs]
    (options.work / "texts.jsonl").write_text("".join(lines))
    return {
        "model": Path(options.model).name,
        "benchmark": benchmark.name,
        "num": len(pairs),
        "max_tokens": longest,
        "num_tokens": sum(sample.num_tokens or 0 for sample in samples),
        "accuracy": sum(sample.grade == "correct" for sample in samples) / len(samples),
        "num_equal_prompt_ids": sum(same_prompts),
        "num_equal_texts": len(answers),
        "num_equal_answers_of_them": sum(answers),
        "divergences": divergences,
        "threads": options.threads,
        "wall_and_processor_seconds": ours_s,
        "wall_and_processor_seconds_of_lm_eval": theirs_s,
        "best_batch_size_of_lm_eval": best,
        "speed_up_wall": min(wall for wall, _ in theirs_s[best]) / min(wall for wall, _ in ours_s),
        "speed_up_processor": min(cpu for _, cpu in theirs_s[best]) / min(cpu for _, cpu in ours_s),
    }


@contextmanager
def timed(owner: Any, name: str) -> Iterator[list[Seconds]]:
    """Time every call of a method: wall time, and processor time, which does not count what other programs take."""
    plain, calls = getattr(owner, name), []

    def call(*arguments: Any, **options: Any) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        found = plain(*arguments, **options)
        calls.append((time.perf_counter() - wall, time.process_time() - processor))
        return found

    setattr(owner, name, call)
    try:
        yield calls
    finally:
        delattr(owner, name)


def sums(calls: Sequence[Seconds]) -> Seconds:
    wall, processor = zip(*calls, strict=True)
    return sum(wall), sum(processor)


class Harness:
    """lm-evaluation-harness on the same weights and prompts."""

    def __init__(self, options: argparse.Namespace, engine: HFEngine, prompts: Sequence[str], longest: int) -> None:
        self.prompts = prompts
        rows = options.work / "prompts.jsonl"
        rows.write_text("".join(json.dumps({"prompt": prompt, "answer": ""}) + "\n" for prompt in prompts))
        tokenizer = engine.encoder.tokenizer
        self.ends = {engine.encoder.eos_id, int(tokenizer.eos_token_id)}
        self._task = yaml.safe_load((HERE / "ready_prompts.yaml").read_text())
        self._task["dataset_kwargs"] = {"data_files": {"test": str(rows.resolve())}}
        self._task["generation_kwargs"] |= {
            "until": [engine.encoder.decode([end]) for end in sorted(self.ends)],
            "max_gen_toks": longest,
        }
        model = str(EMBEDDED) if options.model == "embedded" else options.model
        self.lm = HFLM(pretrained=model, dtype="float32", device="cpu", add_bos_token=False)

    def run(self, batch_size: int) -> list[str]:
        """Give the texts in order."""
        self.lm.batch_size_per_gpu = batch_size
        results = simple_evaluate(model=self.lm, tasks=[self._task], bootstrap_iters=0)
        (rows,) = results["samples"].values()
        return [row["resps"][0][0] for row in sorted(rows, key=lambda row: int(row["doc_id"]))]

    @torch.inference_mode()
    def divergence(self, prompt: Sequence[int], ours: str, theirs: str) -> dict[str, Any]:
        """Say at which token two texts part, and how far apart the two choices are in one row without padding."""
        left, right = (self.lm.tok_encode(text, add_special_tokens=False) for text in (ours, theirs))
        parted = (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
        index = next(parted, min(len(left), len(right)))
        logits_V = self.lm.model(torch.tensor([[*prompt, *left[:index]]])).logits[0, -1]
        end = min(self.ends)
        choices = [ids[index] if index < len(ids) else end for ids in (left, right)]
        return {
            "token": index,
            "num_tokens": [len(left), len(right)],
            "logit_gap": abs(float(logits_V[choices[0]] - logits_V[choices[1]])),
            "is_top_two": set(choices) == set(logits_V.topk(2).indices.tolist()),
        }


if __name__ == "__main__":
    main()
