"""Image-classification models of the Hugging Face Hub, to distil through: the paper's ImageNet classifiers."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from core.errors import InvalidRequest


class HubClassifier(nn.Module):
    """A model of transformers behind its own preprocessing, with its linear head taken off.

    Unlike the authors' code, which feeds [-1, 1] images resized with ``align_corners``, it resizes and normalises as
    the model's own preprocessing does, but for the cropping: whole pictures are resized.

    Attributes:
        architecture: transformers' name of its kind, such as ``resnet`` or ``vit``.
        sha256: Of its weights: each tensor's name and float32 values.
        revision: Commit on the Hub; None for a local folder.
        num_classes: Logits.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, processor: Mapping[str, Any]) -> None:  # noqa: ANN401 (transformers is untyped here)
        """Take a model over.

        Args:
            model: Any of transformers' image-classification models; its head is removed from it.
            processor: Its ``preprocessor_config.json``.

        Raises:
            ValueError: Its input has no size, or its logits are not the output of one linear layer of a vector.
        """
        super().__init__()
        config = model.config
        self.architecture: str = config.model_type
        self.revision: str | None = getattr(config, "_commit_hash", None)
        self.sha256 = _hash(model)
        self.num_classes: int = config.num_labels
        self.channels: int = getattr(config, "num_channels", 3)
        self.size = _input_size(processor)
        self.reverse = bool(processor.get("do_flip_channel_order"))  # BGR
        self.scale: float = 255 * processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 255
        normalise = processor.get("do_normalize", True)
        for name, stored, neutral in (("mean", "image_mean", 0.0), ("std", "image_std", 1.0)):
            values = torch.tensor(processor[stored] if normalise else neutral).float()
            self.register_buffer(name, values.view(1, -1, 1, 1))
        self.model = model
        self.model.requires_grad_(False).eval()
        self.head = self._take_off_head()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and features before the head (B, width) of (B, C, H, W) in [-1, 1].

        C is 1 for grey, which is repeated for models of colour, or the model's own.
        """
        features = self._features(images).float()
        # The head stays in float32 even where the model runs in a lower precision.
        with torch.autocast(images.device.type, enabled=False):
            return self.head(features), features

    def _features(self, images: Tensor) -> Tensor:
        pixels = (images + 1) / 2 * self.scale
        # Antialiasing is what models are trained with where pictures shrink; where they grow it changes nothing.
        pixels = functional.interpolate(pixels, self.size, mode="bilinear", antialias=True)
        pixels = pixels.expand(-1, self.channels, -1, -1)
        if self.reverse:
            pixels = pixels.flip(1)
        features: Tensor = self.model(pixel_values=(pixels - self.mean) / self.std).logits
        return features

    @torch.no_grad()
    def _take_off_head(self) -> nn.Linear:
        """Put nothing in the place of the linear layer that gives the logits, so that the model gives its input."""
        outputs: dict[str, Tensor] = {}
        layers = {name: layer for name, layer in self.model.named_modules() if isinstance(layer, nn.Linear)}
        hooks = [
            layer.register_forward_hook(lambda _layer, _inputs, output, name=name: outputs.update({name: output}))
            for name, layer in layers.items()
        ]
        probe = torch.zeros(1, self.channels, *self.size)
        logits = self._features(probe)
        for hook in hooks:
            hook.remove()
        heads = [name for name, output in outputs.items() if output is logits]
        if len(heads) != 1:
            raise ValueError("its logits are not the output of one linear layer")
        self.model.set_submodule(heads[0], nn.Identity())
        if self._features(probe).ndim != 2:
            raise ValueError("what it classifies by is not one vector an image")
        return layers[heads[0]]


def load_hub_classifier(name: str) -> HubClassifier:
    """A frozen classifier in evaluation mode, on the CPU in float32.

    Args:
        name: On the Hub, such as ``microsoft/resnet-18``, or a folder as ``save_pretrained`` writes it, with its
            ``preprocessor_config.json``. Weights are read from safetensors, and no code of the model's is run.

    Raises:
        InvalidRequest: transformers is not installed, there is no such model, or it is not of a kind that serves.
    """
    try:
        from transformers import AutoModelForImageClassification, ImageProcessingMixin
    except ImportError as error:
        raise InvalidRequest(
            f"{name} is no folder that train-classifier wrote, and a model of the Hugging Face Hub needs transformers: "
            "pip install 'fewstep[hub]'",
            field="classifier",
        ) from error
    if Path(name).is_dir() and not Path(name, "config.json").is_file():
        raise InvalidRequest(
            f"{name} holds neither a classifier that train-classifier wrote nor a Hugging Face model",
            field="classifier",
        )
    try:
        processor, _ = ImageProcessingMixin.get_image_processor_dict(name)
        model, found = AutoModelForImageClassification.from_pretrained(
            name, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        if found["missing_keys"]:
            raise ValueError(f"it has no weights for {min(found['missing_keys'])}")
        return HubClassifier(model, processor).eval()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidRequest(f"{name} cannot be distilled through: {reason}", field="classifier") from error


def _input_size(processor: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that the model takes."""
    size = processor.get("crop_size") if processor.get("do_center_crop") else processor.get("size")
    match size:
        case int():
            return size, size
        case {"height": int(height), "width": int(width)}:
            return height, width
        case {"shortest_edge": int(edge)}:
            return edge, edge
        case _:
            raise ValueError(f"preprocessor_config.json says no size that can be read: {size}")


def _hash(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()
