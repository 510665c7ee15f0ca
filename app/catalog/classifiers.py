"""``/classifiers``: what a job can distil through, and be judged by."""

from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel

from app.access.caller import Known
from app.service import ServiceDependency
from core.catalog.card import CheckpointError
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME, ClassifierCard, read_classifier_card
from core.log import get_logger
from core.settings import Settings

router = APIRouter(tags=["models"])
log = get_logger(__name__)


class ClassifiersResponse(BaseModel):
    """All classifiers by name."""

    classifiers: dict[str, ClassifierCard]


@router.get("/classifiers", summary="All classifiers")
def list_classifiers(service: ServiceDependency, _: Known) -> ClassifiersResponse:
    """The card of each: `family/name` of those beside checkpoints, the folder's name of those you brought."""
    return ClassifiersResponse(classifiers=read_classifiers(service.settings))


def read_classifiers(settings: Settings) -> dict[str, ClassifierCard]:
    """Every classifier that can be read, by name; a damaged one is left out and logged."""
    found: dict[str, ClassifierCard] = {}
    for name, folder in _folders(settings):
        try:
            found.setdefault(name, read_classifier_card(folder))
        except CheckpointError as error:
            log.error("damaged classifier", detail=str(error))
    return found


def _folders(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Name and folder of each classifier; of families with one name the first has it."""
    taken: set[str] = set()
    for root in settings.families:
        there = sorted(path.parent for path in root.glob(f"[!.]*/[!.]*/{CLASSIFIER_CARD_NAME}"))
        yield from (
            (f"{folder.parent.name}/{folder.name}", folder) for folder in there if folder.parent.name not in taken
        )
        taken |= {path.name for path in root.iterdir()} if root.is_dir() else set()
    for card in sorted(settings.classifiers.glob(f"[!.]*/{CLASSIFIER_CARD_NAME}")):
        yield card.parent.name, card.parent
