"""How readily does a policy stop? Its probability of ``####`` inside right solutions, and at their end.

    python benchmarks/embedded/stops.py build/embedded-1 build/loops/embedded-1-self/iterations/*/policy

On 250 made problems and their right solutions, a row a policy: the share of places inside a solution (behind its first
step) at which the policy would rather stop, and of places at its end at which it would rather go on.
"""

import argparse
import json
import random

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from world import solution

from presrm.problems.arithmetic.story import tell
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.types import Problem, Trajectory

NUM, SEED = 250, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policies", nargs="+")
    rng, solved = random.Random(SEED), []
    for _ in range(NUM):
        story = tell(rng, rng.choices((1, 2, 3, 4, 5), (20, 25, 25, 18, 12))[0])
        solved.append((Problem("arithmetic", story.question), solution(story.plan, rng, slips=False)[0]))
    for path in parser.parse_args().policies:
        inside, at_end = stops(path, solved)
        row = {
            "policy": path,
            "stops_inside": sum(p > 0.5 for p in inside) / len(inside),
            "places_inside": len(inside),
            "goes_on_at_end": sum(p < 0.5 for p in at_end) / len(at_end),
            "ends": len(at_end),
        }
        print(json.dumps({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}), flush=True)


@torch.no_grad()
def stops(path: str, solved: list[tuple[Problem, list[str]]]) -> tuple[list[float], list[float]]:
    """Probabilities of stopping: before each further operation of the right solutions, and at their ends."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    encoder, prompts = PromptEncoder(AutoTokenizer.from_pretrained(path)), PromptSet("compact")
    stop = encoder.content("#### 5")[0]
    inside, at_end = [], []
    for problem, steps in solved:
        asked = prompts.solve(Trajectory(problem))
        ids, places = [*encoder.trunk(asked), *encoder.tail(asked)], []
        for step in steps:
            places.append(len(ids) - 1)
            ids += encoder.content(step)
        chances = model(torch.tensor([ids])).logits[0, places].softmax(-1)[:, stop].tolist()
        inside += chances[1:-1]
        at_end.append(chances[-1])
    return inside, at_end


if __name__ == "__main__":
    main()
