"""Figures against closed forms, and against torchmetrics where it has them."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.evaluation.fidelity import (
    Moments,
    frechet_distance,
    inception_score,
    moments,
    radii,
    rightness,
    share_within,
    sureness,
)


def normal(count: int, width: int, *, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


class Features(nn.Module):
    """Lets torchmetrics take features for images."""

    num_features = 6

    def forward(self, features: Tensor) -> Tensor:
        return features


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    a = Moments(torch.tensor([1.0, 0.0]).double(), torch.diag(torch.tensor([4.0, 1.0])).double())
    b = Moments(torch.tensor([0.0, 2.0]).double(), torch.diag(torch.tensor([9.0, 0.0])).double())
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (2 - 3) ** 2 + 1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    real = normal(300, 6, seed=0) @ normal(6, 6, seed=1)
    fake = normal(200, 6, seed=2) @ normal(6, 6, seed=3) + 1
    theirs = FrechetInceptionDistance(feature=Features()).set_dtype(torch.float64)
    theirs.update(real.double(), real=True)
    theirs.update(fake.double(), real=False)
    assert frechet_distance(moments(fake), moments(real)) == pytest.approx(theirs.compute().item(), rel=1e-9)


def test_frechet_distance_with_more_features_than_samples() -> None:
    few = normal(10, 40, seed=0)
    assert frechet_distance(moments(few), moments(few)) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(moments(few + 1), moments(few)) == pytest.approx(40, rel=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore`:UserWarning")  # that it keeps all features
@pytest.mark.filterwarnings("ignore:std")  # of the one split
def test_inception_score_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.inception import InceptionScore

    logits = 3 * normal(200, 6, seed=0)
    theirs = InceptionScore(feature=Features(), splits=1)
    theirs.update(logits)
    assert inception_score(logits, splits=1)[0] == pytest.approx(theirs.compute()[0].item(), rel=1e-5)


def test_inception_score_of_sure_and_even_samples_is_the_number_of_classes() -> None:
    sure = 100 * torch.eye(10).repeat(10, 1)
    assert inception_score(sure) == pytest.approx((10, 0))
    assert inception_score(torch.zeros(100, 10)) == pytest.approx((1, 0))
    uneven = torch.cat([sure[:10], 100 * torch.eye(10)[:1].expand(10, 10)])
    assert inception_score(uneven, splits=2) == pytest.approx((5.5, 4.5))


def test_radii_reach_to_the_third_other() -> None:
    line = torch.tensor([0.0, 1.0, 3.0, 7.0, 15.0])[:, None]
    torch.testing.assert_close(radii(line), torch.tensor([7.0, 6.0, 4.0, 7.0, 14.0]).double())


def test_precision_counts_samples_near_real_images_and_recall_the_reverse() -> None:
    real = torch.tensor([0.0, 1.0, 2.0, 3.0, 100.0, 101.0, 102.0, 103.0])[:, None]
    samples = torch.tensor([0.5, 1.5, 2.5, 3.5, 1.0, 50.0])[:, None]
    precision = share_within(samples, centres=real, radii=radii(real))
    assert precision == pytest.approx(5 / 6), "all but the one between the two groups"
    recall = share_within(real, centres=samples[:5], radii=radii(samples[:5]))
    assert recall == pytest.approx(4 / 8), "the group that no sample is near to is missed"


def test_sureness() -> None:
    logits = torch.tensor([[0.95, 0.05], [0.6, 0.4], [0.91, 0.09], [0.3, 0.7]]).log()
    assert sureness(logits) == (0.5, 0.25)
    assert sureness(logits[:3])[1] == 0, "a class never met"
    assert not math.isnan(inception_score(logits)[0])


def test_rightness() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 1.0, 0.5], [3.0, 1.0, 2.0]])
    assert rightness(logits, torch.tensor([0, 2, 1, 1])) == (0.75, 0.5)
    assert rightness(logits, torch.tensor([0, 0, 0, 0])) == (0.5, 0.5), "a class of which there is no sample"
