"""What judges samples: a network that gives logits and features, and which networks may judge which checkpoints."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.catalog.card import CARD_NAME, Card, read_card
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME, read_classifier_card
from core.errors import InvalidRequest
from models.classifiers.checkpoint import load_classifier
from models.data.images import Pictures, to_float
from models.distillation.methods.cfd import Classify

_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A network whose features are compared.

    Attributes:
        name: For people, such as ``densenet-small`` or ``inception-v3``.
        sha256: Of its weights.
        classify: Gives logits and features of images in [-1, 1]; on ``device``.
        device: Where it runs.
        knows_classes: Whether its classes are those of the data, so that its sureness says something.
        class_names: Of its logits, where known.
    """

    name: str
    sha256: str
    classify: Classify
    device: torch.device
    knows_classes: bool
    class_names: tuple[str, ...] | None = None

    @torch.inference_mode()
    def extract(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Logits (N, classes) and features (N, D), float32 on the CPU, of (N, H, W, C) uint8 pictures."""
        parts = []
        for start in range(0, len(pictures), _BATCH):
            images = to_float(torch.tensor(pictures[start : start + _BATCH], device=self.device))
            parts.append([part.float().cpu() for part in self.classify(images)])
        logits, features = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(features)


def judge_extractor(
    folder: Path, *, image_shape: tuple[int, int, int], classes: tuple[str, ...] | None = None, device: torch.device
) -> Extractor:
    """A classifier of ours as judge.

    Args:
        folder: As ``train-classifier`` writes it.
        image_shape: Channels, height, width of the data.
        classes: Names of the data's classes, where known; one that knows others cannot say how sure it is of samples.
        device: Where it shall run.

    Raises:
        InvalidRequest: It takes images of another shape.
        CheckpointError: It is not there or damaged.
    """
    network, card = load_classifier(folder)
    if card.image_shape != image_shape:
        raise InvalidRequest(f"{folder} takes images of {card.image_shape}, the data are {image_shape}", field="judge")
    return Extractor(
        name=card.architecture,
        sha256=card.sha256,
        classify=network.to(device),
        device=device,
        knows_classes=set(classes or ()) <= set(card.class_names or classes or ()),
        class_names=card.class_names,
    )


def refuse_distilled_through(judge: Path, checkpoint: Path) -> None:
    """Raise ``InvalidRequest`` if a checkpoint or one it comes from was made to please this judge, or one built alike.

    Args:
        judge: Folder of a classifier of ours.
        checkpoint: Its ancestors are looked at as far as they are still there.
    """
    card = read_classifier_card(judge)
    for folder, ancestor in lineage(checkpoint):
        facts = ancestor.hyper_parameters
        if "classifier_sha256" not in facts:
            continue
        made = f"{folder.parent.name}/{folder.name} was distilled through"
        if facts["classifier_sha256"] == card.sha256:
            raise InvalidRequest(f"{made} {judge}, which therefore cannot judge it; name another", field="judge")
        architecture = facts.get("classifier_architecture") or _architecture(folder.parent, facts["classifier_sha256"])
        if architecture == card.architecture:
            raise InvalidRequest(
                f"{made} a {architecture}, which {judge} is too; name a judge of another architecture", field="judge"
            )


def lineage(checkpoint: Path) -> Iterator[tuple[Path, Card]]:
    """A checkpoint, its teacher, that one's teacher and so on, as far as they are there: folders and cards."""
    seen: set[Path] = set()
    following = [checkpoint.resolve()]
    while folder := next((one for one in following if one not in seen and (one / CARD_NAME).is_file()), None):
        seen.add(folder)
        card = read_card(folder)
        yield folder, card
        if not card.parent:
            return
        family, _, name = card.parent.rpartition("/")
        # Where it was made, or in the family that it was moved into.
        following = [folder.parent.parent / family / name, folder.parent / name]


def _architecture(family: Path, sha256: str) -> str | None:
    """Of a classifier that lies in the family."""
    cards = (read_classifier_card(path.parent) for path in family.glob(f"*/{CLASSIFIER_CARD_NAME}"))
    return next((card.architecture for card in cards if card.sha256 == sha256), None)
