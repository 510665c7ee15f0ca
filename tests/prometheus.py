"""Metrics as Prometheus reads them."""

import math

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import NO_TLS


class Scrape:
    """The samples of one look at a ``/metrics``."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def get(self, name: str, **labels: str) -> float:
        """Value of the only series with these labels; NaN if there is none."""
        found = [one.value for one in self._samples if one.name == name and labels.items() <= one.labels.items()]
        assert len(found) <= 1, found
        return found[0] if found else math.nan

    def sum(self, name: str, **labels: str) -> float:
        """Sum over all series with these labels; 0 if there is none."""
        return sum(one.value for one in self._samples if one.name == name and labels.items() <= one.labels.items())

    def names(self) -> set[str]:
        """Of all series."""
        return {sample.name for sample in self._samples}


def scrape(url: str) -> Scrape:
    """What ``/metrics`` below a URL says now."""
    response = httpx.get(f"{url}/metrics", timeout=30, verify=NO_TLS)
    assert response.status_code == 200, response.text
    return Scrape(response.text)
