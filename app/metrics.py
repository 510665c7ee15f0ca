"""What the API measures of itself."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest

REQUEST_SECONDS = Histogram(
    "fewstep_http_request_duration_seconds",
    "Time from the request to the end of its answer",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60),
)

router = APIRouter(tags=["operation"])


@router.get("/metrics", summary="Prometheus metrics of this API process", response_class=Response)
def get_metrics() -> Response:
    """Request latency by method, route and status, in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
