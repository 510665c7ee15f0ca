"""``/methods``: how a job can distil, as each method declares it."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.access.caller import Known
from core.jobs.request import DEFAULT_METHOD, RequestOfAnyMethod
from core.methods.declaration import Method, all_methods

router = APIRouter(tags=["distillation"])


class MethodResponse(BaseModel):
    """A method of distillation."""

    name: str
    summary: str
    takes_classifier: Annotated[bool, Field(description="Whether it distils through a classifier, or may")]
    needs_images: Annotated[bool, Field(description="Whether it takes a data set")]
    halves: Annotated[
        bool, Field(description="Whether each round halves the steps; if not, one round goes all the way")
    ]
    options: Annotated[
        dict[str, dict[str, Any]], Field(description="Fields that it alone takes: a JSON Schema of each")
    ]


class MethodsResponse(BaseModel):
    """All methods."""

    default: str
    methods: list[MethodResponse]
    fields: Annotated[dict[str, dict[str, Any]], Field(description="Fields that every method takes: JSON Schemas")]


@router.get("/methods", summary="All methods of distillation")
def list_methods(_: Known) -> MethodsResponse:
    """What `POST /distill-jobs` takes, by method, in an order and with words that a form can show."""
    fields = RequestOfAnyMethod.model_json_schema()["properties"]
    return MethodsResponse(
        default=DEFAULT_METHOD,
        methods=[_described(method) for method in all_methods().values()],
        fields={name: schema for name, schema in fields.items() if name not in ("method", "webhook")},
    )


def _described(method: Method) -> MethodResponse:
    return MethodResponse(
        name=method.name,
        summary=method.summary,
        takes_classifier=method.options.takes_classifier,
        needs_images=method.needs_images,
        halves=method.halves,
        options=method.options.model_json_schema().get("properties", {}),
    )
