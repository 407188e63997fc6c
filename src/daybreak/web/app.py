"""Puts the dashboard and the API together over a desk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from daybreak.version import __version__
from daybreak.web import api, assets, health, login, openapi, problems, streams
from daybreak.web.api.overview import exposition
from daybreak.web.desk import Desk
from daybreak.web.guard import Guard
from daybreak.web.pages import router as pages

THREADS = 16
"""Handlers that work on the ledger at once; others wait their turn off the loop."""

ABOUT = """Everything that the command line can do with work, over HTTP. Send `Authorization: Bearer TOKEN`, with a
token from `daybreak token mint --api SCOPES --for 12h`. Errors are `application/problem+json`."""


def make(desk: Desk) -> FastAPI:
    """The ASGI application. The desk's hub begins and ends with it."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        desk.hub.start()
        try:
            yield
        finally:
            desk.hub.close()

    app = FastAPI(
        title="Daybreak",
        version=__version__,
        description=ABOUT,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=living,
        separate_input_output_schemas=False,
        redirect_slashes=False,
    )
    app.state.desk = desk
    problems.install(app)
    app.include_router(api.router, prefix="/api/v1")
    app.include_router(exposition)
    app.include_router(health.router)
    app.include_router(streams.router)
    app.include_router(login.router)
    app.include_router(pages)
    app.mount("/static", assets.Files(), name="static")
    app.add_middleware(Guard, desk=desk)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    return app
