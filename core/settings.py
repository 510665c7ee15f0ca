"""Every setting of the service, read from the environment with the prefix ``FEWSTEP_``."""

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.card import SHIPPED_CHECKPOINTS


class Settings(BaseSettings):
    """Defaults serve one machine; ``docs/settings.md`` says what to change beyond it."""

    model_config = SettingsConfigDict(env_prefix="FEWSTEP_", frozen=True)

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Broker and store; redis:// or rediss://")
    host: str = Field("127.0.0.1", description="Address that the API listens on")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on")
    sampler_metrics_port: int = Field(9101, ge=1, le=65535, description="Port of the sampling worker's /metrics")
    distiller_metrics_port: int = Field(9102, ge=1, le=65535, description="Port of the distillation worker's /metrics")
    var: Path = Field(Path("var"), description="Folder of what one machine's run keeps: Redis data, logs")
    checkpoints: Path = Field(SHIPPED_CHECKPOINTS, description="Folder of model families")
    default_model: str = Field("digits", description="Family that a request without a model gets")


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
