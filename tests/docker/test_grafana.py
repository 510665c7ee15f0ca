"""The dashboards that are provisioned are those that the code makes, and Grafana's own library reads them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.docker.grafana import DASHBOARDS, dashboards, panels

GRAFANA = DASHBOARDS.parent


def test_the_dashboards_are_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, GRAFANA / "dashboards.py", tmp_path], check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in DASHBOARDS.iterdir()}
    assert made == kept, "run: python docker/grafana/dashboards.py"


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: f"{dashboard['title']}")
def test_a_dashboard_is_one_for_grafana(dashboard: dict[str, Any]) -> None:
    register_default_plugins()
    model = Dashboard.from_json(dashboard)
    assert json.loads(json.dumps(model, cls=JSONEncoder)) == dashboard
    places: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        assert panel["description"]
        assert panel["datasource"]["uid"] == "prometheus"
        assert all(target["legendFormat"] for target in panel["targets"])
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        assert x + width <= 24
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert not places & cells, "panels lie on each other"
        places |= cells


def test_the_source_of_the_data_is_the_one_that_panels_name() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["uid"] == "prometheus"
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "fewstep.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
