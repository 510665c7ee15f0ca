"""``fewstep keys``: who may use the API."""

from pathlib import Path
from typing import Annotated

import typer

from core.access.edit import add, revoke
from core.access.keys import RATE_WORDS, Scope, read_keys
from models.cli.options import expanded

keys = typer.Typer(
    name="keys",
    help="Make, list and revoke keys of the API; a running one knows within a second.",
    add_completion=False,
    rich_markup_mode=None,
)
alone = typer.Typer(add_completion=False, rich_markup_mode=None)
"""The same as the only one of the commands, for where torch is not."""
alone.add_typer(keys)

File = Annotated[
    Path,
    typer.Option(envvar="FEWSTEP_API_KEYS_FILE", parser=expanded, metavar="PATH", help="File of keys."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is: letters, digits, '.', '_' and '-'.")]


@keys.command(name="add")
def add_key(
    name: Name,
    file: File,
    scope: Annotated[
        list[Scope], typer.Option(help="What it may do; may be given several times. admin may do everything.")
    ] = [Scope.GENERATE],  # noqa: B006 (typer reads it)
    rate: Annotated[str | None, typer.Option(help=f"Most requests in a time: {RATE_WORDS}.")] = None,
    images_per_day: Annotated[int | None, typer.Option(min=1, help="Most images in a day of UTC.")] = None,
    training_seconds_per_day: Annotated[
        int | None, typer.Option(min=1, help="Seconds of training in a day of UTC after which no job is accepted.")
    ] = None,
) -> None:
    """Make a key and print it, which is the only time that it is shown."""
    secret = add(
        file,
        name,
        scopes=scope,
        rate=rate,
        images_per_day=images_per_day,
        training_seconds_per_day=training_seconds_per_day,
    )
    typer.echo(secret)
    typer.echo(f"{file} has the key of {name}; it is not shown again", err=True)


@keys.command(name="list")
def list_keys(file: File) -> None:
    """Print whose keys there are, what they may do, and how much of it."""
    for key in read_keys(file).keys:
        limits = {
            "rate": key.rate,
            "images a day": key.images_per_day,
            "seconds of training a day": key.training_seconds_per_day,
        }
        told = [f"{words}: {limit}" for words, limit in limits.items() if limit is not None]
        typer.echo("  ".join([key.name, ",".join(sorted(key.scopes)), *told, f"made {key.created:%Y-%m-%d %H:%M} UTC"]))


@keys.command(name="revoke")
def revoke_key(name: Name, file: File) -> None:
    """Take a key out of the file: whoever sends it gets 401. What it made stays, for a new key of its name."""
    revoke(file, name)
    typer.echo(f"{file} has no key of {name} any more", err=True)
