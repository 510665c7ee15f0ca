"""Where the randomness of a run comes from: its seed and the iteration, and nothing that travels."""

import numpy as np
import torch

from models.training.parallel import process_index


def iteration_generator(seed: int, iteration: int, device: torch.device) -> torch.Generator:
    """The randomness of one iteration, the same whenever and wherever it is run on one kind of device.

    Torch's own generators, from which dropout draws, are seeded with it too, differently in each process.
    """
    # torch's CPU generator drops all but 32 bits of a seed, so the pair is hashed into that many.
    mixed, dropout = np.random.SeedSequence([seed, iteration]).generate_state(2, np.uint32).tolist()
    torch.manual_seed(dropout + process_index())
    return torch.Generator(device).manual_seed(mixed)
