"""Inception-v3 as the FID knows it: torch-fidelity's network, with a weights file that the user has."""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from core.errors import InvalidRequest
from models.checkpoints.files import sha256
from models.evaluation.extractors import Extractor


def inception_extractor(weights: Path, *, device: torch.device) -> Extractor:
    """The extractor that published FIDs, Inception scores, precisions and recalls are taken with.

    Args:
        weights: ``weights-inception-2015-12-05-6726825d.pth`` as torch-fidelity publishes it, and pytorch-fid under
            the name ``pt_inception-2015-12-05-6726825d.pth``.
        device: Where it shall run.

    Raises:
        InvalidRequest: torch-fidelity is not installed, or the file holds something else.
    """
    # torchvision, which torch-fidelity imports, raises RuntimeError where it was built for another torch.
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:
        raise InvalidRequest(
            f"Inception needs torch-fidelity: pip install 'fewstep[inception]' ({error})", field="inception"
        ) from error
    try:
        torch.load(weights, weights_only=True)  # torch-fidelity itself would let a pickle run what it likes
        network = FeatureExtractorInceptionV3(
            "inception-v3", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
        ).to(device)
    except (OSError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        is_pickle = isinstance(error, pickle.UnpicklingError)  # torch's message says how to run it regardless
        reason = "it holds other things than tensors" if is_pickle else str(error).splitlines()[0]
        raise InvalidRequest(
            f"{weights}: not the weights of the FID's Inception ({reason})", field="inception"
        ) from error

    def classify(images: Tensor) -> tuple[Tensor, Tensor]:
        levels = ((images + 1) * 127.5).round().to(torch.uint8)
        features, logits = network(levels.expand(-1, 3, -1, -1))
        return logits, features

    return Extractor(name="inception-v3", sha256=sha256(weights), classify=classify, device=device, knows_classes=False)
