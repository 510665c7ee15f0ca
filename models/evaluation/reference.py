"""What samples are compared with: a data set as an extractor sees it, worked out once and kept."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from core.errors import FewstepError, InvalidRequest
from models.checkpoints.files import cache_folder, in_place_of
from models.data.dataset import Dataset, load_data
from models.data.parquet_files import ALL_FOUND, Columns
from models.data.sources import NoSuchSplit
from models.evaluation.extractors import Extractor
from models.evaluation.fidelity import NEIGHBOURS, Moments, frechet_distance, moments, radii

_VERSION = 1  # raised whenever the same data and extractor give other statistics than before
MOST_NEIGHBOURHOODS = 10_000
"""Precision and recall compare each image with each: of more images or samples than this, they see so many."""
_SEED = 0  # of the order in which data are cut and images are drawn


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A data set in the features of an extractor.

    Attributes:
        moments: Of all training images.
        features: (M, D) of those that precision and recall are taken against, drawn once.
        radii: (M,) distance of each to its third nearest.
        floor: Fréchet distance of real images to real images: what no sampler need beat.
        floor_of: Which images those are.
    """

    moments: Moments
    features: Tensor
    radii: Tensor
    floor: float
    floor_of: str


def load_reference(
    source: str, train: Dataset, *, size: int | None, columns: Columns = ALL_FOUND, extractor: Extractor
) -> Reference:
    """The statistics of a data set, from the cache if they were taken before.

    Args:
        source: As of ``models.data.dataset.load_data``, and so are ``size`` and ``columns``.
        train: What was loaded from it.
        size: Side of the pictures.
        columns: Of a table.
        extractor: Whose features.

    Raises:
        InvalidRequest: There are too few images, or the test split is damaged.
        FewstepError: The cache cannot be written.
    """
    if len(train.images) <= 2 * NEIGHBOURS:
        raise InvalidRequest(f"{train.name}: {len(train.images)} images are too few to compare with", field="data")
    test = _test_split(source, train, size=size, columns=columns)
    facts = [_VERSION, extractor.sha256, train.fingerprint, test and test.fingerprint]
    folder = cache_folder()
    entry = folder / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]}.safetensors"
    floor_of = "test split to training split" if test else "one half of the data to the other"
    tensors = _read(entry)
    if tensors is None:
        tensors = _statistics(train, test, extractor)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with in_place_of(entry) as file:
                file.write(save(tensors))
        except OSError as error:
            raise FewstepError(f"{folder}: cannot keep statistics ({error}); FEWSTEP_CACHE names a folder") from error
    return Reference(
        moments=Moments(tensors["mean"], tensors["covariance"]),
        features=tensors["features"],
        radii=tensors["radii"],
        floor=tensors["floor"].item(),
        floor_of=floor_of,
    )


def _test_split(source: str, train: Dataset, *, size: int | None, columns: Columns) -> Dataset | None:
    """The test split, or None where a source is all one."""
    try:
        test = load_data(source, split="test", size=size, columns=columns)
    except NoSuchSplit:
        return None
    return None if test.fingerprint == train.fingerprint else test


def _statistics(train: Dataset, test: Dataset | None, extractor: Extractor) -> dict[str, Tensor]:
    _, features = extractor.extract(train.images)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(_SEED))
    whole = moments(features)
    if test is None:
        one, other = (moments(features[part]) for part in order.tensor_split(2))
    else:
        one, other = whole, moments(extractor.extract(test.images)[1])
    drawn = features[order[:MOST_NEIGHBOURHOODS]]
    return {
        "mean": whole.mean,
        "covariance": whole.covariance,
        "features": drawn,
        "radii": radii(drawn),
        "floor": torch.tensor(frechet_distance(one, other), dtype=torch.float64),
    }


def _read(entry: Path) -> dict[str, Tensor] | None:
    try:
        with safe_open(entry, "pt") as file:
            return {name: file.get_tensor(name) for name in ("mean", "covariance", "features", "radii", "floor")}
    except (OSError, SafetensorError):
        return None
