"""Where on this machine lies what a message names."""

from pathlib import Path

from core.catalog.artifacts import ArtifactStore
from core.catalog.card import CARD_NAME, CheckpointError
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME, read_classifier_card
from core.errors import InvalidRequest
from core.jobs.request import ClassifierRef
from core.settings import Settings


def checkpoint_folder(
    settings: Settings, artifacts: ArtifactStore, *, family: str, checkpoint: str, artifact: str | None
) -> Path:
    """The folder of a checkpoint: an artifact of a job, or below the first folder of families that has it.

    Raises:
        NotFound: The artifact is not there any more.
        CheckpointError: No folder of families has it.
    """
    if artifact is not None:
        return artifacts.folder(artifact)
    for root in settings.families:
        if (root / family / checkpoint / CARD_NAME).is_file():
            return root / family / checkpoint
    roots = ", ".join(str(root) for root in settings.families)
    raise CheckpointError(f"{family}/{checkpoint}: there is no such checkpoint on this worker, in {roots}")


def classifier_folder(settings: Settings, reference: ClassifierRef) -> Path:
    """The folder of a classifier, below the folder of classifiers or of families.

    Raises:
        InvalidRequest: It is not there, or is another than when it was named.
    """
    for root in (*settings.families, settings.classifiers):
        folder = root / reference.name
        if (folder / CLASSIFIER_CARD_NAME).is_file():
            if read_classifier_card(folder).sha256 != reference.sha256:
                raise InvalidRequest(
                    f"{reference.name} is another classifier than when the job was accepted", field="classifier"
                )
            return folder
    raise InvalidRequest(f"there is no classifier {reference.name} on this worker", field="classifier")
