"""What the students of a chain learn from: a data set, images of their teacher, or noise alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from core.catalog.card import Card
from core.errors import InvalidRequest
from core.methods.declaration import Method
from models.data.classes import describe, fit_data
from models.data.dataset import load_data
from models.data.parquet_files import ALL_FOUND, Columns
from models.diffusion.prediction import Denoiser
from models.distillation.synthetic import SyntheticConfig, SyntheticData
from models.training.batches import DataSource, TrainingData


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is trained on.

    Attributes:
        source: On the device.
        class_names: Of its images, where they have names.
        about: It in a line.
        data: Its name, for the cards.
        data_fingerprint: Of a data set.
        facts: What else cards have of it.
    """

    source: DataSource
    class_names: tuple[str, ...] | None
    about: str
    data: str | None = None
    data_fingerprint: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def fill(self, between_blocks: Callable[[], None] = lambda: None) -> None:
        """Where the teacher makes the images, sample the first of them; as of ``SyntheticData.fill``."""
        if isinstance(self.source, SyntheticData):
            self.source.fill(between_blocks)


def prepare_material(
    teacher: Denoiser,
    card: Card,
    *,
    parent: str,
    method: Method,
    data: str | None,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    synthetic: SyntheticConfig | None = None,
    seed: int,
    device: torch.device,
) -> Material:
    """Load what a method shows its students.

    Args:
        teacher: On the device.
        card: The teacher's.
        parent: The teacher's name.
        method: Says whether it shows images.
        data: As of ``models.data.dataset.load_data``, and so are ``size`` and ``columns``; a name where
            ``synthetic`` is given; None for a method that shows none.
        size: Side of the pictures.
        columns: Of a table.
        synthetic: Sample the images from the teacher instead.
        seed: Of what is sampled.
        device: Where to.

    Raises:
        InvalidRequest: The data do not fit the teacher, or the method shows none.
    """
    if not method.needs_images:
        if data is not None:
            raise InvalidRequest(f"{method.name} is shown no images; leave it out", field="data")
        return Material(
            source=TrainingData.blank(card.image_shape, device, num_classes=card.num_classes),
            class_names=card.class_names,
            about=f"no images: noise and {parent}",
        )
    assert data is not None
    if synthetic is not None:
        if size is not None:
            raise InvalidRequest("synthetic images have the size that the teacher makes", field="size")
        columns.refuse(data)
        source = SyntheticData(teacher, card=card, config=synthetic, seed=seed)
        return Material(
            source=source,
            class_names=card.class_names,
            about=f"{data}: images sampled from {parent}",
            data=data,
            facts={**source.facts, "synthetic_teacher": parent},
        )
    dataset = fit_data(load_data(data, size=size, columns=columns), card)
    return Material(
        source=TrainingData.from_dataset(dataset, device),
        class_names=dataset.class_names,
        about=describe(dataset),
        data=dataset.name,
        data_fingerprint=dataset.fingerprint,
    )
