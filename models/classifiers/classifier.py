"""Image classifiers that give logits and features: what CFD distils through, and what judges samples."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.catalog.classifier_card import Architecture


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Size of a network.

    Attributes:
        blocks: Blocks of each stage; each stage after the first halves the picture.
        width: Channels of a ResNet's first stage, doubled at each further one; growth of a DenseNet's layers.
        dense: Whether each layer sees all layers before it (DenseNet), not the sum of them (ResNet).
        pooled: Whether the picture is halved by taking the largest of each four values: in a ResNet after a convolution
            before the blocks of a stage, in place of a stride; in a DenseNet once more, before its first stage.
    """

    blocks: tuple[int, ...]
    width: int
    dense: bool = False
    pooled: bool = False


SHAPES: dict[Architecture, Shape] = {
    "resnet-9": Shape(blocks=(0, 1, 0, 1), width=32, pooled=True),
    "resnet-small": Shape(blocks=(1, 1, 1), width=32),
    "resnet-18": Shape(blocks=(2, 2, 2, 2), width=64),
    "densenet-26": Shape(blocks=(3, 4, 4), width=32, dense=True, pooled=True),
    "densenet-small": Shape(blocks=(4, 4, 4), width=16, dense=True),
    "densenet-201": Shape(blocks=(6, 12, 48, 32), width=32, dense=True),
}
"""``resnet-18`` and ``densenet-201`` are the paper's for CIFAR: a 3x3 stem, and no pooling before the first stage.

``resnet-9`` (Page 2018, "How to Train Your ResNet", at half of its width) and ``densenet-26``, which are named by their
layers as those are, have no blocks at full size, so that a CPU can train them on pictures of 32x32.
"""


class Classifier(nn.Module):
    """A backbone between its own input normalisation and a linear head."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: Architecture,
        *,
        channels: int,
        num_classes: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """A network with fresh weights.

        Args:
            architecture: One of ``SHAPES``.
            channels: Of the images: 1 for grey, 3 for RGB. They may have any size.
            num_classes: Logits.
            mean: Of each channel of the images it is trained on, which are in [-1, 1].
            std: Likewise.
        """
        super().__init__()
        shape = SHAPES[architecture]
        self.backbone, width = (_densenet if shape.dense else _resnet)(shape, channels)
        self.head = nn.Linear(width, num_classes)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    @property
    def num_features(self) -> int:
        """Width of the features."""
        return self.head.in_features

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, num_classes) and pooled features before the head (B, num_features) of (B, C, H, W) in [-1, 1].

        All float32.
        """
        _, features = self.maps(images)
        # Pooling and head stay in float32 even where the backbone runs in a lower precision.
        with torch.autocast(images.device.type, enabled=False):
            return self.head(features), features

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Last maps, after their relu, (B, num_features, h, w), and their means (B, num_features); both float32."""
        maps: Tensor = self.backbone((images - self.mean) / self.std)
        with torch.autocast(images.device.type, enabled=False):
            maps = maps.float()
            return maps, maps.mean((2, 3))


def fold_norms(network: nn.Module) -> None:
    """Make batch norms part of the convolutions before them, in a network that learns nothing any more."""
    for layers in network.modules():
        if isinstance(layers, nn.Sequential):
            for index in range(len(layers) - 1):
                conv, norm = layers[index], layers[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    layers[index], layers[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()


def _norm_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


class _Residual(nn.Module):
    """The basic block of He et al. 2016."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(inputs, outputs, stride=stride),
            *_norm_relu(outputs),
            _conv(outputs, outputs),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.layers(x) + self.shortcut(x)
        return summed.relu()


class _Dense(nn.Module):
    """The bottleneck layer of Huang et al. 2017."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_norm_relu(inputs), _conv(inputs, 4 * growth, 1), *_norm_relu(4 * growth), _conv(4 * growth, growth)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.layers(x), x], dim=1)


def _resnet(shape: Shape, image_channels: int) -> tuple[nn.Sequential, int]:
    width = shape.width
    layers: list[nn.Module] = [_conv(image_channels, width), *_norm_relu(width)]
    inputs = width
    for stage, blocks in enumerate(shape.blocks):
        outputs = width * 2**stage
        if stage and shape.pooled:
            layers += [_conv(inputs, outputs), nn.MaxPool2d(2), *_norm_relu(outputs)]
            inputs = outputs
        for block in range(blocks):
            layers.append(_Residual(inputs, outputs, stride=2 if stage and not block and not shape.pooled else 1))
            inputs = outputs
    return nn.Sequential(*layers), inputs


def _densenet(shape: Shape, image_channels: int) -> tuple[nn.Sequential, int]:
    growth = shape.width
    channels = 2 * growth
    layers: list[nn.Module] = [_conv(image_channels, channels)]
    if shape.pooled:
        layers.append(nn.MaxPool2d(2))
    for stage, blocks in enumerate(shape.blocks):
        if stage:  # halve channels and picture
            layers += [*_norm_relu(channels), _conv(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
        for _ in range(blocks):
            layers.append(_Dense(channels, growth))
            channels += growth
    return nn.Sequential(*layers, *_norm_relu(channels)), channels
