import asyncio
import threading

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from app.generate.announcer import MOST_IN_A_MESSAGE, Announcer
from core.queues import Task

pytestmark = pytest.mark.anyio


class Broker(Celery):
    """Takes messages once it is let, and keeps them."""

    def __init__(self) -> None:
        super().__init__("test", set_as_current=False)
        self.messages: list[tuple[str, list[str]]] = []
        self.open = threading.Event()
        self.broken = False

    def send_task(self, name: str, args: list[str]) -> None:  # type: ignore[override]
        assert self.open.wait(10)
        if self.broken:
            raise OperationalError("there is no broker")
        self.messages.append((name, args))


async def started(announcer: Announcer, ids: list[str], task: Task = Task.GENERATE) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(announcer.announce(task, record_id)) for record_id in ids]
    await asyncio.sleep(0)
    return tasks


async def test_one_goes_at_once_and_what_comes_meanwhile_goes_together() -> None:
    broker = Broker()
    announcer = Announcer(broker)
    ids = [str(number) for number in range(MOST_IN_A_MESSAGE + 3)]
    tasks = await started(announcer, ids[:1])
    await asyncio.sleep(0)  # its message is under way
    tasks += await started(announcer, ids[1:]) + await started(announcer, ["bulk"], Task.GENERATE_BULK)
    broker.open.set()
    await asyncio.gather(*tasks)
    first, *together = broker.messages
    assert first == (Task.GENERATE, ["0"])
    assert together == [
        (Task.GENERATE, ids[1 : 1 + MOST_IN_A_MESSAGE]),
        (Task.GENERATE, ids[1 + MOST_IN_A_MESSAGE :]),
        (Task.GENERATE_BULK, ["bulk"]),
    ]


async def test_without_a_broker_all_who_wait_are_told_and_the_next_one_tries_again() -> None:
    broker = Broker()
    announcer = Announcer(broker)
    tasks = await started(announcer, ["1", "2", "3"])
    broker.broken = True
    broker.open.set()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, OperationalError)
    broker.broken = False
    await announcer.announce(Task.GENERATE, "4")
    assert broker.messages == [(Task.GENERATE, ["4"])]


async def test_a_client_that_left_takes_nobody_with_it() -> None:
    broker = Broker()
    announcer = Announcer(broker)
    left, stays = await started(announcer, ["1", "2"])
    await asyncio.sleep(0)
    left.cancel()
    broker.open.set()
    await stays
    with pytest.raises(asyncio.CancelledError):
        await left
