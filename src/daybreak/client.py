"""A thin client of the REST API (`daybreak serve`).

    from daybreak import Client

    with Client("http://127.0.0.1:8420", token="dbt1.…") as daybreak:
        run = daybreak.hand_over(command="make all", checks=["test -s out.bin"])["run"]
        for event in daybreak.events(topics=[run]):
            …

Whatever has no method of its own: `get("/runs", state="failed")`, `post("/queue/pause", {"why": "…"})`; paths count
from `/api/v1`. Every POST carries an idempotency key, so that one that is repeated after a broken connection is done
once.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from daybreak.errors import HostError, UsageError

if TYPE_CHECKING:
    import httpx

TOKEN = "DAYBREAK_TOKEN"
"""The environment variable that the token is read from where none is given."""
TRIES = 3
RETRY_S = 0.5
"""Between two tries;"""
SILENT_S = 30.0
"""so long is waited for a server that is started anew."""


class ServerUnreachable(HostError):
    """No answer came from the server."""

    code = "H331"


class RequestRefused(UsageError):
    """The server has answered with a problem."""

    code = "U332"

    def __init__(self, message: str, *, hint: str, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.problem = dict(problem)
        """As RFC 9457 has it; `problem["code"]` is what `daybreak explain` takes."""


class Client:
    """One server, one token. For one thread at a time."""

    def __init__(
        self,
        address: str = "http://127.0.0.1:8420",
        token: str | None = None,
        *,
        timeout_s: float = 30,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`token`: from `daybreak token mint --api SCOPES`; else that of the environment. `transport`: for tests."""
        import httpx

        given = token if token is not None else os.environ.get(TOKEN, "")
        self._http = httpx.Client(
            base_url=f"{address.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {given}"},
            timeout=timeout_s,
            transport=transport,
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- anything

    def get(self, path: str, **query: Any) -> Any:
        """Raises RequestRefused, ServerUnreachable."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """`key`: an idempotency key of your own. Raises RequestRefused, ServerUnreachable."""
        return self._call("POST", path, body, headers=_headers(key))

    def patch(self, path: str, body: Any = None, *, key: str | None = None, etag: str | None = None) -> Any:
        """`etag`: refused where it is another one by now. Raises RequestRefused, ServerUnreachable."""
        return self._call("PATCH", path, body, headers=_headers(key, etag))

    def put(self, path: str, body: Any = None, *, key: str | None = None, etag: str | None = None) -> Any:
        """As `patch`."""
        return self._call("PUT", path, body, headers=_headers(key, etag))

    def delete(self, path: str, *, key: str | None = None, etag: str | None = None) -> Any:
        """As `patch`."""
        return self._call("DELETE", path, headers=_headers(key, etag))

    def pages(self, path: str, field: str, **query: Any) -> Iterator[Any]:
        """Everything of a list, over all its pages."""
        place = "after" if path.startswith("/ledger/") else "cursor"
        while True:
            told = self.get(path, **query)
            yield from told[field]
            if told.get("next") is None:
                return
            query[place] = told["next"]

    # -- what is wanted most

    def status(self) -> dict[str, Any]:
        return dict(self.get("/status"))

    def runs(self, **query: Any) -> Iterator[dict[str, Any]]:
        """All runs, the newest first."""
        return self.pages("/runs", "runs", **query)

    def run(self, run: str) -> dict[str, Any]:
        return dict(self.get(_run(run)))

    def report(self, **query: Any) -> dict[str, Any]:
        """The morning report."""
        return dict(self.get("/report", **query)["report"])

    def hand_over(self, *, key: str | None = None, **task: Any) -> dict[str, Any]:
        """`text` and `name`, `command` and `checks`, `task` and `repo`, `source`; and `title`, `project`, …

        With `repo` and `source` also `needs`, of the machine: `["docker", "cpus=4"]`. `waits` of the answer says, in
        words, why nobody takes it before a night of a certain home begins."""
        return dict(self.post("/tasks", task, key=key))

    def questions(self) -> list[dict[str, Any]]:
        return list(self.get("/questions")["questions"])

    def answer(self, run: str, answer: Any, *, question: str | None = None) -> dict[str, Any]:
        return dict(self.post(_run(run, "/answer"), {"answer": answer, "question": question}))

    def cancel(self, run: str, why: str = "") -> dict[str, Any]:
        return dict(self.post(_run(run, "/cancel"), {"why": why}))

    def accept(self, run: str, note: str = "") -> dict[str, Any]:
        return dict(self.post(_run(run, "/accept"), {"note": note}))

    def reject(self, run: str, because: str) -> dict[str, Any]:
        return dict(self.post(_run(run, "/reject"), {"because": because}))

    def undo(self, run: str, *, dry_run: bool = False) -> dict[str, Any]:
        return dict(self.post(_run(run, "/undo"), {"dry_run": dry_run}))

    def events(self, *, after: int | None = None, topics: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Events as they come; each once, over broken connections and restarts of the server too.

        Raises RequestRefused where the token is no longer good, ServerUnreachable after 30 s without a server."""
        import httpx

        silent = 0.0
        after = int(self.get("/ledger/head")["size"]) - 1 if after is None else after
        while True:
            headers = {"Last-Event-ID": str(after)}
            query = {"topics": ",".join(topics)} if topics else {}
            try:
                with self._http.stream("GET", "/events/stream", params=query, headers=headers) as response:
                    if response.status_code != 200:
                        response.read()
                        raise _refused(response)
                    silent = 0.0
                    for told in _messages(response.iter_lines()):
                        after = int(told["index"])
                        yield told
            except httpx.TransportError as error:
                if silent >= SILENT_S:
                    raise _unreachable(error) from None
            time.sleep(RETRY_S)  # it ended, or begins anew
            silent += RETRY_S

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        import httpx

        for tried in range(TRIES):
            try:
                response = self._http.request(
                    method, path, json=body if method != "GET" else None, params=query, headers=headers
                )
                break
            except httpx.TransportError as error:
                if tried == TRIES - 1:
                    raise _unreachable(error) from None
                time.sleep(RETRY_S)
        if response.status_code >= 400:
            raise _refused(response)
        return response.json()


def _headers(key: str | None, etag: str | None = None) -> dict[str, str]:
    found = {"Idempotency-Key": key or uuid.uuid4().hex}
    return found if etag is None else {**found, "If-Match": etag}


def _run(run: str, what: str = "") -> str:
    """A run's address; its name may come from anywhere."""
    return f"/runs/{quote(run, safe='')}{what}"


def _messages(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The data of each server-sent event. Raises RequestRefused where the server says that it is over."""
    name, data = "", ""
    for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data = line[5:].strip()  # JSON without line breaks
        elif not line:
            if name == "over":
                raise RequestRefused(
                    data, hint="mint another token with `daybreak token mint`", status=401, problem={"detail": data}
                )
            if data:
                yield dict(json.loads(data))
            name, data = "", ""


def _refused(response: httpx.Response) -> RequestRefused:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    told = problem if isinstance(problem, dict) else {}
    return RequestRefused(
        f"{told.get('code', response.status_code)} {told.get('detail', 'the server refuses')}",
        hint=str(told.get("hint", "is this the address of `daybreak serve`?")),
        status=response.status_code,
        problem=told,
    )


def _unreachable(error: Exception) -> ServerUnreachable:
    return ServerUnreachable(f"the server does not answer: {error}", hint="is `daybreak serve` running there?")
