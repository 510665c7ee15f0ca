"""A method that a user brings in one file: on the command line, over HTTP, killed, resumed, served."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.catalog.card import Card, read_card
from tests.e2e.stack import Stack
from tests.e2e.yard import draw_pictures
from tests.problems import problem
from tests.processes import ROOT, wait_until

FEWSTEP = Path(sys.executable).with_name("fewstep")
ITERATIONS = 24  # doubled, since the student has two steps


@pytest.fixture(scope="module", autouse=True)
def _brought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The file in a folder of its own, and every process told of it."""
    folder = tmp_path_factory.mktemp("brought")
    shutil.copy(Path(__file__).with_name("toy_method.py"), folder / "toy_method.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
        patch.setenv("FEWSTEP_METHODS", "toy_method")
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "squares"
    draw_pictures(folder)
    return folder


def command(family: Path, pictures: Path, out: Path) -> list[str]:
    facts = {
        "teacher": family / "8-step",
        "from": 8,
        "to": 2,
        "out": out,
        "method": "toy",
        "strength": 0.25,
        "data": pictures,
        "iterations": ITERATIONS,
        "batch-size": 8,
        "learning-rate": 1e-3,
    }
    return [str(FEWSTEP), "distill", *(f"--{name}={value}" for name, value in facts.items())]


@pytest.fixture(scope="module")
def plain(tiny_family: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Card:
    """What the command line makes in one piece."""
    out = tmp_path_factory.mktemp("plain") / "family"
    subprocess.run(command(tiny_family, pictures, out), check=True)
    return read_card(out / "2-step")


def test_its_options_stand_in_the_help_and_in_the_card(plain: Card) -> None:
    shown = subprocess.run([FEWSTEP, "distill", "--help"], check=True, capture_output=True, text=True).stdout
    assert "toy: a method of a test" in " ".join(shown.split())
    assert "For toy: Of the pull towards what it remembers; by default 0.5." in " ".join(shown.split())
    assert plain.method == "toy"
    assert plain.hyper_parameters is not None
    assert plain.hyper_parameters["strength"] == 0.25
    assert plain.num_steps == 2


def test_an_option_out_of_range_or_of_another_method_is_named_before_torch_is_imported(
    tiny_family: Path, pictures: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    for changes, words in (
        (["--strength", "3"], "--strength: Input should be less than or equal to 2"),
        (["--temperature", "0.9"], "--temperature: toy has no use for temperature; it belongs to cfd, rdd, sfd"),
        (["--method", "none"], "--method: there is no method 'none'; there are cfd, pd, rdd, sfd, toy"),
    ):
        asked = [*command(tiny_family, pictures, tmp_path / "out"), *changes]
        refused = subprocess.run(asked, env=environment, check=False, capture_output=True, text=True)
        assert refused.returncode == 2
        *imported, last = refused.stderr.splitlines()
        assert last == f"fewstep: {words}"
        assert {line.rpartition("|")[2].strip() for line in imported}.isdisjoint({"torch", "numpy"})


def test_killed_and_resumed_it_ends_in_the_same_bits(
    tiny_family: Path, pictures: Path, tmp_path: Path, plain: Card
) -> None:
    asked = command(tiny_family, pictures, tmp_path / "family")
    state = tmp_path / "family" / "2-step.state.pt"
    for sign in (signal.SIGINT, signal.SIGTERM):  # which save what there is
        with subprocess.Popen(asked, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as run:
            assert run.stderr is not None
            wait_until_trained(run.stderr.fileno())
            run.send_signal(sign)
            run.communicate(timeout=60)
        assert run.returncode == 130
        assert state.exists()
    subprocess.run(asked, check=True)
    assert read_card(tmp_path / "family" / "2-step").sha256 == plain.sha256


def wait_until_trained(descriptor: int) -> None:
    """Until a run says that it has trained."""
    seen = b""

    def trained() -> bool:
        nonlocal seen
        seen += os.read(descriptor, 10_000)
        return b"%|" in seen  # a share of the whole is shown once an iteration is done

    wait_until(trained, what="an iteration")


def test_a_job_by_it_survives_a_killed_worker_and_serves_what_the_command_line_makes(
    tiny_family: Path, pictures: Path, tmp_path: Path, plain: Card
) -> None:
    shutil.copytree(tiny_family, tmp_path / "checkpoints" / "digits")
    shutil.copytree(pictures, tmp_path / "var" / "datasets" / "squares")
    stack = Stack(tmp_path, tmp_path / "checkpoints")
    try:
        stack.start("distiller")
        stack.ensure_ready()
        wait_until(lambda: "squares" in stack.api.get("/datasets").text, what="the data")
        body = {
            "teacher": "digits/8-step",
            "method": "toy",
            "to_steps": 2,
            "strength": 0.25,
            "data": "squares",
            "iterations": ITERATIONS,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "name": "brought",
        }
        assert problem(stack.api.post("/distill-jobs", json=body | {"strength": 3}), 422)["field"] == "strength"
        assert problem(stack.api.post("/distill-jobs", json=body | {"temperature": 1}), 422)["field"] == "temperature"
        accepted = stack.api.post("/distill-jobs", json=body)
        assert accepted.status_code == 202, accepted.text
        assert accepted.json()["steps"] == [2]
        place = accepted.headers["location"]
        wait_until(lambda: stack.api.get(place).json()["iteration"] > 0, what="the first iteration")
        stack.stop("distiller", signal.SIGKILL)
        stack.start("distiller")
        wait_until(lambda: "retry-after" not in stack.api.get(place).headers, what="the end")
        assert stack.api.get(place).json()["state"] == "succeeded", stack.api.get(place).text
        assert stack.api.get("/models/brought/2-step").json()["sha256"] == plain.sha256
        picture = stack.api.post("/generate", json={"model": "brought", "steps": 2}, headers={"Accept": "image/png"})
        assert picture.status_code == 200, picture.text
    finally:
        stack.close()
