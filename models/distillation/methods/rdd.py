"""Relational diffusion distillation (Feng et al. 2024): CFD's features, and how pixels of the maps relate beside them.

The rounds and targets are PD's. With ``t`` and ``s`` the classifier's last maps of ``x_target`` and of the student's
``x_hat``, after their relu, each pixel's vector of length 1,

    ``L = KL of the pooled features (CFD) + relation_weight R + memory_weight Q``

``R`` compares how each pixel of an image is like all pixels of an image, over all pairs of images of the batch. ``Q``
compares how it is like remembered pixels of earlier targets; a head that is trained along looks up the student's.

Where the authors' published code differs from the paper, this is the paper's: what is remembered are pixels (a missing
permutation makes theirs a mixture of channels and images); every remembered pixel is read (theirs reads a fifth); old
ones are replaced in turn (theirs overwrites new ones at the end); pairs and memory are those of the whole batch (theirs
depend on the number of processes). Ours beside it: queue and head are saved, so that a run that was cut off ends in the
same bits.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from core.errors import InvalidRequest
from core.methods.rdd import RDDOptions
from models.diffusion.prediction import Denoiser
from models.distillation.halving import halving_step
from models.distillation.memory import UPDATE, Memory
from models.distillation.method import Begin, Built, Learning, Setup
from models.distillation.methods.cfd import CFDConfig, feature_kl, settled
from models.distillation.rounds import Round
from models.distillation.target import TargetBatch
from models.distillation.through import load_teaching_classifier
from models.training.batches import Batch
from models.training.parallel import Draws, gather_rows, own_rows

SHARPNESS = 0.1
"""Temperature of the memory term, for teacher and student, as published."""

Map = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps images (B, C, H, W) in [-1, 1] to ``(maps, features)``, float32 (B, width, h, w) and (B, width)."""


def pixels_of(maps: Tensor) -> Tensor:
    """(B, C, h, w) to (B, h w, C), each pixel's vector of length 1."""
    return normalize(maps.flatten(2).transpose(1, 2), dim=2)


def relation(target: Tensor, student: Tensor, *, all_targets: Tensor, all_students: Tensor) -> Tensor:
    """``1 / (B D P) sum_b,d,i KL(softmax_j <t_bi, t_dj> || softmax_j <s_bi, s_dj>)``.

    Args:
        target: (B, P, C) pixels of length 1 of this process's targets.
        student: Likewise of the student's images.
        all_targets: (D, P, C) of all processes.
        all_students: Likewise.
    """
    log_p = torch.einsum("bic,djc->bdij", target, all_targets).log_softmax(dim=3)
    log_q = torch.einsum("bic,djc->bdij", student, all_students).log_softmax(dim=3)
    return (log_p.exp() * (log_p - log_q)).sum(dim=3).mean()


def recall(target: Tensor, projected: Tensor, keys: Tensor) -> Tensor:
    """``1 / (B P) sum_b,i KL(softmax_m <t_bi, k_m> / 0.1 || softmax_m <h_bi, k_m> / 0.1)``.

    Args:
        target: (B, P, C) pixels of length 1 of the targets.
        projected: Likewise of the student's maps behind the head.
        keys: (M, C) remembered pixels of length 1.
    """
    log_p = (target @ keys.T / SHARPNESS).log_softmax(dim=2)
    log_q = (projected @ keys.T / SHARPNESS).log_softmax(dim=2)
    return (log_p.exp() * (log_p - log_q)).sum(dim=2).mean()


def rdd_loss(
    x_hat: Tensor, batch: TargetBatch, draws: Draws, *, classify: Map, options: RDDOptions, memory: Memory | None
) -> Tensor:
    """The loss of a student's ``x_hat`` (B, C, H, W) against the target; a scalar, the mean over images.

    Temperature is that of the options, which must have one; without ``memory`` there is no ``Q``.
    """
    assert options.temperature is not None
    with torch.no_grad():
        target_maps, target_features = classify(batch.x_target)
    maps, features = classify(x_hat)
    loss = feature_kl(target_features, features, temperature=options.temperature)
    all_maps, targets, all_targets = gather_rows(maps), pixels_of(target_maps), pixels_of(gather_rows(target_maps))
    if options.relation_weight:
        own = pixels_of(maps)
        related = relation(targets, own, all_targets=all_targets, all_students=pixels_of(all_maps))
        loss = loss + options.relation_weight * related
    if memory is not None:
        keys = memory.renew(draws.pick(all_targets.flatten(0, 1), UPDATE))
        # By the statistics of the whole batch, whoever shares it.
        projected = own_rows(pixels_of(memory.head(all_maps)))
        loss = loss + options.memory_weight * recall(targets, projected, keys)
    return loss


def relating(classify: Map, *, options: RDDOptions, width: int) -> Begin:
    """Rounds that halve, each with a memory of its own."""

    def begin(teacher: Denoiser, this: Round, *, seed: int) -> Learning:
        memory = None
        if options.memory_weight:
            memory = Memory(width, seed=seed)
            memory.to(teacher.schedule.alpha.device)
        step = halving_step(teacher, this.teacher_rows, this.solver(options.solver or "ddim"))
        compare = partial(rdd_loss, classify=classify, options=options, memory=memory)

        def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
            x_hat, target = step(network, batch, draws)
            return compare(x_hat, target, draws)

        return Learning(loss, memory)

    return begin


def build(setup: Setup) -> Built:
    """As of ``models.distillation.method.Build``. The temperature is by default CFD's for the kind of classifier."""
    assert isinstance(setup.options, RDDOptions)
    classifier = load_teaching_classifier(setup)
    if classifier.maps is None or classifier.width is None:
        raise InvalidRequest("rdd reads the maps of a classifier that train-classifier made", field="classifier")
    config: CFDConfig = settled(setup.options, classifier)
    options = setup.options.model_copy(update={"temperature": config.temperature})
    return Built(
        begin=relating(classifier.maps, options=options, width=classifier.width),
        facts={**options.model_dump(exclude_none=True), **classifier.facts},
    )
