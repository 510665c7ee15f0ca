"""Whole runs, from data set and teacher to checkpoints: what the commands ``train`` and ``distill`` do."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType

import torch

from core.card import CARD_NAME, Card
from core.errors import InvalidRequest
from models.base import base_loss
from models.batches import TrainingData
from models.checkpoint import load_checkpoint, save_checkpoint
from models.data import Dataset, load_data
from models.distill import StudentLoss, plan_rounds, round_config, run_round
from models.engine import pick_device
from models.execution import AUTO, Execution
from models.files import refuse_existing, state_path_of
from models.parallel import join_processes, process_index
from models.pd import pd_loss
from models.prediction import Denoiser
from models.progress import terminal_progress
from models.schedule import COSINE_ROWS, cosine_schedule, step_rows
from models.trainer import TrainConfig, train
from models.unet import UNetConfig, build_unet


def train_teacher(
    *,
    out: Path,
    data: str,
    size: int | None = None,
    unet: UNetConfig,
    init: Path | None = None,
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
        config: How to train.
        device: As of ``models.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the card.

    Raises:
        InvalidRequest: ``out`` exists, or data or device are not to be had.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    refuse_existing(out)
    target = pick_device(device)
    dataset = load_data(data, size=size)
    height, width, channels = dataset.images.shape[1:]
    start: dict[str, object]
    if init is None:
        unet = replace(unet, image_shape=(channels, height, width))
        torch.manual_seed(config.seed)  # fresh weights
        network, start = build_unet(unet), asdict(unet)
    else:
        network, card = load_checkpoint(init)
        refuse_other_shape(dataset, card, data)
        start = {"init": f"{init.parent.name}/{init.name}", "init_sha256": card.sha256}
    network.to(target)
    state_path = state_path_of(out)
    with terminal_progress(str(out), batch_size=config.batch_size) as on_progress:
        result = train(
            network,
            loss=base_loss(schedule=cosine_schedule().to(target)),
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
        rows=step_rows(COSINE_ROWS - 1),
        method="base",
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
    config: TrainConfig,
    student_loss: StudentLoss = pd_loss,
    loss_facts: Mapping[str, object] = MappingProxyType({}),
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
) -> None:
    """Run a chain of rounds and write a checkpoint ``N-step`` into the family ``out`` for each.

    Every round starts from the unrounded weights of the one before. A chain that was cut off goes on where it was.

    Args:
        teacher: Checkpoint folder.
        from_steps: Steps in which the teacher is sampled; a divisor of its own.
        to_steps: Steps of the last student.
        out: Family folder.
        method: Its name for the cards: ``pd`` or ``cfd``.
        data: As of ``models.data.load_data``, and so is ``size``.
        size: Side of the pictures.
        config: Of one round; iterations are doubled for students of two steps and one.
        student_loss: How a student learns; its networks must be on the same device.
        loss_facts: Hyper-parameters of the loss, for the cards.
        device: As of ``models.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the cards.

    Raises:
        InvalidRequest: The steps do not halve, images do not fit the teacher, or a student exists already.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    target = pick_device(device)
    network, card = load_checkpoint(teacher)
    rounds = plan_rounds(card.rows, from_steps=from_steps, to_steps=to_steps)
    folders = [out / f"{this.num_steps}-step" for this in rounds]
    for folder in folders:
        if not state_path_of(folder).exists():  # else it is a part of this very chain
            refuse_existing(folder)
    dataset = load_data(data, size=size)
    refuse_other_shape(dataset, card, data)
    training_data = TrainingData.from_dataset(dataset, target)
    network.to(target)
    denoiser = Denoiser(network, cosine_schedule().to(target), card.prediction_type)
    parent = f"{teacher.parent.name}/{teacher.name}"
    for this, folder in zip(rounds, folders, strict=True):
        this_config = round_config(config, this.num_steps)
        with terminal_progress(str(folder), batch_size=config.batch_size) as on_progress:
            denoiser = run_round(
                denoiser,
                this,
                student_loss=student_loss,
                data=training_data,
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
                prediction_type=card.prediction_type,
                last_step=card.last_step,
                method=method,
                parent=parent,
                data=dataset.name,
                data_fingerprint=dataset.fingerprint,
                hyper_parameters={**asdict(this_config), "precision": execution.precision_on(target), **loss_facts},
                command=command,
            )
        parent = f"{out.name}/{folder.name}"
    if not process_index():
        for folder in folders:
            state_path_of(folder).unlink()


def refuse_other_shape(dataset: Dataset, card: Card, data: str) -> None:
    """Raise ``InvalidRequest`` where the pictures of ``data`` are not of the shape that a checkpoint makes."""
    height, width, channels = dataset.images.shape[1:]
    if (channels, height, width) != card.image_shape:
        raise InvalidRequest(
            f"{data!r} has images of {(channels, height, width)}, the checkpoint of {card.image_shape}", field="data"
        )
