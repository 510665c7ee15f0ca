"""Where on this machine lies what a message names."""

from pathlib import Path

from core.catalog.artifacts import ArtifactStore
from core.catalog.card import CARD_NAME, CheckpointError, read_card
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME, read_classifier_card
from core.errors import InvalidRequest
from core.jobs.references import CheckpointRef, ClassifierRef
from core.settings import Settings


def checkpoint_folder(
    settings: Settings,
    artifacts: ArtifactStore,
    *,
    family: str,
    checkpoint: str,
    artifact: str | None,
) -> Path:
    """The folder of a checkpoint: of a job or an upload, or below the first folder of families that has it.

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


def named_checkpoint(settings: Settings, artifacts: ArtifactStore, reference: CheckpointRef, *, field: str) -> Path:
    """The folder of a checkpoint that a job names in a field; errors as of ``checkpoint_folder``.

    Raises:
        InvalidRequest: It is another than when it was named.
    """
    folder = checkpoint_folder(
        settings,
        artifacts,
        family=reference.family,
        checkpoint=reference.checkpoint,
        artifact=reference.artifact,
    )
    if read_card(folder).sha256 != reference.sha256:
        raise InvalidRequest(f"the {field} is another than when the job was accepted", field=field)
    return folder


def classifier_folder(settings: Settings, artifacts: ArtifactStore, reference: ClassifierRef) -> Path:
    """The folder of a classifier: of a job or an upload, or below the folder of classifiers or of families.

    Raises:
        InvalidRequest: It is not there, or is another than when it was named.
        NotFound: The artifact is not there any more.
    """
    roots = (*settings.families, settings.classifiers)
    folders = [root / reference.name for root in roots if (root / reference.name / CLASSIFIER_CARD_NAME).is_file()]
    if reference.artifact is not None:
        folders = [artifacts.folder(reference.artifact)]
    if not folders:
        raise InvalidRequest(f"there is no classifier {reference.name} on this worker", field="classifier")
    if read_classifier_card(folders[0]).sha256 != reference.sha256:
        raise InvalidRequest(
            f"{reference.name} is another classifier than when the job was accepted", field="classifier"
        )
    return folders[0]
