"""How many images go together."""

from collections.abc import Iterator, Sequence

MOST_PADDING = 1 / 3
"""Share of a batch that may be padding, where the images could be cut into full batches instead."""


def cut(count: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut ``count`` images into batches: images and size of each.

    A batch is the largest that can be filled, or the next larger one if little of it stays empty.

    Args:
        count: Images.
        sizes: Sizes that a batch may have, ascending.
    """
    while count:
        above = next((size for size in sizes if size >= count), sizes[-1])
        below = max((size for size in sizes if size <= count), default=above)
        size = above if above - count <= MOST_PADDING * above else below
        yield min(count, size), size
        count -= min(count, size)
