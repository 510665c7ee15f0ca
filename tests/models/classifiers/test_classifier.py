import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from core.catalog.card import CheckpointError
from core.catalog.classifier_card import Architecture
from models.classifiers.checkpoint import load_classifier, save_classifier
from models.classifiers.classifier import SHAPES, Classifier, fold_norms
from models.classifiers.training import cut_out, shift, split
from models.training.batches import TrainingData
from models.training.parallel import Draws

IMAGES = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def build(architecture: Architecture = "resnet-small", channels: int = 1) -> Classifier:
    torch.manual_seed(0)
    return Classifier(
        architecture, channels=channels, num_classes=10, mean=(0.2,) * channels, std=(0.5,) * channels
    ).eval()


@pytest.mark.parametrize(
    ("architecture", "parameters", "features"), [("resnet-18", 11_173_962, 512), ("densenet-201", 18_104_330, 1920)]
)
def test_the_networks_of_the_paper_have_its_size(architecture: Architecture, parameters: int, features: int) -> None:
    with torch.device("meta"):
        classifier = Classifier(architecture, channels=3, num_classes=10, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters
    assert classifier.num_features == features


@pytest.mark.parametrize("architecture", ["resnet-small", "resnet-9", "densenet-small"])
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_follow_from_the_pooled_features(architecture: Architecture, channels: int) -> None:
    classifier = build(architecture, channels)
    images = IMAGES.expand(3, channels, 16, 16)
    logits, features = classifier(images)
    assert features.shape == (3, classifier.num_features)
    torch.testing.assert_close(logits, classifier.head(features))
    assert logits.shape == (3, 10)


@pytest.mark.parametrize(("architecture", "left"), [("resnet-small", 0), ("resnet-9", 3), ("densenet-small", 15)])
def test_folded_it_says_the_same_and_passes_gradients_on_alike(architecture: Architecture, left: int) -> None:
    """In a DenseNet most norms come before a convolution, and in a pooled ResNet some after the pooling."""
    plain, folded = build(architecture), build(architecture)
    for classifier in (plain, folded):
        for index, norm in enumerate(each for each in classifier.modules() if isinstance(each, nn.BatchNorm2d)):
            torch.manual_seed(index)
            for statistic in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
                assert statistic is not None
                statistic.uniform_(0.5, 1.5)
    fold_norms(folded)
    assert sum(isinstance(each, nn.BatchNorm2d) for each in folded.modules()) == left
    gradients = []
    for classifier in (plain, folded):
        images = IMAGES.clone().requires_grad_()
        classifier(images)[1].square().sum().backward()
        assert images.grad is not None
        gradients.append(images.grad)
    torch.testing.assert_close(folded(IMAGES)[0], plain(IMAGES)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=float(gradients[0].abs().max()) * 1e-5)


def test_images_are_normalised_within() -> None:
    plain, normalising = build(), build()
    plain.mean.zero_()
    plain.std.fill_(1.0)
    torch.testing.assert_close(plain((IMAGES - 0.2) / 0.5)[0], normalising(IMAGES)[0])


def test_every_architecture_has_a_shape() -> None:
    assert set(SHAPES) == set(Architecture.__args__)  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_classifier(
        tmp_path / "classifier",
        build(),
        architecture="resnet-small",
        image_shape=(1, 16, 16),
        accuracy=0.5,
        test_images=10,
        data="digits",
        data_fingerprint="",
    )
    return tmp_path / "classifier"


def test_a_loaded_classifier_is_frozen_but_lets_gradients_through(folder: Path) -> None:
    classifier, card = load_classifier(folder)
    assert (card.num_features, card.num_classes) == (128, 10)
    torch.testing.assert_close(classifier(IMAGES), build()(IMAGES))
    assert not classifier.training
    images = IMAGES.clone().requires_grad_()
    classifier(images)[1].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_damage_is_named(folder: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(folder, tmp_path / "changed")
    (changed / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        load_classifier(changed)
    (changed / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        load_classifier(changed)
    (changed / "classifier.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"classifier\.json: not a valid card: fewstep_version"):
        load_classifier(changed)


def test_images_are_shifted_by_every_amount_up_to_the_most() -> None:
    x = torch.zeros(200, 1, 5, 5)
    x[:, :, 2, 2] = 1.0
    moved = shift(x, most=1, draws=Draws(torch.Generator().manual_seed(0)))
    places = {tuple(place) for place in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    assert torch.equal(shift(x, most=0, draws=Draws(torch.Generator())), x)


def test_a_square_of_each_image_is_cut_out_wherever_its_middle_lies() -> None:
    x = torch.ones(2000, 3, 5, 7)
    cut = cut_out(x, side=2, draws=Draws(torch.Generator().manual_seed(0))) == 0
    assert torch.equal(cut.any(1), cut.all(1))  # in all channels
    cut = cut[:, 0]
    heights, widths = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(cut.sum((1, 2)), heights * widths)  # a rectangle, which an edge of the image may narrow
    assert {(int(h), int(w)) for h, w in zip(heights, widths, strict=True)} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert cut.any(0).all()  # of every pixel
    assert torch.equal(cut_out(x, side=0, draws=Draws(torch.Generator())), x)


def test_images_to_test_on_are_not_trained_on() -> None:
    levels = torch.arange(100, dtype=torch.uint8)
    data = TrainingData(levels.view(100, 1, 1, 1), flip=False, labels=levels.long())
    rest, test = split(data, seed=3)
    assert rest.labels is not None
    assert test.labels is not None
    assert len(test.images) == 20
    assert sorted([*rest.labels.tolist(), *test.labels.tolist()]) == list(range(100))
    assert torch.equal(test.images.flatten().long(), test.labels)
