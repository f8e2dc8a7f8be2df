"""How fast is a search over a server, next to a plain client that sends the same requests to it?

    python benchmarks/servers/run.py --python VLLM/bin/python                        # the embedded policy
    python benchmarks/servers/run.py --python VLLM/bin/python --model SmolLM2.gguf   # appends to results.jsonl
    python benchmarks/servers/run.py --summary                                       # the table of results.jsonl

A vLLM is started on core 1; the clients run on core 0. A beam search of the config `embedded`, as `presrm search` runs
it, is recorded: what it asks in which wave, and what has to wait for a reply. Then, in turns, the search runs again and
`plain.py`, a client of a few lines, sends what that search had sent, in three ways. Before every turn the server drops
its cache.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from pathlib import Path
from typing import Any

from presrm import Checkpoint, load_config
from presrm.assembly.searching import search_problems
from presrm.engines.hf_loading import load_policy
from presrm.methods.parts import SilentProgress

HERE = Path(__file__).parent
WAYS = ("waves", "problems", "at-once")
SETTINGS = {"search.kind": "beam", "judge.kind": "pointwise", "threads": 1}
ITEM: ContextVar[list[dict[str, Any]]] = ContextVar("item")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="of an environment with vLLM, for example that of make test-servers")
    parser.add_argument("--model", default="embedded", help="embedded, a folder, or a .gguf file")
    parser.add_argument("--problems", type=int, default=16, help="searched in lockstep")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="of the plain client")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="of the clients, and of the server")
    parser.add_argument("--out", type=Path, default=HERE / "results.jsonl", help="rows are appended")
    parser.add_argument("--summary", action="store_true", help="run nothing, show the results")
    options = parser.parse_args()
    if not options.summary:
        if options.python is None:
            parser.error("--python is needed: the interpreter of an environment with vLLM")
        told = subprocess.run([sys.executable, HERE.parent / "machine.py"], check=True, capture_output=True, text=True)
        about = {**json.loads(told.stdout), "model": Path(options.model).name, "problems": options.problems}
        about |= {"concurrency": options.concurrency, "set": options.set}
        os.sched_setaffinity(0, {options.cores[0]})
        with options.out.open("a") as file, tempfile.TemporaryDirectory() as folder:
            for row in measure(options, Path(folder)):
                print(json.dumps(row), flush=True)
                file.write(json.dumps(about | row) + "\n")
    print(summary([json.loads(line) for line in options.out.read_text().splitlines()]))


def measure(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Search and send, in turns: a row for each turn."""
    model = folder_of(options.model, folder)
    recording = folder / "recording.json"
    with serve(options.python, model, options.cores[1], folder / "server.log") as url:
        search(url, model, options, folder, recording)  # what is only done once, on both sides
        for repeat in range(options.repeats):
            turns = ["search", *options.ways]
            first = repeat % len(turns)
            for way in turns[first:] + turns[:first]:
                urllib.request.urlopen(urllib.request.Request(f"{url[:-3]}/reset_prefix_cache", method="POST"))
                if way == "search":
                    row = search(url, model, options, folder, recording)
                else:
                    told = [url, str(recording), "--way", way, "--concurrency", str(options.concurrency)]
                    row = json.loads(subprocess.check_output([sys.executable, HERE / "plain.py", *told]))
                yield {"repeat": repeat, "way": way, **row}


class Recorder(SilentProgress):
    """Notes every request of a search, by wave and by what waits for what; its clock begins when the search does."""

    def __init__(self) -> None:
        self.waves: list[list[dict[str, Any]]] = []
        self.began = self.busy = 0.0
        self.engine: Any = None

    def watch(self, worker: Any) -> None:
        """Hear of the engine, right before the search."""
        self.engine, client = worker, worker.client
        worker.generate([])  # asks the server what it can do
        self.num_before = client.tokens_generated
        each, post = client.each, client.post

        def note_wave(items: Sequence[Any], ask: Callable[[Any], Awaitable[Any]], shared: Callable[[Any], str]) -> Any:
            wave: list[dict[str, Any]] = [{"problem": shared(item), "bodies": []} for item in items]
            self.waves.append(wave)

            async def note_item(pair: tuple[Any, dict[str, Any]]) -> Any:
                ITEM.set(pair[1]["bodies"])
                return await ask(pair[0])

            return each(list(zip(items, wave, strict=True)), note_item, lambda pair: shared(pair[0]))

        async def note(path: str, body: dict[str, Any]) -> Any:
            ITEM.get().append({"model": client.name, **body})
            return await post(path, body)

        client.each, client.post = note_wave, note
        self.began, self.busy = time.perf_counter(), time.process_time()


