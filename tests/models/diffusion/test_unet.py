import torch

from models.diffusion.unet import UNetConfig, build_unet


def test_the_narrowest_network_heeds_time_and_class() -> None:
    """With 32 groups for 32 channels it would not: normalisation takes away what was added to a whole channel."""
    config = UNetConfig(
        image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1, num_classes=2
    )
    torch.manual_seed(0)
    network = build_unet(config).eval()
    z_t = torch.randn(1, 1, 8, 8).expand(2, -1, -1, -1)
    same = torch.tensor([5, 5])
    with torch.no_grad():
        early, late = network(z_t, torch.tensor([5, 900]), class_labels=torch.tensor([0, 0])).sample
        zero, one = network(z_t, same, class_labels=torch.tensor([0, 1])).sample
    assert (early - late).abs().max() > 1e-2
    assert (zero - one).abs().max() > 1e-2
