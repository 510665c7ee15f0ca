"""A chain of rounds, from its teacher and data to its students, for whoever runs it: a terminal or a job."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from core.catalog.card import Card
from core.errors import InvalidRequest
from core.methods.declaration import Method
from models.checkpoints.checkpoint import load_denoiser, save_checkpoint
from models.data.classes import describe, fit_data, refuse_unknown
from models.data.dataset import load_data
from models.data.parquet_files import ALL_FOUND, Columns
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import rows_of
from models.diffusion.unet import disable_dropout
from models.distillation.conversion import conversion_loss
from models.distillation.frozen import frozen
from models.distillation.guide import Guide, Guided
from models.distillation.method import Built, Learning, LoadedMethod
from models.distillation.rounds import Round, plan_rounds, round_config
from models.distillation.synthetic import SyntheticConfig, SyntheticData
from models.training.batches import DataSource, TrainingData
from models.training.execution import AUTO, Execution
from models.training.progress import OnProgress
from models.training.trainer import TrainConfig, train


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All that the rounds of a chain need, loaded.

    Attributes:
        teacher: On the device.
        card: The teacher's.
        parent: The teacher's name for the cards of students, ``family/checkpoint``.
        rounds: From the teacher's steps to the last student's.
        source: What is trained on.
        data: Facts of it for the cards: ``data``, ``data_fingerprint``, and ``data_facts`` for the hyper-parameters.
        config: Of one round; iterations are doubled for students of two steps and one.
        method: How students learn.
        command: For the cards.
        execution: How networks are run.
        about: The data in a line.
        guide: Of the teacher, in the first round.
    """

    teacher: Denoiser
    card: Card
    parent: str
    rounds: list[Round]
    source: DataSource
    data: Mapping[str, Any]
    config: TrainConfig
    method: LoadedMethod
    command: str | None
    execution: Execution
    about: str = ""
    guide: Guide | None = None


def rounds_from(card: Card, *, method: Method, from_steps: int, to_steps: int) -> list[Round]:
    """The rounds of a chain from a teacher with this card; errors as of ``plan_rounds``."""
    try:
        rows = rows_of(card, from_steps)
    except ValueError as error:
        raise InvalidRequest(str(error), field="from") from error
    return plan_rounds(
        rows,
        method=method,
        from_steps=from_steps,
        to_steps=to_steps,
        convert=card.prediction_type == "epsilon",
        knows_all_rows=card.knows_all_rows,
    )


def prepare_chain(
    *,
    teacher: Path,
    parent: str,
    from_steps: int,
    to_steps: int,
    data: str | None,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    synthetic: SyntheticConfig | None = None,
    config: TrainConfig,
    method: LoadedMethod,
    command: str | None = None,
    device: torch.device,
    execution: Execution,
    guide: Guide | None = None,
) -> Chain:
    """Load a teacher and its data. If it predicts noise, a first round makes a student of as many steps that does not.

    Args:
        teacher: Checkpoint folder.
        parent: As of ``Chain``, and so are ``config``, ``method``, ``command``, ``execution`` and ``guide``.
        from_steps: Steps in which the teacher is sampled; a divisor of its own.
        to_steps: Steps of the last student.
        data: As of ``models.data.dataset.load_data``, and so are ``size`` and ``columns``; a name where
            ``synthetic`` is given; None for a method that is shown no images.
        size: Side of the pictures.
        columns: Of a table.
        synthetic: Sample the images from the teacher instead.
        config: How to train.
        method: Its networks must be on the same device.
        command: For the cards.
        device: Where to.
        execution: How networks are run.
        guide: Of the teacher.

    Raises:
        InvalidRequest: The steps do not halve, the data do not fit the teacher or the classifier, or the method is
            shown none.
        CheckpointError: The teacher is damaged.
    """
    denoiser, card = load_denoiser(teacher, device)
    rounds = rounds_from(card, method=method.declaration, from_steps=from_steps, to_steps=to_steps)
    source: DataSource
    about: dict[str, Any]
    if not method.declaration.needs_images:
        if data is not None:
            raise InvalidRequest(f"{method.declaration.name} is shown no images; leave it out", field="data")
        class_names, line = card.class_names, f"no images: noise and {parent}"
        source = TrainingData.blank(card.image_shape, device, num_classes=card.num_classes)
        about = {"data": None, "data_fingerprint": None, "data_facts": {}}
    elif synthetic is not None:
        assert data is not None
        if size is not None:
            raise InvalidRequest("synthetic images have the size that the teacher makes", field="size")
        columns.refuse(data)
        class_names, line = card.class_names, f"{data}: images sampled from {parent}"
        source = SyntheticData(denoiser, card=card, config=synthetic, seed=config.seed)
        about = {"data": data, "data_fingerprint": None, "data_facts": {**source.facts, "synthetic_teacher": parent}}
    else:
        assert data is not None
        dataset = fit_data(load_data(data, size=size, columns=columns), card)
        class_names, line = dataset.class_names, describe(dataset)
        source = TrainingData.from_dataset(dataset, device)
        about = {"data": dataset.name, "data_fingerprint": dataset.fingerprint, "data_facts": {}}
    refuse_unknown(
        class_names,
        method.class_names,
        what=repr(data),
        of="the classifier",
        field="classifier",
        advice="".join(f". It serves with a {option} of 0" for option in method.declaration.of_known_data),
    )
    return Chain(
        teacher=denoiser,
        card=card,
        parent=parent,
        rounds=rounds,
        source=source,
        data=about,
        config=config,
        method=method,
        command=command,
        execution=execution,
        about=line,
        guide=guide,
    )


