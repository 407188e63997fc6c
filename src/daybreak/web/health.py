"""`/healthz`: is the server there and does it hear the ledger. Open to everybody who reaches it; says nothing else."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from daybreak.web.desk import Here

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok", "failing"]


@router.get("/healthz", operation_id="healthz", responses={503: {"model": Health}})
async def healthz(desk: Here, response: Response) -> Health:
    """Whether the server works. Needs no token."""
    if desk.hub.failed:
        response.status_code = 503
        return Health(status="failing")
    return Health(status="ok")
