"""The command line: ``fewstep train``, ``distill``, ``train-classifier``, ``sample``, ``inspect``, ``import``."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from core.card import SHIPPED_CHECKPOINTS, Card, PredictionType, locate_checkpoint, read_card
from core.classifier_card import Architecture
from core.errors import FewstepError, InvalidRequest
from models.progress import StopTraining

# What a command needs is imported when it runs: `fewstep --help` need not wait for torch and diffusers.

app = typer.Typer(
    name="fewstep",
    help="Few-step image sampling by distilled diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all randomness.")]
Checkpoints = Annotated[
    Path, typer.Option(envvar="FEWSTEP_CHECKPOINTS", help="Folder of model families, for names that are no path.")
]
Data = Annotated[
    str, typer.Option(help="digits, or the path of a Parquet file, image folder or zip, or CIFAR-10 archive.")
]

Size = Annotated[
    int | None, typer.Option(min=1, help="Crop pictures to squares and resize them to so many pixels a side.")
]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write, family/name.")],
    data: Data = "digits",
    size: Size = None,
    iterations: Annotated[int, typer.Option(min=1)] = 800_000,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    learning_rate: Annotated[float, typer.Option(min=0)] = 2e-4,
    decay: Annotated[Literal["constant", "cosine"], typer.Option(help="Of the learning rate.")] = "constant",
    warmup: Annotated[int, typer.Option(min=0, help="Iterations until the learning rate is reached.")] = 5_000,
    ema_decay: Annotated[float, typer.Option(min=0, max=1, help="Of the averaged weights, an iteration.")] = 0.9999,
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of the gradient.")] = 1.0,
    channels: Annotated[int, typer.Option(min=32, help="Width of the first level, a multiple of 32.")] = 128,
    multipliers: Annotated[str, typer.Option(help="Width of each level over the first.")] = "1,2,2,2",
    attention: Annotated[str, typer.Option(help="Levels with self-attention, from 0; may be empty.")] = "1",
    blocks: Annotated[int, typer.Option(min=1, help="Residual blocks a level.")] = 2,
    dropout: Annotated[float, typer.Option(min=0, max=1)] = 0.1,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a teacher on a data set. Ctrl-C keeps what was done; the same command goes on from there."""
    from models.runs import train_teacher
    from models.trainer import TrainConfig
    from models.unet import UNetConfig

    train_teacher(
        out=out,
        data=data,
        size=size,
        unet=UNetConfig(
            channels=channels,
            multipliers=_integers(multipliers, "multipliers"),
            attention_levels=_integers(attention, "attention"),
            blocks=blocks,
            dropout=dropout,
        ),
        config=TrainConfig(
            iterations=iterations,
            batch_size=batch_size,
            learning_rate=learning_rate,
            decay=decay,
            warmup=warmup,
            clip=clip,
            ema_decay=ema_decay,
            seed=seed,
        ),
        device=device,
        command=_command_line(),
    )


