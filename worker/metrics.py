"""What a worker measures; served on a port of its own, since each worker is one process."""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from core.errors import FewstepError

QUEUE_SECONDS = Histogram(
    "fewstep_queue_wait_seconds",
    "Time from the acceptance of a request until its sampling began",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
SAMPLING_SECONDS = Histogram(
    "fewstep_sampling_seconds",
    "Time to sample the images of one request",
    ["model", "steps"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
ENCODING_SECONDS = Histogram(
    "fewstep_encoding_seconds",
    "Time to render the images of one request to its media type",
    ["format"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
IMAGES = Counter("fewstep_images_generated_total", "Images sampled", ["model", "steps"])
GENERATIONS = Counter(
    "fewstep_generations_total", "Requests that this worker ended or dropped, by what became of them", ["outcome"]
)

WAITING = Gauge("fewstep_requests_waiting", "Requests that wait for the device of this worker")
IN_HAND = Gauge("fewstep_requests_in_hand", "Requests that this worker works on, those that wait included")
BATCH_IMAGES = Histogram(
    "fewstep_batch_images", "Images that were sampled together", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
LOADED_BYTES = Gauge("fewstep_checkpoints_loaded_bytes", "Bytes of the checkpoints that are loaded")


def serve_metrics(port: int) -> None:
    """Serve ``/metrics`` on ``port``; 0 serves nothing.

    Raises:
        FewstepError: The port is in use.
    """
    if not port:
        return
    try:
        start_http_server(port)
    except OSError as error:
        raise FewstepError(f"metrics port {port}: {error.strerror}; set another, or 0 for none") from error
