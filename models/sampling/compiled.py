"""Networks compiled for a GPU: when that pays, whether it can be done here, and how torch is asked for it."""

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from models.training.execution import ISOLATED

WORTH_IMAGES = 10_000
"""Images from which on a compilation, which takes a minute or more, is worth it to whoever samples once."""

Backend = str | Callable[..., Any]


def pays(images: int) -> bool:
    """Whether to compile a network for so many images and no more."""
    return images >= WORTH_IMAGES


@cache
def obstacle() -> str:
    """What is missing here to compile for a GPU; empty if nothing is. Looked up once in a process."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    # Triton builds its launchers with it, and takes these in this order.
    compilers = [os.environ.get("CC", ""), "gcc", "clang", "cc"]
    if not any(name and shutil.which(name) for name in compilers):
        return "there is no C compiler (gcc or clang)"
    return ""


def compile_network(network: nn.Module, backend: Backend = "inductor") -> Callable[..., Any]:
    """``network`` as torch compiles it, anew for each shape that it is called with; the first call of each takes long.

    The compilations of one network count against no other's, and one more than torch allows is an error: else it would
    run eagerly without a word, by other kernels.
    """
    asked: dict[str, Any] = {"dynamic": False, "fullgraph": True, "backend": backend, **ISOLATED}
    if backend == "inductor" and hasattr(import_module("torch._inductor.config"), "batch_invariant"):
        asked["options"] = {"batch_invariant": True}
    compiled: Callable[..., Any] = torch.compile(network, **asked)
    return compiled
