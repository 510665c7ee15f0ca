"""What can be said of compiling without a GPU, by a backend that counts."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.catalog.card import Card
from models.checkpoints.stored import read_stored
from models.sampling import compiled, lean, readiness
from models.sampling.compiled import compile_network, obstacle, pays
from models.sampling.readiness import best_group
from models.sampling.walker import Walker


class Counting:
    """A backend that compiles nothing and counts how often it was to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, graph: torch.fx.GraphModule, _: list[torch.Tensor], **__: object) -> Any:  # noqa: ANN401
        self.times += 1
        return graph.forward


@pytest.fixture
def walker(tiny_family: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walker]:
    """As it is on a GPU: without oneDNN's layout."""
    monkeypatch.setattr(lean, "packs", lambda *_: False)
    yield Walker(read_stored(tiny_family / "2-step"), dtype=torch.float32)
    torch.compiler.reset()


def test_each_network_is_compiled_once_for_each_size_however_many_there_are() -> None:
    counting = Counting()
    networks = [compile_network(torch.nn.Conv2d(1, 1, 1), counting) for _ in range(3)]
    sizes = (2, 3, 4, 5)
    for again in (False, True):
        for number, network in enumerate(networks):
            for index, size in enumerate(sizes):
                network(torch.ones(size, 1, 1, 1))
                done = len(sizes) * len(networks) if again else number * len(sizes) + index + 1
                assert counting.times == done, "nothing runs eagerly, and nothing is compiled twice"
    torch.compiler.reset()


@torch.inference_mode()
def test_the_network_that_samples_is_compiled_as_one(walker: Walker) -> None:
    counting = Counting()
    walker.compile(counting)
    noise, shifts = walker.example(2), walker.shifts([0] * 2, 2)
    found = walker.walk(noise, shifts, 2)
    assert counting.times == 1
    walker.run_eagerly()
    torch.testing.assert_close(found, walker.walk(noise, shifts, 2))


def test_what_is_missing_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "find_spec", lambda _: None)
    obstacle.cache_clear()
    assert obstacle() == "Triton is not installed"
    monkeypatch.setattr(compiled, "find_spec", lambda name: name)
    monkeypatch.delenv("CC", raising=False)
    for there in ("", "clang"):
        obstacle.cache_clear()
        monkeypatch.setattr(shutil, "which", lambda name, there=there: there if name == there else None)
        assert obstacle() == ("" if there else "there is no C compiler (gcc or clang)")
        monkeypatch.setattr(shutil, "which", lambda _: pytest.fail("looked up again"))
        obstacle()
    obstacle.cache_clear()


def on_gpu(walker: Walker, card: Card, *, compiled: bool = True, between: Callable[[], None] = lambda: None) -> Any:  # noqa: ANN401
    with torch.inference_mode():
        return readiness._sizes_on_gpu(walker, card, compiled=compiled, between_sizes=between)


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "CUDA_SIZES", (4, 8, 16))


@pytest.mark.usefixtures("small_sizes")
def test_what_cannot_be_compiled_runs_eagerly_and_says_why(walker: Walker, monkeypatch: pytest.MonkeyPatch) -> None:
    card = walker._card
    monkeypatch.setattr(readiness, "obstacle", lambda: "there is no C compiler (gcc or clang)")
    sizes, why = on_gpu(walker, card)
    assert 8 in sizes
    assert why == "there is no C compiler (gcc or clang)"
    assert on_gpu(walker, card, compiled=False) == (sizes, False)

    def broken(*_: object, **__: object) -> None:
        raise OSError("gcc: cannot execute\nand more")

    monkeypatch.setattr(readiness, "obstacle", lambda: "")
    whole = Walker.compile
    monkeypatch.setattr(Walker, "compile", lambda walker: whole(walker, broken))
    sizes_then, why = on_gpu(walker, card)
    assert sizes_then == sizes
    assert "gcc: cannot execute" in why
    assert "\n" not in why
    assert walker._predict is walker.network


@pytest.mark.usefixtures("small_sizes")
def test_it_beats_between_sizes_and_may_give_up(walker: Walker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "obstacle", lambda: "")
    monkeypatch.setattr(Walker, "compile", lambda _: None)
    beats = []
    _, why = on_gpu(walker, walker._card, between=lambda: beats.append(1))
    assert why is True
    assert len(beats) == 3

    def give_up() -> None:
        raise TimeoutError("the lease")

    with pytest.raises(TimeoutError, match="the lease"):
        on_gpu(walker, walker._card, between=give_up)


@pytest.mark.usefixtures("small_sizes")
def test_sizes_that_agree_with_each_other_are_kept_though_not_with_the_reference(walker: Walker) -> None:
    forward = walker.network.forward

    def off_by_a_bit(z_t: torch.Tensor, shifts: Any) -> torch.Tensor:  # noqa: ANN401
        return forward(z_t, shifts) + (1e-6 if len(z_t) == 8 else 0)

    walker.network.forward = off_by_a_bit  # type: ignore[method-assign]
    assert on_gpu(walker, walker._card, compiled=False)[0] == (4, 16)


@pytest.mark.parametrize(
    ("groups", "best"),
    [
        ([(8, 64, 256)], (8, 64, 256)),
        ([(8,), (64, 256)], (64, 256)),
        ([(8, 64), (256,)], (8, 64)),
        ([(8,), (64,), (256,)], (256,)),
    ],
)
def test_the_largest_group_is_the_best(groups: list[tuple[int, ...]], best: tuple[int, ...]) -> None:
    assert best_group(groups) == best


def test_torch_takes_what_it_is_asked_for() -> None:
    """Options of Inductor that it does not know are an error at once."""
    compile_network(torch.nn.Linear(1, 1))


def test_few_images_are_not_worth_a_compilation() -> None:
    assert not pays(64)
    assert pays(50_000)
