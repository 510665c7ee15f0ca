from collections.abc import Iterator

import pytest

from core.connections import connect
from core.jobs.store import JobStore
from core.settings import Settings


@pytest.fixture
def store(redis_settings: Settings) -> Iterator[JobStore]:
    with connect(redis_settings) as redis:
        yield JobStore(redis)
