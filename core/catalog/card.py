"""A checkpoint's card, and the families of checkpoints in a folder.

A checkpoint is a directory that plain diffusers opens, plus ``card.json``. A family is a folder of checkpoints that
share image shape and origin: ``digits/teacher``, ``digits/8-step``, ``digits/1-step``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import FewstepError, InvalidRequest, NotFound

CARD_NAME = "card.json"
SHIPPED_CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"

Model = TypeVar("Model", bound=BaseModel)

BetaSchedule = Literal["squaredcos_cap_v2", "linear", "scaled_linear"]
PredictionType = Literal["sample", "epsilon", "v_prediction"]
LastStep = Literal["row_0", "x_hat"]


class CheckpointError(FewstepError):
    """A checkpoint on disk is missing, damaged or not what its card says."""

    title = "Damaged checkpoint"


class NoiseSchedule(BaseModel):
    """The table of noise levels that a checkpoint's rows index, in diffusers' terms; by default the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beta_schedule: BetaSchedule = "squaredcos_cap_v2"
    num_rows: Annotated[int, Field(ge=2, description="Rows of the table: diffusers' num_train_timesteps")] = 1025
    beta_start: Annotated[float | None, Field(gt=0, lt=1, description="Of the linear tables")] = None
    beta_end: Annotated[float | None, Field(gt=0, lt=1, description="Of the linear tables")] = None

    @model_validator(mode="after")
    def _linear_has_ends(self) -> Self:
        if self.beta_schedule != "squaredcos_cap_v2" and None in (self.beta_start, self.beta_end):
            raise ValueError(f"{self.beta_schedule} needs beta_start and beta_end")
        return self


PAPER_SCHEDULE = NoiseSchedule()


class Card(BaseModel):
    """Everything about a checkpoint that its weights do not say."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    fewstep_version: str
    num_steps: Annotated[int, Field(ge=1, description="Sampling steps the network was trained for")]
    rows: Annotated[
        tuple[int, ...],
        Field(description="Rows of the noise schedule from clean to noise, one more than steps: 0, …, 1024"),
    ]
    schedule: Annotated[NoiseSchedule, Field(description="The table that the rows index")] = PAPER_SCHEDULE
    last_step: Annotated[
        LastStep, Field(description="The step onto the first row: apply row 0 and clip, or return x_hat itself")
    ]
    own_steps_only: Annotated[
        bool, Field(description="Whether it cannot be sampled in fewer steps, having learned from its own states")
    ] = False
    prediction_type: Annotated[PredictionType, Field(description="What the network predicts, in diffusers' terms")]
    image_shape: Annotated[tuple[int, int, int], Field(description="Channels, height, width")]
    num_classes: Annotated[
        int | None, Field(ge=1, description="Classes that an image can be asked of; null if it is unconditional")
    ] = None
    class_names: Annotated[tuple[str, ...] | None, Field(description="Name of each class, where known")] = None
    parameters: Annotated[int, Field(ge=1, description="Number of weights")]
    method: Annotated[str, Field(description="How it was made: base, import, conversion, or the method's name")]
    parent: Annotated[str | None, Field(description="The teacher it was distilled from")] = None
    data: Annotated[str | None, Field(description="Training data set")] = None
    data_fingerprint: Annotated[str | None, Field(description="Hash of the decoded training images and labels")] = None
    hyper_parameters: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    command: Annotated[str | None, Field(description="The command that made it")] = None
    diffusers_call: Annotated[
        str | None, Field(description="The diffusers call that gives the same images; null if there is none")
    ] = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the weights file")]

    @model_validator(mode="after")
    def _rows_fit_steps(self) -> Self:
        if len(self.rows) != self.num_steps + 1 or any(a >= b for a, b in zip(self.rows, self.rows[1:], strict=False)):
            raise ValueError(f"rows must be {self.num_steps + 1} ascending indices, got {len(self.rows)}")
        if self.rows[0] < 0 or self.rows[-1] >= self.schedule.num_rows:
            raise ValueError(f"rows must be in 0…{self.schedule.num_rows - 1}, those of the table")
        return self

    @property
    def knows_all_rows(self) -> bool:
        """Whether the network predicts well at every row of its table, as a teacher does that was not distilled."""
        return self.method in ("base", "import") and 2 * self.num_steps > self.schedule.num_rows - 1

    def can_walk(self, num_steps: int) -> bool:
        """Whether it can be sampled in so many steps.

        Any number where it knows all rows, else its own or, unless it learned from its own states, a divisor of that.
        """
        if self.knows_all_rows:
            return 1 <= num_steps < self.schedule.num_rows
        if self.own_steps_only:
            return num_steps == self.num_steps
        return num_steps >= 1 and self.num_steps % num_steps == 0

    def steps_up_to(self, limit: int) -> int:
        """The most steps up to a limit that it can be sampled in, or its own where there are none."""
        return max(filter(self.can_walk, range(1, limit + 1)), default=self.num_steps)


def read_card(checkpoint: Path) -> Card:
    """Read ``checkpoint/card.json``.

    Raises:
        CheckpointError: It is missing or not a valid card; the message says which file and what is wrong with it.
    """
    return read_json_card(checkpoint / CARD_NAME, Card)


def read_json_card(path: Path, kind: type[Model]) -> Model:
    """Read a card of any kind; errors as of ``read_card``."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read the card ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(f"{path}: not a valid card: {where}: {first['msg']}") from error


