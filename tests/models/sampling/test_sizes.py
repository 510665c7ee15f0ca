import pytest

from models.sampling.sizes import cut

SIZES = (1, 2, 4, 8, 16)


@pytest.mark.parametrize(
    ("count", "batches"),
    [
        (0, []),
        (1, [(1, 1)]),
        (3, [(3, 4)]),
        (5, [(4, 4), (1, 1)]),
        (6, [(6, 8)]),
        (12, [(12, 16)]),
        (17, [(16, 16), (1, 1)]),
        (40, [(16, 16), (16, 16), (8, 8)]),
    ],
)
def test_batches_are_filled_or_nearly_so(count: int, batches: list[tuple[int, int]]) -> None:
    assert list(cut(count, SIZES)) == batches


def test_a_single_size_takes_all() -> None:
    assert list(cut(9, (8,))) == [(8, 8), (1, 8)]
    assert list(cut(1, (4, 8))) == [(1, 4)]
