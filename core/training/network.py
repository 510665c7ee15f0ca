"""What can be known of a teacher's network before there is one, without torch."""

from collections.abc import Sequence

from core.errors import InvalidRequest

MOST_NORM_GROUPS, CHANNELS_PER_GROUP = 32, 4


def norm_groups(channels: int) -> int:
    """Groups that each normalisation of a network of this width has."""
    return min(MOST_NORM_GROUPS, channels // CHANNELS_PER_GROUP)


def refuse_widths(channels: int, multipliers: Sequence[int], *, groups: int) -> None:
    """Raise ``InvalidRequest`` where there is no network of these widths."""
    if not multipliers or min(multipliers) < 1:
        raise InvalidRequest(
            "a network has at least one level, each at least as wide as the first", field="multipliers"
        )
    if any(channels * multiplier % groups for multiplier in multipliers):
        raise InvalidRequest(f"{channels} channels cannot be normalised in {groups} groups", field="channels")


def refuse_sides(height: int, width: int, *, levels: int) -> None:
    """Raise ``InvalidRequest`` where pictures cannot be halved from level to level."""
    unit = 2 ** (levels - 1)
    if height % unit or width % unit:
        raise InvalidRequest(
            f"pictures of {height}x{width} cannot be halved {levels - 1} times, once for each level but the first; "
            f"sides must be multiples of {unit}: a size of {max(unit, max(height, width) // unit * unit)} makes them "
            "so, or take fewer multipliers",
            field="size",
        )


def count_weights(channels: int, multipliers: Sequence[int], *, blocks: int) -> int:
    """About how many weights a network has: those of its 3x3 convolutions, and of how blocks are told the time."""
    widths = [channels * multiplier for multiplier in multipliers]
    time = 4 * channels
    # In a block: two convolutions, one of them from a width that is at most twice its own on the way up.
    down = sum(blocks * (18 * width**2 + time * width) for width in widths)
    up = sum((blocks + 1) * (27 * width**2 + time * width) for width in widths)
    return down + up + 2 * 18 * widths[-1] ** 2
