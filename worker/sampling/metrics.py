"""What a sampling worker measures. Warming up is not traffic, and is in none of it but the checkpoints' own."""

from contextlib import suppress

from prometheus_client import Counter, Gauge, Histogram

FINE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
LONG = (*FINE, 1800, 3600, 4 * 3600, 24 * 3600)
"""For what waits behind bulk requests, or is one."""
BY_MODEL = ["model", "steps"]

QUEUE_SECONDS = Histogram(
    "fewstep_queue_wait_seconds",
    "Time from the acceptance of a request until a worker took it",
    BY_MODEL,
    buckets=LONG,
)
BATCH_WAIT_SECONDS = Histogram(
    "fewstep_batch_wait_seconds",
    "Time from when a worker took a request until its first image was taken to the device",
    BY_MODEL,
    buckets=FINE,
)
SAMPLING_SECONDS = Histogram(
    "fewstep_sampling_seconds", "Time that batches with images of one request took", BY_MODEL, buckets=FINE
)
ENCODING_SECONDS = Histogram(
    "fewstep_encoding_seconds",
    "Time to render the images of one request to its media type",
    BY_MODEL,
    buckets=(0.0005, *FINE),
)
GENERATION_SECONDS = Histogram(
    "fewstep_generation_seconds",
    "Time from the acceptance of a request until its result was stored",
    BY_MODEL,
    buckets=LONG,
)
IMAGES = Counter("fewstep_images_generated_total", "Images sampled", BY_MODEL)
PRECISIONS = Counter("fewstep_images_by_precision_total", "Images sampled, by what they were sampled in", ["precision"])
GENERATIONS = Counter(
    "fewstep_generations_total", "Requests that this worker ended or dropped, by what became of them", ["outcome"]
)
IN_HAND = Gauge("fewstep_requests_in_hand", "Requests that this worker works on, those that wait included")
WAITING = Gauge("fewstep_requests_waiting", "Requests that wait for the device of this worker")

BATCH_IMAGES = Histogram(
    "fewstep_batch_images", "Images that were sampled together", BY_MODEL, buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
BATCH_FILL = Histogram(
    "fewstep_batch_fill_ratio",
    "Images of a batch over the most that go together",
    buckets=(0.01, 0.03, 0.0625, 0.125, 0.25, 0.5, 0.75, 1),
)
BATCH_FAILURES = Counter("fewstep_batch_failures_total", "Batches that failed")

LOADS = Counter("fewstep_checkpoint_loads_total", "Checkpoints loaded, for warming up too", ["outcome"])
LOAD_SECONDS = Histogram(
    "fewstep_checkpoint_load_seconds",
    "Time to load a checkpoint and make it ready",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300),
)
CACHE_BYTES = Gauge("fewstep_checkpoint_cache_bytes", "Bytes of the weights that are loaded")
EVICTIONS = Counter("fewstep_checkpoint_evictions_total", "Checkpoints forgotten to make room")

FLOP = Counter(
    "fewstep_model_flop_total",
    "Floating point operations of the networks' convolutions and matrix products, for images that were asked for",
    BY_MODEL,
)
PEAK_FLOPS = Gauge(
    "fewstep_device_peak_flops",
    "Floating point operations a second of a 256-channel 3x3 convolution, measured at the start",
    ["device"],
)


def forget(model: str, steps: str) -> None:
    """Show no more of a model at a number of steps; it is not there any more. A label set takes 35 KB."""
    for metric in (
        QUEUE_SECONDS,
        BATCH_WAIT_SECONDS,
        SAMPLING_SECONDS,
        ENCODING_SECONDS,
        GENERATION_SECONDS,
        IMAGES,
        BATCH_IMAGES,
        FLOP,
    ):
        with suppress(KeyError):
            metric.remove(model, steps)


for outcome in ("succeeded", "failed", "cancelled", "dropped"):
    GENERATIONS.labels(outcome)
for precision in ("fp32", "bf16"):
    PRECISIONS.labels(precision)
for outcome in ("succeeded", "failed"):
    LOADS.labels(outcome)
