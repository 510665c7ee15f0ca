"""The one training loop, and the one object that holds all that a run needs to go on after it was cut off."""

import copy
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.errors import FewstepError
from core.training.optimizer import Optimizer
from models.checkpoints.files import reserve
from models.training.adam import Adam
from models.training.batches import Batch, DataSource, draw_batch
from models.training.companion import Companion
from models.training.divergence import Soundness, reads_late
from models.training.execution import AUTO, Execution
from models.training.muon import Muon, optimizer_of
from models.training.parallel import Draws, any_process, average, own_batch, process_index, refuse_uneven
from models.training.progress import OnProgress, Progress, StopTraining
from models.training.randomness import iteration_generator
from models.training.resume import Rates, earlier_rates, plain, refusal

Loss = Callable[[nn.Module, Batch, Draws], Tensor]
"""Maps the network, clean images and randomness to a scalar, the mean over the images."""

SAVE_EVERY_S = 60.0


class TrainingError(FewstepError):
    """A run cannot go on."""

    title = "Training failed"


class Diverged(TrainingError):  # noqa: N818 (what happened)
    """Loss or gradient is not finite, or the loss has exploded."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained. Defaults are the paper's for a teacher, except for ``iterations``.

    Attributes:
        iterations: Optimizer steps.
        batch_size: Images an iteration, those of all processes together.
        optimizer: ``adam``, or ``muon`` for the hidden matrices.
        learning_rate: After warm-up.
        decay: ``constant``, or ``cosine`` down to 0 at the last iteration.
        warmup: Iterations over which the learning rate rises from 0.
        weight_decay: Share of the weights, times the learning rate, by which each step lets them fall.
        clip: Largest norm of the gradient.
        ema_decay: Decay an iteration of the averaged weights that are kept; None keeps the last weights.
        seed: Of all randomness.
    """

    iterations: int
    batch_size: int = 128
    optimizer: Optimizer = "adam"
    learning_rate: float = 2e-4
    decay: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    weight_decay: float = 0.0
    clip: float = 1.0
    ema_decay: float | None = None
    seed: int = 0

    def learning_rate_at(self, iteration: int) -> float:
        """Learning rate of the step from ``iteration`` (from 0) to the next."""
        warm = min(1.0, (iteration + 1) / self.warmup) if self.warmup else 1.0
        cosine = (1 + math.cos(math.pi * iteration / self.iterations)) / 2 if self.decay == "cosine" else 1.0
        return self.learning_rate * warm * cosine


@dataclass
class TrainState:
    """Everything that resumes. Randomness is not in it: it follows from the seed and the iteration."""

    network: nn.Module
    config: TrainConfig
    companion: Companion | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    iteration: int = 0
    earlier_rates: Rates = field(default_factory=list)
    ema: nn.Module | None = field(init=False)
    optimizer: Adam | Muon = field(init=False)

    def __post_init__(self) -> None:
        self.ema = copy.deepcopy(self.network).requires_grad_(False).eval() if self.config.ema_decay else None
        self.optimizer = optimizer_of(self.network, self.config.optimizer)

    @property
    def result(self) -> nn.Module:
        """The network to keep: averaged weights where there are any, the last ones otherwise."""
        return self.ema if self.ema is not None else self.network

    def save(self, path: Path) -> None:
        """Write the state so that ``path`` holds either the old one or the new one, whole, whatever happens.

        Of several processes, which all have the same, the first writes.
        """
        if process_index():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        content = {
            "config": asdict(self.config),
            "facts": self.facts,
            "earlier_rates": self.earlier_rates,
            "iteration": self.iteration,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            **self._companion_state(),
        }
        try:
            with partial.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)  # whoever runs out of space needs it
            if isinstance(error.__context__, OSError):  # which torch hides
                raise error.__context__ from None
            raise

    @property
    def size_bytes(self) -> int:
        """About how large the state becomes."""
        own: int = sum(each.nbytes for each in self.network.state_dict().values()) * (4 if self.ema is not None else 3)
        beside = self.companion.state_dict().values() if self.companion is not None else ()
        return own + 3 * sum(each.nbytes for each in beside if isinstance(each, Tensor))

    def load(self, path: Path) -> None:
        """Go on from a saved state, at a lower learning rate if that is the configuration's.

        Raises:
            TrainingError: The state is damaged, or of a run with another configuration or network, or other facts.
        """
        try:
            saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            config = asdict(TrainConfig(**saved["config"]))  # an older version may not have written all of it
            before = {**saved.get("facts", self.facts), **config}
            if flaw := refusal(before, {**self.facts, **asdict(self.config)}):
                raise TrainingError(f"{path}: {flaw}")
            self.earlier_rates = earlier_rates(saved, self.config.learning_rate)
            self.network.load_state_dict(saved["network"])
            if self.ema is not None:
                self.ema.load_state_dict(saved["ema"])
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.companion is not None:
                self.companion.load_state_dict(saved["companion"])
                if self.companion.optimizer is not None:
                    self.companion.optimizer.load_state_dict(saved["companion_optimizer"])
            self.iteration = saved["iteration"]
        except TrainingError:
            raise
        except Exception as error:  # torch.load raises whatever its parsers meet
            raise TrainingError(f"{path}: not a state this run can go on from: {error}") from error

    def _companion_state(self) -> dict[str, Any]:
        if self.companion is None:
            return {}
        optimizer = self.companion.optimizer
        return {
            "companion": self.companion.state_dict(),
            "companion_optimizer": None if optimizer is None else optimizer.state_dict(),
        }

    def take_back(self, iterations: int) -> None:
        """Undo the count and the average of the last iteration, whose step was held back; of none, do nothing."""
        self.iteration -= iterations
        if iterations and self.ema is not None and self.config.ema_decay:
            update_ema(self.ema, self.network, 1 / self.config.ema_decay)


