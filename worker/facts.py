"""What is known of a data set once it has been read."""

from pathlib import Path
from typing import TYPE_CHECKING

from core.catalog.datasets import DatasetFacts
from core.errors import FewstepError

if TYPE_CHECKING:
    from models.data.parquet_files import Columns


def describe(path: Path, *, size: int | None = None, columns: "Columns | None" = None) -> DatasetFacts:
    """What is known of a data set; decodes it if that was not done before.

    Args:
        path: The file or folder.
        size: As of ``models.data.dataset.load_data``, and so is ``columns``.
        columns: None: those that are found.
    """
    from models.data.dataset import load_data  # costs a moment, which a worker without data sets need not spend
    from models.data.parquet_files import ALL_FOUND

    try:
        data = load_data(str(path), size=size, columns=columns or ALL_FOUND)
    except FewstepError as error:
        return DatasetFacts(name=path.name, error=error.detail)
    except OSError as error:  # of one of them, which must not hide the others
        return DatasetFacts(name=path.name, error=f"{path.name} cannot be read ({error.strerror or error})")
    classes = None if data.labels is None else len(data.class_names or ()) or int(data.labels.max()) + 1
    return DatasetFacts(
        name=path.name,
        image_shape=data.image_shape,
        images=len(data.images),
        num_classes=classes,
        class_names=data.class_names,
        fingerprint=data.fingerprint,
    )
