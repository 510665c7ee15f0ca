"""Each benchmark of sampling, as small as it gets: it runs, checks its pictures and prints its table."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["sampler", "--models", "digits", "--steps", "1", "--batches", "2", "--seconds", "0.01"],
            ["| digits, fp32 | 1 | 2 |"],
        ),
        (
            [
                "service",
                "--models",
                "digits",
                "--digits-steps",
                "1",
                "--clients",
                "1",
                "32",
                "--shares",
                "0.5",
                "--seconds",
                "0.3",
            ],
            ["| digits | 32 clients |", "| digits | open, ", "no batching", "saturated at"],
        ),
        (
            ["peers", "--models", "digits", "--clients", "4", "--seconds", "0.3"],
            ["| digits | fewstep | 4 |", "| digits | litserve | 4 |", "| digits | fastapi | 4 |"],
        ),
    ],
)
def test_it_prints_its_table(arguments: list[str], says: list[str]) -> None:
    name, *options = arguments
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in says:
        assert line in done.stdout, done.stdout
