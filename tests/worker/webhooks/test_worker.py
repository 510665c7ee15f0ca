"""From the end of a job or generation to whoever wanted to hear of it, by real workers, one of which dies."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core import presence
from core.backlog import read_backlogs
from core.generation import records, work
from core.generation.records import Status
from core.generation.work import End
from core.jobs.record import JobState
from core.jobs.store import JobStore
from core.queues import Queue
from core.settings import Settings
from core.webhooks.outbox import DUE, deliveries
from core.webhooks.request import Wanted
from tests.generations import make_generation, start
from tests.jobs import TTL_S, acquire, fail, make_job, succeed
from tests.processes import Process, free_port, module_of, wait_until
from tests.prometheus import scrape
from tests.worker.webhooks.receiver import SECRET, Receiver, receiving
from worker.webhooks.worker import LEASE_S

Start = Callable[..., Process]


@pytest.fixture
def redis(redis_settings: Settings) -> Iterator[Redis]:
    """A Redis with nothing in it."""
    with Redis.from_url(redis_settings.redis_url.get_secret_value()) as made:
        yield made


@pytest.fixture
def start_worker(redis_settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts webhook workers."""
    with ExitStack() as stack:

        def started(**changes: str) -> Process:
            environment = {
                "FEWSTEP_REDIS_URL": redis_settings.redis_url.get_secret_value(),
                "FEWSTEP_VAR": str(tmp_path),
                "FEWSTEP_HEARTBEAT_S": "0.2",
                "FEWSTEP_WEBHOOK_SECRET": SECRET,
                "FEWSTEP_WEBHOOK_NETWORKS": "127.0.0.1",
                "FEWSTEP_WEBHOOK_RETRY_S": "0.05",
                "FEWSTEP_WEBHOOK_ATTEMPTS": "4",
                "FEWSTEP_WEBHOOKS_METRICS_PORT": "0",
            }
            process = Process(*module_of("webhooks"), environment=environment | changes, log=tmp_path / "worker.log")
            stack.callback(process.stop)
            return process

        yield started


def wanted(receiver: Receiver, *events: str) -> str:
    """What a record has of a webhook."""
    return Wanted(url=receiver.url(), events=events, path="/x", kept_s=900).model_dump_json()


def ended(redis: Redis, about: str) -> list[dict[str, Any]]:
    """Messages about it, once all have ended."""
    wait_until(lambda: all(one["state"] != "waiting" for one in deliveries(redis, about)), what="messages ended")
    return deliveries(redis, about)


@pytest.mark.anyio
async def test_ends_are_told_to_who_wants_to_hear_them(redis: Redis, start_worker: Start) -> None:
    start_worker()
    jobs = JobStore(redis)
    url = redis.get_connection_kwargs()
    with receiving() as receiver:
        job = make_job()
        jobs.create(job, max_active=9, webhook=wanted(receiver, "running", "failed", "succeeded"))
        fail(jobs, job)
        assert jobs.retry(job.id, max_active=9)[0] == "queued"
        jobs.cancel(job.id, ttl_s=TTL_S)  # which nobody wants to hear of
        api = AsyncRedis(host=url["host"], port=url["port"])
        generations = [make_generation() for _ in range(3)]
        for generation in generations:
            hook = wanted(receiver, "succeeded", "cancelled")
            await records.submit(api, generation, ttl_s=TTL_S, webhook=hook)
        await records.cancel(api, generations[0].id, ttl_s=TTL_S)
        await records.cancel(api, generations[0].id, ttl_s=TTL_S)  # once is told
        start(redis, "w")
        ends = [
            End(generations[1].id, Status.SUCCEEDED, result=b"x"),
            End(generations[2].id, Status.FAILED, problem={}),
        ]
        assert work.finish(redis, "w", ends, ttl_s=TTL_S) == [True, True]
        await api.aclose()
        wait_until(lambda: len(receiver.received) == 4, what="all told")
        told = sorted((one.message["type"], one.message["data"]["id"]) for one in receiver.received)
    assert told == sorted(
        [
            ("generation.cancelled", generations[0].id),
            ("generation.succeeded", generations[1].id),
            ("job.failed", job.id),
            ("job.running", job.id),
        ]
    )
    found = ended(redis, job.id)
    assert [one["type"] for one in found] == ["job.running", "job.failed"]
    assert [[attempt["status"] for attempt in one["attempts"]] for one in found] == [[204], [204]]
    assert redis.zcard(DUE) == 0
    assert 0 < redis.ttl(f"fewstep:webhooks:message:{found[0]['id']}") <= 900


