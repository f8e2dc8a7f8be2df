"""Print what a benchmark runs on, as one JSON object: it goes into every row of results.

A program of its own, so that a benchmark can ask without loading torch itself.
"""

import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

import presrm


def main() -> None:
    has_gpu = torch.cuda.is_available()
    machine = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name() if has_gpu else "cpu",
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "versions": {
            "presrm": presrm.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "trl", "peft")},
        },
    }
    print(json.dumps(machine))


def cpu_name() -> str:
    """Name of the processor as Linux knows it, else as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
