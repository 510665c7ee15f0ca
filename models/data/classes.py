"""Classes of a data set beside those of a network or of other data: by their names, wherever those are known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.catalog.card import Card
from core.errors import InvalidRequest
from models.data.dataset import Dataset

_FEW = 10  # classes that are named one by one


def count_classes(dataset: Dataset, *, field: str = "data") -> int:
    """Number of classes of a data set with labels.

    Raises:
        InvalidRequest: It has none.
    """
    if dataset.labels is None:
        raise InvalidRequest(f"{dataset.name!r}: its pictures have no labels, which this needs", field=field)
    return len(dataset.class_names or ()) or int(dataset.labels.max()) + 1


def refuse_unknown(
    there: Sequence[str] | None, known: Sequence[str] | None, *, what: str, of: str, field: str, advice: str = ""
) -> None:
    """Raise ``InvalidRequest`` where names of classes are not among those that are known.

    Args:
        there: What is there; None where there are no names, and so nothing to compare.
        known: What may be there; likewise.
        what: Whose classes are there.
        of: Who knows the others.
        field: At fault.
        advice: Said at the end.
    """
    strange = [name for name in there or () if name not in (known or (name,))]
    if strange:
        raise InvalidRequest(
            f"{what} has classes that {of} does not know: {', '.join(strange)}; it knows {', '.join(known or ())}"
            f"{advice}",
            field=field,
        )


def in_classes_of(
    dataset: Dataset, names: tuple[str, ...] | None, *, count: int, of: str, field: str = "data"
) -> Dataset:
    """A data set with labels that are indices of given classes: by name, or where a side has no names, as they are.

    Args:
        dataset: With labels.
        names: Of the classes, if known.
        count: Of the classes.
        of: Whose they are.
        field: Of the data, for errors.

    Raises:
        InvalidRequest: It has no labels, or classes that are not among the given ones.
    """
    own = count_classes(dataset, field=field)
    if names and dataset.class_names:
        refuse_unknown(dataset.class_names, names, what=repr(dataset.name), of=of, field=field)
        index = np.array([names.index(name) for name in dataset.class_names])
        return replace(dataset, labels=index[dataset.labels], class_names=names)
    if own > count:
        raise InvalidRequest(f"{dataset.name!r} has {own} classes, {of} {count}", field=field)
    return dataset


def describe(dataset: Dataset) -> str:
    """One line on what is trained on or measured against: pictures, shape, classes, split, and what is left out."""
    channels, height, width = dataset.image_shape
    parts = [f"{len(dataset.images):,} pictures of {height}x{width}, {'grey' if channels == 1 else 'RGB'}"]
    parts.append(_classes_in_words(dataset))
    if dataset.split:
        parts.append(f"split {dataset.split}")
    left_out = f"; left out: {'; '.join(dataset.left_out)}" if dataset.left_out else ""
    return f"{dataset.name}: {', '.join(parts)}{left_out}"


def _classes_in_words(dataset: Dataset) -> str:
    if dataset.labels is None:
        return "no classes"
    total = count_classes(dataset)
    counts = np.bincount(dataset.labels, minlength=total).tolist()
    names = dataset.class_names or tuple(map(str, range(total)))
    empty = [name for name, number in zip(names, counts, strict=True) if not number]
    none = f"; none of {', '.join(empty[:_FEW])}{', …' if len(empty) > _FEW else ''}" if empty else ""
    if total <= _FEW:
        each = ", ".join(f"{name} {number:,}" for name, number in zip(names, counts, strict=True))
    else:
        each = f"{min(counts):,} to {max(counts):,} of each"
    return f"{total} classes ({each}{none})"


def fit_data(dataset: Dataset, card: Card) -> Dataset:
    """A data set with the classes of a checkpoint, where that has any.

    Raises:
        InvalidRequest: It has not the shape, or not the classes, of what the checkpoint makes.
    """
    if dataset.image_shape != card.image_shape:
        raise InvalidRequest(
            f"{dataset.name!r} has images of {dataset.image_shape}, the checkpoint of {card.image_shape}",
            field="data",
        )
    if card.num_classes is None:
        return dataset
    return in_classes_of(dataset, card.class_names, count=card.num_classes, of="the checkpoint")
