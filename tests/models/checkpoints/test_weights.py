"""Which of the weights that a folder holds are taken, and what is said of it."""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from core.catalog.card import CheckpointError
from models.checkpoints.pipelines import read_pipeline
from models.diffusion.unet import UNetConfig
from tests.models import diffusers
from tests.models.networks import diffusers_unet

TINY = UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(0,), blocks=1)
NAME = "diffusion_pytorch_model"
SHARDS: Mapping[str, object] = {"max_shard_size": "150KB"}
BIN: Mapping[str, object] = {"safe_serialization": False}


def network(mark: float) -> "diffusers.UNet2DModel":
    """A network that is known again by a weight."""
    made = diffusers_unet(TINY)
    with torch.no_grad():
        made.conv_in.bias.fill_(mark)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline's, without weights."""
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "ddpm" / "scheduler")
    return tmp_path / "ddpm"


def old_names(unet: Path) -> None:
    """Names of attention's weights as of the first DDPM repositories on the Hub."""
    made = network(1)
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def old(name: str) -> str:
        for new, before in names.items():
            name = name.replace(f".{new}.", f".{before}.")
        return name

    state = {old(name): value for name, value in made.state_dict().items()}
    assert any(".query." in name for name in state)
    made.save_config(unet)
    torch.save(state, unet / f"{NAME}.bin")


def shards_of_old(unet: Path) -> None:
    """The variant after the number of a shard."""
    network(1).save_pretrained(unet, variant="fp16", **SHARDS)
    index = unet / f"{NAME}.safetensors.index.fp16.json"
    text = index.read_text()
    for path in sorted(unet.glob("*-of-*")):
        new = path.name.replace(".fp16-", "-").replace(".safetensors", ".fp16.safetensors")
        text = text.replace(path.name, new)
        path.rename(unet / new)
    index.write_text(text)


def saved(*sets: tuple[float, Mapping[str, object]]) -> Callable[[Path], None]:
    def save(unet: Path) -> None:
        for mark, how in sets:
            network(mark).save_pretrained(unet, **how)

    return save


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (saved((1, {})), f"takes the weights of unet/{NAME}.safetensors"),
        (saved((1, BIN)), f"takes the weights of unet/{NAME}.bin"),
        (saved((1, {"variant": "fp16"})), f"unet/{NAME}.fp16.safetensors"),
        (saved((1, {"variant": "fp16", **BIN})), f"unet/{NAME}.fp16.bin"),
        (saved((1, SHARDS)), f"unet/{NAME}-00001-of-00006.safetensors … {NAME}-00006-of-00006.safetensors"),
        (saved((1, {**SHARDS, **BIN})), f"unet/{NAME}-00001-of-00006.bin … {NAME}-00006-of-00006.bin"),
        (saved((1, {**SHARDS, "variant": "fp16"})), f"unet/{NAME}.fp16-00001-of-00006.safetensors … "),
        (shards_of_old, f"unet/{NAME}-00001-of-00006.fp16.safetensors … "),
        (saved((2, {"variant": "fp16"}), (1, BIN)), f"{NAME}.bin; found besides: unet/{NAME}.fp16.safetensors"),
        (saved((2, BIN), (1, {})), f"{NAME}.safetensors; found besides: unet/{NAME}.bin"),
        (saved((2, {"variant": "non_ema"}), (1, {"variant": "fp16"})), f"{NAME}.fp16.safetensors; found besides: "),
        (saved((2, {}), (1, {"variant": "ema"})), f"{NAME}.ema.safetensors (averaged); found besides: "),
        (old_names, f"unet/{NAME}.bin"),
    ],
)
def test_the_best_is_taken_and_said_and_no_library_warns(
    folder: Path,
    write: Callable[[Path], None],
    said: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    (folder / "unet").mkdir()
    write(folder / "unet")
    logger = logging.getLogger("diffusers")
    logger.addHandler(caplog.handler)
    request.addfinalizer(lambda: logger.removeHandler(caplog.handler))
    capfd.readouterr()
    caplog.clear()
    pipeline = read_pipeline(folder)
    assert pipeline.network.conv_in.bias[0].item() == 1
    assert pipeline.network.dtype == torch.float32
    assert said in pipeline.weights
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize("scheduler", ["checkpoint-500/scheduler", "scheduler"])
def test_of_a_run_under_accelerate_the_averaged_weights_are_taken(tmp_path: Path, scheduler: str) -> None:
    state = tmp_path / "checkpoint-500"
    network(2).save_pretrained(state / "unet")
    averaged = network(1)
    kept = diffusers.EMAModel(averaged.parameters(), model_cls=diffusers.UNet2DModel, model_config=averaged.config)
    kept.save_pretrained(state / "unet_ema")
    for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
        (state / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"scheduler_config\.json: cannot be read .* nor in"):
        read_pipeline(state)
    diffusers.DDPMScheduler().save_pretrained(tmp_path / scheduler)
    pipeline = read_pipeline(state)
    assert pipeline.network.conv_in.bias[0].item() == 1
    assert pipeline.weights == (
        f"takes the weights of unet_ema/{NAME}.safetensors (averaged); found besides: unet/{NAME}.safetensors"
    )
    shutil.rmtree(state / "unet_ema")
    assert read_pipeline(state).weights == f"takes the weights of unet/{NAME}.safetensors"


def test_shards_need_no_sub_folder(tmp_path: Path) -> None:
    network(1).save_pretrained(tmp_path, **SHARDS)
    diffusers.DDPMScheduler().save_pretrained(tmp_path)
    assert read_pipeline(tmp_path).network.conv_in.bias[0].item() == 1


def without(pattern: str) -> Callable[[Path], None]:
    def save(unet: Path) -> None:
        network(1).save_pretrained(unet, **SHARDS)
        next(unet.glob(pattern)).unlink()

    return save


def other_framework(unet: Path) -> None:
    (unet / "diffusion_flax_model.msgpack").write_bytes(b"")


def pointer(unet: Path) -> None:
    network(1).save_pretrained(unet)
    (unet / f"{NAME}.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return print, ("was run",)


def pickled(unet: Path) -> None:
    network(1).save_config(unet)
    torch.save(Evil(), unet / f"{NAME}.bin")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (without("*-00002-of-*"), r"cannot be read: unet/.* \(5 of 6 shards\)"),
        (without("*.index.json"), rf"cannot be read: unet/.* \(without {NAME}\.safetensors\.index\.json\)"),
        (other_framework, rf"no weights; allowed are {NAME}\.safetensors and \.bin.*diffusion_flax_model\.msgpack"),
        (Path.is_dir, "no weights; allowed .* there is nothing"),
        (pointer, "the weights cannot be read: .*git-lfs"),
        (pickled, "the weights cannot be read"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(
    folder: Path, write: Callable[[Path], None], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "unet").mkdir()
    write(folder / "unet")
    with pytest.raises(CheckpointError, match=said):
        read_pipeline(folder)
    assert "was run" not in capfd.readouterr().out
