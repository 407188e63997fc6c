"""The REST API, below `/api/v1`. Thin: each resource calls what the command line calls.

`seeing` says what of other people's words an asker may see; `runs`, `queue`, `schedules`, `overview`, `records`,
`stream`, `memory` and `meta` are the resources. `GET /api/v1/openapi.json` describes them all.
"""

from fastapi import APIRouter

from daybreak.web.api import memory, meta, overview, queue, records, runs, schedules, stream

router = APIRouter()
for part in (overview, runs, queue, schedules, records, stream, memory, meta):
    router.include_router(part.router)

__all__ = ["router"]
