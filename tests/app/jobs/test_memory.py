from app.jobs import memory


def test_the_network_that_was_measured() -> None:
    unet = {"block_out_channels": [128, 256, 256, 256], "layers_per_block": 2}
    size = memory.weight_bytes(35_700_000) + 16 * memory.image_bytes(unet, (3, 32, 32))
    assert 2.2e9 < size < 2.4e9
    assert memory.in_words(size) == "2.2 GiB"


def test_larger_images_take_more() -> None:
    unet = {"block_out_channels": [128, 256], "layers_per_block": 2}
    assert memory.image_bytes(unet, (3, 64, 64)) == 4 * memory.image_bytes(unet, (3, 32, 32))
