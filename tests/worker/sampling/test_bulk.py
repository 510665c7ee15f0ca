import threading

from tests.processes import wait_until
from worker.sampling.bulk import BulkQueue


def test_oldest_first_each_once_and_a_failure_stops_nothing() -> None:
    done: list[str] = []
    first, go = threading.Event(), threading.Event()

    def work(record_id: str) -> None:
        done.append(record_id)
        if record_id == "a":
            first.set()
            go.wait(30)
            raise ConnectionError("no Redis")

    with BulkQueue(work, threads=1) as bulk:
        bulk.add("a")
        first.wait(30)
        for record_id in ("b", "c", "b"):
            bulk.add(record_id)
        assert bulk.waiting() == {"b", "c"}
        go.set()
        wait_until(lambda: len(done) == 3)
    assert done == ["a", "b", "c"]


def test_at_the_end_what_runs_is_finished_and_what_waits_is_left() -> None:
    done: list[str] = []
    running, go = threading.Event(), threading.Event()

    def work(record_id: str) -> None:
        running.set()
        go.wait(30)
        done.append(record_id)

    with BulkQueue(work, threads=1) as bulk:
        bulk.add("a")
        bulk.add("b")
        running.wait(30)
        threading.Timer(0.1, go.set).start()
    assert done == ["a"]
