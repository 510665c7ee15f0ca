from benchmarks.shared.plain_loss import golden_difference


def test_the_plain_loop_is_that_of_the_authors() -> None:
    assert golden_difference() < 2e-4
