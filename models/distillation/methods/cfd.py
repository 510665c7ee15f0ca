"""Classifier-based feature distillation (Sun et al. 2022): match the teacher's sharpened feature distribution."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial

import torch
from torch import Tensor

from core.methods.cfd import CFDOptions, FeatureOptions
from models.distillation.halving import by_halving
from models.distillation.method import Built, Setup
from models.distillation.target import TargetBatch
from models.distillation.through import Teaching, load_teaching_classifier
from models.training.parallel import gather_rows

Classify = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps images (B, C, H, W) in [-1, 1] to ``(logits, features)``, float32 (B, classes) and (B, width)."""


@dataclass(frozen=True, kw_only=True)
class CFDConfig:
    """Weights of the loss; the defaults are the paper's for DenseNets.

    Attributes:
        temperature: Divides the teacher's features; below 1 it sharpens them (tau).
        dataset_weight: Of the dataset-oriented term (the paper's beta); above 0 the classifier must know the data.
        entropy_share: Of confidence within that term, the rest being diversity (the paper's gamma).
    """

    temperature: float = 0.9
    dataset_weight: float = 0.0
    entropy_share: float = 0.75


RESNET_PRESET = CFDConfig(temperature=0.95, dataset_weight=0.003, entropy_share=0.75)
"""The paper's values for ResNet-18 trained on the target data."""


def feature_kl(teacher: Tensor, student: Tensor, *, temperature: float) -> Tensor:
    """``KL(softmax(teacher / temperature) || softmax(student))``, mean over the batch (eq. 7).

    Only the teacher is sharpened, and there is no factor ``temperature^2``.

    Args:
        teacher: (B, width) float32 features of the targets.
        student: (B, width) float32 features of the student's images.
        temperature: Above 0.
    """
    log_p = (teacher / temperature).log_softmax(dim=1)
    log_q = student.log_softmax(dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def entropy(logits: Tensor) -> Tensor:
    """Mean entropy in nats of the class distribution of each image; low when images are recognisable."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


def diversity(logits: Tensor) -> Tensor:
    """Negative entropy in nats of the batch's mean class distribution; low when classes are evenly met."""
    # The mean of probabilities in logarithms, which does not underflow where a class is never met. That of the number
    # is taken on the CPU, in float32: a tensor brought to a GPU waits for it.
    log_mean = logits.log_softmax(dim=1).logsumexp(dim=0) - float(torch.tensor(float(len(logits))).log())
    return (log_mean.exp() * log_mean).sum()


def cfd_loss(x_hat: Tensor, batch: TargetBatch, *, classify: Classify, config: CFDConfig) -> Tensor:
    """The CFD loss of a student's ``x_hat`` (B, C, H, W) against the target (eq. 9); a scalar.

    Diversity is that of the whole batch, so the outcome does not depend on how many processes share it.
    """
    with torch.no_grad():
        _, target_features = classify(batch.x_target)
    logits, features = classify(x_hat)
    loss = feature_kl(target_features, features, temperature=config.temperature)
    if config.dataset_weight == 0:
        return loss
    share = config.entropy_share
    return loss + config.dataset_weight * (share * entropy(logits) + (1 - share) * diversity(gather_rows(logits)))


def settled(options: FeatureOptions, classifier: Teaching) -> CFDConfig:
    """The weights that were asked for; what the options leave open is the paper's for the kind of classifier."""
    preset = CFDConfig() if classifier.dense else RESNET_PRESET
    if not classifier.knows_data:
        preset = replace(preset, dataset_weight=0.0)  # which is then for the user to ask for
    return replace(preset, **options.model_dump(include={each.name for each in fields(preset)}, exclude_none=True))


def build(setup: Setup) -> Built:
    """As of ``models.distillation.method.Build``."""
    assert isinstance(setup.options, CFDOptions)
    classifier = load_teaching_classifier(setup)
    config = settled(setup.options, classifier)
    loss = partial(cfd_loss, classify=classifier.network, config=config)
    return Built(
        begin=by_halving(loss, setup.options.solver or "ddim"),
        facts={**setup.options.of_teacher, **asdict(config), **classifier.facts},
        class_names=classifier.class_names if config.dataset_weight else None,
    )
