"""A teacher is led away from a worse one, in the first round alone."""

from pathlib import Path

import pytest
import torch

from core.catalog.card import read_card
from models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from models.diffusion.schedule import step_rows
from models.diffusion.unet import UNetConfig, build_unet
from models.distillation.frozen import frozen
from models.distillation.guide import Guide, Guided
from models.training.execution import AUTO
from tests.models.conftest import Here

CONFIG = UNetConfig(image_shape=(1, 16, 16), channels=32, multipliers=(1, 1), attention_levels=(), blocks=1)
ROUND = ("--from", "8", "--to", "2", "--iterations", "1", "--batch-size", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints ``better`` and ``worse`` of random weights, and others that lead neither."""
    family = tmp_path_factory.mktemp("teachers") / "some"
    kinds = {
        "better": (CONFIG, 1024, "base"),
        "worse": (CONFIG, 1024, "base"),
        "of-classes": (UNetConfig(**{**vars(CONFIG), "num_classes": 10}), 1024, "base"),
        "student": (CONFIG, 8, "pd"),
    }
    for seed, (name, (config, num_steps, method)) in enumerate(kinds.items()):
        torch.manual_seed(seed)
        save_checkpoint(family / name, build_unet(config), rows=step_rows(num_steps), method=method)
    return family


def test_the_way_from_the_worse_one_to_the_better_leads_on(teachers: Path) -> None:
    better, worse = (load_checkpoint(teachers / name)[0] for name in ("better", "worse"))
    z_t, row = torch.randn(3, 1, 16, 16), torch.tensor([1024, 512, 3])
    with torch.no_grad():
        good, bad = (network(z_t, row).sample for network in (better, worse))
        for guidance, expected in ((1.0, good), (2.5, bad + 2.5 * (good - bad))):
            guide = Guide(network=worse, guidance=guidance, facts={})
            guided = Guided(frozen(better, AUTO), guide, AUTO)(z_t, row)
            assert torch.allclose(guided.sample, expected, atol=1e-4)


@pytest.mark.slow
def test_the_first_student_of_a_chain_learns_from_both(teachers: Path, tmp_path: Path, here: Here) -> None:
    distil = ("distill", "--teacher", str(teachers / "better"), *ROUND)
    here(*distil, "--out", str(tmp_path / "plain"))
    here(*distil, "--out", str(tmp_path / "same"), "--guide", str(teachers / "worse"), "--guidance", "1")
    here(*distil, "--out", str(tmp_path / "led"), "--guide", str(teachers / "worse"))
    plain, same, led = (read_card(tmp_path / name / "4-step") for name in ("plain", "same", "led"))
    assert plain.sha256 == same.sha256 != led.sha256
    assert "guide" not in plain.hyper_parameters
    assert led.hyper_parameters["guide"] == "some/worse"
    assert led.hyper_parameters["guide_sha256"] == read_card(teachers / "worse").sha256
    assert led.hyper_parameters["guidance"] == 2
    assert "guide" not in read_card(tmp_path / "led" / "2-step").hyper_parameters, "its teacher has learned it"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--guide {}/of-classes", "--guide: some/of-classes has another num_classes than the teacher: 10, not None"),
        ("--guide {}/student", "--guide: neither teacher nor guide may be a student"),
        ("--guide {}/better", "--guide: some/better is the teacher itself"),
        ("--guide {}/nobody", "--guide: there is no model"),
        ("--guide {}", "--guide: 'some' is a family; name one of its checkpoints: some/better, some/of-classes, "),
        ("--guidance 3", "--guidance: there is no guide"),
        ("--guide {}/worse --guidance 0.5", "'--guidance': Input should be greater than or equal to 1"),
    ],
)
def test_what_leads_nowhere_is_refused(options: str, words: str, teachers: Path, tmp_path: Path, here: Here) -> None:
    distil = ("distill", "--teacher", str(teachers / "better"), *ROUND, "--out", str(tmp_path / "led"))
    said = here(*distil, *options.format(teachers).split(), expect=2)
    assert words in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
