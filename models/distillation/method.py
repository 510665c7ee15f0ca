"""What a method computes. `core.methods` has what it is called and asks for; `methods` has one file for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from core.errors import InvalidRequest
from core.methods.declaration import Method, Options, settle
from models.diffusion.prediction import Denoiser
from models.distillation.rounds import Round
from models.training.companion import Companion
from models.training.execution import AUTO, Execution
from models.training.trainer import Loss


class Learning(NamedTuple):
    """How the student of one round learns.

    Attributes:
        loss: Makes its own targets from clean images and randomness, and compares; the mean over the images.
        companion: What it trains and keeps beside the student.
    """

    loss: Loss
    companion: Companion | None = None


class Begin(Protocol):
    """Begins a round, with a teacher that runs without gradients; a copy of it that is to learn must ask for them.

    Whatever is drawn at the beginning must follow from the seed.
    """

    def __call__(self, teacher: Denoiser, this: Round, *, seed: int) -> Learning: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a method is built of.

    Attributes:
        options: What was asked for; an instance of the declaration's.
        classifier: Folder of a classifier of ours, or name or folder of one of the Hugging Face Hub.
        image_shape: Channels, height, width of the teacher's images.
        knows_all_rows: Whether the teacher does, as of ``core.catalog.card.Card``.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How networks are run.
    """

    options: Options
    classifier: str | None
    image_shape: tuple[int, int, int]
    knows_all_rows: bool = False
    device: str = "auto"
    execution: Execution = AUTO


@dataclass(frozen=True, kw_only=True)
class Built:
    """A method that is ready.

    Attributes:
        begin: Begins each round.
        facts: Its hyper-parameters as they were settled, for the cards.
        class_names: The classes that data may be of, where the method depends on that and they are known.
    """

    begin: Begin
    facts: Mapping[str, object] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None


Build = Callable[[Setup], Built]
"""What the ``build`` of a declaration names."""


@dataclass(frozen=True, kw_only=True)
class LoadedMethod(Built):
    """A method with its declaration."""

    declaration: Method


def load_method(
    declaration: Method,
    *,
    given: Mapping[str, Any],
    image_shape: tuple[int, int, int],
    knows_all_rows: bool = False,
    device: str = "auto",
    execution: Execution = AUTO,
) -> LoadedMethod:
    """Check what was asked for, and build the method.

    Args:
        declaration: Of the method.
        given: Its options and, where it needs one, ``classifier``.
        image_shape: As of ``Setup``, and so are ``knows_all_rows``, ``device`` and ``execution``.
        knows_all_rows: Of the teacher.
        device: Where it is to compute.
        execution: How networks are run.

    Raises:
        InvalidRequest: The options do not fit method or teacher, or the classifier not the images.
        CheckpointError: The classifier is damaged.
    """
    options = settle(declaration, given, knows_all_rows=knows_all_rows)
    if options.needs_classifier and not given.get("classifier"):
        raise InvalidRequest(
            f"{declaration.name} distils through a classifier; name the folder of one", field="classifier"
        )
    setup = Setup(
        options=options,
        classifier=given.get("classifier"),
        image_shape=image_shape,
        knows_all_rows=knows_all_rows,
        device=device,
        execution=execution,
    )
    module, _, name = declaration.build.partition(":")
    built = cast("Build", getattr(import_module(module), name))(setup)
    return LoadedMethod(**vars(built), declaration=declaration)
