import copy
import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.training.batches import Batch, TrainingData, draw_batch
from models.training.parallel import Draws
from models.training.progress import Progress, StopTraining
from models.training.randomness import iteration_generator
from models.training.resume import facts_of
from models.training.trainer import (
    SAVE_EVERY_S,
    Diverged,
    TrainConfig,
    TrainingError,
    TrainState,
    train,
    update_ema,
)

IMAGES = torch.randint(0, 256, (20, 4, 4, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CONFIG = TrainConfig(
    iterations=12, batch_size=4, learning_rate=1e-2, decay="cosine", warmup=3, clip=1.0, ema_decay=0.9, seed=5
)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.2), nn.Conv2d(4, 1, 3, padding=1))


def noise_loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
    x = batch.x
    eps = draws.randn(x.shape)
    x_hat: Tensor = network(x + eps)
    return (x_hat - x).square().mean()


def ignore(progress: Progress) -> None:
    pass


def run(state_path: Path, stop_at: tuple[int, ...] = (), config: TrainConfig = CONFIG) -> dict[str, Tensor]:
    """Train to the end, cut off and begun anew after the given iterations."""
    for last in (*stop_at, None):

        def on_progress(progress: Progress, last: int | None = last) -> None:
            if progress.iteration == last:
                raise StopTraining

        network = small_network()
        try:
            result = train(
                network,
                loss=noise_loss,
                data=TrainingData(IMAGES, flip=True),
                config=config,
                state_path=state_path,
                on_progress=on_progress,
            )
        except StopTraining:
            assert last is not None
            continue
        return {**network.state_dict(), **{f"kept.{name}": value for name, value in result.state_dict().items()}}
    raise AssertionError("unreachable")


