"""What an API process did in the last minutes."""

import pytest

from app.system.recent import WINDOW_S, Recent


class Clock:
    """Stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_rates_and_quantiles_are_of_the_last_minutes() -> None:
    clock = Clock()
    recent = Recent(clock)
    assert recent.quantile(0.95) is None
    for index in range(100):
        recent.note(images=3, seconds=1.0 if index >= 90 else 0.01)
    recent.note(images=60, seconds=None)  # fetched later: nobody waited for them so long
    assert recent.images_per_second() == 6
    assert recent.requests() == 100
    assert recent.quantile(0.5) == pytest.approx(0.01, rel=0.1)
    assert recent.quantile(0.95) == pytest.approx(1, rel=0.1)
    clock.now += 61
    assert recent.images_per_second() == 0
    assert recent.requests() == 100
    clock.now += WINDOW_S
    assert recent.requests() == 0
