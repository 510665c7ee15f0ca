"""A client of Fewstep: images in few steps, and students of a teacher. Begin with `Client` or `AsyncClient`."""

from fewstep_client.asynchronous import AsyncClient, AsyncGeneration, AsyncJob
from fewstep_client.client import Client, Generation, Job
from fewstep_client.documents import Event, JobDocument, Model, Round, Upload
from fewstep_client.errors import (
    Cancelled,
    Conflict,
    DeadlinePassed,
    FewstepError,
    Forbidden,
    InvalidRequest,
    JobFailed,
    NotFound,
    ServiceLost,
    TooMany,
    Unauthorized,
    Unavailable,
)
from fewstep_client.images import Image, Images
from fewstep_client.options import GenerateOptions, Webhook

__all__ = [
    "AsyncClient",
    "AsyncGeneration",
    "AsyncJob",
    "Cancelled",
    "Client",
    "Conflict",
    "DeadlinePassed",
    "Event",
    "FewstepError",
    "Forbidden",
    "GenerateOptions",
    "Generation",
    "Image",
    "Images",
    "InvalidRequest",
    "Job",
    "JobDocument",
    "JobFailed",
    "Model",
    "NotFound",
    "Round",
    "ServiceLost",
    "TooMany",
    "Unauthorized",
    "Unavailable",
    "Upload",
    "Webhook",
]
