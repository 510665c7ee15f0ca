"""From what a client asks of ``/training-jobs`` to a job that can be done, or the error that says why it cannot."""

import re
import uuid
from collections.abc import Mapping

from asgi_correlation_id import correlation_id

from app.access.caller import Caller
from app.catalog.classifiers import classifier_ref, read_classifiers
from app.catalog.datasets import read_datasets
from app.jobs import memory
from app.jobs.fitting import dimensions, misfit_of
from app.service import Service
from app.webhooks.asked import check_webhook
from core.catalog.card import no_such_checkpoint
from core.catalog.classifier_card import ClassifierCard
from core.catalog.datasets import DatasetFacts
from core.errors import Conflict, InvalidRequest
from core.jobs.references import CheckpointRef, JobKind, Judge
from core.jobs.training import EvaluateTeacher, TrainingJob, TrainingRequest
from core.settings import Settings
from core.training.network import count_weights, refuse_sides
from core.training.options import OPTIONS, Kind, TeacherOptions, settle

MOST_FROM_DATA = 40
"""Characters of a name that is made of the data's."""


def resolve(request: TrainingRequest, service: Service, caller: Caller) -> TrainingJob:
    """The request of a caller with everything decided.

    Raises:
        FewstepError: It cannot be done; the error names the field and what is allowed.
    """
    check_webhook(request.webhook, service.settings)
    request = _with_iterations(request, service.settings)
    options = settle(Kind(request.kind), request.given)
    facts = _data(request.data, read_datasets(service, caller))
    init = None
    if isinstance(options, TeacherOptions):
        init = _init(options, facts, service, caller)
        if init is None:
            _refuse_network(options, facts, service.settings)
    else:
        _refuse_classes(facts)
    job_id = uuid.uuid4().hex
    return TrainingJob(
        id=job_id,
        kind=JobKind(request.kind),
        name=_name(request, service) or f"{_plain(request.data)}-{job_id[:8]}",
        request=request,
        data=facts.name,
        data_ref=facts.ref,
        init=init,
        judge=_judge(request, facts, read_classifiers(service, caller), service),
        created=service.jobs.now(),
        request_id=correlation_id.get() or "",
        owner=caller.name,
    )


def _with_iterations(request: TrainingRequest, settings: Settings) -> TrainingRequest:
    """With those that are usual, or as many as a job may have."""
    given, most = request.given.get("iterations"), settings.max_job_iterations
    if given is None:
        usual = OPTIONS[Kind(request.kind)].model_fields["iterations"].default
        return request.model_copy(update={"iterations": min(usual, most)})
    if given > most:
        raise InvalidRequest(
            f"iterations may be at most {most}", field="iterations", allowed={"minimum": 1, "maximum": most}
        )
    return request


def _data(name: str, known: Mapping[str, DatasetFacts]) -> DatasetFacts:
    usable = [one for one, facts in known.items() if not facts.error]
    if name not in known:
        raise InvalidRequest(
            f"there is no data set {name!r}; there are {', '.join(known)}", field="data", allowed=usable
        )
    if known[name].error:
        raise InvalidRequest(f"{name}: {known[name].error}", field="data", allowed=usable)
    return known[name]


def _init(options: TeacherOptions, facts: DatasetFacts, service: Service, caller: Caller) -> CheckpointRef | None:
    """The checkpoint that is gone on from."""
    if options.init is None:
        return None
    name, _, checkpoint = options.init.partition("/")
    family = service.catalog.find(name, caller, field="init")
    if checkpoint not in family.cards:
        raise no_such_checkpoint(family, checkpoint, field="init")
    card = family.cards[checkpoint]
    if misfit := misfit_of(facts, card):
        raise InvalidRequest(f"{facts.name}: {misfit}", field="data")
    size = memory.weight_bytes(card.parameters)
    if size > (most := service.settings.max_job_memory_bytes):
        raise InvalidRequest(
            f"a network of {card.parameters} weights takes about {memory.in_words(size)} of memory, and a job may take "
            f"{memory.in_words(most)}",
            field="init",
        )
    return CheckpointRef(
        family=name, checkpoint=checkpoint, artifact=family.artifacts.get(checkpoint), sha256=card.sha256
    )


