"""The commands that train: ``fewstep train``, ``distill``, ``train-classifier``."""

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from core.catalog.card import SHIPPED_CHECKPOINTS, locate_checkpoint, read_card
from core.catalog.classifier_card import Architecture
from core.errors import InvalidRequest
from core.methods.declaration import all_methods, all_options, described, find_method, owners
from models.cli.options import (
    Checkpoints,
    Compile,
    Data,
    Device,
    ImageColumn,
    LabelColumn,
    Out,
    PrecisionOption,
    Seed,
    Size,
    expanded,
    home,
)

# What a command needs is imported when it runs: `fewstep --help` need not wait for torch and diffusers.

training = typer.Typer()

_Value = TypeVar("_Value")
_Command = TypeVar("_Command", bound=Callable[..., None])

METHODS = "; ".join(f"{name}: {method.summary}" for name, method in all_methods().items()) + "."


def with_options_of_methods(command: _Command) -> _Command:
    """Let a command take the options of every method in place of its ``**options``."""
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[each.annotation, typer.Option(help=described(name))],
        )
        for name, each in all_options().items()
    ]
    command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    command.__annotations__ |= {option.name: option.annotation for option in options}
    return command


@training.command()
def train(
    out: Out,
    data: Data = "digits",
    size: Size = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    init: Annotated[
        str | None,
        typer.Option(
            parser=home,
            metavar="TEXT",
            help="Checkpoint to go on from, in place of a new network: a folder or family/name.",
        ),
    ] = None,
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
    class_conditional: Annotated[
        bool, typer.Option("--class-conditional", help="Learn the data's classes, so that one can be asked for.")
    ] = False,
    seed: Seed = 0,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    compile_: Compile = None,
) -> None:
    """Train a teacher on a data set. Ctrl-C keeps what was done; the same command goes on from there."""
    from models.cli.runs import train_teacher
    from models.data.parquet_files import Columns
    from models.diffusion.unet import UNetConfig
    from models.training.execution import Execution
    from models.training.trainer import TrainConfig

    train_teacher(
        out=out,
        data=data,
        size=size,
        columns=Columns(image_column, label_column),
        unet=UNetConfig(
            channels=channels,
            multipliers=_integers(multipliers, "multipliers"),
            attention_levels=_integers(attention, "attention"),
            blocks=blocks,
            dropout=dropout,
        ),
        init=locate_checkpoint(checkpoints, init) if init else None,
        class_conditional=class_conditional,
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
        execution=Execution(precision=precision, compile=compile_),
        command=command_line(),
    )


@training.command()
@with_options_of_methods
def distill(
    teacher: Annotated[
        str, typer.Option(parser=home, metavar="TEXT", help="Checkpoint to start from: a folder or family/name.")
    ],
    from_steps: Annotated[int, typer.Option("--from", min=2, help="Steps of the first teacher.")],
    to_steps: Annotated[int, typer.Option("--to", min=1, help="Steps of the last student.")],
    out: Annotated[
        Path,
        typer.Option(parser=expanded, metavar="PATH", help="Family folder; each round writes N-step into it."),
    ],
    method: Annotated[str, typer.Option(help=METHODS)] = "pd",
    classifier: Annotated[
        str | None,
        typer.Option(
            parser=home,
            metavar="TEXT",
            help=f"For {', '.join(owners('classifier'))}: a folder that train-classifier wrote, or an image classifier "
            "of the Hugging Face Hub, by name or folder.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="As for train, digits by default; or synthetic: images of the teacher. Some methods are shown none."
        ),
    ] = None,
    size: Size = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    synthetic_images: Annotated[
        int | None, typer.Option(min=1, help="For synthetic: in memory at a time, in blocks of 64; 4096 by default.")
    ] = None,
    synthetic_steps: Annotated[
        int | None,
        typer.Option(min=1, help="For synthetic: sampling steps; the largest divisor of the teacher's to 64 else."),
    ] = None,
    synthetic_refresh: Annotated[
        int | None,
        typer.Option(min=0, help="For synthetic: iterations until 64 images give way to new ones; 50 by default."),
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="A round; doubled for students of 2 and 1 steps.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    learning_rate: Annotated[float, typer.Option(min=0, help="Falls to 0 by a cosine over each round.")] = 5e-5,
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of the gradient.")] = 1.0,
    seed: Seed = 0,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    compile_: Compile = None,
    **options: Any,  # noqa: ANN401 (those of methods have types of their own)
) -> None:
    """Teach students to sample in few steps. Ctrl-C keeps what was done; the same command goes on from there."""
    from models.data.parquet_files import Columns
    from models.distillation.method import load_method
    from models.distillation.synthetic import synthetic_config
    from models.training.execution import Execution
    from models.training.trainer import TrainConfig

    execution = Execution(precision=precision, compile=compile_)
    folder = locate_checkpoint(checkpoints, teacher)
    declaration, card = find_method(method), read_card(folder)
    if data is None and declaration.needs_images:
        data = "digits"
    loaded = load_method(
        declaration,
        given=_given(classifier=classifier, **options),
        image_shape=card.image_shape,
        knows_all_rows=card.knows_all_rows,
        device=device,
        execution=execution,
    )
    from models.cli.runs import distill_chain  # imports diffusers, for which no mistake is to wait

    distill_chain(
        teacher=folder,
        from_steps=from_steps,
        to_steps=to_steps,
        out=out,
        method=loaded,
        data=data,
        size=size,
        columns=Columns(image_column, label_column),
        synthetic=synthetic_config(
            data, _given(images=synthetic_images, steps=synthetic_steps, refresh=synthetic_refresh)
        ),
        config=TrainConfig(
            iterations=iterations,
            batch_size=batch_size,
            learning_rate=learning_rate,
            decay="cosine",
            clip=clip,
            seed=seed,
        ),
        device=device,
        execution=execution,
        command=command_line(),
    )


@training.command()
def train_classifier(
    out: Annotated[Path, typer.Option(parser=expanded, metavar="PATH", help="Folder to write.")],
    data: Data = "digits",
    test: Annotated[
        str | None, typer.Option(help="Data to measure accuracy on; without it a fifth of --data is kept for that.")
    ] = None,
    size: Size = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
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
    precision: PrecisionOption = "auto",
    compile_: Compile = None,
) -> None:
    """Train a classifier to distil through or to judge by, and report its accuracy on images it has not seen."""
    from models.classifiers import training as classifier_training
    from models.data.parquet_files import Columns
    from models.training.execution import Execution
    from models.training.trainer import TrainConfig

    card = classifier_training.train_classifier(
        out=out,
        architecture=architecture,
        data=data,
        test=test,
        size=size,
        columns=Columns(image_column, label_column),
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
        execution=Execution(precision=precision, compile=compile_),
        command=command_line(),
    )
    typer.echo(f"{out}: right about {card.accuracy:.2%} of {card.test_images:,} images it had not seen")


def command_line() -> str:
    """What the user typed, for the cards."""
    return shlex.join(["fewstep", *sys.argv[1:]])


def _given(**options: _Value | None) -> dict[str, _Value]:
    """Those of the options that the user gave."""
    return {name: value for name, value in options.items() if value is not None}


def _integers(text: str, field: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a list of integers such as 1,2,2", field=field) from None
