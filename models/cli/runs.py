"""Whole runs, from data set and teacher to checkpoints: what the commands ``train`` and ``distill`` do."""

from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from core.catalog.card import CARD_NAME, PAPER_SCHEDULE, read_card
from models.checkpoints.checkpoint import load_denoiser, save_checkpoint
from models.checkpoints.files import last_step, refuse_out, state_path_of
from models.data.classes import count_classes, describe
from models.data.dataset import load_data
from models.data.parquet_files import ALL_FOUND, Columns
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import build_schedule, full_rows
from models.diffusion.unet import UNetConfig, build_unet, refuse_unfit
from models.distillation.chain import (
    fill_source,
    fit_data,
    prepare_chain,
    rounds_from,
    run_chain,
    save_student,
)
from models.distillation.method import LoadedMethod
from models.distillation.rounds import Round
from models.distillation.synthetic import SyntheticConfig
from models.sampling.engine import pick_device
from models.training.base import base_loss
from models.training.batches import TrainingData
from models.training.execution import AUTO, Execution
from models.training.parallel import join_processes, process_index
from models.training.progress import OnProgress, say, terminal_progress
from models.training.resume import facts_of
from models.training.trainer import TrainConfig, train
from models.training.trial import try_once


def train_teacher(
    *,
    out: Path,
    data: str,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
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
        data: As of ``models.data.dataset.load_data``, and so are ``size`` and ``columns``.
        size: Side of the pictures.
        columns: Of a table.
        unet: Size of the network; the image shape is the data set's.
        init: Checkpoint folder to start from, in place of fresh weights of ``unet``.
        class_conditional: Whether the network learns the data's classes; with ``init`` that is the checkpoint's.
        config: How to train.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the card.

    Raises:
        InvalidRequest: ``out`` exists, data or device are not to be had, or the data do not fit the checkpoint.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    refuse_out(out)
    target = pick_device(device)
    dataset = load_data(data, size=size, columns=columns)
    start: dict[str, object]
    if init is None:
        num_classes = count_classes(dataset) if class_conditional else None
        unet = replace(unet, image_shape=dataset.image_shape, num_classes=num_classes)
        refuse_unfit(unet)
        torch.manual_seed(config.seed)  # fresh weights
        network, schedule = build_unet(unet).to(target), PAPER_SCHEDULE
        denoiser = Denoiser(network, build_schedule(schedule).to(target), "sample", num_classes)
        start = asdict(unet)
    else:
        denoiser, card = load_denoiser(init, target)
        dataset = fit_data(dataset, card)
        schedule = card.schedule
        start = {"init": f"{init.parent.name}/{init.name}", "init_sha256": card.sha256}
    once = torch.zeros(1, dtype=torch.long, device=target)
    picture = torch.zeros(1, *dataset.image_shape, device=target)
    try_once(denoiser.network, picture, once, once if denoiser.num_classes else None)
    say(describe(dataset))
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
    facts = {**start, **asdict(config), **facts_of(state_path), "precision": execution.precision_on(target)}
    with last_step(out, state_path):
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
            hyper_parameters=facts,
            command=command,
        )
    state_path.unlink()


def distill_chain(
    *,
    teacher: Path,
    from_steps: int,
    to_steps: int,
    out: Path,
    method: LoadedMethod,
    data: str | None,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    synthetic: SyntheticConfig | None = None,
    config: TrainConfig,
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
) -> None:
    """Run a chain of rounds and write a checkpoint ``N-step`` into the family ``out`` for each.

    A chain that was cut off goes on where it was.

    Args:
        teacher: As of ``models.distillation.chain.prepare_chain``, and so are ``from_steps``, ``to_steps``, ``data``,
            ``size``, ``columns``, ``synthetic`` and ``config``.
        from_steps: Steps in which the teacher is sampled.
        to_steps: Steps of the last student.
        out: Family folder.
        method: How students learn; its networks must be on the same device.
        data: What to train on; None for a method that is shown no images.
        size: Side of the pictures.
        columns: Of a table.
        synthetic: Sample the images from the teacher instead.
        config: Of one round.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the cards.

    Raises:
        InvalidRequest: The steps do not halve, the data do not fit the teacher, or a student exists already.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    rounds = rounds_from(read_card(teacher), method=method.declaration, from_steps=from_steps, to_steps=to_steps)
    folders = {this.num_steps: out / f"{this.num_steps}-step" for this in rounds}
    for folder in folders.values():
        if not state_path_of(folder).exists():  # else it is a part of this very chain
            refuse_out(folder)
    chain = prepare_chain(
        teacher=teacher,
        parent=f"{teacher.parent.name}/{teacher.name}",
        from_steps=from_steps,
        to_steps=to_steps,
        data=data,
        size=size,
        columns=columns,
        synthetic=synthetic,
        config=config,
        method=method,
        command=command,
        device=pick_device(device),
        execution=execution,
    )
    say(chain.about)
    fill_source(chain)

    def watch(this: Round) -> AbstractContextManager[OnProgress]:
        return terminal_progress(str(folders[this.num_steps]), batch_size=config.batch_size)

    states = {steps: state_path_of(folder) for steps, folder in folders.items()}
    for this, student in run_chain(chain, states=states, watch=watch):
        folder = folders[this.num_steps]
        if not process_index() and not (folder / CARD_NAME).exists():
            state = states[this.num_steps]
            with last_step(folder, state):
                save_student(folder, chain, this, student, family=out.name, facts=facts_of(state))
    if not process_index():
        for state in states.values():
            state.unlink()