def _refuse_network(options: TeacherOptions, facts: DatasetFacts, settings: Settings) -> None:
    assert facts.image_shape is not None  # else it has an error
    _, height, width = facts.image_shape
    refuse_sides(height, width, levels=len(options.multipliers))
    if options.class_conditional and not facts.num_classes:
        raise InvalidRequest(f"{facts.name} has no classes that could be learnt", field="class_conditional")
    limit = settings.max_job_memory_bytes
    least = memory.weight_bytes(count_weights(options.channels, options.multipliers, blocks=options.blocks))
    unet = {
        "block_out_channels": [options.channels * multiplier for multiplier in options.multipliers],
        "layers_per_block": options.blocks,
    }
    each = memory.image_bytes(unet, facts.image_shape)
    if least + each > limit:
        raise InvalidRequest(
            f"so large a network takes about {memory.in_words(least + each)} of memory, and a job may take "
            f"{memory.in_words(limit)}",
            field="channels",
        )
    if least + each * options.batch_size > limit:
        raise InvalidRequest(
            f"a batch of {options.batch_size} takes about {memory.in_words(least + each * options.batch_size)} of "
            f"memory, and a job may take {memory.in_words(limit)}",
            field="batch_size",
            allowed={"minimum": 1, "maximum": (limit - least) // each},
        )


def _refuse_classes(facts: DatasetFacts) -> None:
    if not facts.num_classes:
        raise InvalidRequest(f"{facts.name}: its pictures have no labels, which this needs", field="data")
    if facts.num_classes < 2:
        raise InvalidRequest(f"{facts.name}: all pictures are of one class; a classifier needs two", field="data")


def _judge(
    request: TrainingRequest, facts: DatasetFacts, classifiers: Mapping[str, ClassifierCard], service: Service
) -> Judge | None:
    for field in ("judge", "evaluate"):
        if Kind(request.kind) is not Kind.TEACHER and getattr(request, field) is not None:
            raise InvalidRequest(f"a {request.kind} has no {field}; how often it is right is in its card", field=field)
    if request.judge is None:
        if request.evaluate is not None:
            raise InvalidRequest("a judge is needed that evaluates", field="judge", allowed=list(classifiers))
        return None
    asked, most = request.evaluate or EvaluateTeacher(), service.settings.max_job_samples
    if asked.samples > most:
        raise InvalidRequest(
            f"a teacher may be judged by at most {most} samples",
            field="evaluate.samples",
            allowed={"minimum": 4, "maximum": most},
        )
    fitting = [name for name, one in classifiers.items() if one.image_shape == facts.image_shape]
    if request.judge not in classifiers:
        raise InvalidRequest(
            f"there is no classifier {request.judge!r}; there are {', '.join(classifiers) or 'none'}",
            field="judge",
            allowed=fitting,
        )
    card = classifiers[request.judge]
    if card.image_shape != facts.image_shape:
        raise InvalidRequest(
            f"{request.judge} takes images of {dimensions(card.image_shape)}, {facts.name} has "
            f"{dimensions(facts.image_shape)}",
            field="judge",
            allowed=fitting,
        )
    return Judge(
        classifier=classifier_ref(request.judge, card, service),
        data=facts.name,
        data_fingerprint=facts.fingerprint or "",
        samples=asked.samples,
        data_ref=facts.ref,
    )


def _name(request: TrainingRequest, service: Service) -> str | None:
    """The name that was asked for. That no other job has it is for the store to see, in one step with taking it."""
    name, settings = request.name, service.settings
    if name is None:
        return None
    if Kind(request.kind) is Kind.CLASSIFIER:
        if name in service.catalog.serving().classifiers or (settings.classifiers / name).exists():
            raise Conflict(f"there is a classifier {name!r} already", field="name")
    elif name in service.catalog.families() or any((root / name).exists() for root in settings.families):
        raise Conflict(f"there is a family {name!r} already", field="name")
    return name


def _plain(data: str) -> str:
    """The name of a data set as one of ours may begin."""
    return re.sub(r"[^a-z0-9._-]", "-", data.lower())[:MOST_FROM_DATA].lstrip("._-") or "data"
