"""What the API measures of itself, and ``/metrics``, which also tells what only Redis knows."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from app.access.caller import Whoever
from core.access.keys import Scope
from core.settings import get_settings

REASONS = (
    "invalid",
    "unauthorized",
    "forbidden",
    "not_found",
    "conflict",
    "too_large",
    "too_slow",
    "too_many",
    "busy",
    "unavailable",
    "deadline",
    "cancelled",
    "client_left",
    "internal",
)
"""Why a request was not answered with what it asked for."""

REQUEST_SECONDS = Histogram(
    "fewstep_http_request_duration_seconds",
    "Time from the request to the end of its answer",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60),
)
REQUESTS_BY_KEY = Counter("fewstep_http_requests_by_key_total", "Requests that came with a key, by its name", ["key"])
IN_FLIGHT = Gauge("fewstep_http_requests_in_flight", "Requests being answered, those of health and metrics apart")
REJECTIONS = Counter("fewstep_http_rejections_total", "Requests refused, by the kind of problem", ["reason"])
RESPONSE_BYTES = Counter("fewstep_http_response_bytes_total", "Bytes of bodies sent", ["route"])

for reason in REASONS:
    REJECTIONS.labels(reason)

router = APIRouter(tags=["operation"])


@router.get("/metrics", summary="Prometheus metrics of this API process", response_class=Response)
def get_metrics(caller: Whoever) -> Response:
    """What this process measured, and the queues, workers and jobs as Redis knows them, in Prometheus' text format."""
    if not get_settings().open_metrics:
        caller.need(Scope.ADMIN)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
