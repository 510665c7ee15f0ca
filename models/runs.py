"""Whole runs, from data set and teacher to checkpoints: what the commands ``train`` and ``distill`` do."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType

import torch

from core.card import CARD_NAME, PAPER_SCHEDULE, Card
from core.errors import InvalidRequest
from models.base import base_loss
from models.batches import DataSource, TrainingData
from models.checkpoint import load_denoiser, save_checkpoint
from models.data import Dataset, load_data
from models.distill import StudentLoss, plan_rounds, round_config, run_round
from models.engine import pick_device
from models.execution import AUTO, Execution
from models.files import refuse_existing, state_path_of
from models.parallel import join_processes, process_index
from models.pd import pd_loss
from models.prediction import Denoiser
from models.progress import terminal_progress
from models.schedule import build_schedule, full_rows
from models.synthetic import SyntheticConfig, SyntheticData
from models.trainer import TrainConfig, train
from models.unet import UNetConfig, build_unet


def train_teacher(
    *,
    out: Path,
    data: str,
    size: int | None = None,
    unet: UNetConfig,
    init: Path | None = None,
    class_conditional: bool = False,
    config: TrainConfig,
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
) -> None:
    """Train a teacher on the 1024-step grid and write its checkpoint.

    Args:
        out: Checkpoint folder; its state while it runs is beside it.
        data: As of ``models.data.load_data``, and so is ``size``.
        size: Side of the pictures.
        unet: Size of the network; the image shape is the data set's.
        init: Checkpoint folder to start from, in place of fresh weights of ``unet``.
        class_conditional: Whether the network learns the data's classes; with ``init`` that is the checkpoint's.
        config: How to train.
        device: As of ``models.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the card.

    Raises:
        InvalidRequest: ``out`` exists, data or device are not to be had, or the data do not fit the checkpoint.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    refuse_existing(out)
    target = pick_device(device)
    dataset = load_data(data, size=size)
    start: dict[str, object]
    if init is None:
        num_classes = count_classes(dataset) if class_conditional else None
        unet = replace(unet, image_shape=dataset.image_shape, num_classes=num_classes)
        torch.manual_seed(config.seed)  # fresh weights
        network, schedule = build_unet(unet).to(target), PAPER_SCHEDULE
        denoiser = Denoiser(network, build_schedule(schedule).to(target), "sample", num_classes)
        start = asdict(unet)
    else:
        denoiser, card = load_denoiser(init, target)
        refuse_other_data(dataset, card)
        schedule = card.schedule
        start = {"init": f"{init.parent.name}/{init.name}", "init_sha256": card.sha256}
    state_path = state_path_of(out)
    with terminal_progress(str(out), batch_size=config.batch_size) as on_progress:
        result = train(
            denoiser.network,
            loss=base_loss(denoiser),
            data=TrainingData.from_dataset(dataset, target),
            config=config,
            state_path=state_path,
            on_progress=on_progress,
            execution=execution,
        )
    if process_index():
        return
    save_checkpoint(
        out,
        result,
        rows=full_rows(schedule.num_rows),
        schedule=schedule,
        prediction_type=denoiser.prediction_type,
        method="base",
        class_names=dataset.class_names if denoiser.num_classes else None,
        data=dataset.name,
        data_fingerprint=dataset.fingerprint,
        hyper_parameters={**start, **asdict(config), "precision": execution.precision_on(target)},
        command=command,
    )
    state_path.unlink()