@app.command()
def distill(
    teacher: Annotated[str, typer.Option(help="Checkpoint to start from: a folder or family/name.")],
    from_steps: Annotated[int, typer.Option("--from", min=2, help="Steps of the first teacher.")],
    to_steps: Annotated[int, typer.Option("--to", min=1, help="Steps of the last student.")],
    out: Annotated[Path, typer.Option(help="Family folder; each round writes N-step into it.")],
    method: Annotated[
        Literal["pd", "cfd"],
        typer.Option(help="pd: progressive distillation; cfd: classifier-based feature distillation."),
    ] = "pd",
    classifier: Annotated[Path | None, typer.Option(help="For cfd: a folder that train-classifier wrote.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=1e-3, help="For cfd: below 1 it sharpens the teacher's features.")
    ] = None,
    dataset_weight: Annotated[
        float | None,
        typer.Option(min=0, help="For cfd: of the dataset term; the classifier must know the data."),
    ] = None,
    entropy_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="For cfd: of confidence in that term, the rest is diversity.")
    ] = None,
    data: Data = "digits",
    size: Size = None,
    iterations: Annotated[int, typer.Option(min=1, help="A round; doubled for students of 2 and 1 steps.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    learning_rate: Annotated[float, typer.Option(min=0, help="Falls to 0 by a cosine over each round.")] = 5e-5,
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of the gradient.")] = 1.0,
    seed: Seed = 0,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
) -> None:
    """Halve a teacher's steps round by round. Ctrl-C keeps what was done; the same command goes on from there.

    What --temperature, --dataset-weight and --entropy-share leave open is the paper's value for the kind of classifier.
    """
    from models.methods import pick_student_loss
    from models.runs import distill_chain
    from models.trainer import TrainConfig

    folder = locate_checkpoint(checkpoints, teacher)
    given = {"temperature": temperature, "dataset_weight": dataset_weight, "entropy_share": entropy_share}
    student_loss, loss_facts = pick_student_loss(
        method,
        classifier=classifier,
        image_shape=read_card(folder).image_shape,
        given={name: value for name, value in given.items() if value is not None},
        device=device,
    )
    distill_chain(
        teacher=folder,
        from_steps=from_steps,
        to_steps=to_steps,
        out=out,
        method=method,
        data=data,
        size=size,
        config=TrainConfig(
            iterations=iterations,
            batch_size=batch_size,
            learning_rate=learning_rate,
            decay="cosine",
            clip=clip,
            seed=seed,
        ),
        student_loss=student_loss,
        loss_facts=loss_facts,
        device=device,
        command=_command_line(),
    )


@app.command()
def train_classifier(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    data: Data = "digits",
    test: Annotated[
        str | None, typer.Option(help="Data to measure accuracy on; without it a fifth of --data is kept for that.")
    ] = None,
    size: Size = None,
    architecture: Annotated[
        Architecture, typer.Option(help="The paper's are resnet-18 and densenet-201.")
    ] = "resnet-18",
    iterations: Annotated[int, typer.Option(min=1)] = 20_000,
    batch_size: Annotated[int, typer.Option(min=2)] = 128,
    learning_rate: Annotated[float, typer.Option(min=0, help="Falls to 0 by a cosine.")] = 1e-3,
    label_smoothing: Annotated[float, typer.Option(min=0, max=0.99)] = 0.0,
    shift: Annotated[int, typer.Option(min=0, help="Most pixels by which an image is moved.")] = 4,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a classifier to distil through or to judge by, and report its accuracy on images it has not seen."""
    from models import classifier_training
    from models.trainer import TrainConfig

    card = classifier_training.train_classifier(
        out=out,
        architecture=architecture,
        data=data,
        test=test,
        size=size,
        config=TrainConfig(
            iterations=iterations,
            batch_size=batch_size,
            learning_rate=learning_rate,
            decay="cosine",
            seed=seed,
        ),
        label_smoothing=label_smoothing,
        shift_by=shift,
        device=device,
        command=_command_line(),
    )
    typer.echo(f"{out}: right about {card.accuracy:.2%} of {card.test_images:,} images it had not seen")


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="A checkpoint (folder or family/name), or a family with --steps.")],
    out: Annotated[Path, typer.Option(help="A .png with all images in a grid, or a .npy of uint8 (N, H, W, C).")],
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.")] = None,
    n: Annotated[int, typer.Option(min=1, help="Number of images; image i has seed + i.")] = 1,
    seed: Seed = 0,
    noise: Annotated[
        Path | None, typer.Option(help="A .npy of float32 (N, C, H, W) initial noise, in place of --n and --seed.")
    ] = None,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
) -> None:
    """Sample images."""
    from models.engine import Sampler
    from models.images import read_noise, write_pictures

    if out.suffix not in (".png", ".npy"):
        raise InvalidRequest(f"{out}: ends in neither .png nor .npy", field="out")
    folder = locate_checkpoint(checkpoints, model, steps)
    initial = read_noise(noise) if noise is not None else None
    sampler = Sampler(folder, device=device)
    if initial is not None:
        images = sampler.sample_noise(initial, num_steps=steps)
    else:
        images = sampler.sample(seeds=range(seed, seed + n), num_steps=steps)
    write_pictures(out, images)
    count, height, width, _ = images.shape
    typer.echo(f"{out}: {count} of {height}x{width} in {steps or sampler.card.num_steps} steps from {folder}")


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="A checkpoint: a folder or family/name.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Of which of a family's checkpoints.")] = None,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
) -> None:
    """Verify a checkpoint and print its card as JSON, its rows shortened."""
    from models.checkpoint import load_checkpoint

    folder = locate_checkpoint(checkpoints, model, steps)
    load_checkpoint(folder)
    typer.echo(_card_text(read_card(folder)))


@app.command(name="import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="ckpt.pt of the CFD authors' code.")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write, family/name.")],
    prediction_type: Annotated[
        PredictionType, typer.Option(help="What its network predicts; the file does not say.")
    ] = "sample",
) -> None:
    """Turn a checkpoint of the CFD authors' code into one of ours."""
    from models.authors import read_authors_checkpoint
    from models.checkpoint import save_checkpoint

    theirs = read_authors_checkpoint(checkpoint)
    card = save_checkpoint(
        out,
        theirs.network,
        rows=theirs.rows,
        prediction_type=prediction_type,
        method="import",
        command=_command_line(),
    )
    typer.echo(f"{out}: {card.num_steps} steps, {card.parameters:,} weights, images of {card.image_shape}")


def main() -> None:
    """Run the command line; an error is one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except FewstepError as error:
        option = f"--{error.field}: " if error.field else ""
        code = _fail(f"{option}{error.detail}")
    except StopTraining as stop:
        typer.echo(f"\nfewstep: {stop}", err=True)
        code = 130
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        # typer raises its own usage errors, which know their message
        if not hasattr(error, "format_message"):
            raise
        code = _fail(error.format_message())
    sys.exit(code)


def _fail(message: str) -> int:
    typer.echo(f"fewstep: {' '.join(message.split())}", err=True)
    return 2


def _command_line() -> str:
    return shlex.join(["fewstep", *sys.argv[1:]])


def _integers(text: str, field: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a list of integers such as 1,2,2", field=field) from None


def _card_text(card: Card) -> str:
    fields = card.model_dump(mode="json")
    if len(card.rows) > 17:
        fields["rows"] = [*card.rows[:3], "…", *card.rows[-2:]]
    return json.dumps(fields, indent=2, ensure_ascii=False)
