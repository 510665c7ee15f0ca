from pathlib import Path

import pytest
import torch

from models.sampling.engine import Sampler
from models.sampling.traced import trace


@pytest.mark.parametrize("family", ["tiny_family", "conditional_family"])
def test_a_traced_network_gives_the_same_bits_for_batches_and_shifts_it_was_not_traced_with(
    family: str, request: pytest.FixtureRequest
) -> None:
    checkpoint: Path = sorted(request.getfixturevalue(family).glob("*-step"))[0]
    sampler = Sampler(checkpoint, device="cpu")
    network, card = sampler._walker.network, sampler.card
    classes = card.num_classes
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        example = torch.randn((2, *card.image_shape), generator=generator)
        traced = trace(network, example, network.shifts(card.rows[-1], [0, 0] if classes else None))  # type: ignore[arg-type]
        for count in (1, 3, 16):
            z_t = torch.randn((count, *card.image_shape), generator=generator)
            labels = [index % classes for index in range(count)] if classes else None
            shifts = network.shifts(card.rows[1], labels)
            assert torch.equal(traced(z_t, shifts), network(z_t, shifts))
