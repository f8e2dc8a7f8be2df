"""A plain client: sends recorded requests once more, with httpx and nothing of presrm, and prints what that took.

    python benchmarks/servers/plain.py http://127.0.0.1:8000/v1 recording.json --way waves --concurrency 16

A recording is a list of waves, a wave a list of items, an item what is asked one after the other, because each request
holds the reply to the one before: {"problem": ..., "bodies": [...]}. Three ways, none with more than --concurrency
requests under way:

    waves     every item of a wave at once, and the next wave when the last one of them is answered
    problems  the same for each problem by itself: none waits for another
    at-once   every request by itself, whatever it follows from: no search can do that
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx2

Item = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--way", choices=["waves", "problems", "at-once"], default="waves")
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()
    waves = json.loads(options.recording.read_text())
    print(json.dumps(asyncio.run(measure(options.url, waves, options.way, options.concurrency))))


async def measure(url: str, waves: Sequence[Sequence[Item]], way: str, concurrency: int) -> dict[str, Any]:
    """Send everything; seconds, seconds of our processor, and counts as the server tells them."""
    counts: Counter[str] = Counter()
    limits = httpx2.Limits(max_connections=concurrency)
    async with httpx2.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        (await client.get("/models")).raise_for_status()

        async def ask(item: Item) -> None:
            for body in item["bodies"]:
                reply = await client.post("/completions", json=body)
                reply.raise_for_status()
                usage = reply.json()["usage"]
                counts["requests"] += 1
                counts["tokens"] += usage["completion_tokens"]
                counts["prompt_tokens"] += usage["prompt_tokens"]
                counts["cached_tokens"] += (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)

        began, busy = time.perf_counter(), time.process_time()
        if way == "waves":
            for wave in waves:
                await run([ask(item) for item in wave], concurrency)
        elif way == "problems":
            room = asyncio.Semaphore(concurrency)

            async def in_turn(item: Item) -> None:
                async with room:
                    await ask(item)

            async def solve(problem: str) -> None:
                for wave in waves:
                    await asyncio.gather(*(in_turn(item) for item in wave if item["problem"] == problem))

            await asyncio.gather(*map(solve, {item["problem"]: None for wave in waves for item in wave}))
        else:
            single = [{"bodies": [body]} for wave in waves for item in wave for body in item["bodies"]]
            await run([ask(item) for item in single], concurrency)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    return {"seconds": seconds, "client_seconds": busy, **counts}


async def run(work: Sequence[Coroutine[Any, Any, None]], concurrency: int) -> None:
    """Do everything, in order, at most so much at once."""
    left = iter(work)

    async def take() -> None:
        for each in left:
            await each

    await asyncio.gather(*(take() for _ in range(concurrency)))


if __name__ == "__main__":
    main()