def refuse_class(card: Card, class_label: int) -> None:
    """Raise ``InvalidRequest`` where a checkpoint does not know the class."""
    if card.num_classes is None:
        raise InvalidRequest("the model is not class-conditional; leave class_label out", field="class_label")
    if not 0 <= class_label < card.num_classes:
        raise InvalidRequest(
            f"class_label is 0 to {card.num_classes - 1}, one of the model's {card.num_classes} classes",
            field="class_label",
            allowed={"minimum": 0, "maximum": card.num_classes - 1},
        )


@dataclass(frozen=True)
class Family:
    """A model family: its checkpoints by name, most steps first.

    Attributes:
        name: The folder's name.
        path: The folder.
        cards: Card of each checkpoint by name.
        artifacts: Of checkpoints that a job made, the key of the folder in the artifact store; others are in ``path``.
        promoted: Names of those that took the place of others, by steps.
        owner: Name of the key that it belongs to; empty where it is everyone's.
    """

    name: str
    path: Path
    cards: Mapping[str, Card]
    artifacts: Mapping[str, str] = field(default_factory=dict)
    promoted: Mapping[int, str] = field(default_factory=dict)
    owner: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The family in a folder.

        Raises:
            CheckpointError: A card cannot be read.
        """
        return cls(
            path.name, path, {card.parent.name: read_card(card.parent) for card in path.glob(f"[!.]*/{CARD_NAME}")}
        )

    def __post_init__(self) -> None:
        ordered = dict(sorted(self.cards.items(), key=lambda item: (-item[1].num_steps, item[0])))
        object.__setattr__(self, "cards", ordered)

    @property
    def steps(self) -> dict[int, str]:
        """Name of the checkpoint that serves each number of steps, ascending."""
        own = {self.cards[name].num_steps: name for name in reversed(list(self.cards))}
        return own | {steps: name for steps, name in self.promoted.items() if name in self.cards}

    def checkpoint_for(self, num_steps: int) -> str:
        """Name of the checkpoint trained for ``num_steps``.

        Raises:
            InvalidRequest: The family has none; the error lists those it has.
        """
        try:
            return self.steps[num_steps]
        except KeyError:
            raise no_checkpoint(self, num_steps, list(self.steps)) from None


def list_families(root: Path) -> dict[str, Family]:
    """Every family below ``root`` by name; a folder without checkpoints is none.

    Raises:
        CheckpointError: A card cannot be read.
    """
    families = (Family.read(path) for path in sorted(root.iterdir()) if path.is_dir()) if root.is_dir() else iter(())
    return {family.name: family for family in families if family.cards}


def no_checkpoint(family: Family, num_steps: int, allowed: list[int]) -> InvalidRequest:
    """The error for steps that a family has no checkpoint for."""
    listed = ", ".join(map(str, allowed)) or "none"
    return InvalidRequest(
        f"model {family.name!r} has no checkpoint for {num_steps} steps; it has {listed}",
        field="steps",
        allowed=allowed,
    )


def no_family(name: str, allowed: list[str], *, field: str = "model") -> NotFound:
    """The error for a family that does not exist."""
    listed = ", ".join(allowed) or "none"
    return NotFound(f"there is no model {name!r}; there are {listed}", field=field, allowed=allowed)


def no_such_checkpoint(family: Family, name: str, *, field: str = "checkpoint") -> NotFound:
    """The error for a checkpoint that a family does not have."""
    allowed = list(family.cards)
    listed = ", ".join(allowed)
    return NotFound(f"{family.name} has no checkpoint {name!r}; it has {listed}", field=field, allowed=allowed)


def find_family(root: Path, name: str, *, field: str = "model") -> Family:
    """The family ``name`` below ``root``.

    Raises:
        NotFound: There is none; the error lists those there are.
    """
    families = list_families(root)
    try:
        return families[name]
    except KeyError:
        raise no_family(name, list(families), field=field) from None


def find_folder(root: Path, name: str, *cards: str) -> Path | None:
    """The folder ``name``, or that of this name below ``root``: the first that holds one of these cards."""
    folders = (Path(name), root / name)
    return next((folder for folder in folders if any((folder / card).is_file() for card in cards)), None)


def locate_family(root: Path, model: str, *, field: str = "model") -> Family:
    """The family that a user means by ``model``: a folder, or a name below ``root``.

    Raises:
        NotFound: There is no such family.
    """
    family = Family.read(Path(model)) if Path(model).is_dir() else None
    return family if family and family.cards else find_family(root, model, field=field)


def locate_checkpoint(root: Path, model: str, num_steps: int | None = None, *, field: str = "model") -> Path:
    """The checkpoint folder that a user means by ``model``.

    Args:
        root: Folder of families.
        model: A checkpoint folder, ``family/checkpoint`` below ``root``, or a family (a folder or its name).
        num_steps: For a family, the steps its checkpoint was trained for.
        field: What the user names it by; steps stand beside ``model`` alone.

    Raises:
        NotFound: There is no such checkpoint or family.
        InvalidRequest: A family is named and ``num_steps`` is missing or not among those it has.
    """
    if folder := find_folder(root, model, CARD_NAME):
        return folder
    family = locate_family(root, model, field=field)
    if num_steps is None and field != "model":
        listed = ", ".join(f"{family.name}/{name}" for name in family.cards)
        raise InvalidRequest(f"{family.name!r} is a family; name one of its checkpoints: {listed}", field=field)
    if num_steps is None:
        listed = ", ".join(map(str, family.steps))
        raise InvalidRequest(
            f"{family.name!r} is a family; name the steps, one of {listed}", field="steps", allowed=list(family.steps)
        )
    return family.path / family.checkpoint_for(num_steps)