def distill_chain(
    *,
    teacher: Path,
    from_steps: int,
    to_steps: int,
    out: Path,
    method: str,
    data: str,
    size: int | None = None,
    synthetic: SyntheticConfig | None = None,
    config: TrainConfig,
    student_loss: StudentLoss = pd_loss,
    loss_facts: Mapping[str, object] = MappingProxyType({}),
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
) -> None:
    """Run a chain of rounds and write a checkpoint ``N-step`` into the family ``out`` for each.

    Every round starts from the unrounded weights of the one before. A chain that was cut off goes on where it was.
    If the teacher predicts noise, a first round makes of it a student of as many steps that predicts images.

    Args:
        teacher: Checkpoint folder.
        from_steps: Steps in which the teacher is sampled; a divisor of its own.
        to_steps: Steps of the last student.
        out: Family folder.
        method: Its name for the cards: ``pd`` or ``cfd``.
        data: As of ``models.data.load_data``, and so is ``size``; a name where ``synthetic`` is given.
        size: Side of the pictures.
        synthetic: Sample the images from the teacher instead.
        config: Of one round; iterations are doubled for students of two steps and one.
        student_loss: How a student learns; its networks must be on the same device.
        loss_facts: Hyper-parameters of the loss, for the cards.
        device: As of ``models.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the cards.

    Raises:
        InvalidRequest: The steps do not halve, the data do not fit the teacher, or a student exists already.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    target = pick_device(device)
    denoiser, card = load_denoiser(teacher, target)
    convert = card.prediction_type == "epsilon"
    rounds = plan_rounds(card.rows, from_steps=from_steps, to_steps=to_steps, convert=convert)
    folders = [out / f"{this.num_steps}-step" for this in rounds]
    for folder in folders:
        if not state_path_of(folder).exists():  # else it is a part of this very chain
            refuse_existing(folder)
    parent = f"{teacher.parent.name}/{teacher.name}"
    source: DataSource
    data_facts: dict[str, object]
    if synthetic is not None:
        if size is not None:
            raise InvalidRequest("synthetic images have the size that the teacher makes", field="size")
        source = SyntheticData(denoiser, card=card, config=synthetic, seed=config.seed)
        source.fill()
        fingerprint, data_facts = None, {**source.facts, "synthetic_teacher": parent}
    else:
        dataset = load_data(data, size=size)
        refuse_other_data(dataset, card)
        source = TrainingData.from_dataset(dataset, target)
        data, fingerprint, data_facts = dataset.name, dataset.fingerprint, {}
    for this, folder in zip(rounds, folders, strict=True):
        this_config = round_config(config, this.num_steps)
        with terminal_progress(str(folder), batch_size=config.batch_size) as on_progress:
            denoiser = run_round(
                denoiser,
                this,
                student_loss=student_loss,
                data=source,
                config=this_config,
                state_path=state_path_of(folder),
                on_progress=on_progress,
                execution=execution,
            )
        if not process_index() and not (folder / CARD_NAME).exists():
            save_checkpoint(
                folder,
                denoiser.network,
                rows=this.rows,
                schedule=card.schedule,
                prediction_type=denoiser.prediction_type,
                last_step=card.last_step,
                method="conversion" if this.is_conversion else method,
                class_names=card.class_names,
                parent=parent,
                data=data,
                data_fingerprint=fingerprint,
                hyper_parameters={
                    **asdict(this_config),
                    "precision": execution.precision_on(target),
                    **({} if this.is_conversion else loss_facts),
                    **data_facts,
                },
                command=command,
            )
        parent = f"{out.name}/{folder.name}"
    if not process_index():
        for folder in folders:
            state_path_of(folder).unlink()


def refuse_other_data(dataset: Dataset, card: Card) -> None:
    """Raise ``InvalidRequest`` where a data set has not the shape, or not the classes, of what a checkpoint makes."""
    if dataset.image_shape != card.image_shape:
        raise InvalidRequest(
            f"{dataset.name!r} has images of {dataset.image_shape}, the checkpoint of {card.image_shape}",
            field="data",
        )
    if card.num_classes is not None and count_classes(dataset) > card.num_classes:
        raise InvalidRequest(
            f"{dataset.name!r} has {count_classes(dataset)} classes, the checkpoint {card.num_classes}", field="data"
        )


def count_classes(dataset: Dataset) -> int:
    """Number of classes of a data set with labels.

    Raises:
        InvalidRequest: It has none.
    """
    if dataset.labels is None:
        raise InvalidRequest(f"{dataset.name!r}: its pictures have no labels, which this needs", field="data")
    return len(dataset.class_names or ()) or int(dataset.labels.max()) + 1
