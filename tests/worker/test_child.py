"""A process that works for its parent, for real."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.child import Child, ChildDied


def make(answer: int, is_draining: Callable[[], bool], tell: Callable[[Any], None]) -> Callable[[str], int]:
    def call(what: str) -> int:
        for number in range(3):
            tell((what, number, is_draining()))
        match what:
            case "hang":
                while True:
                    tell("and on")
                    time.sleep(0.1)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return call


def test_what_it_tells_comes_before_its_answer_and_its_end_is_told() -> None:
    messages: list[Any] = []
    child = Child(make, 7, on_message=messages.append)
    assert child.pids == []
    assert child.call("work", is_hung=lambda: False) == 7
    assert messages == [("work", number, False) for number in range(3)]
    (pid,) = child.pids
    # Where memory runs out the kernel ends this process, and neither its parent nor one that samples.
    if (score := Path(f"/proc/{pid}/oom_score_adj")).exists():
        assert score.read_text() == "1000\n"
    with pytest.raises(ChildDied, match="SIGKILL"):
        child.call("die", is_hung=lambda: False)
    assert messages[3:] == [("die", number, False) for number in range(3)]
    assert child.pids == []
    # One that tells and tells is killed all the same.
    with pytest.raises(ChildDied, match="hung"):
        child.call("hang", is_hung=lambda: "and on" in messages)
    assert child.pids != [pid]
    child.close()


def test_it_works_and_drains_where_there_is_no_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refuse)
    messages: list[Any] = []
    child = Child(make, 7, on_message=messages.append)
    assert child.call("work", is_hung=lambda: False) == 7
    child.drain()
    child.drain()
    assert child.call("more", is_hung=lambda: False) == 7
    assert [drains for *_, drains in messages] == 3 * [False] + 3 * [True]
    child.close()
