"""Prometheus' configuration, and its rules by promtool's own unit tests."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitor import CONFIGURATION, ROOT, metrics, promtool, rules

UNIT_TESTS = Path(__file__).with_name("rules.yml")


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(UNIT_TESTS.read_text())["tests"]
    return found


def expected(case: dict[str, Any]) -> set[str]:
    """Alerts that are expected to fire at some time of a case."""
    samples = [sample["labels"] for check in case["promql_expr_test"] for sample in check["exp_samples"]]
    return {labels.split('alertname="')[1].split('"')[0] for labels in samples if labels.startswith("ALERTS")}


def test_prometheus_accepts_the_configuration() -> None:
    result = promtool("check", "config", CONFIGURATION / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_rules_record_and_alerts_fire_as_they_should() -> None:
    result = promtool("test", "rules", UNIT_TESTS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_figure_that_is_compared_has_a_last_digit(cases: list[dict[str, Any]]) -> None:
    """Versions of Prometheus interpolate differently, and tell 3 from 2.9999999999999996."""
    figures = [
        check["expr"]
        for case in cases
        for check in case["promql_expr_test"]
        if any(sample["value"] not in (0, 1) for sample in check["exp_samples"])
    ]
    assert len(figures) > 5
    assert [figure for figure in figures if not figure.startswith("round(")] == []


def test_every_alert_is_seen_to_fire_and_every_one_could_have_in_a_service_that_is_well(
    cases: list[dict[str, Any]],
) -> None:
    alerts = {rule["alert"]: rule["expr"] for rule in rules("alert")}
    assert set().union(*map(expected, cases)) == set(alerts)
    (well,) = [case for case in cases if case["name"].startswith("Nothing fires")]
    recorded = {rule["record"] for rule in rules("record")}
    present = {series["series"].partition("{")[0] for series in well["input_series"]}
    assert set().union(*map(metrics, alerts.values())) - recorded <= present


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: f"{rule['alert']}")
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "cause", "action", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_the_document_has_the_objectives_of_the_rules() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    budgets = [rule for rule in rules("record") if rule["record"] == "slo:error_budget:ratio"]
    assert {rule["labels"]["slo"] for rule in budgets} == {"availability", "latency"}
    for rule in budgets:
        budget = float(rule["expr"].removeprefix("vector(").removesuffix(")"))
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {rule['labels']['slo']} |")]
        assert row.endswith(f"| {100 * (1 - budget):g}% |")
