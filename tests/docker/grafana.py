"""What is in the dashboards: their queries, as Grafana would send them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).resolve().parents[2] / "docker" / "grafana" / "dashboards"
RATE_WINDOW = "10s"
CHOICES = {"$__rate_interval": RATE_WINDOW, "$model": ".*", "$instance": ".*"}


@dataclass(frozen=True)
class Query:
    """A query of a panel."""

    dashboard: str
    panel: str
    kind: str
    unit: str
    expression: str
    legend: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.legend}"

    @property
    def labels(self) -> set[str]:
        """Labels that the legend shows."""
        return set(re.findall(r"{{(\w+)}}", self.legend))


def dashboards() -> list[dict[str, Any]]:
    """The documents that are provisioned."""
    return [json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))]


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """All but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Every query of every panel, with everything chosen."""
    return [
        Query(
            dashboard["title"],
            panel["title"],
            panel["type"],
            panel.get("fieldConfig", {}).get("defaults", {}).get("unit", ""),
            chosen(target["expr"]),
            target["legendFormat"],
            target["instant"],
        )
        for dashboard in dashboards()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def chosen(expression: str) -> str:
    """A query with Grafana's variables filled in."""
    for name, value in CHOICES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression
