"""What is logged of an error: short, without what variables held, soon done."""

import json
import logging
import subprocess
import sys
import time

import pytest
import structlog

from core.log import configure_logging, get_logger
from core.settings import Settings
from core.tracebacks import MOST_CHARACTERS, describe

PASSWORD = "s3cret-in-a-variable"


def fail(depth: int, words: str) -> None:
    held = {"url": f"redis://:{PASSWORD}@host", "body": 100 * ["x"]}
    if depth:
        fail(depth - 1, words)
    raise ValueError(words) from KeyError(len(held))


def caught(depth: int = 3, words: str = "no such thing") -> Exception:
    try:
        fail(depth, words)
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("writer", ["ours", "another"])
def test_an_error_is_logged_with_its_place_and_without_variables(
    log_format: str, writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        configure_logging(Settings(log_format=log_format))
        logger = get_logger("test") if writer == "ours" else logging.getLogger("another")
        try:
            fail(3, "no such thing")
        except ValueError:
            logger.exception("unexpected error")
    finally:
        root.handlers = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert PASSWORD not in written
    assert written.count("\n") == 1 or log_format == "console"
    text = json.loads(written)["exception"] if log_format == "json" else written
    assert isinstance(text, str)
    for part in ("Traceback (most recent call last)", "in fail", "ValueError: no such thing", "KeyError: 2"):
        assert part in text


def test_however_large_an_error_is_a_few_kilobytes_are_logged_and_soon() -> None:
    error = caught(depth=500, words=100_000 * "word ")
    for _ in range(50):
        try:
            raise RuntimeError(10_000 * "x") from error
        except RuntimeError as following:
            error = following
    began = time.process_time()
    texts = [describe(error) for _ in range(20)]
    assert (time.process_time() - began) / 20 < 0.005
    assert len(texts[0]) <= MOST_CHARACTERS
    assert "calls before" in describe(caught(depth=100))
    assert "ValueError: ab" in describe(ExceptionGroup("several", [ValueError("ab")]))


@pytest.mark.parametrize("url", ["redis://:s3cr/et@host", "redis://:s3cret@host:port", "http://:s3cret@host"])
@pytest.mark.parametrize("module", ["app", "worker"])
def test_an_address_that_is_none_is_refused_in_one_line_without_it(module: str, url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module, *(["sampling"] if module == "worker" else [])],
        env={"FEWSTEP_REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("FEWSTEP_REDIS_URL: ")
    assert ended.stderr.count("\n") == 1
    assert "s3cr" not in ended.stderr + ended.stdout


def test_settings_do_not_show_addresses() -> None:
    settings = Settings(redis_url=f"redis://:{PASSWORD}@host", otlp_endpoint=f"http://u:{PASSWORD}@host")
    assert PASSWORD not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.redis_url.get_secret_value() == f"redis://:{PASSWORD}@host"
