"""One running service for all end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Stack


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"), tiny_family.parent)
    try:
        yield stack
    finally:
        stack.close()


@pytest.fixture
def stack(_running: Stack) -> Stack:
    """The service, all of it up; a test may end parts of it."""
    _running.ensure_ready()
    return _running


@pytest.fixture
def api(stack: Stack) -> httpx.Client:
    """A client of the service."""
    return stack.api
