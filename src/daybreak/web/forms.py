"""Forms of pages, read without anything beyond the standard library."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from daybreak.web.problems import BodyWrong

FIELDS_MAX = 200
FORM = "application/x-www-form-urlencoded"


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def fields(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form, each once (the last one counts); nothing where the body is no form.

    Raises BodyWrong for more than 200 fields or what is not UTF-8."""
    if not is_form(request):
        return {}
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise BodyWrong("the form cannot be read", hint=f"up to {FIELDS_MAX} fields, in UTF-8") from error
    return dict(pairs)
