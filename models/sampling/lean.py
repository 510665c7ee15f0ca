"""The U-Net as it runs for sampling: the same numbers up to rounding, without what training needs.

A diffusion U-Net spends a third of its time on a CPU beside its convolutions, and a small one half of it in Python.
Here what depends on row and class alone is computed once, and layers are those of ``models.sampling.layers``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.diffusion.network import Embedder, UNet
from models.diffusion.unet import text_of
from models.sampling.layers import PackedConv, Resnet, SelfAttention, Shifts, Upsample, norm_silu, num_bytes, packs


class LeanUNet(UNet):
    """A network in one precision, called with images and what ``shifts`` says of their row and classes.

    Attributes:
        architecture: What is computed with the weights, for every network of which it is the same.
        dtype: Of weights and activations.
    """

    resnet, attention, upsample = Resnet, SelfAttention, Upsample

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor], *, dtype: torch.dtype) -> None:
        """Make a network that ``is_lean`` (models/sampling/kinds.py).

        Args:
            config: All fields of diffusers' network.
            weights: Its weights, float32, on the device where it is to be; they are left as they are.
            dtype: As of the attribute.

        Raises:
            RuntimeError, TypeError, ValueError: There is no such network, or the weights are those of another.
        """
        with torch.device("meta"):  # weights come from outside
            super().__init__(config)
        self.architecture = text_of(config)
        self.dtype = dtype
        self.load_state_dict(weights, assign=True)
        self.requires_grad_(False)
        resnets = [module for module in self.modules() if isinstance(module, Resnet)]
        self._widths = [resnet.conv2.out_channels for resnet in resnets]
        embed = _Embedding(self, resnets)
        for index, resnet in enumerate(resnets):
            resnet.index = index
            del resnet.time_emb_proj
        for module in list(self.modules()):
            if isinstance(module, SelfAttention):
                module.join()
        del self.time_proj, self.time_embedding, self.class_embedding
        self.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self._embed = embed  # stays in float32
        if packs(self.conv_out.weight.device, dtype):
            for parent in list(self.modules()):
                for name, child in parent.named_children():
                    if isinstance(child, nn.Conv2d):
                        setattr(parent, name, PackedConv(child))

    def shifts(self, row: int, labels: Sequence[int] | None) -> Shifts:
        """What all blocks add at a row, for each image of a batch or, without labels, for all alike."""
        return self._split(torch.stack([self._embed(row, label) for label in labels or (None,)]))

    def shifts_at(self, rows: Tensor, labels: Tensor | None) -> Shifts:
        """The same where each image has a row of its own: (B,) int64 both, not the same bits in every batch."""
        return self._split(self._embed.vectors(rows, labels))

    def _split(self, vectors: Tensor) -> Shifts:
        return [part[:, :, None, None] for part in vectors.to(self.dtype).split(self._widths, dim=1)]

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights as they are laid out, in which oneDNN pads a few channels to many."""
        return sum(num_bytes(value) for value in (*self.parameters(), *self.buffers()))

    def weights(self) -> dict[str, Tensor]:
        """All tensors that ``forward`` computes with, by name, once a first call has laid them out."""
        named = (*self.named_parameters(), *self.named_buffers())
        return {name: value for name, value in named if not name.startswith("_embed.")}

    def forward(self, z_t: Tensor, shifts: Shifts) -> Tensor:  # type: ignore[override]  # for all images one row
        """The prediction, (B, C, H, W) float32, of images (B, C, H, W) float32."""
        hidden = self.between(self.conv_in(z_t.to(self.dtype, memory_format=torch.channels_last)), shifts)
        prediction: Tensor = self.conv_out(norm_silu(hidden, self.conv_norm_out))
        return prediction.float()


MOST_KNOWN = 1024
"""Rows and classes whose vectors are kept, some ten kilobytes each."""


class _Embedding(Embedder):
    """(sum of widths,) float32 that row and class add in all blocks; computed one at a time, so for any batch alike."""

    def __init__(self, network: LeanUNet, resnets: Sequence[Resnet]) -> None:
        super().__init__()
        self.config = network.config
        self.time_proj, self.time_embedding = network.time_proj, network.time_embedding
        self.class_embedding = network.class_embedding
        self.projections = nn.ModuleList(resnet.time_emb_proj for resnet in resnets)
        self._known: dict[tuple[int, int | None], Tensor] = {}

    def forward(self, row: int, label: int | None) -> Tensor:
        vector = self._known.get((row, label))
        if vector is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            device = next(self.parameters()).device
            labels = None if label is None else torch.tensor([label], device=device)
            vector = self._known[row, label] = self.vectors(torch.tensor([row], device=device), labels)[0]
        return vector

    def vectors(self, rows: Tensor, labels: Tensor | None) -> Tensor:
        """(B, sum of widths) of rows and classes (B,) int64."""
        activated = self.embed(rows, labels)
        return torch.cat([projection(activated) for projection in self.projections], dim=1)
