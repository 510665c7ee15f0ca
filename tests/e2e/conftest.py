"""Two running services for all end-to-end tests: one that samples, one that distils too."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from core.catalog.card import SHIPPED_CHECKPOINTS
from models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from models.data.dataset import load_data
from models.evaluation.evaluate import evaluate, save_evaluation
from models.evaluation.extractors import judge_extractor
from models.evaluation.reference import load_reference
from models.sampling.engine import Sampler
from tests.e2e.stack import Stack, is_ready
from tests.processes import wait_until


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


@pytest.fixture(scope="session")
def distilling(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> Iterator[Stack]:
    """The service with the shipped family, whose student of 4 steps has forgotten everything, and the tiny one."""
    folder = tmp_path_factory.mktemp("service")
    family = folder / "checkpoints" / "digits"
    shutil.copytree(SHIPPED_CHECKPOINTS / "digits", family)
    shutil.copytree(tiny_family, folder / "checkpoints" / "tiny")
    forget(family / "4-step")
    judge_checkpoint(family / "8-step", family / "judge")
    stack = Stack(folder, folder / "checkpoints")
    stack.start("distiller")
    wait_until(lambda: is_ready(stack.api), what="ready")
    yield stack
    stack.close()


def forget(folder: Path) -> None:
    """Put random weights in place of a checkpoint's."""
    network, card = load_checkpoint(folder)
    shutil.rmtree(folder)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.02)
    save_checkpoint(folder, network, rows=card.rows, method="base")


def judge_checkpoint(folder: Path, judge: Path) -> None:
    """Write figures into its card, which name the judge."""
    train = load_data("digits")
    extractor = judge_extractor(judge, image_shape=(1, 16, 16), device=torch.device("cpu"))
    reference = load_reference("digits", train, size=None, extractor=extractor)
    sampler = Sampler(folder, device="cpu")
    figures = evaluate(sampler, num_steps=8, count=50, extractor=extractor, train=train, reference=reference)
    save_evaluation(folder, figures)
