"""Classes are the same by their names, not by their places."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidRequest
from models.data.classes import describe, in_classes_of
from models.data.dataset import Dataset


def dataset(labels: list[int], names: tuple[str, ...] | None) -> Dataset:
    images = np.zeros((len(labels), 4, 4, 1), np.uint8)
    return Dataset(Path("set").name, images, np.array(labels), names, flip=True, fingerprint="")


def test_labels_become_those_of_the_same_name() -> None:
    found = in_classes_of(dataset([0, 1, 1], ("cat", "fox")), ("cat", "dog", "fox"), count=3, of="the teacher")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 2, 2]
    assert found.class_names == ("cat", "dog", "fox")
    assert describe(found) == "set: 3 pictures of 4x4, grey, 3 classes (cat 1, dog 0, fox 2; none of dog)"


def test_names_that_are_not_known_are_refused() -> None:
    with pytest.raises(
        InvalidRequest, match="'set' has classes that the teacher does not know: fox; it knows cat, dog"
    ):
        in_classes_of(dataset([0, 1], ("cat", "fox")), ("cat", "dog"), count=2, of="the teacher")


def test_without_names_on_a_side_places_count() -> None:
    for own, given in ((None, ("cat", "dog")), (("cat", "fox"), None), (None, None)):
        found = in_classes_of(dataset([0, 1], own), given, count=2, of="the teacher")
        assert found.labels is not None
        assert found.labels.tolist() == [0, 1]
    with pytest.raises(InvalidRequest, match="'set' has 3 classes, the teacher 2"):
        in_classes_of(dataset([0, 2], None), ("cat", "dog"), count=2, of="the teacher")


def test_many_classes_are_counted_and_those_without_a_picture_are_named() -> None:
    names = tuple(f"kind {number}" for number in range(12))
    said = describe(dataset([*range(11), 3], names))
    assert said == "set: 12 pictures of 4x4, grey, 12 classes (0 to 2 of each; none of kind 11)"
