"""Pictures that show themselves in a notebook, and are Pillow's or NumPy's where those are installed."""

import base64
import html
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

SHOWN = 64
"""Pictures that a notebook shows of many."""


@dataclass(frozen=True)
class Image:
    """One picture.

    Attributes:
        seed: The same seed, model, steps and class give the same picture again.
        data: The encoded picture, as the service sent it.
        format: ``png``, ``webp`` or ``jpeg``.
    """

    seed: int
    data: bytes
    format: str = "png"

    def save(self, path: str | Path) -> None:
        """Write it to a file as it came; the name's ending changes nothing."""
        Path(path).write_bytes(self.data)

    def to_pil(self) -> "PIL.Image.Image":
        """Pillow's image, in mode L or RGB.

        Raises:
            ImportError: Pillow is not installed.
        """
        try:
            import PIL.Image
        except ImportError as error:
            raise ImportError("this needs Pillow: pip install 'fewstep-client[images]'") from error
        return PIL.Image.open(io.BytesIO(self.data))

    def to_numpy(self) -> "NDArray[np.uint8]":
        """The pixels: uint8 (height, width, channels), 0 to 255; one channel for grey.

        Raises:
            ImportError: Pillow or NumPy is not installed.
        """
        import numpy as np

        pixels = np.asarray(self.to_pil())
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def _repr_png_(self) -> bytes | None:
        return self.data if self.format == "png" else None

    def _repr_html_(self) -> str:
        source = f"data:image/{self.format};base64,{base64.b64encode(self.data).decode()}"
        style = "image-rendering:pixelated;min-width:96px;margin:1px"  # most are a few pixels wide
        return f'<img src="{source}" style="{style}" alt="seed {self.seed}" title="seed {self.seed}">'

    def __repr__(self) -> str:
        return f"Image(seed={self.seed}, {len(self.data)} bytes of {self.format})"


@dataclass(frozen=True)
class Images(Sequence[Image]):
    """The pictures of a request, in the order of their seeds.

    Attributes:
        images: All of them.
        model: Family that they are of.
        checkpoint: The one of the family that was sampled.
        steps: In so many steps.
        precision: ``fp32`` or ``bf16``: pixels are the same bit by bit within one.
        timings: Seconds: queue, sample, encode, total.
    """

    images: tuple[Image, ...]
    model: str
    checkpoint: str
    steps: int
    precision: str
    timings: Mapping[str, float]

    @classmethod
    def of_zip(cls, content: bytes, headers: Mapping[str, str]) -> Self:
        """Of an answer as ``application/zip``, a file an image, named by its seed, with the facts in its headers."""
        images = []
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                seed, _, ending = name.partition(".")
                images.append(Image(int(seed), archive.read(name), "jpeg" if ending == "jpg" else ending))
        timings = re.findall(r"(\w+);dur=([\d.]+)", headers["Server-Timing"])
        return cls(
            tuple(images),
            headers["Fewstep-Model"],
            headers["Fewstep-Checkpoint"],
            int(headers["Fewstep-Steps"]),
            headers["Fewstep-Precision"],
            {name: float(milliseconds) / 1000 for name, milliseconds in timings},
        )

    def to_pil(self) -> list["PIL.Image.Image"]:
        """Each as Pillow's image; errors as of ``Image.to_pil``."""
        return [image.to_pil() for image in self.images]

    def to_numpy(self) -> "NDArray[np.uint8]":
        """The pixels of all: uint8 (n, height, width, channels); errors as of ``Image.to_numpy``."""
        import numpy as np

        return np.stack([image.to_numpy() for image in self.images])

    def save(self, folder: str | Path) -> None:
        """Write a file each into a folder, named by seed."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for image in self.images:
            image.save(Path(folder) / f"{image.seed}.{image.format}")

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Image, ...]: ...
    def __getitem__(self, index: int | slice) -> Image | tuple[Image, ...]:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Image]:
        return iter(self.images)

    def _repr_html_(self) -> str:
        shown = "".join(image._repr_html_() for image in self.images[:SHOWN])
        more = f" (the first {SHOWN})" if len(self) > SHOWN else ""
        return (
            f"<div>{html.escape(f'{self.model}/{self.checkpoint}')}, {self.steps} steps{more}</div><div>{shown}</div>"
        )

    def __repr__(self) -> str:
        return f"Images({len(self)} of {self.model}/{self.checkpoint}, {self.steps} steps)"
