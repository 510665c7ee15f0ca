"""``fewstep evaluate`` on the tiny family, with judges of random weights."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.catalog.card import Card, Family, read_card
from core.catalog.classifier_card import Architecture
from core.errors import InvalidRequest
from models.classifiers.checkpoint import save_classifier
from models.classifiers.classifier import Classifier
from models.cli.main import main
from models.data.dataset import load_data
from models.evaluation.evaluate import Evaluation, default_count, evaluate, pairs_of, save_evaluation
from models.evaluation.extractors import Extractor, judge_extractor, lineage, refuse_distilled_through
from models.evaluation.fidelity import frechet_distance, moments
from models.evaluation.reference import load_reference
from models.sampling.engine import Sampler

CPU = torch.device("cpu")
SHAPE = (3, 8, 8)


def write_judge(folder: Path, architecture: Architecture = "densenet-small", *, seed: int = 0) -> str:
    """A classifier of random weights; gives its SHA-256."""
    torch.manual_seed(seed)
    classifier = Classifier(architecture, channels=3, num_classes=4, mean=(0.0,) * 3, std=(1.0,) * 3)
    facts = {"accuracy": 0.25, "test_images": 10, "data": "pictures", "data_fingerprint": ""}
    return save_classifier(folder, classifier, architecture=architecture, image_shape=SHAPE, **facts).sha256


def write_pictures(folder: Path, count: int, *, seed: int) -> None:
    folder.mkdir(parents=True)
    for index, pixels in enumerate(np.random.default_rng(seed).integers(256, size=(count, 8, 8, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{index:03}.png")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A data set of 30 pictures, all one."""
    write_pictures(tmp_path / "pictures", 30, seed=0)
    return tmp_path / "pictures"


@pytest.fixture
def family(tiny_family: Path, tmp_path: Path) -> Path:
    """The tiny family with a judge in it, to be written to."""
    family = shutil.copytree(tiny_family, tmp_path / "models" / "tiny")
    write_judge(family / "judge")
    return family


@pytest.fixture
def extractor(family: Path) -> Extractor:
    return judge_extractor(family / "judge", image_shape=SHAPE, device=CPU)


def change_card(checkpoint: Path, **fields: object) -> None:
    card = read_card(checkpoint).model_copy(update=fields)
    (checkpoint / "card.json").write_text(Card.model_validate(card.model_dump()).model_dump_json())


