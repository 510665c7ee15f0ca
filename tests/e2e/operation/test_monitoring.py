"""Every query of dashboards and rules, over a real service under load and a real Prometheus."""

import math
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.docker.grafana import Query, chosen, dashboards, queries
from tests.e2e.stack import Stack
from tests.monitor import ROOT, Prometheus, metrics, rules, selectors
from tests.processes import wait_until

JOB: dict[str, Any] = {
    "teacher": "digits/8-step",
    "to_steps": 1,
    "name": "watched",
    "iterations": 12,
    "batch_size": 16,
    "evaluate": {"samples": 50},
}
ASKED = {("digits", 1), ("digits", 8), ("tiny", 1), ("tiny", 2)}
PROVOKED = {"CheckpointLoadFailures", "AvailabilityBurnFast", "AvailabilityBurnSlow"}
"""Alerts whose condition holds, if not for long enough: every request for a family with a torn checkpoint fails."""
SLOW = ['ALERTS{alertstate="firing"}', "fewstep_distill_frechet_distance", "fewstep_distill_remaining_seconds"]
"""What is there last: an alert, a round's figure, and the pace, which takes some iterations."""
QUERIES = queries()
VARIABLES = [variable for dashboard in dashboards() for variable in dashboard["templating"]["list"]]
ANNOTATIONS = [note for dashboard in dashboards() for note in dashboard["annotations"]["list"]]
RECORDS, ALERTS = rules("record"), rules("alert")


@pytest.fixture(scope="module")
def prometheus(distilling: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen traffic, errors and a job."""
    jobs = {"api": "api", "hasty": "api", "sampler": "sampler", "distiller": "distiller"}
    targets = {f"127.0.0.1:{distilling.ports[name]}": job for name, job in jobs.items()}
    assert distilling.hasty
    torn = tear(distilling)
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), targets)
    try:
        use(distilling, prometheus)
        yield prometheus
    finally:
        shutil.rmtree(torn)
        prometheus.close()


def tear(stack: Stack) -> Path:
    """Add a family with a checkpoint that cannot be loaded."""
    family = stack.checkpoints / "torn"
    shutil.copytree(stack.checkpoints / "tiny", family)
    weights = family / "4-step" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    return family


def use(stack: Stack, prometheus: Prometheus) -> None:
    """Ask for pictures of several models and for what is refused, beside a job, until all is seen."""
    accepted = stack.api.post("/distill-jobs", json=JOB)
    assert accepted.status_code == 202, accepted.text
    job = accepted.headers["location"]

    def ask(body: dict[str, Any], client: str) -> int:
        return (stack.api if client == "api" else stack.hasty).post("/generate", json=body).status_code

    good = [({"model": model, "steps": steps, "n": 3}, "api") for model, steps in sorted(ASKED)]
    bad = [({"steps": 5}, "api"), ({"model": "nobody"}, "hasty"), ({"model": "torn", "steps": 4}, "api")]
    least = time.monotonic() + 10
    with ThreadPoolExecutor(len(good) + len(bad)) as pool:

        def enough() -> bool:
            assert {*pool.map(ask, *zip(*good, strict=True))} == {200}
            assert 200 not in {*pool.map(ask, *zip(*bad, strict=True))}
            assert stack.api.get(job).json()["state"] != "failed", stack.api.get(job).text
            time.sleep(3)  # in which the job, which yields to them, gets on
            return time.monotonic() > least and all(prometheus.ever(query) for query in SLOW)

        wait_until(enough, what=f"all of {SLOW}")
    stack.api.post(f"{job}/cancel")  # if it has not ended
    wait_until(lambda: "retry-after" not in stack.api.get(job).headers, what="the end of the job")


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_panel_shows_what_happened(prometheus: Prometheus, query: Query) -> None:
    for selector in selectors(query.expression):
        assert prometheus.ever(selector), f"nothing is called {selector}"
    found = prometheus.ever(query.expression)
    assert found
    assert len({tuple(sorted(labels.items())) for labels, _ in found}) == len(found)
    for labels, values in found:
        finite = [value for value in values if math.isfinite(value)]
        assert finite, labels
        assert min(finite) >= 0
        assert query.unit != "percentunit" or max(finite) < 2, "a percentage"
        assert query.labels <= set(labels) | ({"le"} if query.kind == "heatmap" else set())
    if not query.labels:
        assert len(found) == 1, "the legend cannot tell them apart"
    if query.labels >= {"model", "steps"} and query.dashboard == "Overview":
        assert {(labels["model"], int(labels["steps"])) for labels, _ in found} >= ASKED


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: f"{variable['label']}")
def test_a_variable_offers_choices(prometheus: Prometheus, variable: dict[str, Any]) -> None:
    match = re.fullmatch(r"label_values\((\S+), (\w+)\)", variable["query"])
    assert match
    assert prometheus.label_values(match[2], match[1])


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=lambda annotation: f"{annotation['name']}")
def test_an_annotation_marks_the_alert_that_fired(prometheus: Prometheus, annotation: dict[str, Any]) -> None:
    assert "CheckpointLoadFailures" in {labels["alertname"] for labels, _ in prometheus.ever(annotation["expr"])}


@pytest.mark.parametrize("rule", RECORDS, ids=lambda rule: f"{rule['record']}")
def test_a_recording_rule_records(prometheus: Prometheus, rule: dict[str, Any]) -> None:
    for selector in selectors(rule["expr"]):
        assert prometheus.ever(selector), f"nothing is called {selector}"
    (first, *rest) = prometheus.ever(rule["record"])
    assert any(math.isfinite(value) for _, values in (first, *rest) for value in values)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}")
def test_an_alert_reads_what_there_is(prometheus: Prometheus, rule: dict[str, Any]) -> None:
    for selector in selectors(rule["expr"]):
        assert prometheus.ever(selector), f"nothing is called {selector}"
    assert prometheus.ever(rule["expr"]) or rule["alert"] not in PROVOKED


def test_what_every_api_says_is_not_summed(prometheus: Prometheus) -> None:
    assert len(prometheus.now('fewstep_workers{queue="sampling"}')) == 2
    (workers,) = [query for query in QUERIES if query.panel == "Workers"]
    found = {labels["queue"]: value for labels, value in prometheus.now(workers.expression)}
    assert found == {"sampling": 1, "distillation": 1}


def test_the_document_names_every_metric_that_is_read() -> None:
    document = set(re.findall(r"`(fewstep_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    recorded = {rule["record"] for rule in RECORDS}
    expressions = [query.expression for query in QUERIES] + [rule["expr"] for rule in RECORDS + ALERTS]
    expressions += [chosen(annotation["expr"]) for annotation in ANNOTATIONS]
    read = set[str]().union(*map(metrics, expressions))
    histograms = {re.sub("_(bucket|sum|count)$", "", name) for name in read}
    assert histograms - document - recorded - {"up", "ALERTS"} == set()
