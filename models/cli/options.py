"""Options that commands share. In each that takes a path ``~`` is the home folder, also where a shell leaves it."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer


def expanded(path: str | Path) -> Path:
    """A path with ``~`` expanded where there is such a user."""
    return Path(home(path))


def home(text: str | Path) -> str:
    """Of a name that may be a path, as ``expanded``."""
    return os.path.expanduser(text)  # noqa: PTH111 (Path's raises where there is no such user)


Out = Annotated[Path, typer.Option(parser=expanded, metavar="PATH", help="Checkpoint folder to write, family/name.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all randomness.")]
Checkpoints = Annotated[
    Path,
    typer.Option(
        envvar="FEWSTEP_CHECKPOINTS",
        parser=expanded,
        metavar="PATH",
        help="Folder of model families, for names that are no path.",
    ),
]
Data = Annotated[
    str, typer.Option(help="digits, or the path of a Parquet file, image folder or zip, or CIFAR-10 archive.")
]
Size = Annotated[
    int | None, typer.Option(min=1, help="Crop pictures to squares and resize them to so many pixels a side.")
]
ImageColumn = Annotated[str | None, typer.Option(help="Of a Parquet file with several columns of pictures: which.")]
LabelColumn = Annotated[str | None, typer.Option(help="Of a Parquet file with several columns of classes: which.")]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="Of the networks; targets, losses and weights are fp32. auto: bf16 on GPUs, fp32 on CPUs."),
]
SamplingPrecision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="Of the network. auto: bf16 where the device is made for it and a trial agrees, else fp32."),
]
SamplingCompile = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Compile the network on a GPU; by default from 10,000 images on."),
]
Compile = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="Compile the networks; by default on CUDA only.")
]