@pytest.mark.slow
def test_a_family_is_judged_beside_its_teacher_at_every_number_of_steps(
    family: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(family), "--data", str(pictures), "--n", "12", "--save"]
    monkeypatch.setattr(sys, "argv", ["fewstep", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    said = capsys.readouterr().out
    assert said.startswith("12 samples, seeds 0 to 11, against 30 images of pictures (train, ")
    assert "judged by densenet-small (" in said
    assert "floor, one half of the data to the other: " in said
    rows = [line.split(" | ")[:2] for line in said.splitlines() if line.startswith("| ")][1:]
    names = [(f"| {steps}", name) for steps in (8, 4, 2, 1) for name in ("tiny/teacher", f"tiny/{steps}-step")]
    assert [tuple(row) for row in rows] == names
    saved = read_card(family / "teacher").metrics["evaluations"]
    assert [figures["num_steps"] for figures in saved] == [8, 4, 2, 1]


def test_every_figure_carries_what_it_depends_on(
    family: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(family / "2-step"), "--data", str(pictures), "--n", "20", "--seed", "5", "--json"]
    monkeypatch.setattr(sys, "argv", ["fewstep", *arguments])
    with pytest.raises(SystemExit):
        main()
    (figures,) = json.loads(capsys.readouterr().out)
    judge = judge_extractor(family / "judge", image_shape=SHAPE, device=CPU)
    data = load_data(str(pictures))
    assert figures["extractor"] == "densenet-small"
    assert figures["extractor_sha256"] == judge.sha256
    assert (figures["num_steps"], figures["samples"], figures["first_seed"]) == (2, 20, 5)
    assert (figures["data"], figures["data_split"], figures["data_images"]) == ("pictures", "train", 30)
    assert figures["data_fingerprint"] == data.fingerprint
    samples = Sampler(family / "2-step").sample(seeds=range(5, 25))
    expected = frechet_distance(moments(judge.extract(samples)[1]), moments(judge.extract(data.images)[1]))
    assert figures["frechet_distance"] == pytest.approx(expected)
    assert 0 <= figures["precision"] <= 1
    assert figures["smallest_class"] is not None
    assert figures["sampled_in"] == "fp32"


def test_samples_of_a_class_are_right_where_the_judge_finds_it_whatever_its_number_there(
    conditional_family: Path, family: Path, pictures: Path, extractor: Extractor
) -> None:
    checkpoint = shutil.copytree(conditional_family / "1-step", family / "of-classes")
    data = load_data(str(pictures))
    reference = load_reference(str(pictures), data, size=None, extractor=extractor)

    def right(judge: Extractor) -> tuple[float | None, float | None]:
        result = evaluate(Sampler(checkpoint), num_steps=1, count=30, extractor=judge, train=data, reference=reference)
        return result.right, result.least_right

    found = extractor.extract(Sampler(checkpoint).sample(seeds=range(30)))[0].argmax(1)
    shares = [[float((found[number::3] == where).double().mean()) for where in range(4)] for number in range(3)]
    each = [shares[0][0], shares[1][1], shares[2][2]]
    assert right(extractor) == pytest.approx((sum(each) / 3, min(each)))
    change_card(checkpoint, class_names=("ant", "bee", "cat"))
    named = dataclasses.replace(extractor, class_names=("cat", "ant", "dog", "bee"))
    each = [shares[0][1], shares[1][3], shares[2][0]]
    assert right(named) == pytest.approx((sum(each) / 3, min(each)))
    assert right(dataclasses.replace(named, class_names=("cat", "ant", "dog", "eel"))) == (None, None)
    assert right(dataclasses.replace(named, knows_classes=False)) == (None, None)


def test_figures_of_two_precisions_stand_beside_each_other_and_replace_those_that_do_not_say(
    family: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for precision in ("fp32", "bf16"):
        arguments = ["evaluate", str(family / "1-step"), "--data", str(pictures), "--n", "4", "--save"]
        monkeypatch.setattr(sys, "argv", ["fewstep", *arguments, "--precision", precision])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        assert f"; sampled in {precision}\n" in capsys.readouterr().out
    saved = read_card(family / "1-step").metrics["evaluations"]
    assert [figures.pop("sampled_in") for figures in saved] == ["fp32", "bf16"]
    change_card(family / "1-step", metrics={"evaluations": saved[:1]})
    save_evaluation(family / "1-step", Evaluation(**saved[1], sampled_in="bf16"))
    assert [figures.get("sampled_in") for figures in read_card(family / "1-step").metrics["evaluations"]] == ["bf16"]


def test_real_images_are_at_no_distance_from_themselves(pictures: Path, extractor: Extractor) -> None:
    data = load_data(str(pictures))
    reference = load_reference(str(pictures), data, size=None, extractor=extractor)
    _, features = extractor.extract(data.images)
    assert frechet_distance(moments(features), reference.moments) == pytest.approx(0, abs=1e-5)


def test_the_statistics_of_the_data_are_taken_once(pictures: Path, extractor: Extractor, cache: Path) -> None:
    def never(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise AssertionError(f"asked about {len(images)} images")

    data = load_data(str(pictures))
    first = load_reference(str(pictures), data, size=None, extractor=extractor)
    idle = dataclasses.replace(extractor, classify=never)
    again = load_reference(str(pictures), data, size=None, extractor=idle)
    assert again.floor == first.floor
    torch.testing.assert_close(again.moments.covariance, first.moments.covariance, rtol=0, atol=0)
    torch.testing.assert_close(again.radii, first.radii, rtol=0, atol=0)

    with pytest.raises(AssertionError, match="asked about"):
        load_reference(str(pictures), data, size=None, extractor=dataclasses.replace(idle, sha256="another"))

    (kept,) = cache.glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:100])
    assert load_reference(str(pictures), data, size=None, extractor=extractor).floor == first.floor


def test_the_floor_is_the_distance_of_the_test_split_if_there_is_one(tmp_path: Path, extractor: Extractor) -> None:
    both = tmp_path / "both"
    write_pictures(both / "train" / "a", 20, seed=0)
    write_pictures(both / "test" / "a", 10, seed=1)
    train, test = load_data(str(both)), load_data(str(both), split="test")
    reference = load_reference(str(both), train, size=None, extractor=extractor)
    expected = frechet_distance(*(moments(extractor.extract(part.images)[1]) for part in (test, train)))
    assert reference.floor == pytest.approx(expected)
    assert reference.floor_of == "test split to training split"

    shutil.rmtree(both / "test")
    reference = load_reference(str(both), load_data(str(both)), size=None, extractor=extractor)
    assert reference.floor_of == "one half of the data to the other"
    assert reference.floor != pytest.approx(expected)


def test_saved_figures_replace_those_taken_in_the_same_way(family: Path, pictures: Path, extractor: Extractor) -> None:
    checkpoint = family / "1-step"
    change_card(checkpoint, metrics={"note": "kept"})
    before = read_card(checkpoint)
    data = load_data(str(pictures))
    reference = load_reference(str(pictures), data, size=None, extractor=extractor)
    sampler = Sampler(checkpoint)
    for count in (8, 12, 8):
        result = evaluate(sampler, num_steps=1, count=count, extractor=extractor, train=data, reference=reference)
        save_evaluation(checkpoint, result)
    after = read_card(checkpoint)
    assert [figures["samples"] for figures in after.metrics["evaluations"]] == [12, 8]
    assert after.metrics["note"] == "kept"
    assert after.model_copy(update={"metrics": before.metrics}) == before
    assert (checkpoint / "card.json").stat().st_mode & 0o044, "others may read it as they could before"
    Sampler(checkpoint)


@pytest.mark.parametrize("made", ["1-step", "2-step"])
def test_the_classifier_distilled_through_may_not_judge_nor_one_built_alike(family: Path, made: str) -> None:
    sha256 = write_judge(family / "classifier", "resnet-small")
    change_card(family / made, parent="tiny/4-step", hyper_parameters={"classifier_sha256": sha256})
    if made == "2-step":
        change_card(family / "1-step", parent="elsewhere/2-step")  # the family was moved
    refuse_distilled_through(family / "judge", family / "1-step")
    with pytest.raises(InvalidRequest, match=f"tiny/{made} was distilled through .*, which therefore cannot judge it"):
        refuse_distilled_through(family / "classifier", family / "1-step")

    write_judge(family / "alike", "resnet-small", seed=1)
    with pytest.raises(InvalidRequest, match=r"distilled through a resnet-small, which .*alike is too"):
        refuse_distilled_through(family / "alike", family / "1-step")
    shutil.rmtree(family / "classifier")
    facts = {"classifier_sha256": sha256, "classifier_architecture": "resnet-small"}
    change_card(family / made, hyper_parameters=facts)
    with pytest.raises(InvalidRequest, match="distilled through a resnet-small"):
        refuse_distilled_through(family / "alike", family / "1-step")


def test_lineage_ends_where_a_teacher_is_gone_or_is_itself(family: Path) -> None:
    change_card(family / "1-step", parent="tiny/2-step")
    change_card(family / "2-step", parent="gone/away")
    assert [folder.name for folder, _ in lineage(family / "1-step")] == ["1-step", "2-step"]
    change_card(family / "2-step", parent="tiny/1-step")
    assert [folder.name for folder, _ in lineage(family / "1-step")] == ["1-step", "2-step"]


def test_samples_asked_for_by_default() -> None:
    counts = {}
    for images in (100, 5_000, 60_000):
        pictures = np.zeros((images, 1, 1, 1), np.uint8)
        data = dataclasses.replace(load_data("digits"), images=pictures)
        counts[images] = default_count(data)
    assert counts == {100: 2_000, 5_000: 5_000, 60_000: 50_000}


def test_a_teacher_alone_has_no_steps_of_its_own_to_be_judged_in(family: Path) -> None:
    for name in ("8-step", "4-step", "2-step", "1-step"):
        shutil.rmtree(family / name)
    with pytest.raises(InvalidRequest, match="'tiny' has no students; name the steps"):
        list(pairs_of(Family.read(family)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{family} --steps 1 --judge {family}/judge --inception x.pth", "--inception: one of --judge and --inception"),
        ("{family} --steps 1", "--judge: {judge} takes images of (3, 8, 8), the data are (1, 16, 16)"),
        ("digits --steps 1 --judge {family}/none", "{family}/none/classifier.json: cannot read the card"),
        ("{family} --steps 3", "--steps: model 'tiny' has no checkpoint for 3 steps"),
        ("nothing", "--model: there is no model 'nothing'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: str, message: str, family: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fewstep", "evaluate", *arguments.format(family=family).split()])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    assert message.format(family=family, judge=family / "judge") in said
