import io
import sys
from itertools import count

import pytest
import torch
from tqdm import tqdm

from models.training.progress import Progress, terminal_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, iterations: int, seconds: float) -> str:
    """What is shown of a run of so many iterations that each take so many seconds."""
    clock = count(1e6, seconds)
    now = [next(clock)]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    with terminal_progress("run", batch_size=2) as show:
        for iteration in range(1, iterations + 1):
            if iteration == 1:
                bar = next(iter(tqdm._instances))  # type: ignore[attr-defined]
                bar._time = lambda: now[0]
            show(Progress(iteration, iterations, torch.tensor(0.5), torch.tensor(1.0)))
            now[0] = next(clock)
    return stream.getvalue()


def test_a_log_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(monkeypatch, io.StringIO(), 400, 0.5)  # 200 seconds
    assert "\r" not in said
    lines = said.splitlines()
    assert len(lines) == 5, "at the beginning, each minute, at the end"
    assert all(line.startswith("run: ") for line in lines)
    assert "100%" in lines[-1]
    assert "400/400 loss 0.5000" in lines[-1]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(monkeypatch, Terminal(), 40, 0.5)
    assert said.count("\r") >= 40
    assert said.count("\n") == 1


@pytest.mark.parametrize(("value", "shown"), [("1", False), ("true", False), ("0", True), ("", True)])
def test_progress_can_be_turned_off(monkeypatch: pytest.MonkeyPatch, value: str, shown: bool) -> None:
    monkeypatch.setenv("TQDM_DISABLE", value)
    with terminal_progress("run", batch_size=2) as show:
        monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
        show(Progress(1, 1, torch.tensor(0.5), torch.tensor(1.0)))
    assert bool(stream.getvalue()) is shown
