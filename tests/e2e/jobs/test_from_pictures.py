"""The README's way from pictures to a student, by its own lines, past a worker that dies in each stage."""

import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.catalog.card import read_card
from core.catalog.classifier_card import read_classifier_card
from core.methods.declaration import find_method
from core.training.options import ClassifierOptions, TeacherOptions
from models.cli.runs import distill_chain, train_classifier, train_teacher
from models.distillation.method import load_method
from models.sampling.engine import Sampler
from models.training.trainer import TrainConfig
from tests.e2e.stack import Stack, is_ready
from tests.e2e.yard import SABOTEUR
from tests.models import diffusers
from tests.processes import ROOT, wait_until

SMALL: dict[str, Any] = {"iterations": 8, "batch_size": 4}
NETWORK: dict[str, Any] = {"channels": 32, "multipliers": (1,), "attention": (), "blocks": 1, "warmup": 0}


def lines() -> str:
    """Of the README, with sizes for toys."""
    (text,) = re.findall(r"^```sh\n(API=.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    text = text.replace("size=32", "size=8").replace("API=http://127.0.0.1:8000\n", "set -eo pipefail\n")
    text = re.sub('"iterations": [0-9]+', '"iterations": 8, "batch_size": 4', text)
    text = text.replace('"photos-features", ', '"photos-features", "architecture": "resnet-small", ', 1)
    network = (
        '"channels": 32, "multipliers": [1], "attention": [], "blocks": 1, "warmup": 0, "evaluate": {"samples": 16}'
    )
    text = text.replace('"judge": "photos-judge"', f'"judge": "photos-judge", {network}')
    return text.replace('"promote":', '"from_steps": 2, "evaluate": {"samples": 16}, "promote":')


def draw(folder: Path) -> None:
    """Dark and bright pictures of 12x10, each kind in a folder."""
    random = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 50)):
        (folder / name).mkdir(parents=True)
        for index in range(24):
            pixels = random.integers(level - 40, level + 40, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:02}.png")


@pytest.fixture
def stack(tmp_path: Path, tiny_family: Path) -> Iterator[Stack]:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "digits").symlink_to(tiny_family)
    changes = {"FEWSTEP_HEARTBEAT_S": "0.5", "FEWSTEP_SLICE_S": "0.05"}
    stack = Stack(tmp_path, tmp_path / "checkpoints", **changes)
    yield stack
    stack.close()


class Restarts:
    """Starts a worker again whenever it has died."""

    def __init__(self, stack: Stack) -> None:
        self.count = -1
        self._stack, self._over = stack, Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> "Restarts":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            if "distiller" not in self._stack.processes or not self._stack.processes["distiller"].alive:
                self.count += 1
                self._stack.start("distiller", module=SABOTEUR, SABOTAGE="die in each kind of job and in an upload")


def test_pictures_become_a_student_by_the_lines_of_the_readme(stack: Stack, tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in sorted((tmp_path / "photos").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "photos"))
    wait_until(lambda: is_ready(stack.api), what="ready")
    environment = {**os.environ, "API": str(stack.api.base_url).rstrip("/"), "KEY": ""}
    with Restarts(stack) as restarts:
        done = subprocess.run(
            ["bash", "-c", lines()], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert restarts.count >= 4, "one for the upload, and one for each kind of job"
    with Image.open(tmp_path / "photos.png") as picture:
        assert picture.size == (42, 42)

    with zipfile.ZipFile(tmp_path / "student.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    (student,) = (tmp_path / "unpacked").iterdir()
    assert read_card(student).sha256 == undisturbed(tmp_path)
    (photos,) = [model for model in stack.api.get("/models").json()["models"] if model["name"] == "photos"]
    assert photos["steps"]["1"] == "1-step.photos-fast"
    kinds = [job["kind"] for job in stack.api.get("/jobs").json()["jobs"]]
    assert kinds == ["distillation", "teacher", "classifier", "classifier"]
    judged = read_card(student).metrics["evaluations"]
    assert [one["extractor"] for one in judged] == ["densenet-small"]

    pipeline = diffusers.DDIMPipeline.from_pretrained(student)
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(
        batch_size=2,
        generator=[torch.Generator().manual_seed(seed) for seed in range(2)],
        num_inference_steps=1,
        use_clipped_model_output=True,
        output_type="numpy",
    ).images
    ours = Sampler(student, device="cpu", precision="fp32").sample(seeds=range(2))
    assert np.abs(pictures * 255 - ours).max() <= 1


def undisturbed(folder: Path) -> str:
    """Hash of the student that the command line makes of the same."""
    data, size = str(folder / "photos"), 8
    out = folder / "plain"
    teacher = TeacherOptions(**NETWORK, **SMALL)
    classifier = ClassifierOptions(architecture="resnet-small", **SMALL)
    train_classifier(out=out / "classifier", data=data, size=size, options=classifier, device="cpu")
    train_teacher(out=out / "teacher", data=data, size=size, options=teacher, device="cpu")
    card, classifiers = read_card(out / "teacher"), read_classifier_card(out / "classifier")
    assert classifiers.accuracy > 0
    distill_chain(
        teacher=out / "teacher",
        from_steps=2,
        to_steps=1,
        out=out,
        method=load_method(
            find_method("cfd"),
            given={"classifier": str(out / "classifier")},
            image_shape=card.image_shape,
            knows_all_rows=card.knows_all_rows,
            device="cpu",
        ),
        data=data,
        size=size,
        config=TrainConfig(learning_rate=5e-5, decay="cosine", **SMALL),
        device="cpu",
    )
    return read_card(out / "1-step").sha256
