"""Images a second of the sampler against diffusers' own pipeline and against the machine's convolution ceiling.

``python -m benchmarks.sampler``. The paper's U-Net has random weights, ``digits`` its own. The ceiling is what a
256-channel 3x3 convolution on 32x32 pixels reaches here in the same precision, in FLOP/s; a network's share of it
counts the FLOPs of its convolutions and matrix products, and nothing else that it does. On a GPU ``--no-capture`` takes
the engine without CUDA graphs, and ``TORCHDYNAMO_DISABLE=1`` before the command without compilation.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import torch
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from diffusers.utils import logging

from benchmarks.shared.common import (
    PAPER,
    machine,
    save_network,
    table,
)
from core.catalog.card import SHIPPED_CHECKPOINTS
from models.sampling.ceiling import ceiling, seconds
from models.sampling.engine import Sampler, pick_device
from models.sampling.host import keep_memory

HEAD = ("model", "steps", "batch", "images/s", "TFLOP/s", "of the ceiling", "diffusers float32, images/s", "ratio")


def sample_by_diffusers(pipeline: DDIMPipeline, steps: int, batch: int) -> None:
    """The call that a card names."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(batch)]
    pipeline(num_inference_steps=steps, batch_size=batch, generator=generators, use_clipped_model_output=True)


def measure(model: str, family: Path, options: argparse.Namespace) -> list[list[object]]:
    """Rows of the table."""
    device = pick_device(options.device)
    rows: list[list[object]] = []
    print(f"{model}. Ceiling in TFLOP/s: ", end="")
    for steps in options.steps:
        folder = family / f"{steps}-step"
        sampler = Sampler(folder, device=options.device)
        if not options.capture:
            sampler.run_unrecorded()
        pipeline = DDIMPipeline.from_pretrained(folder).to(device)
        pipeline.set_progress_bar_config(disable=True)
        top = ceiling(sampler.precision, device, options.seconds)
        each = f"{sampler.flops / 1e9:.2f} GFLOP an image and step"
        print(f"{top / 1e12:.2f} in {sampler.precision}, {each}", end="; ", flush=True)
        for batch in options.batches:
            # Both from seeds: the noise of an image is drawn on the CPU, which a GPU feels.
            ours = batch / seconds(partial(sampler.sample, seeds=range(batch)), options.seconds)
            theirs = batch / seconds(partial(sample_by_diffusers, pipeline, steps, batch), options.seconds)
            rate = ours * steps * sampler.flops
            name = f"{model}, {sampler.precision}"
            rows.append([name, steps, batch, ours, rate / 1e12, rate / top, theirs, ours / theirs])
    print()
    return rows


def quiet() -> None:
    """No advice and no progress bars from diffusers."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def main() -> None:
    """Measure both models and print the table."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8])
    batches = [1, 2, 4, 8, 16, 64, 256, 1024] if cuda else [1, 2, 4, 8, 16, 64]
    parser.add_argument("--batches", type=int, nargs="+", default=batches)
    parser.add_argument("--models", nargs="+", default=["paper", "digits"], choices=("paper", "digits"))
    parser.add_argument("--seconds", type=float, default=0.2, help="least time of each figure, of at least two calls")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--capture", action=argparse.BooleanOptionalAction, default=True, help="CUDA graphs, on a GPU")
    options = parser.parse_args()
    keep_memory()
    quiet()
    print(machine(), "\n")
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            family = SHIPPED_CHECKPOINTS / "digits"
            if model == "paper":
                family = Path(folder) / "paper"
                save_network(family, options.steps, PAPER)
            rows += measure(model, family, options)
    print("\n" + table(HEAD, rows))


if __name__ == "__main__":
    main()
