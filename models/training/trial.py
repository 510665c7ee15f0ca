"""What a run would meet in its first iteration, met before it."""

import torch
from torch import Tensor, nn

from core.errors import InvalidRequest


@torch.no_grad()
def try_once(network: nn.Module, *inputs: Tensor | None, field: str = "data") -> None:
    """Call a network, in evaluation mode, on a batch of one picture; it is left as it was.

    Raises:
        InvalidRequest: It cannot take such a picture.
    """
    was_training = network.training
    try:
        network.eval()(*inputs)
    except (RuntimeError, ValueError) as error:
        images = inputs[0]
        assert images is not None
        reason = str(error).strip().splitlines()[0]
        raise InvalidRequest(
            f"the network cannot take pictures of {images.shape[-2]}x{images.shape[-1]}: {reason}", field=field
        ) from error
    finally:
        network.train(was_training)
