"""What is in the images, and how large they are."""

from tests.containers.engine import Engine

MOST_BYTES = {"api": 0.6e9, "worker": 2.5e9}


def run(engine: Engine, image: str, code: str) -> str:
    """What Python in an image prints."""
    return engine.ask("run", "--rm", "--read-only", image, "python", "-c", code)


def test_images_are_as_small_as_said(engine: Engine, images: dict[str, str]) -> None:
    for target, image in images.items():
        size = int(engine.ask("image", "inspect", "--format", "{{.Size}}", image))
        assert size < MOST_BYTES[target], f"{target}: {size / 1e9:.2f} GB"


def test_the_api_has_no_torch_and_the_worker_has_its_build_for_processors(
    engine: Engine, images: dict[str, str]
) -> None:
    assert run(engine, images["api"], "import importlib.util; print(importlib.util.find_spec('torch'))") == "None"
    assert run(engine, images["worker"], "import torch; print(torch.version.cuda)") == "None"


def test_no_image_keeps_what_installed_it(engine: Engine, images: dict[str, str]) -> None:
    code = "import importlib.util, os; print(importlib.util.find_spec('uv'), os.listdir('/var/cache/uv'))"
    for image in images.values():
        assert run(engine, image, code) == "None []"
