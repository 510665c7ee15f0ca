"""From what a client asks of ``/distill-jobs`` to a job that can be done, or the error that says why it cannot."""

import json
import uuid
from collections.abc import Mapping
from functools import partial

from asgi_correlation_id import correlation_id

from app.access.caller import Caller
from app.catalog.classifiers import classifier_ref, read_classifiers
from app.catalog.datasets import read_datasets
from app.jobs import memory
from app.jobs.fitting import dimensions, misfit_of
from app.jobs.judges import pick_judge
from app.service import Service
from app.webhooks.asked import check_webhook
from core.catalog.card import Card, CheckpointError, Family, no_such_checkpoint
from core.catalog.classifier_card import ClassifierCard
from core.catalog.datasets import DatasetFacts
from core.errors import Conflict, InvalidRequest, NotFound
from core.jobs.references import CheckpointRef, ClassifierRef
from core.jobs.request import MOST_DEFAULT_STEPS, SYNTHETIC, DistillJob, DistillRequest
from core.methods.declaration import find_method, settle
from core.methods.guide import guide_misfit
from core.settings import Settings


def resolve(request: DistillRequest, service: Service, caller: Caller) -> DistillJob:
    """The request of a caller with everything decided.

    Raises:
        FewstepError: It cannot be done; the error names the field and what is allowed.
    """
    check_webhook(request.webhook, service.settings)
    family, checkpoint = _checkpoint(request.teacher, service, caller, field="teacher")
    if request.promote != "never":
        caller.need_to_change(family.owner)
    card = family.cards[checkpoint]
    from_steps, steps = _steps(request, card)
    request = request.model_copy(update={"from_steps": from_steps})
    _refuse_sizes(request, steps, service.settings)
    guide = _guide(request, card, service, caller)
    _refuse_memory(request, family, checkpoint, guide, service)
    classifiers, known = read_classifiers(service, caller), read_datasets(service, caller)
    data = _data(request, card, known)
    classifier = _classifier(request, family.name, card, classifiers, known.get(data or SYNTHETIC), service)
    chosen = classifiers[classifier.name] if classifier else None
    judge = pick_judge(request, card, service, classifier=chosen, classifiers=classifiers, datasets=known)
    job_id = uuid.uuid4().hex
    return DistillJob(
        id=job_id,
        name=_name(request, service) or f"{family.name}-{job_id[:8]}",
        request=request,
        teacher=_reference(family, checkpoint),
        guide=_reference(*guide) if guide else None,
        steps=steps,
        classifier=classifier,
        data=data,
        data_ref=known[data].ref if data in known else None,
        judge=judge,
        created=service.jobs.now(),
        request_id=correlation_id.get() or "",
        owner=caller.name,
    )


def _checkpoint(named: str, service: Service, caller: Caller, *, field: str) -> tuple[Family, str]:
    name, _, checkpoint = named.partition("/")
    family = service.catalog.find(name, caller, field=field)
    if not checkpoint:
        raise InvalidRequest(
            f"{name} is a family; name one of its checkpoints",
            field=field,
            allowed=[f"{name}/{one}" for one in family.cards],
        )
    if checkpoint not in family.cards:
        raise no_such_checkpoint(family, checkpoint, field=field)
    return family, checkpoint


def _reference(family: Family, checkpoint: str) -> CheckpointRef:
    return CheckpointRef(
        family=family.name,
        checkpoint=checkpoint,
        artifact=family.artifacts.get(checkpoint),
        sha256=family.cards[checkpoint].sha256,
    )


def _guide(request: DistillRequest, card: Card, service: Service, caller: Caller) -> tuple[Family, str] | None:
    """What the teacher is led away from."""
    if request.guide is None:
        if request.guidance is not None:
            raise InvalidRequest("there is no guide to be led away from", field="guidance")
        return None
    family, checkpoint = _checkpoint(request.guide, service, caller, field="guide")
    if misfit := guide_misfit(request.guide, family.cards[checkpoint], card):
        fitting = [
            name
            for one in service.catalog.seen_by(caller).values()
            for other, guide in one.cards.items()
            if guide_misfit(name := f"{one.name}/{other}", guide, card) is None
        ]
        raise InvalidRequest(misfit, field="guide", allowed=fitting)
    return family, checkpoint


def _steps(request: DistillRequest, card: Card) -> tuple[int, tuple[int, ...]]:
    """Steps that the teacher is sampled in, and those of each round's student."""
    method, given, convert = find_method(request.method), request.from_steps, card.prediction_type == "epsilon"
    reached = partial(method.reached, convert=convert)
    divisors = [steps for steps in range(1, card.num_steps + 1) if card.num_steps % steps == 0]
    starts = [start for start in divisors if card.can_walk(start) and reached(start)]
    if not starts:
        raise InvalidRequest(
            f"nothing can be distilled from {request.teacher} by {method.name}: it has {card.num_steps} steps, which "
            f"cannot be {'halved' if method.halves else 'made fewer'}",
            field="teacher",
        )
    if given is not None and not (card.can_walk(given) and reached(given)):
        flaw = "leads to no fewer" if card.can_walk(given) else "is no divisor of that"
        any_number = {"minimum": 2, "maximum": card.schedule.num_rows - 1, "multipleOf": 2 if method.halves else 1}
        raise InvalidRequest(
            f"the teacher has {card.num_steps} steps, and {given} {flaw}",
            field="from_steps",
            allowed=any_number if card.knows_all_rows else starts,
        )
    few = [steps for steps in reversed(starts) if steps <= MOST_DEFAULT_STEPS] or starts[:1]
    if card.knows_all_rows and not method.halves:
        few = [method.usual_start(request.to_steps)]
    tried = [given] if given else few
    for start in tried:
        steps = method.plan(start, request.to_steps, convert=convert)
        if steps is not None:
            return start, steps
    raise InvalidRequest(
        f"{method.name} does not lead from {tried[0]} steps to {request.to_steps}",
        field="to_steps",
        allowed=sorted({steps for start in tried for steps in reached(start)}, reverse=True),
    )


