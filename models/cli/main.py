"""The command line: ``fewstep sample``, ``inspect``, ``import``, and the commands that train and evaluate."""

import json
import sys
from math import prod
from pathlib import Path
from typing import Annotated

import typer

from core.catalog.card import SHIPPED_CHECKPOINTS, Card, PredictionType, locate_checkpoint
from core.errors import InvalidRequest
from models.cli.ending import run_to_its_end
from models.cli.evaluate import evaluation
from models.cli.keys import keys
from models.cli.options import Checkpoints, Device, Out, SamplingCompile, SamplingPrecision, Seed, expanded, home
from models.cli.training import command_line, training
from models.training.progress import StopTraining, speaks

# What a command needs is imported when it runs: `fewstep --help` need not wait for torch and diffusers.

app = typer.Typer(
    name="fewstep",
    help="Few-step image sampling by distilled diffusion models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(training)
app.add_typer(evaluation)
app.add_typer(keys)


@app.command()
def sample(
    model: Annotated[
        str,
        typer.Argument(
            parser=home, metavar="MODEL", help="A checkpoint (folder or family/name), or a family with --steps."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            parser=expanded, metavar="PATH", help="A .png with all images in a grid, or a .npy of uint8 (N, H, W, C)."
        ),
    ],
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.")] = None,
    n: Annotated[int, typer.Option(min=1, help="Number of images; image i has seed + i.")] = 1,
    seed: Seed = 0,
    class_label: Annotated[
        int | None, typer.Option(min=0, help="For class-conditional models; by default seed modulo number of classes.")
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(
            parser=expanded,
            metavar="PATH",
            help="A .npy of float32 (N, C, H, W) initial noise, in place of --n and --seed.",
        ),
    ] = None,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
    precision: SamplingPrecision = "auto",
    compile_: SamplingCompile = None,
) -> None:
    """Sample images."""
    from models.checkpoints.files import refuse_unwritable, reserve
    from models.data.images import read_noise, write_pictures
    from models.sampling.compiled import pays
    from models.sampling.engine import Sampler, class_labels

    if out.suffix not in (".png", ".npy"):
        raise InvalidRequest(f"{out}: ends in neither .png nor .npy", field="out")
    refuse_unwritable(out)
    folder = locate_checkpoint(checkpoints, model, steps)
    initial = read_noise(noise) if noise is not None else None
    images_asked = n if initial is None else len(initial)
    compiled = pays(images_asked) if compile_ is None else compile_
    sampler = Sampler(folder, device=device, precision=precision, compiled=compiled)
    if out.suffix == ".npy":
        reserve(out, images_asked * prod(sampler.card.image_shape))
    if initial is not None:
        labels = class_labels(sampler.card, range(len(initial)), class_label)
        images = sampler.sample_noise(initial, labels=labels, num_steps=steps)
    else:
        images = sampler.sample(seeds=range(seed, seed + n), class_label=class_label, num_steps=steps)
    write_pictures(out, images)
    count, height, width, _ = images.shape
    made = f"in {steps or sampler.card.num_steps} steps from {folder}, in {sampler.precision}"
    typer.echo(f"{out}: {count} of {height}x{width} {made}")


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(parser=home, metavar="MODEL", help="A checkpoint: a folder or family/name.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Of which of a family's checkpoints.")] = None,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
) -> None:
    """Verify a checkpoint and print its card as JSON, its rows shortened."""
    from models.checkpoints.stored import fitting, read_stored
    from models.sampling.kinds import without_values

    folder = locate_checkpoint(checkpoints, model, steps)
    stored = read_stored(folder)
    with fitting(folder):
        without_values(stored.config, stored.weights)
    typer.echo(_card_text(stored.card))


@app.command(name="import")
def import_(
    checkpoint: Annotated[
        str,
        typer.Argument(
            parser=home,
            metavar="CHECKPOINT",
            help="ckpt.pt of the CFD authors' code, or a pipeline of diffusers: a folder or its Hub name.",
        ),
    ],
    out: Out,
    prediction_type: Annotated[
        PredictionType | None,
        typer.Option(help="What the network predicts; a ckpt.pt does not say, and is taken to predict the sample."),
    ] = None,
) -> None:
    """Turn a checkpoint of the CFD authors' code, or a pipeline of diffusers, into one of ours."""
    from models.checkpoints.authors import read_authors_checkpoint
    from models.checkpoints.checkpoint import save_checkpoint
    from models.checkpoints.files import refuse_out
    from models.checkpoints.pipelines import find_pipeline, read_pipeline
    from models.sampling.kinds import refuse_unlike

    refuse_out(out)
    path = Path(checkpoint)
    theirs = read_authors_checkpoint(path) if path.is_file() else read_pipeline(find_pipeline(checkpoint))
    refuse_unlike(theirs.network.config, path, rows=theirs.rows)
    card = save_checkpoint(
        out,
        theirs.network,
        rows=theirs.rows,
        schedule=theirs.schedule,
        prediction_type=prediction_type or theirs.prediction_type,
        method="import",
        command=command_line(),
    )
    typer.echo(f"{checkpoint}: {theirs.weights}")
    typer.echo(f"{out}: {card.num_steps} steps, {card.parameters:,} weights, images of {card.image_shape}")


def main() -> None:
    """Run the command line; an error is one line on stderr and exit code 2."""
    try:
        code = run_to_its_end(app, sys.argv[1:])
    except StopTraining as stop:
        if speaks():
            typer.echo(f"\nfewstep: {stop}", err=True)
        code = 130
    sys.exit(code)


def _card_text(card: Card) -> str:
    fields = card.model_dump(mode="json")
    if len(card.rows) > 17:
        fields["rows"] = [*card.rows[:3], "…", *card.rows[-2:]]
    return json.dumps(fields, indent=2, ensure_ascii=False)
