"""A job that trains: a teacher, judged where it names a judge, or a classifier, with its accuracy."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from core.catalog.card import read_card
from core.catalog.classifier_card import read_classifier_card
from core.catalog.serving import Made, MadeClassifier, serving_key
from core.jobs.references import JobKind, RoundResult
from core.jobs.training import TEACHER, EvaluateTeacher, TrainingJob
from core.training.options import TeacherOptions
from models.classifiers.training import prepare_classifier
from models.data.images import encode, make_grid
from models.distillation.teacher import prepare_teacher
from models.evaluation.evaluate import save_evaluation
from models.sampling.engine import pick_device
from models.training.execution import AUTO, Execution
from models.training.run import Run
from worker.brought import data_source
from worker.distillation.rounds import GRID_SEEDS, Jury, assemble_jury, open_sampler
from worker.distillation.turn import Outcome, Turn
from worker.locations import named_checkpoint


@dataclass(frozen=True)
class Training:
    """What is trained, and what judges it."""

    job: TrainingJob
    run: Run[Any]
    jury: Jury | None

    @classmethod
    def load(cls, job: TrainingJob, turn: Turn) -> Self:
        """All that a job names, found on this machine and loaded.

        Raises:
            FewstepError: It is not there, or is another than when the job was accepted.
        """
        settings, artifacts, options = turn.settings, turn.artifacts, job.options
        source = data_source(job.data, job.data_ref, settings, artifacts)
        device = pick_device(settings.device)
        if not isinstance(options, TeacherOptions):
            return cls(job, prepare_classifier(options, **source, device=device, execution=AUTO), None)
        Execution(precision=settings.precision).precision_on(device)  # it is judged in it
        init = None
        if job.init is not None:
            init = named_checkpoint(settings, artifacts, job.init, field="init")
        run = prepare_teacher(options, **source, init=init, init_name=options.init, device=device, execution=AUTO)
        return cls(job, run, None if job.judge is None else assemble_jury(job.judge, init, settings, artifacts))

    @property
    def about(self) -> str:
        """The data in a line."""
        return self.run.about

    def do(self, turn: Turn) -> list[RoundResult]:
        """As of ``Work``."""
        results = list(turn.record.rounds)
        turn.fetch()
        if not results:
            state = turn.state(self.job.kind)
            with turn.watch.of(0) as on_progress:
                trained = self.run.train(state, on_progress)
            turn.trained(0)
            folder = turn.folder / self.job.name
            command = f"POST /training-jobs {self.job.request.model_dump_json(exclude_none=True)}"
            self.run.save(folder, trained, state, command=command, between_batches=turn.watch.beat)
            finish = self._finish_classifier if self.job.kind is JobKind.CLASSIFIER else self._finish_teacher
            results.append(finish(turn))
            turn.finished(results)
        return results

    def _finish_teacher(self, turn: Turn) -> RoundResult:
        """Draw, judge and store it."""
        folder, prefix, beat = turn.folder / self.job.name, turn.prefix(0), turn.watch.beat
        sampler = open_sampler(folder, self.jury, turn.settings, beat)
        num_steps = sampler.card.steps_up_to((self.job.request.evaluate or EvaluateTeacher()).steps)
        samples = folder.with_suffix(".png")
        pictures = sampler.sample(seeds=GRID_SEEDS, num_steps=num_steps, between_batches=beat)
        samples.write_bytes(encode(make_grid(pictures), "png"))
        metrics = None
        if self.jury is not None:
            evaluation = self.jury.evaluate(sampler, beat, num_steps=num_steps)
            save_evaluation(folder, evaluation)
            metrics = asdict(evaluation)
        turn.artifacts.put(folder, f"{prefix}/{TEACHER}")
        turn.artifacts.put(samples, f"{prefix}/samples.png")
        return RoundResult(
            steps=sampler.card.num_steps,
            checkpoint=f"{self.job.name}/{TEACHER}",
            artifact=f"{prefix}/{TEACHER}",
            samples=f"{prefix}/samples.png",
            metrics=metrics,
        )

    def _finish_classifier(self, turn: Turn) -> RoundResult:
        """Store it; its card has how often it is right."""
        folder, key = turn.folder / self.job.name, f"{turn.prefix(0)}/{self.job.name}"
        card = read_classifier_card(folder)
        turn.artifacts.put(folder, key)
        metrics = {"accuracy": card.accuracy, "test_images": card.test_images}
        return RoundResult(steps=None, checkpoint=self.job.name, artifact=key, samples=None, metrics=metrics)

    def outcome(self, turn: Turn, results: list[RoundResult]) -> Outcome:
        """The teacher as a family of its own, or the classifier."""
        (result,), job = results, self.job
        folder = turn.artifacts.folder(result.artifact)
        if job.kind is JobKind.CLASSIFIER:
            found = MadeClassifier(
                card=read_classifier_card(folder), artifact=result.artifact, job=job.id, owner=job.owner
            )
            return Outcome(classifiers={job.name: found})
        made = Made(card=read_card(folder), artifact=result.artifact, job=job.id, owner=job.owner)
        return Outcome(made={serving_key(job.name, TEACHER): made})
