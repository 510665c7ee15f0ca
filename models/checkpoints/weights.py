"""Which weights a folder of diffusers holds, and the network with those that are taken."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.catalog.card import CheckpointError

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

AVERAGED_FOLDER = "unet_ema"
"""Where ``accelerate`` runs of diffusers' own scripts keep averaged weights, beside ``unet``."""

_NAME = "diffusion_pytorch_model"
_FILE = re.compile(
    # Before the number of a shard stands the variant, or after it, as diffusers of old wrote it.
    rf"{_NAME}(?:\.(?P<variant>.+?))?(?:-\d{{5}}-of-(?P<shards>\d{{5}})(?:\.(?P<late>.+))?)?\.(?P<kind>safetensors|bin)"
)
_HALF = ("fp16", "bf16")


@dataclass(frozen=True)
class Weights:
    """One set of weights.

    Attributes:
        folder: That of the network, with its ``config.json``.
        variant: diffusers' name of what is special about them, such as ``fp16``; None for nothing.
        kind: Suffix of the files.
        files: One, or all shards.
        lack: Which of them are missing, in words; empty for none.
    """

    folder: Path
    variant: str | None
    kind: str
    files: tuple[str, ...]
    lack: str

    @property
    def is_averaged(self) -> bool:
        """Whether they say that they are a moving average of the trained ones."""
        words = re.split(r"[._-]", self.variant or "")
        return self.folder.name == AVERAGED_FOLDER or ("ema" in words and "non" not in words)

    @property
    def rank(self) -> tuple[bool, ...]:
        """What is least is taken: whole, averaged, of full precision, safetensors, and, as diffusers has it, shards."""
        words = re.split(r"[._-]", self.variant or "")
        half = any(word in words for word in _HALF)
        return (self.lack != "", "non" in words, not self.is_averaged, half, self.kind == "bin", len(self.files) == 1)

    def __str__(self) -> str:
        """The folder's name and the file's, or those of the shards, and what is to be said of them."""
        last = "" if len(self.files) == 1 else f" … {self.files[-1]}"
        notes = "".join(f" ({note})" for note in ("averaged" if self.is_averaged else "", self.lack) if note)
        return f"{self.folder.name}/{self.files[0]}{last}{notes}"


def find_weights(folder: Path) -> list[Weights]:
    """All weights of a network in a pipeline's folder, what is to be taken first.

    Raises:
        CheckpointError: There are none that are whole.
    """
    folders = [folder / name for name in (AVERAGED_FOLDER, "unet") if (folder / name).is_dir()] or [folder]
    found = sorted((one for place in folders for one in _sets(place)), key=lambda one: one.rank)
    if not found:
        names = sorted(path.name for place in folders for path in place.iterdir() if path.name != "config.json")
        there = f"is {', '.join(names[:8])}" if names else "is nothing"
        raise CheckpointError(
            f"{folders[-1]}: no weights; allowed are diffusion_pytorch_model.safetensors and .bin, their variants and "
            f"shards; there {there}"
        )
    if found[0].lack:
        raise CheckpointError(f"{found[0].folder}: the weights cannot be read: {found[0]}")
    return found


def describe(found: Sequence[Weights]) -> str:
    """Which weights are taken, and which were found besides; a sentence for people."""
    besides = f"; found besides: {', '.join(map(str, found[1:]))}" if found[1:] else ""
    return f"takes the weights of {found[0]}{besides}"


def load_network(weights: Weights) -> "UNet2DModel":
    """The network in float32 and evaluation mode; what may be pickled is read without running it.

    Raises:
        CheckpointError: The weights cannot be read or are not those of the network; the message says why.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    try:
        with _quiet():
            network, found = UNet2DModel.from_pretrained(
                weights.folder,
                variant=weights.variant,
                use_safetensors=weights.kind == "safetensors",
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    except Exception as error:  # whatever parsers, torch and diffusers raise on a foreign file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{weights.folder}: the weights cannot be read: {reason}") from error
    # diffusers would leave what is missing at random
    if wrong := [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]:
        raise CheckpointError(f"{weights.folder}: weights and network do not fit, first in {wrong[0]}")
    return network.float().eval()


def _sets(folder: Path) -> Iterator[Weights]:
    sets: dict[tuple[str | None, str, int], list[str]] = {}
    for path in sorted(folder.iterdir()):
        if match := _FILE.fullmatch(path.name):
            variant = match["variant"] or match["late"]
            sets.setdefault((variant, match["kind"], int(match["shards"] or 0)), []).append(path.name)
    for (variant, kind, shards), files in sets.items():
        index = f"{_NAME}.{kind}.index.{f'{variant}.' if variant else ''}json"
        lack = f"{len(files)} of {shards} shards" if len(files) < shards else ""
        if shards and not (folder / index).is_file():
            lack = f"without {index}"
        yield Weights(folder, variant, kind, tuple(files), lack)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what diffusers says of old names, unknown fields and progress: errors are raised all the same."""
    from diffusers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
