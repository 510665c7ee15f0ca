"""Networks as whoever has diffusers alone makes them."""

from diffusers.models.unets.unet_2d import UNet2DModel

from models.diffusion.unet import UNetConfig, config_of


def diffusers_unet(config: UNetConfig) -> UNet2DModel:
    """diffusers' network of the size of ours, with fresh weights."""
    return UNet2DModel(**config_of(config))
