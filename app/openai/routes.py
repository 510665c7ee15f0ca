"""``/v1``: OpenAI's image API, for programs that speak it already."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from app.access.caller import Caller, Generates, Known
from app.generate.answers import answer
from app.generate.examples import OF_ANY_ENDPOINT, POST_RESPONSES, problem
from app.generate.resolve import Asked
from app.generate.submission import ClientLeft, submit_and_wait
from app.openai.documents import IMAGES_EXAMPLE, ImagesResponse, ModelObject, ModelsResponse, models_of, pictures
from app.openai.errors import PREFIX, in_their_shape
from app.openai.request import ImagesRequest, size_of, split_model, to_generate
from app.problems import CLIENT_CLOSED_REQUEST
from app.service import Service, ServiceDependency
from core.errors import FewstepError, NotFound
from core.generation.records import Status
from core.generation.request import GenerateRequest, MediaType

EXAMPLES = {
    "several": {
        "summary": "Four digits in one step",
        "value": {"model": "digits:1", "prompt": "", "n": 4, "seed": 7},
    }
}
_ERRORS = {status: one for status, one in POST_RESPONSES.items() if int(status) >= 400 and int(status) != 406}
_UNKNOWN = problem(NotFound("there is no model 'cats'; there is digits:1", field="model", allowed=["digits:1"]))

router = APIRouter(prefix=PREFIX, tags=["openai"], responses=in_their_shape(OF_ANY_ENDPOINT))


@router.post(
    "/images/generations",
    summary="Generate images, as OpenAI's clients ask",
    response_class=JSONResponse,
    response_model=ImagesResponse,
    responses={200: {"content": {"application/json": {"example": IMAGES_EXAMPLE}}}, **in_their_shape(_ERRORS)},
)
async def create_images(
    request: Request,
    service: ServiceDependency,
    caller: Generates,
    body: Annotated[ImagesRequest, Body(openapi_examples=EXAMPLES)],
) -> Response:
    """The pictures of `POST /generate` for the same family, steps and seed, byte for byte.

    `steps` and `seed` are not OpenAI's: its Python client sends them as `extra_body`.
    """
    plain, size = await run_in_threadpool(_plain, body, service, caller)
    try:
        record = await submit_and_wait(Asked(plain, MediaType.JSON, caller, asynchronous=False), request, service)
    except ClientLeft:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    if record.status is not Status.SUCCEEDED or record.result is None:
        return await answer(request, record, service)
    made = pictures(record.result, created=record.generation.created, image_format=plain.format, size=size)
    return JSONResponse(made.model_dump(), headers=record.headers)


def _plain(body: ImagesRequest, service: Service, caller: Caller) -> tuple[GenerateRequest, str]:
    """The request for ``/generate``, and the size of its images. Reads the disk."""
    asked = body.model or service.settings.default_model
    name, named = split_model(asked, service.catalog.seen_by(caller))
    family = service.catalog.find(name, caller)
    try:
        plain = to_generate(body, family, named)
    except FewstepError as error:
        if error.field == "steps" and named is not None and body.steps is None:
            error.field = "model"  # which has them
        raise
    return plain, size_of(family.cards[family.steps[plain.steps]])


@router.get("/models", summary="What images can be asked of, as OpenAI lists it")
def list_models(service: ServiceDependency, caller: Known) -> ModelsResponse:
    """Each family with each number of steps that it is served in."""
    families = service.catalog.seen_by(caller).values()
    return ModelsResponse(data=[model for family in families for model in models_of(family)])


@router.get("/models/{model}", summary="One of them", responses=in_their_shape(_UNKNOWN))
def get_model(
    service: ServiceDependency, caller: Known, model: Annotated[str, Path(description="Its id")]
) -> ModelObject:
    """The model, if pictures can be asked of it."""
    known = {one.id: one for one in list_models(service, caller).data}
    if model not in known:
        listed = ", ".join(known) or "none"
        raise NotFound(f"there is no model {model!r}; there are {listed}", field="model", allowed=list(known))
    return known[model]