def _refuse_sizes(request: DistillRequest, steps: tuple[int, ...], settings: Settings) -> None:
    # Rounds of two steps and one are twice as long.
    iterations = settings.max_job_iterations // (2 if steps[-1] <= 2 else 1)
    if request.iterations > iterations:
        raise InvalidRequest(
            f"iterations may be at most {iterations}", field="iterations", allowed={"minimum": 1, "maximum": iterations}
        )
    samples = settings.max_job_samples
    if request.evaluate and request.evaluate.samples > samples:
        raise InvalidRequest(
            f"students may be judged by at most {samples} samples",
            field="evaluate.samples",
            allowed={"minimum": 4, "maximum": samples},
        )


def _refuse_memory(
    request: DistillRequest, family: Family, checkpoint: str, guide: tuple[Family, str] | None, service: Service
) -> None:
    card, limit = family.cards[checkpoint], service.settings.max_job_memory_bytes
    each = memory.image_bytes(_unet(family, checkpoint, service), card.image_shape)
    least = memory.weight_bytes(card.parameters)
    if guide:
        led_by, name = guide
        least += memory.FLOAT_BYTES * led_by.cards[name].parameters
    size = least + each * request.batch_size
    if size <= limit:
        return
    words = f"takes about {memory.in_words(size)} of memory, and a job may take {memory.in_words(limit)}"
    most = (limit - least) // each
    if most < 1:
        what = f"a network of {card.parameters} weights{' with its guide' if guide else ''}"
        raise InvalidRequest(f"{what} {words}", field="guide" if guide else "teacher")
    raise InvalidRequest(
        f"a batch of {request.batch_size} {words}", field="batch_size", allowed={"minimum": 1, "maximum": most}
    )


def _unet(family: Family, checkpoint: str, service: Service) -> dict[str, object]:
    """The configuration of a checkpoint's network."""
    part, artifact = "unet/config.json", family.artifacts.get(checkpoint)
    try:
        if artifact:
            content = b"".join(service.artifacts.read(f"{artifact}/{part}"))
        else:
            content = (family.path / checkpoint / part).read_bytes()
        return dict(json.loads(content))
    except (OSError, NotFound, ValueError) as error:
        raise CheckpointError(f"{family.name}/{checkpoint}: no readable {part} ({error})", field="teacher") from error


def _data(request: DistillRequest, card: Card, known: Mapping[str, DatasetFacts]) -> str | None:
    """Name of the data to train on; None where the method is shown no images."""
    if not find_method(request.method).needs_images:
        if request.data is not None:
            raise InvalidRequest(f"{request.method} is shown no images; leave it out", field="data")
        return None
    if request.data is None:
        same = [name for name, facts in known.items() if card.data_fingerprint == facts.fingerprint is not None]
        return next((name for name in same if misfit_of(known[name], card) is None), SYNTHETIC)
    if request.data == SYNTHETIC:
        return SYNTHETIC
    fitting = [SYNTHETIC, *(name for name, facts in known.items() if misfit_of(facts, card) is None)]
    if request.data not in known:
        raise InvalidRequest(
            f"there is no data set {request.data!r}; there are {', '.join([SYNTHETIC, *known])}",
            field="data",
            allowed=fitting,
        )
    if misfit := misfit_of(known[request.data], card):
        raise InvalidRequest(f"{request.data}: {misfit}", field="data", allowed=fitting)
    return request.data


def _classifier(
    request: DistillRequest,
    family: str,
    card: Card,
    classifiers: Mapping[str, ClassifierCard],
    data: DatasetFacts | None,
    service: Service,
) -> ClassifierRef | None:
    """What is distilled through; ``data`` is None for synthetic ones, and for none."""
    method = find_method(request.method)
    if not settle(method, request.given, knows_all_rows=card.knows_all_rows).needs_classifier:
        return None
    name = request.classifier or f"{family}/classifier"
    fitting = [name for name, one in classifiers.items() if one.image_shape == card.image_shape]
    if name not in classifiers:
        listed = ", ".join(classifiers) or "none"
        asked = "" if request.classifier else f"{method.name} distils through a classifier; name one: "
        raise InvalidRequest(
            f"{asked}there is no classifier {name!r}; there are {listed}", field="classifier", allowed=fitting
        )
    chosen = classifiers[name]
    if chosen.image_shape != card.image_shape:
        raise InvalidRequest(
            f"{name} takes images of {dimensions(chosen.image_shape)}, the teacher makes "
            f"{dimensions(card.image_shape)}",
            field="classifier",
            allowed=fitting,
        )
    fingerprint = data.fingerprint if data else card.data_fingerprint
    names = data.class_names if data else card.class_names
    knows_data = chosen.data_fingerprint == fingerprint and set(names or ()) <= set(chosen.class_names or names or ())
    for option in method.of_known_data:
        if request.given.get(option) and not knows_data:
            raise InvalidRequest(
                f"with a {option} above 0 the classifier must know the classes of the data; {name} was trained on "
                f"other data ({chosen.data})",
                field=option,
                allowed={"maximum": 0},
            )
    return classifier_ref(name, chosen, service, knows_data=knows_data)


def _name(request: DistillRequest, service: Service) -> str | None:
    """The name that was asked for. That no other job has it is for the store to see, in one step with taking it."""
    name = request.name
    if name and (
        name in service.catalog.families() or any((root / name).exists() for root in service.settings.families)
    ):
        raise Conflict(f"there is a family {name!r} already", field="name")
    return name
