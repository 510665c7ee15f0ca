"""Figures of how near samples are to real images, from their features and logits; all in float64.

The formulae are few lines, and torchmetrics, against which the tests hold them, has no precision and recall, shuffles
the splits of its Inception score by the global generator and keeps no statistics of the real images for another time.
"""

from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 3
SURE = 0.9
SPLITS = 10
_ROWS = 1000  # of a matrix of distances, at once


class Moments(NamedTuple):
    """A Gaussian fitted to features: mean (D,) and covariance (D, D), float64."""

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """Of (N, D) features, N at least 2; the covariance is the unbiased one."""
    wide = features.double()
    return Moments(wide.mean(0), wide.T.cov())


def frechet_distance(a: Moments, b: Moments) -> float:
    """``|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2)`` (Heusel et al. 2017); with Inception's features, the FID.

    ``S_a S_b`` has the eigenvalues of the symmetric ``R S_b R`` with ``R = S_a^1/2``, for which eigenvalues are stable
    where a covariance is singular.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = torch.linalg.eigvalsh(root @ b.covariance @ root)
    trace = a.covariance.trace() + b.covariance.trace() - 2 * product.clamp(min=0).sqrt().sum()
    return float((a.mean - b.mean).square().sum() + trace)


def inception_score(logits: Tensor, *, splits: int = SPLITS) -> tuple[float, float]:
    """``exp(mean KL(p(y|x) || p(y)))`` of (N, classes) logits (Salimans et al. 2016): mean and deviation over splits.

    Args:
        logits: Of any classifier; with Inception's, the Inception score proper.
        splits: Consecutive parts to take the score of; never more than there are samples.
    """
    scores = []
    for part in logits.double().tensor_split(min(splits, len(logits))):
        log_p = part.log_softmax(1)
        log_mean = log_p.logsumexp(0) - torch.tensor(float(len(part))).log()
        scores.append((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())
    stacked = torch.stack(scores)
    return float(stacked.mean()), float(stacked.std(correction=0))


def radii(features: Tensor, *, neighbours: int = NEIGHBOURS) -> Tensor:
    """(N,) distance of each of (N, D) features to its ``neighbours``-th nearest other; N is more than that."""
    wide = features.double()
    # The nearest of all is the feature itself.
    return torch.cat([torch.cdist(rows, wide).kthvalue(neighbours + 1).values for rows in wide.split(_ROWS)])


def share_within(features: Tensor, *, centres: Tensor, radii: Tensor) -> float:
    """Share of (N, D) features that lie in a ball about any of (M, D) centres, of their (M,) radii.

    Kynkäänniemi et al. 2019, eq. 2: of samples in balls about real images it is precision, of real images in balls
    about samples it is recall.
    """
    wide = centres.double()
    within = [(torch.cdist(rows, wide) <= radii).any(1) for rows in features.double().split(_ROWS)]
    return float(torch.cat(within).double().mean())


def sureness(logits: Tensor) -> tuple[float, float]:
    """Share of (N, classes) logits that give a class at least ``SURE``, and the share of the class met least often."""
    confidence, classes = logits.double().softmax(1).max(1)
    counts = classes.bincount(minlength=logits.shape[1])
    return float((confidence >= SURE).double().mean()), int(counts.min()) / len(logits)


def rightness(logits: Tensor, classes: Tensor) -> tuple[float, float]:
    """Share of (N, classes) logits whose largest is that of their class (N,), and the share in the class worst off."""
    right = (logits.argmax(1) == classes).double()
    return float(right.mean()), min(float(right[classes == each].mean()) for each in classes.unique())
