"""The client's README: its examples run as they stand, long ones at the size of toys."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.stack import Stack
from tests.processes import ROOT

pytestmark = pytest.mark.slow

README = ROOT / "client" / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
SMALLER = [
    ("size=32", "size=8"),
    (r"iterations=\d{4,}", "iterations=4, batch_size=4"),
    ('"photos-features", iter', '"photos-features", architecture="resnet-small", iter'),
    ('(?=judge=")', 'channels=32, multipliers=[1], attention=[], blocks=1, warmup=0, evaluate={"samples": 16}, '),
    ("(?=promote=)", 'from_steps=2, evaluate={"samples": 16}, '),
]


def draw(archive: Path) -> None:
    """A zip of dark and bright pictures, each kind in a folder."""
    random = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 50)):
        folder = archive.parent / "drawn" / name
        folder.mkdir(parents=True)
        for index in range(24):
            pixels = random.integers(level - 40, level + 40, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index:02}.png")
    shutil.make_archive(str(archive.with_suffix("")), "zip", archive.parent / "drawn")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example: str, distilling: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilling.ensure_ready()
    monkeypatch.setenv("FEWSTEP_URL", str(distilling.api.base_url))
    monkeypatch.chdir(tmp_path)
    if "photos.zip" in example:
        draw(tmp_path / "photos.zip")
        for pattern, smaller in SMALLER:
            example = re.sub(pattern, smaller, example)
    scope: dict[str, Any] = {}
    exec(compile(example, str(README), "exec"), scope)
    if "job" in scope:
        scope["job"].delete()
    if "client" in scope:
        scope["client"].close()
