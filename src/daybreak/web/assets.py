"""Files that browsers are given: `/static/NAME?v=HASH`. With the right hash they may be kept for ever.

In a template: `{{ asset("style.css") }}`; in Python: `assets.url("style.css")`.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"


def url(name: str) -> str:
    """Where a file of `static/` is, with the hash of what it holds. One that is not there is named all the same."""
    digest = _digest(name)
    return f"/static/{name}?v={digest}" if digest else f"/static/{name}"


def _digest(name: str) -> str:
    path = FOLDER / name
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return ""
    return _digest_at(name, changed)


@functools.lru_cache(maxsize=512)
def _digest_at(name: str, _changed: int) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:16]


class Files(StaticFiles):
    """The files of `static/`."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER, check_dir=False)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        query = scope.get("query_string", b"").decode("latin-1")
        fresh = response.status_code in (200, 304) and query.startswith("v=") and query[2:] == _digest(path)
        response.headers["Cache-Control"] = FOREVER if fresh else "no-cache"
        return response
