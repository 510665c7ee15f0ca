"""The dashboard of who operates the service: is it well, how fast is it, what does it wait for."""

from grafana_foundation_sdk.builders import dashboard

from panels import MODEL, RATE, board, choice, figure, heat_map, lines, mean, quantiles

TRAFFIC = 'route!~"/metrics|/livez|/readyz"'
PICTURES = 'method="POST", route="/generate", status="200"'
WORKER = 'instance=~"$instance"'
SAMPLER = f'job="sampler", {WORKER}'
REQUESTS = "fewstep_http_request_duration_seconds_count"
OBJECTIVE_S = 2.5


def overview() -> dashboard.Dashboard:
    """All of it, from the outside in."""
    made = board("Overview", "Fewstep as its users and its operators see it", other="Distillation")
    made.with_variable(choice("model", "Model", "label_values(fewstep_images_generated_total, model)"))
    made.with_variable(choice("instance", "Sampling worker", "label_values(fewstep_requests_in_hand, instance)"))
    for row in (at_a_glance, traffic, throughput, time_spent, queues, devices):
        row(made)
    return made


def at_a_glance(made: dashboard.Dashboard) -> None:
    """Six figures that say whether to read on."""
    made.with_row(dashboard.Row("At a glance"))
    made.with_panel(
        figure(
            "Alerts",
            "Alerts that fire, each with its own section in the runbook",
            ('max by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),
            limits=[(1, "red")],
            names=True,
        )
    )
    made.with_panel(
        figure(
            "Use of the error budgets, last hour",
            "1 uses up exactly what the objective allows in a month; from 14.4 on someone is paged",
            ("slo:burn_rate:rate1h", "{{slo}}"),
            limits=[(1, "orange"), (14.4, "red")],
        )
    )
    made.with_panel(
        figure(
            "Requests",
            "Answers a second, without health checks",
            (f"sum(rate({REQUESTS}{{{TRAFFIC}}}{RATE}))", "requests"),
            unit="reqps",
        )
    )
    slowest = quantiles("fewstep_http_request_duration_seconds", PICTURES)[1]
    made.with_panel(
        figure(
            "Latency, p95",
            "19 of 20 pictures were answered within this time",
            slowest,
            unit="s",
            limits=[(OBJECTIVE_S, "red")],
            decimals=2,
        )
    )
    made.with_panel(
        figure("Images", "Sampled a second", (f"sum(rate(fewstep_images_generated_total{{{MODEL}}}{RATE}))", "images"))
    )
    made.with_panel(
        figure(
            "Workers",
            "That live and take work, by queue",
            ("max by (queue) (fewstep_workers)", "{{queue}}"),
            limits=[(0, "red"), (1, "green")],
            decimals=0,
        )
    )


def traffic(made: dashboard.Dashboard) -> None:
    """What the API was asked, and how it answered."""
    made.with_row(dashboard.Row("Traffic, errors, latency"))
    made.with_panel(
        lines(
            "Requests by route",
            "Answers a second, without health checks",
            (f"sum by (method, route) (rate({REQUESTS}{{{TRAFFIC}}}{RATE}))", "{{method}} {{route}}"),
            unit="reqps",
        )
    )
    made.with_panel(
        lines(
            "Errors by status",
            "Answers of 400 and above; those of 500 and above count against the objective of availability",
            (f'sum by (status, route) (rate({REQUESTS}{{{TRAFFIC}, status=~"[45].."}}{RATE}))', "{{status}} {{route}}"),
            unit="reqps",
            alert="AvailabilityBurnFast",
        )
    )
    made.with_panel(
        lines(
            "Latency of pictures",
            "POST /generate until its last byte; the dashed line is the objective, for 19 of 20",
            *quantiles("fewstep_http_request_duration_seconds", PICTURES),
            unit="s",
            limits=[(OBJECTIVE_S, "red")],
            alert="LatencyBurnFast",
        )
    )
    made.with_panel(
        lines(
            "Refusals by reason",
            "Requests that did not get what they asked for",
            (f"sum by (reason) (rate(fewstep_http_rejections_total{RATE})) > 0", "{{reason}}"),
            unit="reqps",
        )
    )
    made.with_panel(
        lines(
            "Use of the error budgets",
            "How many times too fast, over an hour and over six; alerts compare pairs of windows",
            ("slo:burn_rate:rate1h", "{{slo}}, 1 h"),
            ("slo:burn_rate:rate6h", "{{slo}}, 6 h"),
            limits=[(1, "red")],
            alert="AvailabilityBurnSlow",
        )
    )
    made.with_panel(
        lines(
            "Bytes sent by route",
            "Of bodies, a second",
            (f"sum by (route) (rate(fewstep_http_response_bytes_total{{{TRAFFIC}}}{RATE})) > 0", "{{route}}"),
            unit="Bps",
        )
    )


def throughput(made: dashboard.Dashboard) -> None:
    """What the workers make."""
    made.with_row(dashboard.Row("Throughput"))
    made.with_panel(
        lines(
            "Images by model and steps",
            "Sampled a second",
            (
                f"sum by (model, steps) (rate(fewstep_images_generated_total{{{MODEL}}}{RATE})) > 0",
                "{{model}}, {{steps}} steps",
            ),
            unit="imgs/s",
        )
    )
    made.with_panel(
        heat_map(
            "Batch sizes",
            "How many batches were of at most so many images and more than the size below",
            f"sum by (le) (increase(fewstep_batch_images_bucket{{{MODEL}}}{RATE}))",
            unit="images",
        )
    )
    made.with_panel(
        lines(
            "Generations by outcome",
            "Requests that workers ended, a second, and batches that failed and were tried again in parts",
            (f"sum by (outcome) (rate(fewstep_generations_total{{{WORKER}}}{RATE}))", "{{outcome}}"),
            (f"sum(rate(fewstep_batch_failures_total{{{WORKER}}}{RATE}))", "batches failed"),
            unit="reqps",
        )
    )


def time_spent(made: dashboard.Dashboard) -> None:
    """Which part of a request takes its time."""
    made.with_row(dashboard.Row("Where the time goes"))
    made.with_panel(
        lines(
            "Mean time of a request, by stage",
            "Waiting wants more workers, sampling a faster device or fewer steps",
            mean("fewstep_queue_wait_seconds", MODEL, "queue"),
            mean("fewstep_batch_wait_seconds", MODEL, "batch wait"),
            mean("fewstep_sampling_seconds", MODEL, "device"),
            mean("fewstep_encoding_seconds", MODEL, "encoding"),
            unit="s",
            stack=True,
        )
    )
    made.with_panel(
        lines(
            "Time of a generation, p95 by model and steps",
            "From acceptance until the result was stored, asynchronous requests included",
            (
                "histogram_quantile(0.95, sum by (model, steps, le) "
                f"(rate(fewstep_generation_seconds_bucket{{{MODEL}}}{RATE}))) >= 0",
                "{{model}}, {{steps}} steps",
            ),
            unit="s",
        )
    )
    made.with_panel(
        lines(
            "Fill of batches",
            "Images of a batch over the most that go together, on average; near 1 the device is saturated",
            mean("fewstep_batch_fill_ratio", WORKER, "{{instance}}", by="instance"),
            unit="percentunit",
        )
    )


def queues(made: dashboard.Dashboard) -> None:
    """What waits, and for how long."""
    made.with_row(dashboard.Row("Queues"))
    made.with_panel(
        lines(
            "Messages by queue",
            "Waiting in Redis, or unacknowledged in a worker's hands",
            ("max by (queue, state) (fewstep_queue_messages)", "{{queue}}, {{state}}"),
        )
    )
    made.with_panel(
        lines(
            "Age of the oldest message",
            "Of those that wait; the dashed line is where the alert for sampling begins",
            ("max by (queue) (fewstep_queue_oldest_message_age_seconds)", "{{queue}}"),
            unit="s",
            limits=[(60, "red")],
            alert="QueueAge",
        )
    )
    made.with_panel(
        lines(
            "Requests under way",
            "At the API, accepted and not begun, in the workers' hands, and of these waiting for the device",
            ("sum(fewstep_http_requests_in_flight)", "at the API"),
            ("max(fewstep_requests_queued)", "not begun"),
            (f"sum(fewstep_requests_in_hand{{{WORKER}}})", "in hand"),
            (f"sum(fewstep_requests_waiting{{{WORKER}}})", "waiting for the device"),
        )
    )


def devices(made: dashboard.Dashboard) -> None:
    """What the sampling workers' machines do."""
    made.with_row(dashboard.Row("Sampling workers' devices"))
    made.with_panel(
        lines(
            "Use of the device",
            "Of the GPU by its driver; on a CPU, this worker's share of the machine",
            (f"fewstep_device_utilization_ratio{{{SAMPLER}}}", "{{instance}} {{device}}"),
            unit="percentunit",
        )
    )
    made.with_panel(
        lines(
            "Share of the device's best",
            "Operations of the models over what a large convolution reached when the worker started (MFU)",
            (
                f"sum by (instance) (rate(fewstep_model_flop_total{{{MODEL}}}{RATE})) "
                f"/ max by (instance) (fewstep_device_peak_flops{{{WORKER}}})",
                "{{instance}}",
            ),
            unit="percentunit",
        )
    )
    made.with_panel(
        lines(
            "Memory",
            "Of the GPU; on a CPU, of the worker and of the machine. Weights are those of loaded checkpoints",
            (f"fewstep_device_memory_bytes{{{SAMPLER}}}", "{{instance}} {{device}} {{kind}}"),
            (f"fewstep_checkpoint_cache_bytes{{{WORKER}}}", "{{instance}} weights"),
            unit="bytes",
        )
    )
    made.with_panel(
        lines(
            "Checkpoints",
            "Loaded, failed to load and forgotten to make room, each since its worker started",
            (f"sum by (outcome) (fewstep_checkpoint_loads_total{{{WORKER}}})", "{{outcome}}"),
            (f"sum(fewstep_checkpoint_evictions_total{{{WORKER}}})", "forgotten"),
            alert="CheckpointLoadFailures",
        )
    )
    made.with_panel(
        lines(
            "Time to load a checkpoint",
            "On average since the worker started",
            mean("fewstep_checkpoint_load_seconds", WORKER, "{{instance}}", by="instance", rate=False),
            unit="s",
        )
    )
    made.with_panel(
        lines(
            "Free space",
            "Share of the file systems of var and of artifacts",
            ("min by (volume) (fewstep_storage_free_bytes / fewstep_storage_size_bytes)", "{{volume}}"),
            unit="percentunit",
            alert="DiskFilling",
        )
    )
