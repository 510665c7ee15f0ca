"""What the processor may be asked for, however little of it torch is allowed to use."""

import os
import subprocess
import sys

import pytest
import torch

from models.diffusion.unet import UNetConfig, build_unet
from models.sampling import readiness
from models.sampling.host import multiplies_bf16, onednn_takes_bf16

ASK = "from models.sampling.host import *; print(onednn_takes_bf16(), multiplies_bf16())"
LARGE = UNetConfig(image_shape=(3, 8, 8), channels=128, multipliers=(1, 2), attention_levels=(), blocks=1)
HAS = torch.cpu.get_capabilities()
ONEDNN = torch.backends.mkldnn.is_available()
X86 = HAS["architecture"] == "x86_64"


@pytest.mark.skipif(not X86, reason="the cap is one on kinds of x86")
@pytest.mark.parametrize(("most", "takes"), [("AVX2", False), ("AVX512_CORE", HAS.get("avx512_bw", False) and ONEDNN)])
def test_a_capped_processor_counts_as_what_it_is(most: str, takes: bool) -> None:
    """It takes bf16 by way of float32 or not at all, whatever its name promises."""
    found = subprocess.run(
        [sys.executable, "-c", ASK],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": most},
        capture_output=True,
        check=True,
        text=True,
    )
    assert found.stdout.split() == [str(takes), "False"]


def test_instructions_for_bf16_are_found_where_the_processor_has_them_and_nothing_forbids_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if X86 and "ONEDNN_MAX_CPU_ISA" not in os.environ and ONEDNN:
        assert multiplies_bf16() == any(HAS.get(name) for name in ("avx512_bf16", "amx_bf16"))
    assert onednn_takes_bf16() or not multiplies_bf16()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not multiplies_bf16(), "of no use without oneDNN"


def test_a_large_network_is_tried_in_bf16_where_that_is_multiplied() -> None:
    network = build_unet(LARGE)
    assert readiness._tries_bf16(network.config, network.state_dict()) == multiplies_bf16()
