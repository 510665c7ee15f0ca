"""A real Prometheus with our rules, started as ``make monitor`` starts it, and what its queries say."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import yaml

from core.local.monitor import SERVICE, find_prometheus, write_targets
from tests.processes import free_port, wait_until

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "docker" / "prometheus"
INTERVAL_S = 1


class Prometheus:
    """Scrapes each second; its whole life is the span of its range queries."""

    def __init__(self, folder: Path, targets: Mapping[str, str]) -> None:
        """Start it.

        Args:
            folder: Where its configuration, data and log go.
            targets: The job of each address.
        """
        shutil.copytree(CONFIGURATION, folder / "docker" / "prometheus")
        configuration = folder / "docker" / "prometheus" / "prometheus.yml"
        hasty = re.sub(r"(interval|timeout): \w+", rf"\1: {INTERVAL_S}s", configuration.read_text())
        configuration.write_text(hasty)
        write_targets(folder / "var", SERVICE, targets)
        port = free_port()
        environment = {"FEWSTEP_VAR": str(folder / "var"), "FEWSTEP_PROMETHEUS_PORT": str(port)}
        self._log = folder / "prometheus.log"
        self._started = time.time()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "core.local.monitor"],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        up = "count(up == 1) or vector(0)"
        wait_until(lambda: self._answers() and self.now(up)[0][1] > len(targets), what=f"targets ({self._log})")

    def close(self) -> None:
        """End it, as Ctrl-C does; it has complained of nothing."""
        self._http.close()
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(60) == 0, self._log.read_text()
        assert "level=error" not in self._log.read_text()

    def now(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series at this moment."""
        found = self._get("query", query=query)["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def ever(self, query: str) -> list[tuple[dict[str, str], list[float]]]:
        """Labels and values of each series since the start."""
        span = {"start": str(self._started), "end": str(time.time()), "step": str(INTERVAL_S)}
        found = self._get("query_range", query=query, **span)["result"]
        return [(series["metric"], [float(value) for _, value in series["values"]]) for series in found]

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values of a label among the series that match."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": selector})
        return found

    def _get(self, what: str, **parameters: str) -> Any:  # noqa: ANN401 (JSON)
        answer = self._http.get(f"/api/v1/{what}", params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the tool that is installed beside Prometheus."""
    tool = Path(find_prometheus()).with_name("promtool")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=240, cwd=ROOT)


def rules(kind: str) -> list[dict[str, Any]]:
    """All of our rules that have a key: ``record`` or ``alert``."""
    files = sorted((CONFIGURATION / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def selectors(query: str) -> set[str]:
    """What a query selects, each without range and offset."""
    return {node.prettify().partition(" offset ")[0] for node in _nodes(promql_parser.parse(query))}


def metrics(query: str) -> set[str]:
    """Names of the metrics that a query reads."""
    return {selector.partition("{")[0].strip() for selector in selectors(query)}


def _nodes(tree: Any) -> Iterator[promql_parser.VectorSelector]:  # noqa: ANN401 (its classes have no common one)
    if isinstance(tree, promql_parser.VectorSelector):
        yield tree
    children = [getattr(tree, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    for child in [*children, *(getattr(tree, "args", None) or [])]:
        if child is not None:
            yield from _nodes(child)
