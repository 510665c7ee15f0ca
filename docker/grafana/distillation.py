"""The dashboard of who trains: how far jobs are, how well they learn, what got in their way."""

from grafana_foundation_sdk.builders import dashboard

from panels import MODEL, RATE, board, choice, figure, lines, mean

DISTILLER = 'job="distiller", instance=~"$instance"'
WORKER = 'instance=~"$instance"'
STUDENT = "{{model}} {{method}}, {{steps}} steps"


def distillation() -> dashboard.Dashboard:
    """All of it, from progress to trouble."""
    made = board("Distillation", "Jobs that make students of teachers", other="Overview")
    made.with_variable(choice("model", "Teacher", "label_values(fewstep_distill_iterations_total, model)"))
    made.with_variable(
        choice("instance", "Distillation worker", "label_values(fewstep_distill_lease_losses_total, instance)")
    )
    for row in (at_a_glance, training, quality, trouble, devices):
        row(made)
    return made


def at_a_glance(made: dashboard.Dashboard) -> None:
    """Where the job in hand stands."""
    made.with_row(dashboard.Row("At a glance"))
    made.with_panel(figure("Jobs", "By state", ("max by (state) (fewstep_jobs) > 0", "{{state}}"), decimals=0).span(6))
    made.with_panel(
        figure(
            "Progress",
            "Share of the iterations of all rounds of the job in hand",
            (f"max by (model, method) (fewstep_distill_progress_ratio{{{MODEL}}})", "{{model}} {{method}}"),
            unit="percentunit",
        )
        .min(0)
        .max(1)
    )
    made.with_panel(
        figure(
            "Time left",
            "What the rest of the iterations takes at the present pace; judging students comes on top",
            (f"max by (model, method) (fewstep_distill_remaining_seconds{{{MODEL}}})", "{{model}} {{method}}"),
            unit="dtdurations",
            decimals=0,
        )
    )
    made.with_panel(
        figure(
            "Pace",
            "Iterations a second of the round under way",
            (f"sum by (model, method) (fewstep_distill_iterations_per_second{{{MODEL}}})", "{{model}} {{method}}"),
            unit="it/s",
        )
    )
    made.with_panel(
        figure(
            "Fréchet distance",
            "Of the last finished round of each length; lower is better",
            (f"max by (model, method, steps) (fewstep_distill_frechet_distance{{{MODEL}}})", "{{steps}} steps"),
            decimals=2,
        ).span(6)
    )


def training(made: dashboard.Dashboard) -> None:
    """How the rounds learn."""
    made.with_row(dashboard.Row("Training"))
    made.with_panel(
        lines(
            "Loss",
            "Of the last iteration; steps are the student's",
            (f"max by (model, method, steps) (fewstep_distill_loss{{{MODEL}}})", STUDENT),
            log=True,
            alert="LossNotFinite",
        )
    )
    made.with_panel(
        lines(
            "Gradient norm",
            "Before clipping",
            (f"max by (model, method, steps) (fewstep_distill_gradient_norm{{{MODEL}}})", STUDENT),
            log=True,
        )
    )
    made.with_panel(
        lines(
            "Iterations",
            "A second, over all jobs, pauses between turns included",
            (
                f"sum by (model, method) (rate(fewstep_distill_iterations_total{{{MODEL}}}{RATE}))",
                "{{model}} {{method}}",
            ),
            unit="it/s",
        )
    )


def quality(made: dashboard.Dashboard) -> None:
    """What came of finished rounds."""
    made.with_row(dashboard.Row("Rounds"))
    made.with_panel(
        lines(
            "Progress",
            "Share of the iterations of all rounds of the job in hand",
            (f"max by (model, method) (fewstep_distill_progress_ratio{{{MODEL}}})", "{{model}} {{method}}"),
            unit="percentunit",
        )
    )
    made.with_panel(
        lines(
            "Fréchet distance by round",
            "Of samples to the data, as a judge sees them, when the last round of each length ended; lower is better",
            (f"max by (model, method, steps) (fewstep_distill_frechet_distance{{{MODEL}}})", STUDENT),
        )
    )
    made.with_panel(
        lines(
            "Training time of a round",
            "On average since the worker started",
            mean("fewstep_distill_round_seconds", MODEL, "{{model}} {{method}}", by="model, method", rate=False),
            unit="s",
        )
    )


def trouble(made: dashboard.Dashboard) -> None:
    """What ended turns, and what was done again."""
    made.with_row(dashboard.Row("Turns and trouble"))
    made.with_panel(
        lines(
            "Turns by outcome",
            "Since the worker started: over goes on in another turn, died and lost are done again",
            (f"sum by (outcome) (fewstep_distill_slices_total{{{WORKER}}})", "{{outcome}}"),
        )
    )
    made.with_panel(
        lines(
            "Done again, or not at all",
            "Since the worker started: leases that went to other hands, work queued again, artifacts not stored",
            (f"sum(fewstep_distill_lease_losses_total{{{WORKER}}})", "leases lost"),
            (f"sum by (queue) (fewstep_redeliveries_total{{{DISTILLER}}})", "{{queue}} queued again"),
            (f"sum(fewstep_distill_artifact_failures_total{{{WORKER}}})", "artifacts failed"),
            (f"sum by (method) (fewstep_distill_nonfinite_total{{{MODEL}}})", "{{method}} not finite"),
            alert="ArtifactFailures",
        )
    )
    made.with_panel(
        lines(
            "Waiting and silence",
            "Age of the oldest message that waits for a worker, and time since the most silent running job moved on",
            ('max(fewstep_queue_oldest_message_age_seconds{queue="distillation"})', "oldest message"),
            ("max(fewstep_job_silence_seconds)", "most silent job"),
            unit="s",
            alert="JobStalled",
        )
    )


def devices(made: dashboard.Dashboard) -> None:
    """What the distillation workers' machines do."""
    made.with_row(dashboard.Row("Distillation workers' devices"))
    made.with_panel(
        lines(
            "Use of the device",
            "Of the GPU by its driver; on a CPU, this worker's share of the machine",
            (f"fewstep_device_utilization_ratio{{{DISTILLER}}}", "{{instance}} {{device}}"),
            unit="percentunit",
            span=12,
        )
    )
    made.with_panel(
        lines(
            "Memory",
            "Of the GPU; on a CPU, of the worker with its training process, and of the machine",
            (f"fewstep_device_memory_bytes{{{DISTILLER}}}", "{{instance}} {{device}} {{kind}}"),
            unit="bytes",
            span=12,
        )
    )
