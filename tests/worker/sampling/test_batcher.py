"""The order of images and what failures do, without torch, threads or Redis."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core.errors import DeadlinePassed
from worker.sampling.batcher import Job, Schedule, run_batch


def job(group: str, inputs: Sequence[Any], **options: Any) -> Job:  # noqa: ANN401
    return Job(group, list(inputs), **{"max_batch": 4, **options})


def schedule(*jobs: Job) -> Schedule:
    waiting = Schedule(clock=lambda: 100.0)
    for one in jobs:
        waiting.add(one)
    return waiting


def names(waiting: Schedule) -> list[Any]:
    return [one.inputs[index] for one, index in waiting.next_batch()]


def test_a_group_goes_together_and_the_oldest_goes_first() -> None:
    waiting = schedule(job("a", "1"), job("b", "2"), job("a", "34"), job("b", "5"))
    assert names(waiting) == ["1", "3", "4"]
    assert names(waiting) == ["2", "5"]
    assert names(waiting) == []


def test_a_large_request_is_cut_and_those_behind_it_wait_for_one_batch() -> None:
    large = job("a", range(256))
    waiting = schedule(large, job("b", ["single"]))
    assert names(waiting) == [0, 1, 2, 3]
    waiting.add(job("a", ["small"]))
    assert names(waiting) == ["single"]
    assert names(waiting) == [4, 5, 6, 7]
    assert names(waiting) == ["small", 8, 9, 10]


def test_a_large_request_is_not_starved_by_small_ones() -> None:
    large = job("a", range(8))
    waiting = schedule(large)
    for number in range(100):
        waiting.add(job("b", [f"small {number}"], max_batch=1))
    rounds = 0
    while large.taken < 8:
        waiting.add(job("b", ["new"], max_batch=1))
        assert names(waiting)
        rounds += 1
    assert rounds <= 110


def test_bulk_goes_last_and_fills_what_is_left() -> None:
    waiting = schedule(job("a", range(6), bulk=True), job("b", ["b"]), job("a", ["a"]))
    assert names(waiting) == ["b"]
    assert names(waiting) == ["a", 0, 1, 2]
    assert names(waiting) == [3, 4, 5]


def test_what_is_past_its_deadline_or_given_up_is_not_taken() -> None:
    late, left, wanted = job("a", "l", deadline=99.0), job("a", "x"), job("a", "w", deadline=101.0)
    waiting = schedule(late, left, wanted)
    left.end(RuntimeError("left"))
    assert names(waiting) == ["w"]
    with pytest.raises(DeadlinePassed):
        late.done.result(0)


def test_given_up_between_two_batches() -> None:
    large = job("a", range(256))
    waiting = schedule(large)
    assert len(names(waiting)) == 4
    large.end(RuntimeError("cancelled"))
    assert names(waiting) == []


def test_each_job_gets_its_own_in_order() -> None:
    one, two = job("a", [1, 2, 3]), job("a", [4, 5])
    waiting = schedule(one, two)
    while batch := waiting.next_batch():
        run_batch(batch, lambda group, inputs, _: [f"{group}{value}" for value in inputs])
    assert one.done.result(0) == ["a1", "a2", "a3"]
    assert two.done.result(0) == ["a4", "a5"]


def test_a_bad_image_fails_its_own_request_and_no_other() -> None:
    jobs = [job("a", [number], max_batch=16) for number in range(15)]
    jobs.append(job("a", ["bad"], max_batch=16))
    calls: list[int] = []

    def run(_: object, inputs: Sequence[Any], __: object) -> Sequence[Any]:
        calls.append(len(inputs))
        if "bad" in inputs:
            raise ValueError("a bad image")
        return inputs

    run_batch(schedule(*jobs[::-1]).next_batch(), run)
    assert [one.done.result(0) for one in jobs[:-1]] == [[number] for number in range(15)]
    with pytest.raises(ValueError, match="a bad image"):
        jobs[-1].done.result(0)
    assert calls == [16, 8, 4, 2, 1, 1, 2, 4, 8]


def test_a_batch_that_is_too_large_is_done_in_parts() -> None:
    large = job("a", range(16), max_batch=16)

    def run(_: object, inputs: Sequence[Any], __: object) -> Sequence[Any]:
        if len(inputs) > 4:
            raise MemoryError
        return inputs

    run_batch(schedule(large).next_batch(), run)
    assert large.done.result(0) == list(range(16))


def test_a_request_that_fails_is_not_tried_for_each_of_its_images() -> None:
    calls = 0

    def run(_: object, inputs: Sequence[Any], __: object) -> Sequence[Any]:  # noqa: ARG001
        nonlocal calls
        calls += 1
        raise ValueError

    large = job("a", range(16), max_batch=16)
    run_batch(schedule(large).next_batch(), run)
    assert large.done.exception(0) is not None
    assert calls == 5


def test_between_two_steps_others_are_let_pass_and_what_nobody_wants_is_given_up() -> None:
    long, gone = job("a", [1, 2], bulk=True), job("b", [3], bulk=True)
    seen: list[str] = []

    def run(group: object, inputs: Sequence[Any], before_step: Callable[[], None]) -> Sequence[Any]:
        for step in range(3):
            before_step()
            seen.append(f"{group}{step}")
            if group == "b":
                gone.end(RuntimeError("cancelled"))
        return inputs

    waiting = schedule(long, gone)
    run_batch(waiting.next_batch(), run, lambda: seen.append("others"))
    assert seen == ["others", "a0", "others", "a1", "others", "a2"]
    assert (long.done.result(0), long.steps_begun) == ([1, 2], 6)
    seen.clear()
    assert waiting.next_batch(bulk=False) == []
    run_batch(waiting.next_batch(), run)
    assert seen == ["b0"]


def test_it_needs_no_torch() -> None:
    code = "import worker.sampling.batcher, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
