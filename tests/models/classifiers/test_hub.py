"""Classifiers of transformers, tiny and of random weights, in folders as they are published."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.catalog.card import SHIPPED_CHECKPOINTS, read_card
from core.errors import InvalidRequest
from core.methods.declaration import Options, find_method
from models.classifiers.hub import load_hub_classifier
from models.cli.main import main
from models.data.images import to_float
from models.distillation.method import LoadedMethod, Setup, load_method
from models.distillation.methods.cfd import CFDConfig, cfd_loss
from models.distillation.target import TargetBatch
from models.distillation.through import load_teaching_classifier

RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
VIT: dict[str, Any] = {
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
GREY = (1, 16, 16)


def published(folder: Path, kind: str) -> str:
    """Write a model of 7 classes with its preprocessing, 32x32; gives the folder."""
    import transformers

    torch.manual_seed(0)
    model = {
        "resnet": lambda: transformers.ResNetForImageClassification(transformers.ResNetConfig(**RESNET, num_labels=7)),
        "vit": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**VIT, num_labels=7)),
        "headless": lambda: transformers.ResNetModel(transformers.ResNetConfig(**RESNET, num_labels=7)),
        "two-headed": lambda: transformers.DeiTForImageClassificationWithTeacher(
            transformers.DeiTConfig(**VIT, num_labels=7)
        ),
    }[kind]()
    model.save_pretrained(folder)
    transformers.ViTImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.25, 0.3]
    ).save_pretrained(folder)
    return str(folder)


def changed(folder: str, **fields: object) -> str:
    """Change what a folder says of preprocessing."""
    path = Path(folder, "preprocessor_config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def pictures(side: int) -> torch.Tensor:
    """(4, side, side, 3) uint8."""
    return torch.randint(256, (4, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(("kind", "width"), [("resnet", 16), ("vit", 12)])
def test_logits_are_those_of_transformers_with_its_own_preprocessing(tmp_path: Path, kind: str, width: int) -> None:
    import transformers

    folder = published(tmp_path / kind, kind)
    classes = {"resnet": transformers.ResNetForImageClassification, "vit": transformers.ViTForImageClassification}
    theirs = classes[kind].from_pretrained(folder).eval()
    processor = transformers.ViTImageProcessorPil.from_pretrained(folder)
    ours = load_hub_classifier(folder)
    # A picture that is resized is rounded to whole levels in between by transformers.
    for side, tolerance in ((32, 1e-5), (20, 2e-2), (50, 2e-2)):
        images = pictures(side)
        with torch.no_grad():
            expected = theirs(**processor(list(images.numpy()), return_tensors="pt")).logits
            logits, features = ours(to_float(images))
        torch.testing.assert_close(logits, expected, rtol=0, atol=tolerance * expected.std().item())
        torch.testing.assert_close(ours.head(features), logits)
        assert features.shape == (4, width)


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_it_is_frozen_but_lets_gradients_through(tmp_path: Path, kind: str) -> None:
    classifier = load_hub_classifier(published(tmp_path / kind, kind))
    images = torch.rand(2, *GREY, generator=torch.Generator().manual_seed(0)).requires_grad_()
    _, features = classifier(images)
    features.square().sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert not any(module.training for module in classifier.modules())


def test_grey_is_repeated(tmp_path: Path) -> None:
    classifier = load_hub_classifier(published(tmp_path / "vit", "vit"))
    images = torch.rand(2, *GREY, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(classifier(images)[0], classifier(images.expand(-1, 3, -1, -1))[0])


def test_preprocessing_is_the_models_own(tmp_path: Path) -> None:
    folder = published(tmp_path / "resnet", "resnet")
    images = to_float(pictures(32))
    plain = load_hub_classifier(folder)
    reverse = load_hub_classifier(changed(folder, do_flip_channel_order=True))
    torch.testing.assert_close(reverse(images)[0], plain(images.flip(1))[0])
    raw = load_hub_classifier(changed(folder, do_flip_channel_order=False, do_normalize=False, do_rescale=False))
    torch.testing.assert_close(
        raw((((images + 1) / 2 - plain.mean) / plain.std) / 127.5 - 1)[0], plain(images)[0], rtol=1e-4, atol=1e-4
    )
    cropped = load_hub_classifier(changed(folder, do_center_crop=True, crop_size=24, size={"shortest_edge": 28}))
    assert cropped.size == (24, 24)
    assert load_hub_classifier(changed(folder, do_center_crop=False)).size == (28, 28)


def setup(classifier: str) -> Setup:
    return Setup(options=Options(), classifier=classifier, image_shape=GREY, device="cpu")


def cfd(classifier: str, *, image_shape: tuple[int, int, int] = GREY, **options: float) -> LoadedMethod:
    given = {"classifier": classifier, **options}
    return load_method(find_method("cfd"), given=given, image_shape=image_shape, device="cpu")


def test_presets_are_the_papers_without_the_dataset_term(tmp_path: Path) -> None:
    for kind, temperature in (("resnet", 0.95), ("vit", 0.9)):
        folder = published(tmp_path / kind, kind)
        facts = cfd(folder).facts
        assert facts["temperature"] == temperature
        assert facts["dataset_weight"] == 0
        assert facts["classifier"] == kind
        assert facts["classifier_architecture"] == kind
        assert cfd(folder, dataset_weight=0.01).facts["dataset_weight"] == 0.01


def test_a_student_is_distilled_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = published(tmp_path / "resnet", "resnet")
    facts = cfd(folder).facts
    x_hat, target = (torch.rand(4, *GREY, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    one = torch.ones(4, 1, 1, 1)
    batch = TargetBatch(z_t=target, row_t=torch.zeros(4).long(), alpha_t=one, sigma_t=one, x_target=target)
    classify = load_teaching_classifier(setup(folder)).network
    value = cfd_loss(x_hat.requires_grad_(), batch, classify=classify, config=CFDConfig())
    value.backward()
    assert value > 0
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()

    teacher = SHIPPED_CHECKPOINTS / "digits" / "2-step"
    arguments = ["distill", "--teacher", teacher, "--from", "2", "--to", "1", "--out", tmp_path / "mine"]
    by_cfd = ["--method", "cfd", "--classifier", folder, "--iterations", "1", "--batch-size", "4"]
    monkeypatch.setattr(sys, "argv", ["fewstep", *map(str, arguments), *by_cfd])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code, capsys.readouterr().err
    student = read_card(tmp_path / "mine" / "1-step")
    assert student.hyper_parameters["classifier_sha256"] == facts["classifier_sha256"]
    assert student.sha256 != read_card(teacher).sha256


def test_the_hash_is_of_the_weights(tmp_path: Path) -> None:
    import transformers

    first = load_hub_classifier(published(tmp_path / "a", "resnet"))
    assert load_hub_classifier(published(tmp_path / "b", "resnet")).sha256 == first.sha256
    folder = tmp_path / "c"
    published(folder, "resnet")
    model = transformers.ResNetForImageClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier[1].bias[0] += 1e-3
    model.save_pretrained(folder)
    assert load_hub_classifier(str(folder)).sha256 != first.sha256


def test_what_does_not_serve_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: str) -> str:
        with pytest.raises(InvalidRequest) as error:
            load_hub_classifier(folder)
        assert error.value.field == "classifier"
        assert "\n" not in error.value.detail
        return error.value.detail

    assert "it has no weights for classifier.1.bias" in refused(published(tmp_path / "headless", "headless"))
    assert "not the output of one linear layer" in refused(published(tmp_path / "two", "two-headed"))
    assert "preprocessor_config.json says no size" in refused(changed(published(tmp_path / "a", "vit"), size=None))
    (tmp_path / "a" / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json" in refused(str(tmp_path / "a"))
    weights = Path(published(tmp_path / "b", "vit"), "model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "cannot be distilled through" in refused(str(tmp_path / "b"))
    assert "holds neither a classifier" in refused(str(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install 'fewstep[hub]'" in refused("some/model")


def test_colour_does_not_go_into_a_model_of_grey(tmp_path: Path) -> None:
    import transformers

    folder = tmp_path / "grey"
    torch.manual_seed(0)
    config = transformers.ResNetConfig(**RESNET, num_channels=1)
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size=32, image_mean=[0.5], image_std=[0.5]).save_pretrained(folder)
    with pytest.raises(InvalidRequest, match="takes images of 1 channels, the teacher makes 3"):
        cfd(str(folder), image_shape=(3, 16, 16))
    logits, _ = load_teaching_classifier(setup(str(folder))).network(torch.zeros(1, *GREY))
    assert logits.isfinite().all()
