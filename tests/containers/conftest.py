"""The images and the service made of them, once for all tests here."""

import time
from collections.abc import Iterator

import pytest

from tests.containers.engine import Engine, find_engine
from tests.containers.stack import API_IMAGE, WORKER_IMAGE, Stack
from tests.processes import ROOT

FIGURES: list[str] = []


def note(figure: str) -> None:
    """Have a figure shown at the end."""
    FIGURES.append(figure)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured."""
    for figure in FIGURES:
        terminalreporter.line(figure)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine that is here."""
    return find_engine()


@pytest.fixture(scope="session")
def images(engine: Engine) -> dict[str, str]:
    """Tags of the built images by target."""
    built = {"api": API_IMAGE, "worker": WORKER_IMAGE}
    for target, tag in built.items():
        began = time.monotonic()
        engine.build(target, tag, root=ROOT)
        size = int(engine.ask("image", "inspect", "--format", "{{.Size}}", tag))
        note(f"image {target}: {size / 1e9:.2f} GB, built in {time.monotonic() - began:.0f} s")
    return built


@pytest.fixture(scope="session")
def _running(engine: Engine, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert images
    stack = Stack(engine, tmp_path_factory.mktemp("compose"))
    stack.remove()  # of a run that was cut off
    began = time.monotonic()
    try:
        stack.up()
        stack.wait_until_whole()
        note(f"all of {', '.join(stack.services)} healthy {time.monotonic() - began:.0f} s after `up`")
        yield stack
    finally:
        print(stack.logs())
        stack.remove()


@pytest.fixture
def stack(_running: Stack) -> Iterator[Stack]:
    """The service, whole; what its containers have logged is shown where a test fails."""
    _running.ensure_whole()
    yield _running
    print(_running.logs())
