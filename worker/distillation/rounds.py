"""What is made of a finished round: its checkpoint, a grid of samples, and its figures beside those of who serves."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from core.catalog import serving
from core.catalog.artifacts import ArtifactStore
from core.catalog.card import CheckpointError, Family, read_card
from core.errors import InvalidRequest
from core.jobs.references import Judge, RoundResult
from core.jobs.request import DistillJob
from core.jobs.store import JobStore
from core.settings import Settings
from models.data.dataset import Dataset, load_data
from models.data.images import encode, make_grid
from models.diffusion.prediction import Denoiser
from models.distillation.chain import Chain, save_student
from models.distillation.rounds import Round
from models.evaluation.evaluate import EVALUATIONS, Evaluation, evaluate, save_evaluation
from models.evaluation.extractors import Extractor, judge_extractor, refuse_distilled_through
from models.evaluation.reference import Reference, load_reference
from models.sampling.compiled import pays
from models.sampling.engine import Sampler, pick_device
from models.training.execution import Precision
from worker.brought import data_source
from worker.locations import checkpoint_folder, classifier_folder

GRID_SEEDS = range(64)


@dataclass(frozen=True)
class Jury:
    """A judge with what it compares to, loaded."""

    judge: Judge
    extractor: Extractor
    train: Dataset
    reference: Reference

    def evaluate(self, sampler: Sampler, beat: Callable[[], None], *, num_steps: int | None = None) -> Evaluation:
        """Figures of a checkpoint, by default in its own number of steps, as ``fewstep evaluate`` has them."""
        return evaluate(
            sampler,
            num_steps=num_steps or sampler.card.num_steps,
            count=self.judge.samples,
            extractor=self.extractor,
            train=self.train,
            reference=self.reference,
            between_batches=beat,
        )


def assemble_jury(judge: Judge, teacher: Path | None, settings: Settings, artifacts: ArtifactStore) -> Jury:
    """Load a judge and its reference data; ``teacher`` is what the judged come from, if there is one.

    Raises:
        InvalidRequest: One of them is not there, or another than when the job was accepted; or the teacher was
            distilled through the judge.
    """
    folder = classifier_folder(settings, artifacts, judge.classifier)
    if teacher is not None:
        refuse_distilled_through(folder, teacher)
    source = data_source(judge.data, judge.data_ref, settings, artifacts)
    train = load_data(source["data"], size=source["size"], columns=source["columns"])
    if train.fingerprint != judge.data_fingerprint:
        raise InvalidRequest(f"{judge.data} holds other pictures than the teacher was judged by", field="data")
    extractor = judge_extractor(
        folder, image_shape=train.image_shape, classes=train.class_names, device=pick_device(settings.device)
    )
    return Jury(
        judge,
        extractor,
        train,
        load_reference(source["data"], train, size=source["size"], columns=source["columns"], extractor=extractor),
    )


def finish_round(
    chain: Chain,
    this: Round,
    student: Denoiser,
    *,
    job: DistillJob,
    jury: Jury | None,
    folder: Path,
    prefix: str,
    artifacts: ArtifactStore,
    store: JobStore,
    settings: Settings,
    beat: Callable[[], None],
) -> RoundResult:
    """Write, judge and store what a round came to.

    Args:
        chain: That was run.
        this: The round.
        student: What came of it.
        job: Whose round it is.
        jury: What judges; None if nothing does.
        folder: To work in; what is there of an earlier attempt is written over.
        prefix: Key in the artifact store of all that the round makes, never used before.
        artifacts: Where to.
        store: Of what serves now.
        settings: Of this worker.
        beat: Called now and then.
    """
    shutil.rmtree(folder, ignore_errors=True)
    save_student(folder, chain, this, student, family=job.name)
    sampler = open_sampler(folder, jury, settings, beat)
    samples = folder.with_suffix(".png")
    samples.write_bytes(encode(make_grid(sampler.sample(seeds=GRID_SEEDS, between_batches=beat)), "png"))
    metrics = None
    if jury is not None:
        evaluation = jury.evaluate(sampler, beat)
        save_evaluation(folder, evaluation)
        metrics = asdict(evaluation)
    rival, rival_distance, promote = None, None, job.request.promote == "always"
    if job.request.promote != "never":
        rival, rival_folder = _rival(this.num_steps, job, artifacts, store, settings)
        if jury is not None and rival_folder is not None:
            rival_distance = _distance(rival_folder, jury, settings, beat, sampled_in=sampler.precision)
        if job.request.promote == "if_better" and metrics is not None:
            promote = rival_distance is None or metrics["frechet_distance"] < rival_distance
    artifacts.put(folder, f"{prefix}/checkpoint")
    artifacts.put(samples, f"{prefix}/samples.png")
    return RoundResult(
        steps=this.num_steps,
        checkpoint=f"{job.name}/{folder.name}",
        artifact=f"{prefix}/checkpoint",
        samples=f"{prefix}/samples.png",
        metrics=metrics,
        promote=promote,
        rival=rival,
        rival_frechet_distance=rival_distance,
    )


def _rival(
    steps: int, job: DistillJob, artifacts: ArtifactStore, store: JobStore, settings: Settings
) -> tuple[str | None, Path | None]:
    """Who serves as many steps in the teacher's family: its name there, and its folder."""
    name = job.teacher.family
    root = next((root for root in settings.families if (root / name).is_dir()), settings.checkpoints)
    family = serving.overlay({name: Family.read(root / name)}, serving.read(store.redis)).get(name)
    rival = family.steps.get(steps) if family else None
    if family is None or rival is None:
        return None, None
    artifact = family.artifacts.get(rival)
    try:
        return rival, checkpoint_folder(settings, artifacts, family=name, checkpoint=rival, artifact=artifact)
    except CheckpointError:
        return rival, None


def _distance(
    folder: Path, jury: Jury, settings: Settings, beat: Callable[[], None], *, sampled_in: Precision
) -> float:
    """Fréchet distance of a checkpoint by the jury, from its card if it was taken in the same way."""
    card = read_card(folder)
    wanted = {
        "num_steps": card.num_steps,
        "samples": jury.judge.samples,
        "first_seed": 0,
        "extractor_sha256": jury.extractor.sha256,
        "data_fingerprint": jury.train.fingerprint,
        "sampled_in": sampled_in,
    }
    for known in card.metrics.get(EVALUATIONS, []):
        if wanted.items() <= ({"sampled_in": sampled_in} | known).items():  # older figures do not say
            return float(known["frechet_distance"])
    return jury.evaluate(open_sampler(folder, jury, settings, beat), beat).frechet_distance


def open_sampler(folder: Path, jury: Jury | None, settings: Settings, beat: Callable[[], None]) -> Sampler:
    """A checkpoint, to be judged or for a picture only; making it ready may take minutes, so it beats meanwhile."""
    compiled = jury is not None and pays(jury.judge.samples)
    return Sampler(folder, device=settings.device, precision=settings.precision, compiled=compiled, between_sizes=beat)
