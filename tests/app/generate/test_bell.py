import asyncio
import json

import pytest
from pydantic import SecretStr
from redis import Redis

from app.generate.bell import Bell
from core.broker import make_celery
from core.messages import read_message
from core.queues import Task
from core.settings import Settings
from tests.processes import free_port

pytestmark = pytest.mark.anyio


async def rung(settings: Settings) -> None:
    bell = Bell(make_celery(settings))
    bell.ring("a")
    await asyncio.wait_for(asyncio.gather(*bell._sending), 30)


async def test_a_message_says_what_waits(redis_settings: Settings) -> None:
    await rung(redis_settings)
    with Redis.from_url(redis_settings.redis_url.get_secret_value()) as redis:
        (message,) = redis.lrange("fewstep:sampling", 0, -1)
    assert read_message(json.loads(message)) == (Task.GENERATE, ["a"])


async def test_one_that_cannot_be_sent_is_no_error(
    redis_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    await rung(redis_settings.model_copy(update={"redis_url": nobody}))
    assert "no message sent" in "".join(capsys.readouterr())  # wherever an earlier test has sent the log
