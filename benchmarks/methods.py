"""PD against CFD on digits: from one teacher of 8 steps to students of 4, 2 and 1, with equal iterations.

Every method runs once a seed; the seed sets the batches, steps and noise of training. A judge that no student was
distilled through gives the figures. The chains are kept in ``--out``, so that the command goes on where it was cut off.
"""

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

from core.catalog.card import SHIPPED_CHECKPOINTS
from core.methods.declaration import find_method
from models.cli.runs import distill_chain
from models.data.dataset import load_data
from models.distillation.method import load_method
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.extractors import judge_extractor, refuse_distilled_through
from models.evaluation.reference import load_reference
from models.sampling.engine import Sampler
from models.training.trainer import TrainConfig

METHODS: dict[str, dict[str, float] | None] = {
    "PD": None,
    "CFD, temperature 0.9": {"temperature": 0.9, "dataset_weight": 0.0},
    "CFD, temperature 0.95, dataset weight 0.003, entropy share 0.75": {
        "temperature": 0.95,
        "dataset_weight": 0.003,
        "entropy_share": 0.75,
    },
}
"""PD, and CFD with the paper's two sets of values, for DenseNets and for ResNets."""

STEPS = (4, 2, 1)
IMAGE_SHAPE = (1, 16, 16)
DIGITS = SHIPPED_CHECKPOINTS / "digits"


def main() -> None:
    """Distil, judge, print the table."""
    arguments = parse()
    train = load_data("digits")
    extractor = judge_extractor(arguments.judge, image_shape=IMAGE_SHAPE, device=torch.device("cpu"))
    reference = load_reference("digits", train, size=None, extractor=extractor)

    def judged(checkpoint: Path, num_steps: int) -> Evaluation:
        refuse_distilled_through(arguments.judge, checkpoint)
        return evaluate(
            Sampler(checkpoint, device="cpu"),
            num_steps=num_steps,
            count=arguments.samples,
            extractor=extractor,
            train=train,
            reference=reference,
        )

    rows = {f"teacher, DDIM ({arguments.teacher.name})": [[judged(arguments.teacher, steps)] for steps in STEPS]}
    # Each chain in a process with one thread: small networks gain little from a second.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        chains = {
            method: [pool.submit(chain, method, seed, arguments) for seed in arguments.seeds] for method in METHODS
        }
        families = {method: [one.result() for one in futures] for method, futures in chains.items()}
    for method, made in families.items():
        rows[method] = [
            [judged(family / f"{steps}-step", steps) for family in tqdm(made, desc=f"{method} in {steps}")]
            for steps in STEPS
        ]
    print(
        f"{arguments.iterations} iterations of {arguments.batch_size} images (twice as many for 2 steps and 1), "
        f"learning rate {arguments.learning_rate:g}; mean ± deviation over {len(arguments.seeds)} seeds.\n"
        f"Judge: {extractor.name} ({extractor.sha256[:12]}), {arguments.samples:,} samples against "
        f"{len(train.images):,} images; floor, {reference.floor_of}: {reference.floor:.3f}.\n"
    )
    print(table("Fréchet distance (lower is better)", rows, lambda one: one.frechet_distance))
    print(table("classifier score (Inception score of the judge, at most 10)", rows, lambda one: one.inception_score))
    print(table("share of samples the judge is 0.9 sure of", rows, lambda one: one.sure or 0.0))


def chain(method: str, seed: int, arguments: argparse.Namespace) -> Path:
    """The family of one chain 8 → 4 → 2 → 1, made unless it is there."""
    options = METHODS[method]
    family: Path = arguments.out / f"{list(METHODS).index(method)}-{seed}"
    if (family / "1-step").exists():
        return family
    given = {} if options is None else {"classifier": str(arguments.classifier), **options}
    declaration = find_method("pd" if options is None else "cfd")
    distill_chain(
        teacher=arguments.start,
        from_steps=8,
        to_steps=1,
        out=family,
        method=load_method(declaration, given=given, image_shape=IMAGE_SHAPE, device="cpu"),
        data="digits",
        config=TrainConfig(
            iterations=arguments.iterations,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            decay="cosine",
            seed=seed,
        ),
        device="cpu",
    )
    return family


def table(title: str, rows: dict[str, list[list[Evaluation]]], figure: Callable[[Evaluation], float]) -> str:
    """Markdown: a line for each method, a column for each number of steps."""
    lines = [f"| {title} | " + " | ".join(f"{steps} steps" for steps in STEPS) + " |", "|---" * (len(STEPS) + 1) + "|"]
    for name, columns in rows.items():
        cells = []
        for column in columns:
            values = [figure(one) for one in column]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--teacher", type=Path, default=DIGITS / "teacher", help="sampled by DDIM for comparison")
    parser.add_argument("--start", type=Path, default=DIGITS / "8-step", help="teacher of the first round")
    parser.add_argument("--classifier", type=Path, default=DIGITS / "classifier", help="CFD's")
    parser.add_argument("--judge", type=Path, default=DIGITS / "judge")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("var/benchmarks/methods"), help="where the chains are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
