"""Settings as they are read from the environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import Settings, complaint


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", []),
        ("*", ["*"]),
        ("https://app.example", ["https://app.example"]),
        (
            " https://app.example, http://127.0.0.1:3000 ,http://[::1]:3000,",
            ["https://app.example", "http://127.0.0.1:3000", "http://[::1]:3000"],
        ),
        ('["https://app.example", "capacitor://localhost"]', ["https://app.example", "capacitor://localhost"]),
    ],
)
def test_origins_are_separated_by_commas_or_a_json_list(
    monkeypatch: pytest.MonkeyPatch, given: str, origins: list[str]
) -> None:
    monkeypatch.setenv("FEWSTEP_CORS_ORIGINS", given)
    assert Settings().cors_origins == origins


def test_a_precision_that_there_is_not_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_PRECISION", "fp16")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert complaint(caught.value) == "FEWSTEP_PRECISION: Input should be 'auto', 'fp32' or 'bf16'"


@pytest.mark.parametrize(
    "given",
    [
        "app.example",
        "https://",
        "https://app.example/",
        "https://app.example/page",
        "https://app.example?x",
        "https://user@app.example",
        "https://App.example",
        "https://*.example",
        "https://app.example:443",
        "http://app.example:80",
        "https://app.example:port",
        "https://a.example https://b.example",
        "null",
        "https://app.example,nonsense",
        '["https://app.example"',
        "[7]",
    ],
)
def test_what_no_browser_would_send_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("FEWSTEP_CORS_ORIGINS", given)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert complaint(caught.value).startswith("FEWSTEP_CORS_ORIGINS")


def test_home_is_expanded_in_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FEWSTEP_VAR", "~/var")
    monkeypatch.setenv("FEWSTEP_CHECKPOINTS", "~no-one-of-that-name/families")
    settings = Settings(artifacts="s3://bucket/~/prefix")
    assert settings.datasets == tmp_path / "var" / "datasets"
    assert str(settings.checkpoints) == "~no-one-of-that-name/families"
    assert settings.artifacts == "s3://bucket/~/prefix"


@pytest.mark.parametrize("given", ["10.0.0.7", "10.0.0.0/8, 10.1.2.3/16,::1", "*", '["192.0.2.1"]'])
def test_proxies_are_addresses_or_networks(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("FEWSTEP_TRUSTED_PROXIES", given)
    assert len(Settings().trusted_proxies) == given.count(",") + 1


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("ROOT_PATH", "fewstep"),
        ("ROOT_PATH", "//fewstep"),
        ("ROOT_PATH", "/a b"),
        ("ROOT_PATH", "https://a.example/b"),
        ("HEADER_TIMEOUT_S", "0"),
        ("BODY_TIMEOUT_S", "-1"),
        ("MAX_HEADER_BYTES", "10"),
    ],
)
def test_what_is_wrong_for_a_proxy_is_named(monkeypatch: pytest.MonkeyPatch, name: str, given: str) -> None:
    monkeypatch.setenv(f"FEWSTEP_{name}", given)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert complaint(caught.value).startswith(f"FEWSTEP_{name}: ")
