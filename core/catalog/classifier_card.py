"""A classifier's card: what is beside its weights, and what the API shows of it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.catalog.card import CARD_NAME, find_folder, read_json_card

CLASSIFIER_CARD_NAME = "classifier.json"

Architecture = Literal["resnet-9", "resnet-small", "resnet-18", "densenet-26", "densenet-small", "densenet-201"]


class ClassifierCard(BaseModel):
    """Everything about a classifier that its weights do not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fewstep_version: str
    architecture: Architecture
    image_shape: Annotated[tuple[int, int, int], Field(description="Channels, height, width")]
    num_classes: Annotated[int, Field(ge=2)]
    num_features: Annotated[int, Field(ge=1, description="Width of the features that CFD compares")]
    class_names: tuple[str, ...] | None = None
    parameters: Annotated[int, Field(ge=1, description="Number of weights")]
    accuracy: Annotated[float, Field(ge=0, le=1, description="On images that it was not trained on")]
    test_images: Annotated[int, Field(ge=1, description="Number of those")]
    data: Annotated[str, Field(description="Training data set")]
    data_fingerprint: Annotated[str, Field(description="Hash of the decoded training images and labels")]
    hyper_parameters: dict[str, Any] = {}
    command: Annotated[str | None, Field(description="The command that made it")] = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the weights file")]


def read_classifier_card(folder: Path) -> ClassifierCard:
    """Read ``folder/classifier.json``.

    Raises:
        CheckpointError: It is missing or not a valid card; the message says which file and what is wrong with it.
    """
    return read_json_card(folder / CLASSIFIER_CARD_NAME, ClassifierCard)


def locate_classifier(root: Path, name: str) -> str:
    """What a user means by ``name``: a folder, or one below ``root``; where neither holds a card, the name as it is."""
    return str(find_folder(root, name, CLASSIFIER_CARD_NAME, CARD_NAME) or name)
