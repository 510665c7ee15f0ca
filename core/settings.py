"""Every setting of the service, read from the environment with the prefix ``FEWSTEP_``."""

import json
import os
import re
import sys
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.catalog.card import SHIPPED_CHECKPOINTS
from core.machine.networks import networks, networks_or_any, origins_as_browsers_send_them

REDIS_URL = "redis:// or rediss://, [user:password@]host[:port][/database], special characters of a password as %XX"


class Settings(BaseSettings):
    """Every setting with its default, meaning and unit. The defaults serve one machine."""

    model_config = SettingsConfigDict(env_prefix="FEWSTEP_", frozen=True, hide_input_in_errors=True)

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Broker and store; redis:// or rediss://, a password of it with %XX for special characters",
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on")
    var: Path = Field(Path("var"), description="Folder of what one machine's run keeps: Redis data, logs")
    checkpoints: Path = Field(SHIPPED_CHECKPOINTS, description="Folder of model families")
    teachers: Path = Field(
        default_factory=lambda known: known["var"] / "teachers", description="Folder of families that you bring"
    )
    classifiers: Path = Field(
        default_factory=lambda known: known["var"] / "classifiers", description="Folder of classifiers that you bring"
    )
    datasets: Path = Field(
        default_factory=lambda known: known["var"] / "datasets",
        description="Folder of data sets that you bring: Parquet files, image folders, zips, CIFAR archives",
    )
    artifacts: str = Field(
        default_factory=lambda known: str(known["var"] / "artifacts"),
        description="Where jobs keep states, checkpoints and pictures: a folder or, for several machines, an s3:// URL",
    )
    cache: Path = Field(
        default_factory=lambda known: known["var"] / "cache",
        description="Folder of what workers can make again: decoded data, sampled teachers' images, statistics."
        " The command line, by itself, keeps it in ~/.cache/fewstep",
    )
    default_model: str = Field("cifar10", description="Family that a request without a model gets")
    device: str = Field("auto", description="Device that sampling workers use: auto, cpu, cuda, cuda:1, …")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="What networks sample in. auto: bf16 where the device is made for it and a trial of the checkpoint"
        " agrees with float32, else float32, so that machines may differ; the others are the same on each",
    )

    root_path: str = Field(
        "",
        pattern=r"^((/[A-Za-z0-9._~-]+)+/?)?$",
        description="Prefix under which a proxy shows the API, such as /fewstep; paths in answers begin with it",
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        ["127.0.0.1", "::1"],
        description="Addresses and networks, with commas between, whose X-Forwarded-For and X-Forwarded-Proto are"
        " believed; * for any",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [],
        description="Origins whose pages may call the API from a browser, with commas between or as a JSON list, such"
        " as https://app.example; * for any. Empty: pages of the API's own origin alone",
    )

    api_keys_file: Path | None = Field(
        None,
        description="File of the keys that requests must come with, made by `fewstep keys`. Empty: everyone who reaches"
        " the API may do everything",
    )
    allow_anonymous: bool = Field(
        False, description="Whether an API without keys may listen on an address that others reach"
    )
    open_metrics: bool = Field(
        True, description="Whether /metrics of the API is answered without a key; else it takes one of scope admin"
    )

    max_images: int = Field(256, ge=1, description="Most images in one request, asynchronous zip and npy apart")
    max_bulk_images: int = Field(10_000, ge=1, description="Most images in an asynchronous request for a zip or npy")
    max_checkpoint_steps: int = Field(
        1024, ge=1, description="Most steps of an asynchronous request that names a checkpoint, such as a teacher"
    )
    max_wait_s: float = Field(
        30, gt=0, description="Estimated wait of an interactive request from which on it is refused with 503"
    )
    max_body_bytes: int = Field(65536, ge=1, description="Largest request body")
    max_header_bytes: int = Field(
        32768, ge=1024, description="Largest request line and headers of a request together, else 431"
    )
    header_timeout_s: float = Field(
        15, gt=0, description="Seconds in which the headers of a request must be complete, else 408"
    )
    body_timeout_s: float = Field(30, gt=0, description="Seconds in which its body must be, else 408")
    deadline_s: float = Field(60, gt=0, description="Longest wait of a synchronous request, then 504")
    drain_s: float = Field(
        0,
        ge=0,
        description="Seconds after SIGTERM in which the API still accepts requests, while /readyz is 503 so that a load"
        " balancer sends no more; 0 where there is none",
    )
    result_ttl_s: float = Field(3600, gt=0, description="How long the result of an asynchronous request is kept")
    max_redis_result_bytes: int = Field(
        8 * 2**20,
        ge=0,
        description="Bytes of pixels up to which a bulk result is kept in Redis; a larger one in the artifact store",
    )
    pending_ttl_s: float = Field(
        7 * 86400, gt=0, description="How long an asynchronous request waits for a worker before it is forgotten"
    )

    sampler_threads: int = Field(
        48,
        ge=1,
        description="Requests that one sampling worker has in hand before it takes no more, if that is more than three"
        " full batches: one that is sampled, one that waits for that, one that is encoded and written",
    )
    bulk_threads: int = Field(2, ge=1, description="Bulk requests that one sampling worker works on at once")
    max_batch: int = Field(0, ge=0, description="Most images sampled together; 0 for as many as suit the device")
    torch_threads: int = Field(0, ge=0, description="CPU threads that sample; 0 for as many as there are cores")
    cache_bytes: int = Field(
        4 * 2**30, ge=0, description="Bytes of weights that a sampling worker keeps loaded; the longest unused go first"
    )
    prewarm: list[str] = Field(
        [], description='Families that a worker loads before it is ready, besides the default model: \'["a", "b"]\''
    )
    sampler_metrics_port: int = Field(9101, ge=0, le=65535, description="Metrics of a sampling worker; 0 for none")
    distiller_metrics_port: int = Field(9102, ge=0, le=65535, description="Metrics of a distillation worker; 0: none")
    webhooks_metrics_port: int = Field(9103, ge=0, le=65535, description="Metrics of a webhook worker; 0 for none")
    prometheus_port: int = Field(9090, ge=1, le=65535, description="Port of Prometheus beside `make run`")
    heartbeat_s: float = Field(
        5, gt=0, description="Seconds between a worker's signs of life; it counts as dead after three without one"
    )
    visibility_timeout_s: float = Field(
        3600,
        gt=0,
        description="Seconds from delivery after which the broker delivers an unacknowledged message again. Counts from"
        " delivery and is never renewed, so it must exceed the longest sampling; a dead worker's requests are found by"
        " its missing heartbeat long before",
    )

    max_active_jobs: int = Field(20, ge=1, description="Distillation jobs that may wait or run at once")
    max_job_iterations: int = Field(100_000, ge=1, description="Most iterations of one round of a job")
    max_job_memory_bytes: int = Field(16 * 2**30, ge=1, description="Largest estimated memory of a job")
    max_job_samples: int = Field(50_000, ge=4, description="Most samples that a round is judged by")
    slice_s: float = Field(60, gt=0, description="Seconds of training after which a job's turn ends")
    lease_s: float = Field(
        180,
        gt=0,
        description="Seconds without an iteration after which a job's worker counts as hung; must exceed the longest"
        " iteration, compilation included",
    )
    job_ttl_s: float = Field(
        7 * 86400, gt=0, description="How long a failed or cancelled job can be retried, and the events of a job read"
    )
    max_upload_bytes: int = Field(8 * 2**30, ge=1, description="Largest upload of data, a checkpoint or a classifier")
    max_unpacked_bytes: int = Field(32 * 2**30, ge=1, description="Most bytes that one may be, unpacked or decoded")
    max_uploads: int = Field(200, ge=1, description="Uploads that may be there at once")
    look_s: float = Field(3600, gt=0, description="Longest that a worker looks at an upload before it is refused")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="What messages to webhooks are signed with: whsec_ and 24 to 64 bytes in base64. Empty: none are"
        " sent",
    )
    webhook_networks: Annotated[list[str], NoDecode] = Field(
        [],
        description="Networks, with commas between, whose addresses messages may go to though the internet cannot reach"
        " them, as 10.1.0.0/16; of the others that are private, of this machine or special none is connected to",
    )
    webhook_timeout_s: float = Field(10, gt=0, description="Seconds in which a message must be answered")
    webhook_retry_s: float = Field(
        5, gt=0, description="Seconds until a message that was not accepted is sent again; six times as long each time"
    )
    webhook_attempts: int = Field(7, ge=1, description="Times that a message is sent before it is given up")
    idempotency_ttl_s: float = Field(86400, gt=0, description="How long an Idempotency-Key is remembered")

    grafana_url: str = Field(
        "",
        pattern=r"^(https?://[^\s]+)?$",
        description="Where people find Grafana, such as https://grafana.example; the console links it. Empty: nowhere",
    )
    otlp_endpoint: SecretStr = Field(
        SecretStr(""),
        description="Where traces go: the address of a receiver of OpenTelemetry's protocol over HTTP, such as"
        " http://collector:4318. Empty for no tracing; else needs the extra otel",
    )
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or JSON lines")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged")

    @field_validator("cache", mode="before")
    @classmethod
    def _know_no_empty_cache(cls, given: Path | str, known: ValidationInfo) -> Path | str:
        return given or known.data.get("var", Path("var")) / "cache"

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _know_no_empty_file(cls, given: Path | str | None) -> Path | str | None:
        return given or None

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: SecretStr) -> SecretStr:
        """Checked here, since what redis-py and Python say of such an address quotes a part of it."""
        try:
            parts = urlsplit(url.get_secret_value())
            sound = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise ValueError(f"must be {REDIS_URL}")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, secret: SecretStr) -> SecretStr:
        try:
            size = len(b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True))
        except ValueError:
            size = -1
        if secret.get_secret_value() and not 24 <= size <= 64:
            raise ValueError("must be whsec_ and 24 to 64 bytes in base64, as of `openssl rand -base64 32`")
        return secret

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, url: SecretStr) -> SecretStr:
        if not re.fullmatch(r"(https?://.+)?", url.get_secret_value()):
            raise ValueError("must be an address that begins with http:// or https://, or empty")
        return url

    @field_validator("var", "checkpoints", "teachers", "classifiers", "datasets", "artifacts", "cache", "api_keys_file")
    @classmethod
    def _expand(cls, given: Path | str | None) -> Path | str | None:
        return given and type(given)(os.path.expanduser(given))  # noqa: PTH111 (Path's raises where there is no such user)

    @field_validator("cors_origins", "trusted_proxies", "webhook_networks", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        if given.lstrip().startswith("["):
            return json.loads(given)
        return [part for part in map(str.strip, given.split(",")) if part]

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: list[str]) -> list[str]:
        return origins_as_browsers_send_them(origins)

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: list[str]) -> list[str]:
        return networks_or_any(proxies)

    @field_validator("webhook_networks")
    @classmethod
    def _check_networks(cls, given: list[str]) -> list[str]:
        return networks(given)

    @property
    def sends_webhooks(self) -> bool:
        """Whether there is something to sign messages with."""
        return bool(self.webhook_secret.get_secret_value())

    @property
    def families(self) -> tuple[Path, ...]:
        """Folders of model families; of two with one name the first has it."""
        return (self.checkpoints, self.teachers)


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def get_settings_or_exit() -> Settings:
    """The same, for the start of a process: where they are wrong it ends with 2 and one line that says why."""
    try:
        return get_settings()
    except ValidationError as error:
        print(complaint(error), file=sys.stderr)
        sys.exit(2)


def complaint(error: ValidationError) -> str:
    """One line that names the variable at fault and what is wrong with it."""
    first = error.errors()[0]
    return f"FEWSTEP_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}"
