"""Who may judge the students of a job: the judge that the teacher's card names, if it is here and impartial."""

from collections.abc import Iterator, Mapping

from app.catalog.classifiers import classifier_ref
from app.service import Service
from core.catalog.card import Card
from core.catalog.classifier_card import ClassifierCard
from core.catalog.datasets import DatasetFacts
from core.errors import InvalidRequest
from core.jobs.references import Judge
from core.jobs.request import DistillRequest


def pick_judge(
    request: DistillRequest,
    teacher: Card,
    service: Service,
    *,
    classifier: ClassifierCard | None,
    classifiers: Mapping[str, ClassifierCard],
    datasets: Mapping[str, DatasetFacts],
) -> Judge | None:
    """The judge, or None where students are not judged.

    Args:
        request: As it came.
        teacher: The card of what is distilled.
        service: Where classifiers are.
        classifier: What is distilled through, if anything.
        classifiers: All there are.
        datasets: All there are.

    Raises:
        InvalidRequest: The request needs a judge to promote by, and there is none.
    """
    needed = request.promote == "if_better"
    if request.evaluate is None:
        if needed:
            raise InvalidRequest(
                "if_better needs students that are judged; leave evaluate out, or give it samples",
                field="promote",
                allowed=["never", "always"],
            )
        return None
    candidates = list(_named(teacher, service, classifiers, datasets, samples=request.evaluate.samples))
    for judge in candidates:
        if not _is_partial(classifiers[judge.classifier.name], teacher, classifier):
            return judge
    if needed and candidates:
        raise InvalidRequest(
            f"{candidates[0].classifier.name}, which the teacher's card names as judge, cannot judge what is distilled "
            "through it or through a classifier of its architecture",
            field="classifier",
        )
    if needed:
        raise InvalidRequest(
            "the teacher's card names no judge that is here with its data (see metrics.evaluations in the card, "
            "GET /classifiers and GET /datasets), so no student can be shown to be better",
            field="promote",
            allowed=["never", "always"],
        )
    return None


def _named(
    teacher: Card,
    service: Service,
    classifiers: Mapping[str, ClassifierCard],
    datasets: Mapping[str, DatasetFacts],
    *,
    samples: int,
) -> Iterator[Judge]:
    """The judges that the card names and that are here with their data, latest first."""
    by_hash = {card.sha256: name for name, card in classifiers.items()}
    for evaluation in reversed(teacher.metrics.get("evaluations", [])):
        sha256, data, fingerprint = (evaluation.get(key) for key in ("extractor_sha256", "data", "data_fingerprint"))
        facts = datasets.get(data)
        if sha256 in by_hash and facts and not facts.error and facts.fingerprint == fingerprint:
            yield Judge(
                classifier=classifier_ref(by_hash[sha256], classifiers[by_hash[sha256]], service),
                data=data,
                data_fingerprint=fingerprint,
                samples=samples,
                data_ref=facts.ref,
            )


def _is_partial(judge: ClassifierCard, teacher: Card, classifier: ClassifierCard | None) -> bool:
    """Whether the students, or their teacher, are distilled through the judge or one built alike."""
    through = teacher.hyper_parameters.get("classifier_architecture")
    return judge.architecture in (through, classifier.architecture if classifier else None)
