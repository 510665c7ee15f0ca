"""Training a teacher, from its data to its checkpoint, for whoever runs it: a terminal or a job."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from core.catalog.card import PAPER_SCHEDULE, Card, NoiseSchedule
from core.training.options import TeacherOptions
from models.checkpoints.checkpoint import load_denoiser, save_checkpoint
from models.data.classes import count_classes, describe, fit_data
from models.data.dataset import Dataset, load_data
from models.data.parquet_files import ALL_FOUND, Columns
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import build_schedule, full_rows
from models.diffusion.unet import Network, UNetConfig, build_unet, refuse_unfit
from models.training.base import base_loss
from models.training.batches import TrainingData
from models.training.execution import Execution
from models.training.progress import OnProgress
from models.training.resume import facts_of
from models.training.trainer import TrainConfig, train
from models.training.trial import try_once


@dataclass(frozen=True, kw_only=True)
class TeacherRun:
    """All that the training of a teacher needs, loaded.

    Attributes:
        denoiser: As it begins, on the device.
        schedule: Its table of noise levels, all of whose rows it learns.
        dataset: What it learns from.
        data: The same on the device.
        start: What it begins as, for the card.
        config: How it is trained.
        max_snr: As of ``models.training.base.base_loss``.
        execution: How the network is run.
    """

    denoiser: Denoiser
    schedule: NoiseSchedule
    dataset: Dataset
    data: TrainingData
    start: Mapping[str, object]
    config: TrainConfig
    max_snr: float | None
    execution: Execution

    @property
    def about(self) -> str:
        """The data in a line."""
        return describe(self.dataset)

    def train(self, state_path: Path, on_progress: OnProgress) -> Network:
        """The trained network; arguments and errors as of ``models.training.trainer.train``."""
        denoiser = replace(self.denoiser, network=copy.deepcopy(self.denoiser.network))
        trained = train(
            denoiser.network,
            loss=base_loss(denoiser, max_snr=self.max_snr),
            data=self.data,
            config=self.config,
            facts={**self.start, "max_snr": self.max_snr, "data_fingerprint": self.dataset.fingerprint},
            state_path=state_path,
            on_progress=on_progress,
            execution=self.execution,
        )
        return trained

    def save(
        self,
        folder: Path,
        trained: Network,
        state_path: Path,
        *,
        command: str | None,
        between_batches: Callable[[], None] = lambda: None,  # noqa: ARG002
    ) -> Card:
        """Write the checkpoint; errors as of ``models.checkpoints.checkpoint.save_checkpoint``."""
        device = self.denoiser.schedule.alpha.device
        return save_checkpoint(
            folder,
            trained,
            rows=full_rows(self.schedule.num_rows),
            schedule=self.schedule,
            prediction_type=self.denoiser.prediction_type,
            method="base",
            class_names=self.dataset.class_names if self.denoiser.num_classes else None,
            data=self.dataset.name,
            data_fingerprint=self.dataset.fingerprint,
            hyper_parameters={
                **self.start,
                **asdict(self.config),
                "max_snr": self.max_snr,
                **facts_of(state_path),
                "precision": self.execution.precision_on(device),
            },
            command=command,
        )


def prepare_teacher(
    options: TeacherOptions,
    *,
    data: str,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    init: Path | None,
    init_name: str | None = None,
    device: torch.device,
    execution: Execution,
) -> TeacherRun:
    """Load the data, and make the network or load the one to go on from.

    Args:
        options: What was asked for, its ``init`` apart.
        data: As of ``models.data.dataset.load_data``, and so are ``size`` and ``columns``.
        size: Side of the pictures.
        columns: Of a table.
        init: Checkpoint folder to start from, in place of fresh weights. Its classes are then the checkpoint's.
        init_name: What the card calls it, by default as its folders are called.
        device: Where to.
        execution: How the network is run.

    Raises:
        InvalidRequest: The data are not to be had, or do not fit the network.
        CheckpointError: The checkpoint is damaged.
    """
    dataset = load_data(data, size=size, columns=columns)
    start: dict[str, object]
    if init is None:
        num_classes = count_classes(dataset) if options.class_conditional else None
        unet = UNetConfig(
            image_shape=dataset.image_shape,
            channels=options.channels,
            multipliers=tuple(options.multipliers),
            attention_levels=tuple(options.attention),
            blocks=options.blocks,
            dropout=options.dropout,
            num_classes=num_classes,
        )
        refuse_unfit(unet)
        torch.manual_seed(options.seed)  # fresh weights
        network, schedule = build_unet(unet).to(device), PAPER_SCHEDULE
        denoiser = Denoiser(network, build_schedule(schedule).to(device), "sample", num_classes)
        start = asdict(unet)
    else:
        denoiser, card = load_denoiser(init, device)
        dataset = fit_data(dataset, card)
        schedule = card.schedule
        start = {"init": init_name or f"{init.parent.name}/{init.name}", "init_sha256": card.sha256}
    once = torch.zeros(1, dtype=torch.long, device=device)
    picture = torch.zeros(1, *dataset.image_shape, device=device)
    try_once(denoiser.network, picture, once, once if denoiser.num_classes else None)
    config = TrainConfig(
        iterations=options.iterations,
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        decay=options.decay,
        warmup=options.warmup,
        clip=options.clip,
        ema_decay=options.ema_decay,
        seed=options.seed,
    )
    return TeacherRun(
        denoiser=denoiser,
        schedule=schedule,
        dataset=dataset,
        data=TrainingData.from_dataset(dataset, device),
        start=start,
        config=config,
        max_snr=options.max_snr,
        execution=execution,
    )
