"""Whether data are for a network."""

from core.catalog.card import Card
from core.catalog.datasets import DatasetFacts


def misfit_of(facts: DatasetFacts, card: Card) -> str | None:
    """Why a data set is not for a checkpoint, if it is not."""
    if facts.error:
        return facts.error
    if facts.image_shape != card.image_shape:
        return f"its images are of {dimensions(facts.image_shape)}, the teacher makes {dimensions(card.image_shape)}"
    if card.num_classes is None:
        return None
    if facts.class_names and card.class_names:
        strange = [name for name in facts.class_names if name not in card.class_names]
        return f"it has classes that the teacher does not know: {', '.join(strange)}" if strange else None
    if facts.num_classes != card.num_classes:
        return f"it has {facts.num_classes or 'no'} classes, the teacher {card.num_classes}"
    return None


def dimensions(shape: tuple[int, int, int] | None) -> str:
    """An image shape for a person."""
    return "unknown shape" if shape is None else "x".join(map(str, shape))
