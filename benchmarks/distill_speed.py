"""Speed and memory of a CFD iteration on the paper's networks: our trainer against a plain loop, side by side.

The plain loop does what the authors' code does (zju-SWJ/RCFD), written anew: float32, default memory layout, nothing
compiled, teacher and target features under no_grad, classifier frozen, the target as a difference quotient, logarithms
of softmaxes, the optimizer's defaults. That its loss is theirs is checked against numbers that their code computed.

Ours is ``models.training.trainer.train`` on a CFD round, as ``fewstep distill`` runs it, with the options that are
printed. Each variant lives in a process of its own, where its peak memory is its own. They take turns, so that a busy
machine slows both alike: of the figures only the ratios are worth keeping.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from core.methods.declaration import find_method
from models.checkpoints.authors import load_authors_unet
from models.classifiers.classifier import Classifier, fold_norms
from models.data.images import to_float
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import Schedule, cosine_schedule, step_rows
from models.diffusion.unet import Network, UNetConfig, build_unet
from models.distillation.chain import run_round
from models.distillation.halving import by_halving
from models.distillation.method import Built
from models.distillation.methods.cfd import RESNET_PRESET, CFDConfig, Classify, cfd_loss
from models.distillation.rounds import plan_rounds
from models.sampling.engine import pick_device
from models.training.batches import TrainingData
from models.training.execution import Execution
from models.training.progress import Progress, StopTraining
from models.training.trainer import TrainConfig

GOLDEN = Path(__file__).parents[1] / "tests" / "models" / "golden" / "reference_vectors.safetensors"
TEACHER_STEPS = 8


def plain_cfd_loss(
    teacher: nn.Module,
    student: nn.Module,
    classify: Classify,
    *,
    x: Tensor,
    eps: Tensor,
    step: Tensor,
    teacher_steps: int,
    schedule: Schedule,
    config: CFDConfig,
) -> Tensor:
    """CFD of one batch, as the authors' code computes it; arguments as of ``target`` and ``methods.cfd``."""
    stride = 1024 // teacher_steps
    t, m, s = (row * stride for row in (2 * step, 2 * step - 1, 2 * step - 2))

    def alpha(row: Tensor) -> Tensor:
        return schedule.alpha[row].float().view(-1, 1, 1, 1)

    def sigma(row: Tensor) -> Tensor:
        return schedule.sigma[row].float().view(-1, 1, 1, 1)

    def ddim(z: Tensor, row: Tensor, to: Tensor) -> Tensor:
        x_hat = teacher(z, row).sample
        eps_hat = (z - alpha(row) * x_hat) / sigma(row)
        z_to: Tensor = alpha(to) * x_hat + sigma(to) * eps_hat
        return z_to

    with torch.no_grad():
        z_t = alpha(t) * x + sigma(t) * eps
        z_s = ddim(ddim(z_t, t, m), m, s)
        fraction = sigma(s) / sigma(t)
        x_target = (z_s - fraction * z_t) / (alpha(s) - fraction * alpha(t))
        _, target_features = classify(x_target)
    logits, features = classify(student(z_t, t).sample)
    p = logits.softmax(1)
    mean = p.mean(0)
    kl = functional.kl_div(
        features.log_softmax(1), (target_features / config.temperature).softmax(1), reduction="batchmean"
    )
    share = config.entropy_share
    entropy, diversity = -(p * p.log()).sum(1).mean(), (mean * mean.log()).sum()
    return kl + config.dataset_weight * (share * entropy + (1 - share) * diversity)


class GoldenClassifier(nn.Module):
    """The small network of the golden vectors."""

    def __init__(self) -> None:
        """Fresh weights."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of images in [-1, 1]."""
        features = self.conv2(self.conv1(images).relu()).relu().mean((2, 3)) * 25
        return self.fc(features), features


def golden_difference() -> float:
    """Largest relative difference of the plain loop's loss from what the authors' code computed, over three rounds."""
    with safe_open(GOLDEN, "pt") as file:
        vectors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    def part(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in vectors.items() if key.startswith(prefix)}

    teacher, student = (load_authors_unet(part(f"{who}.")) for who in ("teacher", "student"))
    classifier = GoldenClassifier()
    classifier.load_state_dict(part("classifier."))
    differences = []
    for name, steps in (("8to4", 8), ("4to2", 4), ("2to1", 2)):
        loss = plain_cfd_loss(
            teacher,
            student,
            classifier,
            x=vectors["distill.x_0"],
            eps=vectors[f"{name}.noise"],
            step=vectors[f"{name}.k"],
            teacher_steps=steps,
            schedule=cosine_schedule(),
            config=RESNET_PRESET,
        ).item()
        expected = vectors[f"{name}.cfd_t0.95_b0.003_g0.75.loss"].item()
        differences.append(abs(loss - expected) / abs(expected))
    return max(differences)


