"""The commands that train: ``fewstep train``, ``distill``, ``train-classifier``."""

import inspect
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic.fields import FieldInfo

from core.catalog.card import SHIPPED_CHECKPOINTS, locate_checkpoint, read_card
from core.catalog.classifier_card import locate_classifier
from core.errors import InvalidRequest
from core.methods.declaration import all_methods, all_options, described, find_method, owners, settle
from core.methods.guide import GUIDANCE, USUAL_GUIDANCE
from core.training.optimizer import DESCRIPTION, Optimizer
from core.training.options import OPTIONS, ClassifierOptions, Kind, TeacherOptions
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
    return _with_options(
        command,
        {
            name: (None, Annotated[each.annotation, typer.Option(help=described(name))])
            for name, each in all_options().items()
        },
    )


def with_options_of(kind: Kind) -> Callable[[_Command], _Command]:
    """Let a command take the options of a kind of training in place of its ``**options``."""
    fields = OPTIONS[kind].model_fields
    return lambda command: _with_options(command, {name: _asked(name, each) for name, each in fields.items()})


def _asked(name: str, field: FieldInfo) -> tuple[Any, Any]:
    """Default and annotation of an option on the command line."""
    bounds = {key: getattr(each, key) for each in field.metadata for key in ("ge", "le") if hasattr(each, key)}
    limits = {{"ge": "min", "le": "max"}[key]: value for key, value in bounds.items()}
    option = typer.Option(
        *([f"--{name.replace('_', '-')}"] if field.annotation is bool else []),  # without one that says no
        help=f"{field.description}.",
        **limits,
    )
    if field.annotation == tuple[int, ...]:
        return ",".join(map(str, field.default)), Annotated[str, option]
    return field.default, Annotated[field.annotation, option]


def _with_options(command: _Command, options: Mapping[str, tuple[Any, Any]]) -> _Command:
    """Let a command take options, each a default and an annotation, in place of its ``**options``."""
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (default, annotation) in options.items()
    ]
    command.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    command.__annotations__ |= {option.name: option.annotation for option in more}
    return command


@training.command()
@with_options_of(Kind.TEACHER)
def train(
    out: Out,
    data: Data = "digits",
    size: Size = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    compile_: Compile = None,
    **options: Any,  # noqa: ANN401 (they have types of their own)
) -> None:
    """Train a teacher on a data set. Ctrl-C keeps what was done; the same command goes on from there."""
    lists = {name: _integers(options[name], name) for name in ("multipliers", "attention")}
    asked = TeacherOptions.checked(options | lists)
    from models.cli.runs import train_teacher
    from models.data.parquet_files import Columns
    from models.training.execution import Execution

    train_teacher(
        out=out,
        data=data,
        size=size,
        columns=Columns(image_column, label_column),
        options=asked,
        init=locate_checkpoint(checkpoints, home(asked.init), field="init") if asked.init else None,
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
            help=f"For {', '.join(owners('classifier'))}: a folder that train-classifier wrote, or family/name; or an "
            "image classifier of the Hugging Face Hub, by name or folder.",
        ),
    ] = None,
    guide: Annotated[
        str | None,
        typer.Option(
            parser=home,
            metavar="TEXT",
            help="A worse teacher of the same kind, such as one after fewer iterations, that the first is led away "
            "from: a folder or family/name.",
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(min=1, help=f"{GUIDANCE}, {USUAL_GUIDANCE:g} by default."),
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
    optimizer: Annotated[Optimizer, typer.Option(help=f"{DESCRIPTION}.")] = "adam",
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of the gradient.")] = 1.0,
    seed: Seed = 0,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    compile_: Compile = None,
    **options: Any,  # noqa: ANN401 (those of methods have types of their own)
) -> None:
    """Teach students to sample in few steps. Ctrl-C keeps what was done; the same command goes on from there."""
    folder = locate_checkpoint(checkpoints, teacher, field="teacher")
    declaration, card = find_method(method), read_card(folder)
    given = _given(classifier=classifier and locate_classifier(checkpoints, classifier), **options)
    settle(declaration, given, knows_all_rows=card.knows_all_rows)  # no mistake is to wait for torch
    if guidance is not None and guide is None:
        raise InvalidRequest("there is no guide to be led away from", field="guidance")
    led_by = (locate_checkpoint(checkpoints, guide, field="guide"), guidance or USUAL_GUIDANCE) if guide else None
    from models.cli.runs import distill_chain
    from models.data.parquet_files import Columns
    from models.distillation.method import load_method
    from models.distillation.synthetic import synthetic_config
    from models.training.execution import Execution
    from models.training.trainer import TrainConfig

    execution = Execution(precision=precision, compile=compile_)
    if data is None and declaration.needs_images:
        data = "digits"
    loaded = load_method(
        declaration,
        given=given,
        image_shape=card.image_shape,
        knows_all_rows=card.knows_all_rows,
        device=device,
        execution=execution,
    )
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
            optimizer=optimizer,
            decay="cosine",
            clip=clip,
            seed=seed,
        ),
        device=device,
        execution=execution,
        command=command_line(),
        guide=led_by,
    )


@training.command()
@with_options_of(Kind.CLASSIFIER)
def train_classifier(
    out: Annotated[Path, typer.Option(parser=expanded, metavar="PATH", help="Folder to write.")],
    data: Data = "digits",
    test: Annotated[
        str | None, typer.Option(help="Data to measure accuracy on; without it a fifth of --data is kept for that.")
    ] = None,
    size: Size = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    compile_: Compile = None,
    **options: Any,  # noqa: ANN401 (they have types of their own)
) -> None:
    """Train a classifier to distil through or to judge by, and report its accuracy on images it has not seen."""
    asked = ClassifierOptions.checked(options)
    from models.cli.runs import train_classifier as run
    from models.data.parquet_files import Columns
    from models.training.execution import Execution

    card = run(
        out=out,
        data=data,
        test=test,
        size=size,
        columns=Columns(image_column, label_column),
        options=asked,
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
