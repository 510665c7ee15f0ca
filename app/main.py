"""The ASGI application: ``uvicorn app.main:app``, or ``python -m app``."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import health, metrics, problems
from app.access.admission import Admission
from app.body import BodyGuard
from app.catalog import classifiers, datasets
from app.catalog import routes as families
from app.console import routes as console
from app.ending import noticing_signals
from app.generate import routes as generate
from app.generate.examples import OF_ANY_ENDPOINT
from app.jobs import methods
from app.jobs import routes as distill_jobs
from app.observe import Observe
from app.openai import routes as openai
from app.openai.errors import InTheirShape
from app.paths import Rooted
from app.query import refuse_unknown_parameters
from app.service import run_service
from app.system import routes as system
from app.training import routes as training_jobs
from app.uploads import routes as uploads
from core.machine.garbage import spare_what_is_imported
from core.settings import get_settings

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What is taken over from a client's ``X-Request-ID``: enough for any scheme, and harmless in a log."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = get_settings()
    spare_what_is_imported()
    with noticing_signals(settings.drain_s):
        async with run_service(settings) as service:
            app.state.service = service
            yield


def create_app() -> FastAPI:
    """The application with all its routes; connections are made when it starts."""
    app = FastAPI(
        title="Fewstep",
        summary="Images from diffusion models in one to eight steps",
        version=version("fewstep"),
        lifespan=_lifespan,
        responses=OF_ANY_ENDPOINT,
        dependencies=[Depends(refuse_unknown_parameters)],
        redoc_url=None,
        swagger_ui_parameters={"persistAuthorization": True},
        redirect_slashes=False,  # to an address in full, which a proxy may call otherwise; `problems` does
    )
    models = (families, uploads, classifiers, datasets)
    jobs = (distill_jobs, training_jobs, methods)
    for module in (generate, openai, *models, *jobs, system, health, metrics, console):
        app.include_router(module.router)
    problems.install(app)
    # The last one added is the outermost.
    settings = get_settings()
    app.add_middleware(BodyGuard, settings=settings)
    app.add_middleware(Admission, settings=settings)
    app.add_middleware(Observe)
    app.add_middleware(InTheirShape)
    if settings.cors_origins:
        # Outside of what makes errors, so that pages can read those too. A key is sent by who has it and never
        # by a browser on its own, so a page may see any header of an answer and send any header and method that there
        # is.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    app.add_middleware(
        CorrelationIdMiddleware,
        validator=lambda value: REQUEST_ID.fullmatch(value) is not None,
        header_name="X-Request-ID",
    )
    app.add_middleware(Rooted, root_path=settings.root_path)
    return app


app = create_app()
