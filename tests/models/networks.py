"""Networks as whoever has diffusers alone makes them."""

from models.diffusion.unet import UNetConfig, config_of
from tests.models import diffusers


def diffusers_unet(config: UNetConfig) -> "diffusers.UNet2DModel":
    """diffusers' network of the size of ours, with fresh weights."""
    return diffusers.UNet2DModel(**config_of(config))