def test_a_run_cut_into_three_ends_bit_identical_to_one_in_a_piece(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole.pt")
    pieces = run(tmp_path / "pieces.pt", stop_at=(2, 7))
    assert whole.keys() == pieces.keys()
    for name, value in whole.items():
        assert torch.equal(value, pieces[name]), name
    optimizers = [torch.load(tmp_path / name)["optimizer"] for name in ("whole.pt", "pieces.pt")]
    for ours, theirs in zip(optimizers[0]["state"].values(), optimizers[1]["state"].values(), strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_seed_decides_the_outcome(tmp_path: Path) -> None:
    one, same, other = (
        run(tmp_path / f"{index}.pt", config=replace(CONFIG, seed=seed)) for index, seed in enumerate((1, 1, 2))
    )
    assert torch.equal(one["0.weight"], same["0.weight"])
    assert not torch.equal(one["0.weight"], other["0.weight"])


def test_averaged_weights_are_kept(tmp_path: Path) -> None:
    weights = run(tmp_path / "state.pt")
    assert not torch.equal(weights["kept.0.weight"], weights["0.weight"])
    last = run(tmp_path / "last.pt", config=replace(CONFIG, ema_decay=None))
    assert torch.equal(last["kept.0.weight"], last["0.weight"])


def test_ema_is_a_moving_average() -> None:
    network = small_network()
    average = copy.deepcopy(network)
    before = average[0].weight.clone()  # type: ignore[index]
    with torch.no_grad():
        network[0].weight += 1.0  # type: ignore[index]
    update_ema(average, network, 0.9)
    torch.testing.assert_close(average[0].weight, before + 0.1)  # type: ignore[index]


def test_learning_rate_rises_and_falls() -> None:
    config = TrainConfig(iterations=100, learning_rate=1.0, decay="cosine", warmup=10)
    rates = [config.learning_rate_at(iteration) for iteration in range(100)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) == rates[9]
    assert rates[50] == pytest.approx(0.5)
    assert 0 < rates[99] < 1e-3
    assert replace(config, decay="constant").learning_rate_at(99) == 1.0


def test_gradients_are_clipped(tmp_path: Path) -> None:
    network = small_network()
    norms: list[float] = []
    told: list[float] = []

    def on_progress(progress: Progress) -> None:
        told.append(progress.gradient_norm.item())
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        norms.append(nn.utils.get_total_norm(gradients).item())

    train(
        network,
        loss=lambda network, batch, draws: 1e4 * noise_loss(network, batch, draws),
        data=TrainingData(IMAGES, flip=False),
        config=replace(CONFIG, clip=0.5),
        state_path=tmp_path / "state.pt",
        on_progress=on_progress,
    )
    assert norms == pytest.approx([0.5] * 12, rel=1e-3)
    assert min(told) > 100  # as it was before


def run_that_goes_wrong(state_path: Path, factor: float, save_every_s: float = SAVE_EVERY_S) -> None:
    """A run whose sixth loss is multiplied by ``factor``."""
    calls = 0

    def explode(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        nonlocal calls
        calls += 1
        loss = noise_loss(network, batch, draws)
        return loss * factor if calls == 6 else loss

    train(
        small_network(),
        loss=explode,
        data=TrainingData(IMAGES, flip=True),
        config=CONFIG,
        state_path=state_path,
        on_progress=ignore,
        save_every_s=save_every_s,
    )


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    state_path = tmp_path / "state.pt"
    with pytest.raises(Diverged, match="loss nan and gradient norm nan at iteration 6"):
        run_that_goes_wrong(state_path, float("nan"))
    saved = torch.load(state_path)
    assert saved["iteration"] == 5
    assert all(value.isfinite().all() for value in saved["network"].values())


def test_a_loss_that_explodes_stops_the_run_and_leaves_the_state_saved_before(tmp_path: Path) -> None:
    state_path = tmp_path / "state.pt"
    with pytest.raises(Diverged, match="at iteration 6"):
        run_that_goes_wrong(state_path, 1e9, save_every_s=0)
    assert torch.load(state_path)["iteration"] == 5


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no state"])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"state\.pt: not a state"):
        run(path)


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    TrainState(small_network(), replace(CONFIG, batch_size=8, seed=6)).save(path)
    with pytest.raises(TrainingError, match="batch_size 8 there and 4 here, seed 6 there and 5 here"):
        run(path)
    TrainState(small_network(), replace(CONFIG, learning_rate=1e-3)).save(path)
    with pytest.raises(TrainingError, match=r"learning_rate 0\.001 there and 0\.01 here"):
        run(path)


def test_a_state_of_an_older_version_without_a_newer_option_goes_on(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole.pt")
    state = tmp_path / "state.pt"
    TrainState(small_network(), CONFIG).save(state)
    saved = torch.load(state)
    del saved["config"]["weight_decay"]
    torch.save(saved, state)
    assert all(torch.equal(value, whole[name]) for name, value in run(state).items())


def test_weights_decay(tmp_path: Path) -> None:
    plain, decayed = (run(tmp_path / f"{decay}.pt", config=replace(CONFIG, weight_decay=decay)) for decay in (0.0, 1.0))
    assert decayed["0.weight"].norm() < plain["0.weight"].norm()


def test_a_run_that_diverged_goes_on_at_a_lower_learning_rate_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(Diverged, match=r"a lower learning rate may help: .* the same command with one goes on"):
        run_that_goes_wrong(path, float("nan"))
    before = torch.load(path)["network"]["0.weight"]
    run(path, config=replace(CONFIG, learning_rate=1e-3))
    saved = torch.load(path)
    assert (saved["iteration"], saved["earlier_rates"]) == (12, [(5, 1e-2)])
    assert facts_of(path) == {"earlier_learning_rates": [[5, 1e-2]]}
    moved = (saved["network"]["0.weight"] - before).abs().max()
    assert 0 < moved < 7 * 1e-3 * 1.1, "seven steps of Adam at the lower rate"
    run(tmp_path / "whole.pt")
    assert facts_of(tmp_path / "whole.pt") == {}


def test_a_disk_without_room_for_the_state_is_noticed_before_the_first_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "states" / "state.pt"
    state = TrainState(small_network(), CONFIG)
    asked: list[int] = []

    def full(_: int, __: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device.*are needed") as caught:
        run(path)
    assert caught.value.filename == str(path)
    assert not list(path.parent.iterdir())
    monkeypatch.undo()
    run(path)
    (size,) = asked
    assert size == state.size_bytes
    assert 0 <= path.stat().st_size - size < 20_000, "what the file format adds"


def test_a_state_that_cannot_be_written_leaves_no_part_of_itself(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    path = tmp_path / "state.pt"
    path.with_name("state.pt.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        TrainState(small_network(), CONFIG).save(path)
    assert not list(tmp_path.iterdir())


def test_images_are_mirrored_only_where_the_data_allows_it() -> None:
    left = torch.zeros(1, 2, 2, 1, dtype=torch.uint8)
    left[0, :, 0] = 255

    def draw(flip: bool) -> Tensor:
        return draw_batch(TrainingData(left, flip), batch_size=64, generator=torch.Generator().manual_seed(0)).x

    assert draw(False).shape == (64, 1, 2, 2)
    assert (draw(False)[:, 0, 0, 0] == 1.0).all()
    mirrored = (draw(True)[:, 0, 0, 0] == -1.0).sum()
    assert 16 < mirrored < 48


def test_randomness_of_an_iteration_follows_from_seed_and_iteration() -> None:
    def first(seed: int, iteration: int) -> float:
        return torch.rand(1, generator=iteration_generator(seed, iteration, torch.device("cpu"))).item()

    assert first(1, 2) == first(1, 2)
    assert len({first(seed, iteration) for seed in (0, 1, 2**32 - 1) for iteration in range(100)}) == 300


def test_labels_stay_with_their_images() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    data = TrainingData(levels.view(256, 1, 1, 1).expand(256, 2, 2, 1), flip=True, labels=levels.long())
    batch = draw_batch(data, batch_size=500, generator=torch.Generator().manual_seed(0))
    assert batch.labels is not None
    torch.testing.assert_close(batch.x[:, 0, 0, 0], batch.labels / 127.5 - 1)
