"""All that a job names, found on this machine and loaded."""

from core.catalog.artifacts import ArtifactStore
from core.catalog.card import read_card
from core.jobs.request import SYNTHETIC, DistillJob
from core.methods.declaration import find_method
from core.methods.guide import USUAL_GUIDANCE
from core.settings import Settings
from models.data.parquet_files import ALL_FOUND
from models.distillation.chain import Chain, prepare_chain
from models.distillation.guide import load_guide
from models.distillation.method import load_method
from models.distillation.synthetic import SyntheticConfig
from models.sampling.engine import pick_device
from models.training.execution import AUTO, Execution
from models.training.trainer import TrainConfig
from worker.brought import data_source
from worker.distillation.rounds import Jury, assemble_jury
from worker.locations import classifier_folder, named_checkpoint

SYNTHETIC_IMAGES = 1024
"""In memory at a time: a quarter of the command line's, since a CPU takes long to make them."""


def load_job(job: DistillJob, settings: Settings, artifacts: ArtifactStore) -> tuple[Chain, Jury | None]:
    """The chain of a job, as the command line would run it, and what judges its students.

    Raises:
        FewstepError: What the job names is not there, or is another than when it was accepted.
    """
    request, teacher = job.request, job.teacher
    folder = named_checkpoint(settings, artifacts, teacher, field="teacher")
    method, given = find_method(request.method), request.given
    device = pick_device(settings.device)
    Execution(precision=settings.precision).precision_on(device)  # students are judged in it
    most = min(SYNTHETIC_IMAGES, request.iterations * request.batch_size)  # no more than its shortest round draws
    synthetic = SyntheticConfig(images=most) if job.data == SYNTHETIC else None
    config = TrainConfig(
        iterations=request.iterations,
        batch_size=request.batch_size,
        learning_rate=request.learning_rate,
        optimizer=request.optimizer,
        decay="cosine",
        seed=request.seed,
    )
    if job.classifier is not None:
        given["classifier"] = str(classifier_folder(settings, artifacts, job.classifier))
        if not job.classifier.knows_data:
            given = dict.fromkeys(method.of_known_data, 0.0) | given  # the paper's are for one that does
    card = read_card(folder)
    loaded = load_method(
        method,
        given=given,
        image_shape=card.image_shape,
        knows_all_rows=card.knows_all_rows,
        device=settings.device,
    )
    assert request.from_steps is not None  # decided when the job was accepted
    source = None
    if job.data is not None and synthetic is None:
        source = data_source(job.data, job.data_ref, settings, artifacts)
    led_by = None
    if guide := job.guide:
        led_by = load_guide(
            named_checkpoint(settings, artifacts, guide, field="guide"),
            guide.name,
            teacher=card,
            guidance=request.guidance or USUAL_GUIDANCE,
            device=device,
        )
    chain = prepare_chain(
        teacher=folder,
        parent=teacher.name,
        from_steps=request.from_steps,
        to_steps=request.to_steps,
        data=source["data"] if source else job.data,
        size=source["size"] if source else None,
        columns=source["columns"] if source else ALL_FOUND,
        synthetic=synthetic,
        config=config,
        method=loaded,
        command=f"POST /distill-jobs {request.model_dump_json(exclude_defaults=True)}",
        device=device,
        execution=AUTO,
        guide=led_by,
    )
    return chain, None if job.judge is None else assemble_jury(job.judge, folder, settings, artifacts)
