import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import InvalidRequest
from models.classifiers.classifier import Classifier
from models.diffusion.unet import UNetConfig, build_unet
from models.training.batches import TrainingData
from models.training.execution import Execution, keep_ends_in_float32
from models.training.progress import Progress
from models.training.trainer import TrainConfig, TrainState, train
from tests.models.training.test_trainer import CONFIG, IMAGES, noise_loss, small_network

BF16 = Execution(precision="bf16")


def losses_of(network: nn.Module, state_path: Path, config: TrainConfig, execution: Execution) -> list[float]:
    losses: list[float] = []

    def note(progress: Progress) -> None:
        assert progress.loss.dtype == torch.float32
        losses.append(progress.loss.item())

    train(
        network,
        loss=noise_loss,
        data=TrainingData(IMAGES, flip=True),
        config=config,
        state_path=state_path,
        on_progress=note,
        execution=execution,
    )
    return losses


def test_bf16_learns_nearly_what_fp32_learns_and_keeps_float32(tmp_path: Path) -> None:
    network = small_network()
    losses = losses_of(network, tmp_path / "bf16.pt", CONFIG, BF16)
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    exact = losses_of(small_network(), tmp_path / "fp32.pt", CONFIG, Execution())
    assert losses != exact
    assert losses == pytest.approx(exact, rel=0.02)


def test_a_classifier_in_bf16_answers_in_float32() -> None:
    torch.manual_seed(0)
    classifier = Classifier("resnet-small", channels=1, num_classes=10, mean=(0.0,), std=(1.0,)).eval()
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        exact, rounded = classifier(x), BF16.view(classifier)(x)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.dtype == torch.float32
        assert not torch.equal(ours, theirs)
        torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0.05)
        assert not torch.equal(ours, ours.bfloat16().float()), "pooled, or multiplied, in bf16"


def test_on_a_cpu_networks_without_group_normalisation_lie_channels_last() -> None:
    classifier = Classifier("resnet-small", channels=1, num_classes=10, mean=(0.0,), std=(1.0,))
    denoiser = build_unet(UNetConfig(channels=32, multipliers=(1,), attention_levels=(), blocks=1))
    for network, lies in ((classifier, True), (denoiser, False)):
        Execution().view(network)
        weights = [each.weight for each in network.modules() if isinstance(each, nn.Conv2d) and each.kernel_size[0] > 1]
        assert {each.is_contiguous(memory_format=torch.channels_last) for each in weights[1:]} == {lies}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler imports what torch deprecates
def test_a_compiled_network_learns_the_same_and_keeps_the_names_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced as ever, but run without a C++ compiler.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    config = replace(CONFIG, iterations=2)
    networks = []
    for compiled in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(4, 4), nn.SiLU(), nn.Linear(4, 4)
        )  # without dropout, which it draws otherwise
        path = tmp_path / f"{compiled}.pt"
        losses_of(network, path, config, Execution(compile=compiled))
        networks.append(network)
    eager, compiled_ = (network.state_dict() for network in networks)
    assert compiled_.keys() == torch.load(path)["network"].keys() == eager.keys()
    for name, value in eager.items():
        torch.testing.assert_close(compiled_[name], value)


def test_cpus_stay_in_float32_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert Execution().precision_on(cpu) == "fp32"
    assert BF16.precision_on(cpu) == "bf16"
    for has_bf16, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has_bf16: has)  # noqa: ARG005
        assert Execution().precision_on(cuda) == expected
    assert Execution(precision="fp32").precision_on(cuda) == "fp32"
    with pytest.raises(InvalidRequest, match="no bf16") as caught:
        BF16.precision_on(cuda)
    assert caught.value.field == "precision"


def test_a_run_goes_on_in_another_memory_layout(tmp_path: Path) -> None:
    """A state of a GPU, where weights lie channels last, is finished on a CPU."""

    def state(channels_last: bool) -> TrainState:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return TrainState(network, TrainConfig(iterations=4))

    def step(state: TrainState) -> None:
        x = torch.randn(4, 8, 9, 9, generator=torch.Generator().manual_seed(0))
        state.optimizer.zero_grad()
        state.network(x).square().mean().backward()
        state.optimizer.step(state.config.learning_rate)

    whole, begun = state(channels_last=False), state(channels_last=True)
    step(whole)
    step(begun)
    begun.save(tmp_path / "state.pt")
    resumed = state(channels_last=False)
    resumed.load(tmp_path / "state.pt")
    step(whole)
    step(resumed)
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


def test_images_go_in_and_come_out_in_float32_where_the_ends_are_kept_so() -> None:
    shape = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
    network = build_unet(shape).eval()
    names = list(network.state_dict())
    x, row = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([5, 900])
    met: dict[str, torch.dtype] = {}

    def note(name: str, _: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> None:
        met[name] = out.dtype

    hooks = [network.get_submodule(name).register_forward_hook(partial(note, name)) for name in ("conv_in", "conv_out")]
    for kept, dtype in ((False, torch.bfloat16), (True, torch.float32)):
        if kept:
            keep_ends_in_float32(network)
        with torch.autocast("cpu", torch.bfloat16):
            network(x, row)
        assert met == dict.fromkeys(("conv_in", "conv_out"), dtype)
    for hook in hooks:
        hook.remove()
    assert list(network.state_dict()) == list(copy.deepcopy(network).state_dict()) == names
    assert torch.equal(copy.deepcopy(network)(x, row).sample, network(x, row).sample)


def test_networks_beyond_the_limit_of_one_are_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain's rounds have more networks than torch compiles of one function; beyond that it would run eagerly."""
    compiled = 0

    def count(graph: torch.fx.GraphModule, _: list[Tensor]) -> Any:  # noqa: ANN401
        nonlocal compiled
        compiled += 1
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    networks = [nn.Sequential(nn.Linear(3, width), nn.Linear(width, 3)) for width in range(1, 13)]
    views = [Execution(compile=True).view(network) for network in networks]
    for _ in range(2):
        for view in views:
            view(torch.ones(2, 3))
    assert compiled == len(networks)
    torch.compiler.reset()
