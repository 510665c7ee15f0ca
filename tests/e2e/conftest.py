"""One running service for all end-to-end tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Stack


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path, conditional_family: Path) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    shutil.copytree(tiny_family, folder / "checkpoints" / "digits")  # the default model's name; tests damage it
    shutil.copytree(conditional_family, folder / "checkpoints" / "classes")
    stack = Stack(folder, folder / "checkpoints")
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
