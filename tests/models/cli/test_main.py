"""The command line: files, messages, exit codes; in a process of its own where signals or equality count."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.catalog.card import SHIPPED_CHECKPOINTS, read_card
from core.catalog.classifier_card import read_classifier_card
from models.sampling.engine import Sampler, noise_for
from tests.models import diffusers
from tests.models.conftest import Here
from tests.processes import ROOT

pytestmark = pytest.mark.slow

FEWSTEP = Path(sys.executable).with_name("fewstep")
TINY_NETWORK = ("--channels", "32", "--multipliers", "1", "--attention=", "--blocks", "1", "--dropout", "0")
TINY_TRAINING = (*TINY_NETWORK, "--warmup", "0", "--batch-size", "4", "--learning-rate", "1e-3")


def fewstep(*arguments: str | Path, environment: dict[str, str]) -> None:
    """Run a command in a process of its own."""
    done = subprocess.run([FEWSTEP, *arguments], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def test_sample_writes_the_images_of_the_seeds(
    tiny_family: Path, tmp_path: Path, environment: dict[str, str], here: Here
) -> None:
    expected = Sampler(tiny_family / "2-step").sample(seeds=range(7, 12))
    arguments = ("sample", "tiny", "--steps", "2", "--n", "5", "--seed", "7", "--out")

    fewstep(*arguments, tmp_path / "a.npy", environment=environment)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)

    here(*arguments, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as grid:
        pixels = np.asarray(grid)
    assert pixels.shape == (2 * 10 + 2, 3 * 10 + 2, 3)
    np.testing.assert_array_equal(pixels[2:10, 2:10], expected[0])
    np.testing.assert_array_equal(pixels[12:20, 12:20], expected[4])

    np.save(tmp_path / "noise.npy", noise_for(range(7, 12), (3, 8, 8)).numpy())
    here("sample", "tiny/2-step", "--noise", tmp_path / "noise.npy", "--out", tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), expected)


def test_the_precision_is_asked_for_and_said(tiny_family: Path, tmp_path: Path, here: Here) -> None:
    out = tmp_path / "a.npy"
    images = {}
    for precision in ("fp32", "bf16"):
        said = here("sample", "tiny", "--steps", "1", "--n", "3", "--precision", precision, "--out", out)
        assert said.endswith(f", in {precision}\n")
        images[precision] = np.load(out)
    assert not np.array_equal(images["fp32"], images["bf16"])
    np.testing.assert_array_equal(
        images["bf16"], Sampler(tiny_family / "1-step", precision="bf16").sample(seeds=range(3))
    )
    said = here("sample", "tiny", "--steps", "1", "--precision", "fp16", "--out", out, expect=2)
    assert "'--precision'" in said
    assert "bf16" in said


def test_a_teacher_is_sampled_in_any_number_of_steps(tmp_path: Path, here: Here) -> None:
    out = tmp_path / "a.npy"
    here("sample", "tiny/teacher", "--steps", "7", "--out", out)
    assert np.load(out).shape == (1, 8, 8, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sample tiny --steps 3 --out a.png", "--steps: model 'tiny' has no checkpoint for 3 steps; it has 1, 2, 4"),
        ("sample tiny --out a.png", "--steps: 'tiny' is a family; name the steps, one of 1, 2, 4, 8, 1024"),
        ("sample tiny/teacher --steps 1025 --out a.png", "--steps: num_steps must be in 1…1024, got 1025"),
        ("sample tiny/8-step --steps 3 --out a.png", "--steps: a grid of 8 steps can be sampled in a divisor"),
        ("sample huge --steps 1 --out a.png", "there is no model 'huge'; there are tiny"),
        ("sample tiny --steps 1 --out a.gif", "--out: a.gif: ends in neither .png nor .npy"),
        (
            "sample tiny --steps 1 --n 0 --out a.png",
            "'--n': Input should be greater than or equal to 1",
        ),
        ("sample tiny --steps 1", "Missing option '--out'"),
        ("sample tiny --steps 1 --noise none.npy --out a.png", "--noise: none.npy: cannot be read as .npy"),
        ("inspect tiny/5-step", "there is no model 'tiny/5-step'"),
        ("import none.pt --out x/y", "none.pt: no such file"),
        ("train --out x/y --data nowhere", "--data: nowhere"),
        ("train --out x/y --multipliers 1,b", "--multipliers: '1,b' is not a list of integers"),
        ("distill --teacher tiny/teacher --from 8 --to 3 --out x", "--to: from 8 steps: halving"),
        ("distill --teacher tiny/8-step --from 7 --to 1 --out x", "--from: a grid of 8 steps"),
        ("distill --teacher tiny/teacher --from 8 --to 4 --out x", "--data: 'digits' has images of (1, 16, 16)"),
        ("distill --teacher tiny/teacher --from 8 --to 4 --out {family}", "4-step exists; choose another name"),
        ("distill --teacher tiny/teacher --from 8 --to 4 --out x --method cfd", "--classifier: cfd distils through a"),
        (
            "distill --teacher tiny/teacher --from 8 --to 4 --out x --temperature 1",
            "--temperature: pd has no use",
        ),
        (
            "distill --teacher tiny/teacher --from 8 --to 4 --out x --method cfd --classifier {family}/1-step",
            "is a checkpoint, not a classifier",
        ),
        ("distill --teacher tiny/8-step --from 8 --to 3 --out x --method sfd", "--to: from 8 steps: 3 is no smaller"),
        ("distill --teacher tiny/8-step --from 8 --to 2 --out x --method sfd --data digits", "--data: sfd is shown no"),
        (
            "distill --teacher tiny/8-step --from 8 --to 2 --out x --method sfd --solver dpm++",
            "--solver: the teacher was distilled",
        ),
        (
            "distill --teacher tiny/8-step --from 8 --to 2 --out x --method sfd --temperature 1",
            "--temperature: sfd has no use for it unless loss is cfd",
        ),
        (
            "distill --teacher tiny/8-step --from 8 --to 2 --out x --method sfd --classifier none",
            "--classifier: sfd as asked for here learns through no classifier",
        ),
        ("distill --teacher tiny/8-step --from 8 --to 2 --out x --method sfd --loss cfd", "--classifier: sfd distils"),
        ("train --out x/y --data synthetic", "--data: synthetic images are sampled from a teacher, in fewstep distill"),
        ("train-classifier --out x --data synthetic", "--data: synthetic images are sampled from a teacher"),
        (
            "distill --teacher tiny/teacher --from 8 --to 4 --out x --synthetic-refresh 1",
            "--synthetic-refresh: it belongs to --data synthetic",
        ),
        (
            "distill --teacher tiny/teacher --from 8 --to 4 --out x --data synthetic --size 8",
            "--size: synthetic images have the size that the teacher makes",
        ),
        (
            "distill --teacher tiny/8-step --from 8 --to 4 --out x --data synthetic --synthetic-steps 7",
            "--synthetic-steps: a grid of 8 steps",
        ),
        ("train-classifier --out x --architecture vgg", "Invalid value for '--architecture'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: str, message: str, tiny_family: Path, here: Here) -> None:
    said = here(*arguments.format(family=tiny_family).split(), expect=2)
    assert said.startswith("fewstep: ")
    assert said.count("\n") == 1
    assert message in said


def test_sfd_makes_a_student_of_three_steps_without_images_that_plain_diffusers_opens(
    tmp_path: Path, here: Here
) -> None:
    folder, asked = tmp_path / "mine" / "3-step", ("--method", "sfd", "--iterations", "4", "--batch-size", "2")
    here("distill", "--teacher", "tiny/teacher", "--from", "6", "--to", "3", "--out", folder.parent, *asked)
    card = read_card(folder)
    assert (card.rows, card.method, card.data) == ((0, 341, 683, 1024), "sfd", None)
    assert (card.hyper_parameters["loss"], card.hyper_parameters["solver"]) == ("l1", "dpm++")
    said = here("sample", folder, "--steps", "1", "--out", tmp_path / "a.npy", expect=2)
    assert said == "fewstep: --steps: this checkpoint knows its own 3 steps alone, not 1\n"
    again = ("distill", "--teacher", folder, "--from", "3", "--to", "1", "--out", folder.parent, *asked)
    here(*again)
    assert read_card(folder.parent / "1-step").hyper_parameters["solver"] == "ddim"

    pipeline = diffusers.DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
    pictures = pipeline(
        batch_size=4, generator=generators, num_inference_steps=3, use_clipped_model_output=True, output_type="numpy"
    ).images
    ours = Sampler(folder).sample(seeds=range(4))
    assert np.abs(pictures * 255 - ours).mean() < 2, "its rows are one off"


def test_inspect_prints_the_card(here: Here) -> None:
    card = json.loads(here("inspect", "tiny/teacher"))
    assert card["num_steps"] == 1024
    assert card["rows"] == [0, 1, 2, "…", 1023, 1024]


def test_train_and_distill_end_in_checkpoints_that_sample(tmp_path: Path, here: Here) -> None:
    teacher = tmp_path / "mine" / "teacher"
    here("train", "--out", teacher, "--iterations", "3", *TINY_TRAINING)
    chain = ("distill", "--teacher", teacher, "--from", "4", "--to", "1", "--out", tmp_path / "mine")
    here(*chain, "--iterations", "2", "--batch-size", "4")

    cards = {num_steps: read_card(tmp_path / "mine" / f"{num_steps}-step") for num_steps in (2, 1)}
    assert cards[1].rows == (0, 1024)
    assert cards[1].parent == "mine/2-step"
    assert cards[2].parent == "mine/teacher"
    assert cards[1].hyper_parameters["iterations"] == 4, "the paper doubles the last two rounds"
    assert (cards[1].command or "").startswith("fewstep distill --teacher")
    assert not list(tmp_path.rglob("*.state.pt"))
    here("sample", tmp_path / "mine", "--steps", "1", "--out", tmp_path / "a.png")


def test_a_teacher_is_distilled_without_a_data_set(tmp_path: Path, tiny_family: Path, here: Here) -> None:
    chain = ("distill", "--teacher", "tiny/4-step", "--from", "4", "--to", "1", "--data", "synthetic")
    small = ("--iterations", "2", "--batch-size", "4", "--synthetic-images", "65", "--synthetic-refresh", "1")
    here(*chain, "--out", tmp_path / "mine", *small)
    card = read_card(tmp_path / "mine" / "1-step")
    assert card.data == "synthetic"
    assert card.data_fingerprint is None
    assert {name: value for name, value in card.hyper_parameters.items() if "synthetic" in name} == {
        "synthetic_teacher": "tiny/4-step",
        "synthetic_teacher_sha256": read_card(tiny_family / "4-step").sha256,
        "synthetic_steps": 4,
        "synthetic_images": 128,
        "synthetic_refresh": 1,
    }


def test_a_classifier_is_trained_and_distilled_through(tmp_path: Path, here: Here) -> None:
    classifier = tmp_path / "classifier"
    said = here(
        *("train-classifier", "--out", classifier, "--architecture", "resnet-small", "--iterations", "30"),
        *("--batch-size", "32", "--shift", "1", "--learning-rate", "3e-3"),
    )
    assert "359 images it had not seen" in said
    card = read_classifier_card(classifier)
    assert card.accuracy > 0.5, "chance is 0.1"

    teacher, mine = SHIPPED_CHECKPOINTS / "digits" / "2-step", tmp_path / "mine"
    cfd = ("--method", "cfd", "--classifier", classifier, "--temperature", "0.8", "--iterations", "1")
    here(
        *("distill", "--teacher", teacher, "--from", "2", "--to", "1", "--out", mine, "--batch-size", "4", *cfd),
        *("--data", "synthetic", "--synthetic-images", "64"),
    )
    student = read_card(mine / "1-step")
    assert student.method == "cfd"
    assert student.hyper_parameters["temperature"] == 0.8
    assert student.hyper_parameters["dataset_weight"] == 0.003, "the paper's for a ResNet"
    assert student.hyper_parameters["classifier_sha256"] == card.sha256
    assert student.hyper_parameters["classifier_architecture"] == "resnet-small"

    tiny = ("distill", "--teacher", "tiny/2-step", "--from", "2", "--to", "1", "--out", tmp_path / "other", *cfd)
    said = here(*tiny, expect=2)
    assert "--classifier" in said
    assert "takes images of (1, 16, 16), the teacher makes (3, 8, 8)" in said


def test_ctrl_c_leaves_a_run_that_goes_on_to_the_same_weights(
    tmp_path: Path, environment: dict[str, str], here: Here
) -> None:
    iterations = ("--iterations", "60", *TINY_TRAINING)
    here("train", "--out", tmp_path / "whole" / "teacher", *iterations)

    cut = tmp_path / "cut" / "teacher"
    process = subprocess.Popen(
        [FEWSTEP, "train", "--out", cut, *iterations], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    shown = ""
    while "%|" not in shown:  # a share of the whole is shown once an iteration is done
        shown += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "the same command goes on from there" in rest
    assert cut.with_name("teacher.state.pt").exists()
    assert not cut.exists()

    here("train", "--out", cut, *iterations)
    assert read_card(cut).sha256 == read_card(tmp_path / "whole" / "teacher").sha256


def test_a_class_conditional_family_from_training_to_one_class(tmp_path: Path, here: Here) -> None:
    family = tmp_path / "numbers"
    tiny = (*TINY_TRAINING, "--iterations", "2")
    here("train", "--out", family / "teacher", "--class-conditional", *tiny)
    card = read_card(family / "teacher")
    assert card.num_classes == 10
    assert card.class_names == tuple("0123456789")
    here(
        *("distill", "--teacher", family / "teacher", "--from", "2", "--to", "1", "--out", family),
        *("--iterations", "1", "--batch-size", "2"),
    )
    assert read_card(family / "1-step").class_names == card.class_names
    here("sample", family, "--steps", "1", "--class-label", "3", "--out", tmp_path / "a.npy")
    said = here("sample", family, "--steps", "1", "--class-label", "10", "--out", tmp_path / "a.npy", expect=2)
    assert said.startswith("fewstep: --class-label: class_label is 0 to 9")


def test_training_goes_on_from_another_checkpoint(tmp_path: Path, here: Here) -> None:
    out = tmp_path / "more" / "teacher"
    tiny = ("--iterations", "1", "--batch-size", "2", "--learning-rate", "0", "--warmup", "0", "--ema-decay", "0.5")
    here("train", "--out", out, "--init", "digits/teacher", "--checkpoints", SHIPPED_CHECKPOINTS, *tiny)
    start = read_card(SHIPPED_CHECKPOINTS / "digits" / "teacher")
    card = read_card(out)
    assert card.sha256 == start.sha256  # nothing was learnt at a learning rate of 0
    assert (card.hyper_parameters["init"], card.hyper_parameters["init_sha256"]) == ("digits/teacher", start.sha256)


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, models.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_where_only_the_api_is_installed_it_says_what_to_install() -> None:
    without_packages = [sys.executable, "-S", "-c", "from models.cli import run; run()"]
    ran = subprocess.run(without_packages, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "fewstep: torch is not installed; this needs pip install 'fewstep[worker]'\n"