def fill_source(chain: Chain, between_blocks: Callable[[], None] = lambda: None) -> None:
    """Where the teacher makes the images, sample the first of them; as of ``SyntheticData.fill``."""
    if isinstance(chain.source, SyntheticData):
        chain.source.fill(between_blocks)


def run_round(
    teacher: Denoiser,
    this: Round,
    *,
    method: Built,
    data: DataSource,
    config: TrainConfig,
    state_path: Path,
    on_progress: OnProgress,
    execution: Execution = AUTO,
    guide: Guide | None = None,
) -> Denoiser:
    """Train a student from a copy of its teacher, without dropout, by the teacher with its guide.

    Other arguments and errors are as of ``models.training.trainer.train``.
    """
    student = replace(teacher, network=disable_dropout(copy.deepcopy(teacher.network).requires_grad_(True)))
    called = frozen(teacher.network, execution)
    teacher = replace(teacher, network=Guided(called, guide, execution) if guide else called)
    if this.is_conversion:
        student = replace(student, prediction_type="sample")
        learning = Learning(conversion_loss(teacher, this.rows, student))
    else:
        learning = method.begin(teacher, this, seed=config.seed)
    network = train(
        student.network,
        loss=learning.loss,
        companion=learning.companion,
        data=data,
        config=config,
        state_path=state_path,
        on_progress=on_progress,
        execution=execution,
    )
    return replace(student, network=network)


def run_chain(
    chain: Chain,
    *,
    states: Mapping[int, Path],
    watch: Callable[[Round], AbstractContextManager[OnProgress]],
    first: int = 0,
) -> Iterator[tuple[Round, Denoiser]]:
    """Train the students one after the other; gives each round with its student when it is done.

    Every round starts from the unrounded weights of the one before, and goes on from its state where it was cut off.

    Args:
        chain: What to run.
        states: Where the state of each round is kept, by steps of its student.
        watch: Gives the callback of a round's iterations, for as long as it trains.
        first: Index of the round to begin with; of the one before it the final state must be there.

    Raises:
        StopTraining: Asked for by the callback; the state is saved.
    """
    denoiser = chain.teacher
    if first and chain.rounds[0].is_conversion:
        denoiser = replace(denoiser, prediction_type="sample")
    for index, this in enumerate(chain.rounds):
        if index < first - 1:
            continue
        with watch(this) as on_progress:
            denoiser = run_round(
                denoiser,
                this,
                method=chain.method,
                data=chain.source,
                config=round_config(chain.config, this.num_steps),
                state_path=states[this.num_steps],
                on_progress=on_progress,
                execution=chain.execution,
                guide=None if index else chain.guide,
            )
        if index >= first:
            yield this, denoiser


def save_student(
    folder: Path, chain: Chain, this: Round, student: Denoiser, *, family: str, facts: Mapping[str, object] = {}
) -> Card:
    """Write the checkpoint of a finished round, with its lineage; errors as of ``save_checkpoint``.

    Args:
        folder: Where to; must not exist.
        chain: What was run.
        this: The round.
        student: What came of it.
        family: Name of the students' family, for the parents of all but the first.
        facts: What else its hyper-parameters have.
    """
    index = chain.rounds.index(this)
    device = chain.teacher.schedule.alpha.device
    return save_checkpoint(
        folder,
        student.network,
        rows=this.rows,
        schedule=chain.card.schedule,
        prediction_type=student.prediction_type,
        last_step=chain.card.last_step,
        own_steps_only=chain.method.declaration.own_steps_only and not this.is_conversion,
        method="conversion" if this.is_conversion else chain.method.declaration.name,
        class_names=chain.card.class_names,
        parent=f"{family}/{chain.rounds[index - 1].num_steps}-step" if index else chain.parent,
        data=chain.data["data"],
        data_fingerprint=chain.data["data_fingerprint"],
        hyper_parameters={
            **asdict(round_config(chain.config, this.num_steps)),
            "precision": chain.execution.precision_on(device),
            **({} if this.is_conversion else chain.method.facts),
            **chain.data["data_facts"],
            **(chain.guide.facts if chain.guide and not index else {}),
            **facts,
        },
        command=chain.command,
    )
