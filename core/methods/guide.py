"""Which checkpoint may guide which (Autoguidance: Karras et al. 2024, arXiv 2406.02507)."""

from core.catalog.card import Card

USUAL_GUIDANCE = 2.0
GUIDANCE = "How far from the guide, in the distance of the teacher from it: 1 is the teacher itself"
_ALIKE = ("image_shape", "num_classes", "class_names", "prediction_type", "schedule")


def guide_misfit(name: str, guide: Card, teacher: Card) -> str | None:
    """Why the checkpoint of this name cannot be the guide of a teacher, if it cannot."""
    for fact in _ALIKE:
        if (its := getattr(guide, fact)) != (known := getattr(teacher, fact)):
            return f"{name} has another {fact} than the teacher: {its}, not {known}"
    if not (guide.knows_all_rows and teacher.knows_all_rows):
        return "neither teacher nor guide may be a student: rows are all to be known"
    if guide.sha256 == teacher.sha256:
        return f"{name} is the teacher itself, which cannot be led away from itself"
    return None
