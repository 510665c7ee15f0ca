"""How networks are run while they train: in which precision, in which memory layout, compiled or not."""

import inspect
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.errors import InvalidRequest

Precision = Literal["fp32", "bf16"]
AskedPrecision = Literal["auto", "fp32", "bf16"]
ISOLATED: dict[str, Any] = (
    {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}
)
"""What has torch count the compilations of each network by themselves, where it can. It runs what is beyond eight
eagerly, and a chain of rounds has more networks than that."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What a user asks for; what is left open follows from the device.

    Attributes:
        precision: Of the networks, by autocast; what is made of their outputs (images, targets, losses) and what is
            kept (weights, optimizer) is float32 always. ``auto`` is bf16 on GPUs that have it. On CPUs it is fp32: in
            that precision a run that was cut off ends bit-identical, and small networks gain nothing by bf16.
        compile: Whether torch compiles the networks; None is on CUDA only, since elsewhere that needs a C++ compiler.
    """

    precision: AskedPrecision = "auto"
    compile: bool | None = None

    def precision_on(self, device: torch.device) -> Precision:
        """The precision on a device.

        Raises:
            InvalidRequest: bf16 is asked for and the device has none.
        """
        has_bf16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        if self.precision == "bf16" and not has_bf16:
            raise InvalidRequest("this GPU has no bf16; use auto or fp32", field="precision")
        if self.precision == "auto":
            return "bf16" if device.type == "cuda" and has_bf16 else "fp32"
        return self.precision

    def view(self, network: nn.Module) -> nn.Module:
        """``network`` as it is to be called, on the device that it is on.

        The view shares the weights. What is trained, averaged, copied and saved is ``network`` itself, so the names of
        its weights stay as they are.
        """
        device = next(network.parameters()).device
        bf16 = self.precision_on(device) == "bf16"
        compiled = device.type == "cuda" if self.compile is None else self.compile
        # Convolutions are faster in this layout, but on a CPU group normalisation is slower.
        if device.type == "cuda" or not any(isinstance(each, nn.GroupNorm) for each in network.modules()):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32 for what is left in float32; convolutions have it anyway
            if bf16:
                keep_ends_in_float32(network)
        return _Executed(network, device_type=device.type, bf16=bf16, compiled=compiled)


AUTO = Execution()
"""What suits the device."""


class _Float32Conv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def keep_ends_in_float32(network: nn.Module) -> None:
    """Let a denoiser's first and last convolution work in float32 under autocast; its weights and names stay.

    They are where images go in and come out, a few channels wide: in bf16 these would be rounded for next to no time.
    """
    for name in ("conv_in", "conv_out"):
        conv = getattr(network, name, None)
        if type(conv) is nn.Conv2d:
            conv.__class__ = _Float32Conv


class _Executed(nn.Module):
    def __init__(self, network: nn.Module, *, device_type: str, bf16: bool, compiled: bool) -> None:
        super().__init__()
        self.network = torch.compile(network, dynamic=False, **ISOLATED) if compiled else network
        self.device_type = device_type
        self.bf16 = bf16

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (the network's own)
        with torch.autocast(self.device_type, torch.bfloat16, enabled=self.bf16):
            return self.network(*args, **kwargs)
