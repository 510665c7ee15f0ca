"""Speed and memory of a CFD iteration, on the paper's networks or those of digits: our trainer against a plain loop.

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
from torch import Tensor, nn

from benchmarks.shared.plain_loss import golden_difference, plain_cfd_loss
from core.catalog.classifier_card import Architecture
from core.methods.declaration import find_method
from models.classifiers.classifier import Classifier, fold_norms
from models.data.images import to_float
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import cosine_schedule, step_rows
from models.diffusion.unet import Network, UNetConfig, build_unet
from models.distillation.chain import run_round
from models.distillation.halving import by_halving
from models.distillation.method import Built
from models.distillation.methods.cfd import RESNET_PRESET, cfd_loss
from models.distillation.rounds import plan_rounds
from models.sampling.engine import pick_device
from models.training.batches import TrainingData
from models.training.execution import Execution
from models.training.progress import Progress, StopTraining
from models.training.trainer import TrainConfig

TEACHER_STEPS = 8
NETWORKS: dict[str, tuple[UNetConfig, Architecture]] = {
    "paper": (UNetConfig(), "resnet-18"),
    "digits": (
        UNetConfig(image_shape=(1, 16, 16), multipliers=(1, 2), channels=32, attention_levels=(1,), blocks=1),
        "resnet-small",
    ),
}


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
    config, architecture = NETWORKS[options.network]
    teacher: Network = build_unet(config)
    if variant == "plain":
        teacher = as_diffusers(teacher)
    teacher.to(device).requires_grad_(False).eval()
    channels, *sides = config.image_shape
    levels = (0.0,) * channels, (1.0,) * channels
    classifier = Classifier(architecture, channels=channels, num_classes=10, mean=levels[0], std=levels[1])
    classifier.to(device).requires_grad_(False).eval()
    images = torch.randint(0, 256, (1024, *sides, channels), dtype=torch.uint8).to(device)
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
    parser.add_argument("--network", choices=NETWORKS, default="paper")
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
    print(
        f"Networks of {options.network}, batch {options.batch_size}, medians of {options.iterations} iterations, ",
        end="",
    )
    print(f"ours with --precision {options.precision} {'--compile' if options.compile else '--no-compile'}:\n")
    print("| loop | s an iteration | images/s | peak memory, GB |\n|---|---|---|---|")
    for variant, median in medians.items():
        print(f"| {variant} | {median:.3g} | {options.batch_size / median:.3g} | {memory[variant]:.2f} |")
    speed, share = medians["plain"] / medians["ours"], memory["ours"] / memory["plain"]
    print(f"| ours against plain | {speed:.2f} times as fast | | {share:.2f} of it |")


if __name__ == "__main__":
    main()