def search(url: str, model: Path, options: argparse.Namespace, folder: Path, recording: Path) -> dict[str, Any]:
    """Search as `presrm search` does, from when its engine is there to the last tree on disk."""
    settings = {"model.id": f"{url}#base", "model.tokenizer": str(model), "problems.num_train": options.problems}
    settings |= {"search.group_size": options.problems, "model.engine_options.concurrency": options.concurrency}
    config = load_config("embedded", [f"{key}={value}" for key, value in (SETTINGS | settings).items()] + options.set)
    recorder, out = Recorder(), folder / f"trees-{time.monotonic_ns()}.jsonl"
    search_problems(config, out, recorder)
    seconds, busy = time.perf_counter() - recorder.began, time.process_time() - recorder.busy
    recording.write_text(json.dumps(recorder.waves))
    client = recorder.engine.client
    return {
        "seconds": seconds,
        "client_seconds": busy,
        "requests": sum(len(item["bodies"]) for wave in recorder.waves for item in wave),
        "waves": len(recorder.waves),
        "tokens": client.tokens_generated - recorder.num_before,
        "cached_tokens": client.tokens_recalled,
    }


def folder_of(model: str, folder: Path) -> Path:
    """A folder of safetensors that vLLM serves."""
    if model == "embedded":
        return Path(str(resources.files("presrm") / "embedded"))
    if not model.endswith(".gguf"):
        return Path(model)
    weights, tokenizer = load_policy(Checkpoint(model), dtype="float32", device="cpu")
    weights.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


@contextmanager
def serve(python: str, model: Path, core: int, log: Path) -> Iterator[str]:
    """A vLLM on one core, which can be told to drop its cache."""
    port = 18437
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += ["--served-model-name", "base", "--dtype", "float32", "--enforce-eager", "--max-model-len", "1024"]
    command += ["--disable-uvicorn-access-log", "--enable-prompt-tokens-details", "--host", "127.0.0.1"]
    env = {**os.environ, "PYTHONSAFEPATH": "1", "VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1"}
    env |= {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": str(core)}
    with log.open("w") as file:
        server = subprocess.Popen(
            ["taskset", "-c", str(core), *command], stdout=file, stderr=file, env=env, start_new_session=True
        )
    try:
        while True:
            if server.poll() is not None:
                sys.exit(f"the server did not start:\n{log.read_text()[-3000:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Requests and tokens a second of every way, and those of the search by those of the others, turn by turn."""
    lines = [
        "| model | problems | way | requests | requests a second | tokens a second | client's processor seconds "
        "| search by it, of requests | least - most | of tokens |",
        "|" + "---|" * 10,
    ]
    kinds = dict.fromkeys((row["model"], row["problems"], row["concurrency"], *row["set"]) for row in rows)
    for kind in kinds:
        mine = [row for row in rows if (row["model"], row["problems"], row["concurrency"], *row["set"]) == kind]
        ours = {row["repeat"]: row for row in mine if row["way"] == "search"}
        for way in ("search", *WAYS):
            theirs = {row["repeat"]: row for row in mine if row["way"] == way}
            if not theirs:
                continue
            rate, speed = (
                {n: row[unit] / row["seconds"] for n, row in theirs.items()} for unit in ("requests", "tokens")
            )
            by = sorted(row["requests"] / row["seconds"] / rate[n] for n, row in ours.items() if n in rate)
            by_tokens = [row["tokens"] / row["seconds"] / speed[n] for n, row in ours.items() if n in speed]
            one = next(iter(theirs.values()))
            busy = statistics.median(row["client_seconds"] for row in theirs.values())
            lines.append(
                f"| {kind[0]} | {kind[1]} | {way} | {one['requests']} | {statistics.median(rate.values()):.1f} | "
                f"{statistics.median(speed.values()):.0f} | {busy:.1f} | {statistics.median(by):.3f} | "
                f"{by[0]:.3f} - {by[-1]:.3f} | {statistics.median(by_tokens):.3f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
