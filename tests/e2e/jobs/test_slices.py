"""Jobs cut into many slices on a worker that nothing disturbs: several at a time, and all that is known of them."""

from dataclasses import dataclass

import pytest

from models.sampling.engine import Sampler
from tests.e2e.yard import IN_HAND, ITERATIONS, Yard
from tests.processes import wait_until
from tests.prometheus import Scrape

OF_A_JOB = 3 * ITERATIONS  # two rounds, and the last one is trained twice as long


@dataclass(frozen=True)
class Jobs:
    """Ids of jobs that have ended, and what their worker showed then."""

    sliced: str
    other: str
    lost: str
    metrics: Scrape


@pytest.fixture(scope="module")
def jobs(yard: Yard) -> Jobs:
    sliced, other = yard.submit(name="sliced"), yard.submit()
    lost = yard.job(iterations=1)
    yard.store.create(lost, max_active=100)  # and no message of it
    yard.start(slice_s=0.01, PYTHONPROFILEIMPORTTIME="1")
    for job_id in (sliced, other, lost.id):
        yard.ended(job_id)
    wait_until(lambda: yard.scrape().get("fewstep_distill_slices_total", outcome="finished") == 3, what="its metrics")
    wait_until(lambda: not IN_HAND & yard.scrape().names(), what="an idle worker")
    return Jobs(sliced, other, lost.id, yard.scrape())


def test_many_slices_learn_what_one_run_of_the_command_line_does(yard: Yard, jobs: Jobs, plain: dict[str, str]) -> None:
    record = yard.record(jobs.sliced)
    assert record.fence >= 2, "it was to take several slices"
    assert (record.slices, record.attempts) == (record.fence, 1)
    assert yard.weights(jobs.sliced) == yard.weights(jobs.other) == plain
    assert [result.steps for result in record.rounds] == [4, 2]
    assert (record.round, record.iteration) == (1, 2 * ITERATIONS)
    assert record.history[-1][0] == OF_A_JOB
    made = yard.serving().made["sliced", "2-step"]
    assert made.card.parent == "sliced/4-step"
    assert yard.serving().made["sliced", "4-step"].card.parent == "tiny/8-step"
    folder = yard.artifacts.folder(made.artifact)
    assert Sampler(folder, device="cpu").sample(seeds=[0]).shape == (1, 8, 8, 3)
    assert next(yard.artifacts.read(str(record.rounds[0].samples))).startswith(b"\x89PNG")
    assert yard.artifacts.files(f"jobs/{jobs.sliced}/states") == []
    kinds = [event.kind for event in yard.store.events(jobs.sliced)]
    assert kinds[:2] == ["state", "state"]
    assert kinds[-1] == "state"
    assert {"progress", "saved", "round"} <= set(kinds)


def test_its_metrics_count_each_slice_and_iteration_once(yard: Yard, jobs: Jobs) -> None:
    subject = {"model": "tiny", "method": "pd"}
    slices = sum(yard.record(job_id).fence for job_id in (jobs.sliced, jobs.other, jobs.lost))
    assert jobs.metrics.get("fewstep_distill_slices_total", outcome="over") == slices - 3
    assert jobs.metrics.get("fewstep_distill_slices_total", outcome="died") == 0
    assert jobs.metrics.get("fewstep_distill_iterations_total", **subject) == 2 * OF_A_JOB + 3
    assert jobs.metrics.get("fewstep_distill_round_seconds_count", **subject) == 3 * 2
    assert jobs.metrics.get("fewstep_distill_nonfinite_total", **subject) == 0


def test_two_jobs_take_turns(yard: Yard, jobs: Jobs) -> None:
    saved = []
    for job_id in (jobs.sliced, jobs.other):
        at = [tuple(map(int, event.id.split("-"))) for event in yard.store.events(job_id) if event.kind == "saved"]
        saved.append((at[0], at[-1]))
    assert max(first for first, _ in saved) < min(last for _, last in saved), "one waited until the other had ended"


def test_a_lost_message_is_sent_again(yard: Yard, jobs: Jobs) -> None:
    assert yard.record(jobs.lost).rounds, "nobody was told of it"


@pytest.mark.usefixtures("jobs")
def test_the_process_that_trains_imports_neither_diffusers_nor_torchs_compiler(yard: Yard) -> None:
    """Which would take it longer than what jobs need."""
    imported = {line.rpartition("|")[2].strip() for line in yard.log().splitlines() if line.startswith("import time:")}
    assert {"torch", "models.training.trainer"} <= imported
    assert not {"diffusers", "torch._dynamo", "sympy", "transformers"} & imported
