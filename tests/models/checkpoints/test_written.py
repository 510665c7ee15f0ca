"""What we write for diffusers against what it writes itself."""

from pathlib import Path

import pytest

from core.catalog.card import PAPER_SCHEDULE, NoiseSchedule
from models.checkpoints.written import scheduler_fields, walks, write_pipeline
from models.diffusion.schedule import step_rows
from models.diffusion.unet import UNetConfig, build_unet
from tests.models import diffusers

SMALL = UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
FILES = ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json")
LINEAR = NoiseSchedule(beta_schedule="linear", num_rows=1000, beta_start=2e-4, beta_end=0.03)


@pytest.mark.parametrize(("num_steps", "table"), [(8, PAPER_SCHEDULE), (3, LINEAR)])
def test_files_are_diffusers_to_the_letter(tmp_path: Path, num_steps: int, table: NoiseSchedule) -> None:
    network, fields = build_unet(SMALL).config, scheduler_fields(num_steps, "epsilon", table)
    (tmp_path / "ours").mkdir()
    write_pipeline(tmp_path / "ours", network=network, scheduler=fields)
    scheduler = diffusers.DDIMScheduler(**fields)
    diffusers.DDIMPipeline(diffusers.UNet2DModel(**network), scheduler).save_pretrained(tmp_path / "theirs")
    for name in FILES:
        assert (tmp_path / "ours" / name).read_text() == (tmp_path / "theirs" / name).read_text()


@pytest.mark.parametrize("num_rows", [1025, 1000, 1001, 65])
def test_where_diffusers_walks_is_known_without_it(num_rows: int) -> None:
    outcomes = set()
    for num_steps in range(1, 65):
        fields = scheduler_fields(num_steps, "sample", PAPER_SCHEDULE.model_copy(update={"num_rows": num_rows}))
        scheduler = diffusers.DDIMScheduler(**fields)
        scheduler.set_timesteps(num_steps)
        stride = num_rows // num_steps
        visited = [(int(row), max(int(row) - stride, 0)) for row in scheduler.timesteps]
        rows = step_rows(num_steps, num_rows)
        outcomes.add(same := visited == list(zip(rows[:0:-1], rows[-2::-1], strict=True)))
        assert walks(fields, rows) == same, num_steps
    assert outcomes == {True, False}