def train(
    network: nn.Module,
    *,
    loss: Loss,
    data: DataSource,
    config: TrainConfig,
    state_path: Path,
    on_progress: OnProgress,
    execution: Execution = AUTO,
    companion: Companion | None = None,
    facts: Mapping[str, object] = {},
    save_every_s: float = SAVE_EVERY_S,
) -> nn.Module:
    """Train ``network`` to the end of its run, going on from ``state_path`` where a run was cut off.

    Of several processes (``models.training.parallel``) each learns from its own rows of every batch. Gradients are
    averaged before they are clipped, so all take the same step and stay equal.

    Args:
        network: Trained in place, on the device it is on.
        loss: What to minimise.
        data: What it learns from, on the device of the network.
        config: How to train.
        state_path: Where the run is saved now and then, when it is stopped, and at its end.
        on_progress: Called after every iteration; may raise ``StopTraining``.
        execution: How to run the network.
        companion: What the loss trains and keeps beside the network, on the same device.
        facts: What else the run is known by, such as its data and the options of its loss: JSON values.
        save_every_s: Seconds between two saves.

    Returns:
        The network to keep, in evaluation mode.

    Raises:
        InvalidRequest: The processes cannot share a batch evenly, or the device lacks the precision asked for.
        OSError: There is no room for the state.
        StopTraining: ``on_progress`` asked for it, in whichever process; the state is saved.
        Diverged: Loss or gradient is not finite, or the loss has exploded.
        TrainingError: The saved state is not of this run.
    """
    refuse_uneven(config.batch_size)
    device = next(network.parameters()).device
    run = execution.view(network)
    state = TrainState(network, config, companion, plain(facts))
    beside = companion.optimizer if companion is not None else None
    trained = [*network.parameters(), *(companion.parameters() if companion is not None else ())]
    if state_path.exists():
        state.load(state_path)
    if not process_index() and state.iteration < config.iterations:
        # A state is written beside the one before.
        reserve(state_path, *[state.size_bytes] * (1 if state_path.exists() else 2))
    soundness = Soundness(device, late=reads_late(device, companion))

    def refuse_unsound(*, taken: int) -> None:
        if flaw := soundness.flaw():
            state.take_back(taken)
            if not state_path.exists():
                state.save(state_path)  # the weights are still those of the iteration before
            raise Diverged(
                f"{flaw} at iteration {state.iteration + 1}; a lower learning rate may help: the last good state is "
                f"kept in {state_path}, and the same command with one goes on from there"
            )

    any_process(False)  # nobody trains, and then writes, before all have looked at the files
    network.train()
    saved_at = time.monotonic()
    while state.iteration < config.iterations:
        generator = iteration_generator(config.seed, state.iteration, device)
        whole_batch = draw_batch(data.at(state.iteration), batch_size=config.batch_size, generator=generator)
        batch = own_batch(whole_batch)
        state.optimizer.zero_grad()  # before the loss, whose activations can then use the memory
        if beside is not None:
            beside.zero_grad()
        loss_here = loss(run, batch, Draws(generator))
        loss_here.backward()
        value = loss_here.detach()
        average([value, *(parameter.grad for parameter in trained if parameter.grad is not None)])
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        if soundness.late:
            refuse_unsound(taken=1)  # the iteration before, while the device works on this one
        unsound = soundness.note(value, norm)
        if not soundness.late:
            refuse_unsound(taken=0)
        state.optimizer.step(
            config.learning_rate_at(state.iteration),
            weight_decay=config.weight_decay,
            hold=unsound if soundness.late else None,
        )
        if companion is not None:
            if beside is not None:
                beside.step()
            companion.commit()
        state.iteration += 1
        if state.ema is not None and config.ema_decay is not None:
            update_ema(state.ema, network, config.ema_decay)
        stop = None
        try:
            on_progress(Progress(state.iteration, config.iterations, value, norm))
        except StopTraining as request:
            stop = request
        if any_process(stop is not None):
            refuse_unsound(taken=1)
            state.save(state_path)
            raise stop or StopTraining(
                f"stopped after iteration {state.iteration} of {config.iterations} by another of its processes; "
                "the same command goes on from there"
            )
        if time.monotonic() - saved_at > save_every_s or state.iteration == config.iterations:
            refuse_unsound(taken=1)
            state.save(state_path)
            saved_at = time.monotonic()
    return state.result.eval()


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """``average = decay * average + (1 - decay) * network``, weight by weight."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
