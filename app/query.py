"""What may stand in a query: what the endpoint reads there, so that nothing is passed over in silence."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant

from app.problems import fields_of_body
from core.errors import InvalidRequest


async def refuse_unknown_parameters(request: Request) -> None:
    """For every endpoint, as a dependency of the application.

    Raises:
        InvalidRequest: There is a parameter that the endpoint does not know; the error names each of them.
    """
    if not request.url.query:
        return
    known, body = list(_parameters(request.scope["route"].dependant)), fields_of_body(request)
    errors = [
        {"field": name, "detail": _explain(name, known, list(body)), "allowed": known}
        for name in request.query_params
        if name not in known
    ]
    if errors:
        summary = "; ".join(f"{error['field']}: {error['detail']}" for error in errors)
        raise InvalidRequest(summary, field=str(errors[0]["field"]), allowed=known, errors=errors)


def _parameters(dependant: Dependant) -> Iterator[str]:
    """Names of the query parameters of an endpoint and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _parameters(each)


def _explain(name: str, known: list[str], body: list[str]) -> str:
    if name in body:
        return f'it belongs to the body, as JSON: {{"{name}": …}}'
    if known:
        return f"there is no such parameter; there are {', '.join(known)}"
    return f"this endpoint takes nothing from the query{', but a body as JSON' if body else ''}"
