"""What an import costs: `python -m tests.benchmarks.imports`.

The CPU time of new interpreters that do nothing but import, in interleaved rounds, less that of one
that imports nothing; beside the three libraries that gai_rx stands on. All run from byte code, as
what is installed does: a first round that does not count compiles it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = "from gai_rx import connect, rate_limit; from gai_rx.operators import text_only, batch"
PROGRAMS = {
    "nothing": "pass",
    "the three libraries": "import reactivex, aiohttp, pydantic",
    "... as far as they are used": (
        "import reactivex.operators, aiohttp; from pydantic import BaseModel, SecretStr"
    ),
    "import gai_rx": "import gai_rx",
    "Stream and events": "from gai_rx import Stream, TextDelta",
    "what the README begins with": f"{README}, retry_on",
    "every public name": "from gai_rx import *; from gai_rx.operators import *",
}


def _run(program: str, environment: dict[str, str]) -> float:
    """Milliseconds of CPU."""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {program}")
    return 1000 * (used.ru_utime + used.ru_stime)


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [
            {name: _run(program, environment) for name, program in PROGRAMS.items()}
            for _ in range(rounds + 1)
        ][1:]
    middle = {name: statistics.median(run[name] for run in runs) for name in PROGRAMS}
    nothing = middle.pop("nothing")
    libraries = middle["the three libraries"] - nothing
    print(f"ms of CPU, median of {rounds}, less the {nothing:.0f} of an interpreter alone")
    for name, took in middle.items():
        print(f"{name:30} {took - nothing:5.0f}   {(took - nothing) / libraries:.2f} times")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What an import costs.")
    parser.add_argument("-r", "--rounds", type=int, default=20)
    main(parser.parse_args().rounds)