def test_who_does_not_accept_is_told_again_and_given_up_in_the_end(redis: Redis, start_worker: Start) -> None:
    port = free_port()
    start_worker(FEWSTEP_WEBHOOKS_METRICS_PORT=str(port))
    jobs = JobStore(redis)
    with receiving(500, 302, 204) as stubborn, receiving(503) as never:
        heard, unheard = make_job(), make_job()
        jobs.create(heard, max_active=9, webhook=wanted(stubborn, "succeeded"))
        jobs.create(unheard, max_active=9, webhook=wanted(never, "succeeded"))
        for job in (heard, unheard):
            succeed(jobs, job)
        (told,), (given_up,) = ended(redis, heard.id), ended(redis, unheard.id)
        assert (told["state"], [one["status"] for one in told["attempts"]]) == ("delivered", [500, 302, 204])
        assert (given_up["state"], [one["status"] for one in given_up["attempts"]]) == ("given_up", [503] * 4)
        assert len({one.headers["webhook-id"] for one in stubborn.received}) == 1
        assert {one.path for one in stubborn.received} == {"/hook?of=mine"}
        assert len(never.received) == 4
    shown = scrape(f"http://127.0.0.1:{port}")
    name = "fewstep_webhook_attempts_total"
    outcomes = ("delivered", "failed", "given_up")
    assert [shown.get(name, outcome=outcome) for outcome in outcomes] == [1, 5, 1]


def test_what_a_worker_dies_with_is_told_by_the_next(redis: Redis, start_worker: Start) -> None:
    jobs, job = JobStore(redis), make_job()
    first = start_worker()
    with receiving() as receiver:
        receiver.holds.clear()
        jobs.create(job, max_active=9, webhook=wanted(receiver, "succeeded"))
        succeed(jobs, job)
        wait_until(lambda: receiver.received, what="the first attempt")
        first.stop(signal.SIGKILL)
        receiver.holds.set()
        (waiting,) = deliveries(redis, job.id)
        assert (waiting["state"], waiting["attempts"]) == ("waiting", [])
        assert read_backlogs(redis)[Queue.WEBHOOKS].waiting == 1
        # What its lease says passes.
        redis.zadd(DUE, {waiting["id"]: 0})
        key = f"fewstep:webhooks:message:{waiting['id']}"
        assert float(redis.hget(key, "until") or 0) - jobs.now() > LEASE_S - 5
        redis.hset(key, "until", 0)
        start_worker()
        (told,) = ended(redis, job.id)
    assert told["state"] == "delivered"
    assert [one.message for one in receiver.received] == [receiver.received[0].message] * 2
    assert {one.headers["webhook-id"] for one in receiver.received} == {told["id"]}


def test_one_that_hangs_holds_up_no_other(redis: Redis, start_worker: Start) -> None:
    start_worker()
    jobs, slow, quick = JobStore(redis), make_job(), make_job()
    with receiving() as hung, receiving() as receiver:
        hung.holds.clear()
        jobs.create(slow, max_active=9, webhook=wanted(hung, "running"))
        jobs.create(quick, max_active=9, webhook=wanted(receiver, "running"))
        acquire(jobs, slow)
        wait_until(lambda: hung.received, what="an attempt that hangs")
        acquire(jobs, quick)
        assert ended(redis, quick.id)[0]["state"] == "delivered"
        assert deliveries(redis, slow.id)[0]["state"] == "waiting"
        hung.holds.set()
        assert ended(redis, slow.id)[0]["state"] == "delivered"


def test_it_is_there_while_it_lives_and_does_not_start_without_a_secret(
    redis: Redis, start_worker: Start, tmp_path: Path
) -> None:
    process = start_worker()
    wait_until(lambda: presence.facts(redis, Queue.WEBHOOKS), what="its presence")
    assert process.stop() == 0
    assert presence.facts(redis, Queue.WEBHOOKS) == []
    mute = start_worker(FEWSTEP_WEBHOOK_SECRET="")
    wait_until(lambda: not mute.alive, what="its end")
    assert mute.stop() == 1
    assert "FEWSTEP_WEBHOOK_SECRET: is not set" in (tmp_path / "worker.log").read_text()


def test_a_job_whose_webhook_asks_for_its_end_ends_as_any_other(redis: Redis) -> None:
    jobs, job = JobStore(redis), make_job()
    with receiving() as receiver:
        jobs.create(job, max_active=9, webhook=wanted(receiver, "succeeded"))
        succeed(jobs, job)
        record = jobs.read(job.id)
    assert record is not None
    assert record.state is JobState.SUCCEEDED
    assert redis.zcard(DUE) == 1  # and waits for a worker