def serve(variant: str, options: argparse.Namespace, pipe: Connection) -> None:
    """Build a variant, then do an iteration at each True from the pipe, answering its seconds; at False peak GB."""
    device = pick_device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(options.threads)
    before = peak_memory(device)
    started = 0.0

    def wait_for_turn() -> None:
        nonlocal started
        if started:
            if device.type == "cuda":
                torch.cuda.synchronize()
            pipe.send(time.perf_counter() - started)
        if not pipe.recv():
            pipe.send((peak_memory(device) - before) / 1e9)
            raise StopTraining
        started = time.perf_counter()

    torch.manual_seed(0)
    teacher: Network = build_unet(UNetConfig())
    if variant == "plain":
        teacher = as_diffusers(teacher)
    teacher.to(device).requires_grad_(False).eval()
    classifier = Classifier("resnet-18", channels=3, num_classes=10, mean=(0.0,) * 3, std=(1.0,) * 3)
    classifier.to(device).requires_grad_(False).eval()
    images = torch.randint(0, 256, (1024, 32, 32, 3), dtype=torch.uint8).to(device)
    try:
        (run_plain if variant == "plain" else run_ours)(teacher, classifier, images, options, wait_for_turn)
    except StopTraining:
        pipe.close()


def as_diffusers(network: Network) -> UNet2DModel:
    """A network of ours as the library has it."""
    copied = UNet2DModel(**network.config)
    copied.load_state_dict(network.state_dict())
    return copied


def run_plain(
    teacher: Network, classifier: Classifier, images: Tensor, options: argparse.Namespace, turn: Callable[[], None]
) -> None:
    """The loop as the authors' code has it."""
    student = as_diffusers(teacher).to(images.device).train()
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-5)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10_000)
    schedule = cosine_schedule().to(images.device)
    while True:
        turn()
        x = to_float(images[torch.randint(len(images), (options.batch_size,), device=images.device)])
        loss = plain_cfd_loss(
            teacher,
            student,
            classifier,
            x=x,
            eps=torch.randn_like(x),
            step=torch.randint(1, TEACHER_STEPS // 2 + 1, (len(x),), device=x.device),
            teacher_steps=TEACHER_STEPS,
            schedule=schedule,
            config=RESNET_PRESET,
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        decay.step()


def run_ours(
    teacher: nn.Module, classifier: Classifier, images: Tensor, options: argparse.Namespace, turn: Callable[[], None]
) -> None:
    """The trainer's loop, through the classifier as distillation has it."""
    fold_norms(classifier)
    execution = Execution(precision=options.precision, compile=options.compile)
    (this,) = plan_rounds(
        step_rows(1024), from_steps=TEACHER_STEPS, to_steps=TEACHER_STEPS // 2, method=find_method("pd")
    )

    def on_progress(progress: Progress) -> None:  # noqa: ARG001
        turn()

    turn()
    with tempfile.TemporaryDirectory() as folder:
        run_round(
            Denoiser(teacher, cosine_schedule().to(images.device), "sample"),
            this,
            method=Built(
                begin=by_halving(partial(cfd_loss, classify=execution.view(classifier), config=RESNET_PRESET))
            ),
            data=TrainingData(images, flip=True),
            config=TrainConfig(iterations=10_000, batch_size=options.batch_size, learning_rate=5e-5, decay="cosine"),
            state_path=Path(folder) / "state.pt",
            on_progress=on_progress,
            execution=execution,
        )


def peak_memory(device: torch.device) -> float:
    """Most bytes that this process has held so far."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def main() -> None:
    """Check the plain loop, let both take turns, print the table."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=20 if cuda else 5, help="timed, after the first two")
    parser.add_argument("--batch-size", type=int, default=128 if cuda else 16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="on a CPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="bf16")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=cuda)
    options = parser.parse_args()
    difference = golden_difference()
    print(f"The plain loop's loss differs from the authors' by {difference:.1e} of it (allowed: 2e-4).")
    assert difference < 2e-4

    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for variant in ("plain", "ours"):
        pipes[variant], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(variant, options, theirs), daemon=True))
        processes[-1].start()
    seconds: dict[str, list[float]] = {variant: [] for variant in pipes}
    for turn in range(options.iterations + 2):  # the first two compile, choose kernels, reach the peak
        for variant, pipe in pipes.items():
            pipe.send(True)
            taken = pipe.recv()
            if turn >= 2:
                seconds[variant].append(taken)
    memory: dict[str, float] = {}
    for variant, pipe in pipes.items():
        pipe.send(False)
        memory[variant] = pipe.recv()

    for process in processes:
        process.join()

    medians = {variant: statistics.median(values) for variant, values in seconds.items()}
    print(f"Batch {options.batch_size}, medians of {options.iterations} iterations, ", end="")
    print(f"ours with --precision {options.precision} {'--compile' if options.compile else '--no-compile'}:\n")
    print("| loop | s an iteration | images/s | peak memory, GB |\n|---|---|---|---|")
    for variant, median in medians.items():
        print(f"| {variant} | {median:.2f} | {options.batch_size / median:.2f} | {memory[variant]:.2f} |")
    speed, share = medians["plain"] / medians["ours"], memory["ours"] / memory["plain"]
    print(f"| ours against plain | {speed:.2f} times as fast | | {share:.2f} of it |")


if __name__ == "__main__":
    main()
