"""A forge on the loopback: what we need of the APIs of GitHub and GitLab, and git's own smart protocol behind a key.

GitHub answers below `/api/v3`, GitLab below `/api/v4`, git at `/OWNER/NAME.git`. Issues and requests are those of one
repository. What is put into `troubles` is answered once, in order, instead of what was asked."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "Zk3vQ9wLr5tYx8Bn2Hd7"
"""Of no shape that anybody's tokens have, so that nothing but care keeps it out of messages."""
REPOSITORY = "octo/calc"
PAGE = 2
"""Issues on a page, whatever is asked for."""


@dataclass
class Trouble:
    """One answer out of line."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    after: bool = False
    """Do what was asked, and then answer so: the answer is lost."""
    of: str = ""
    """Only for requests whose method and path begin so: `POST /api/v3`."""


@dataclass
class Server:
    root: Path
    """Holds bare repositories, `OWNER/NAME.git`."""
    address: str = ""
    issues: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, and the key that came along."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(
        self, number: int, title: str, text: str = "", *, labels: tuple[str, ...] = ("daybreak",), **more: Any
    ) -> None:
        self.issues.append({"number": number, "title": title, "text": text, "labels": labels, "state": "open", **more})

    def asked(self, method: str) -> list[str]:
        return [path for verb, path, _ in self.seen if verb == method]

    def trouble(self, call: str) -> Trouble | None:
        with self.lock:
            found = next((one for one in self.troubles if call.startswith(one.of)), None)
            if found is not None:
                self.troubles.remove(found)
            return found

    def bare(self, clone_of: Path) -> Path:
        """The repository as the forge has it."""
        there = self.root / f"{REPOSITORY}.git"
        there.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", "--bare", str(clone_of), str(there)], check=True, capture_output=True)
        return there

    def branches(self) -> dict[str, str]:
        out = subprocess.run(
            ["git", "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"],
            cwd=self.root / f"{REPOSITORY}.git", check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        return dict(line.split() for line in out.splitlines())  # type: ignore[misc]


Answer = tuple[int, Any, dict[str, str]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        state = self.server.state
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = self._key()
        parts = urlsplit(self.path)
        with state.lock:
            state.seen.append((method, self.path, key))
        trouble = state.trouble(f"{method} {parts.path}")
        if trouble is not None and not trouble.after:
            self._send(trouble.status, trouble.body, trouble.headers)
            return
        if parts.path.startswith("/api/") and key != KEY:
            self._send(401, {"message": "Bad credentials" if "v3" in parts.path else "401 Unauthorized"}, {})
            return
        if ".git/" in parts.path:
            self._git(method, parts.path, parts.query, body, key)
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        query |= {"labels": ",".join(parse_qs(parts.query).get("labels[]", []) or [query.get("labels", "")])}
        told = json.loads(body) if body else {}
        answer: Callable[..., Answer] = self._github if parts.path.startswith("/api/v3") else self._gitlab
        status, value, headers = answer(method, parts.path, query, told)
        if trouble is not None:
            status, value, headers = trouble.status, trouble.body, trouble.headers
        self._send(status, value, headers)

    def _key(self) -> str:
        told = self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization") or ""
        kind, _, rest = told.partition(" ")
        if kind.lower() == "basic":
            return base64.b64decode(rest).decode().partition(":")[2]
        return rest or kind

    def _send(self, status: int, value: Any, headers: dict[str, str]) -> None:
        data = json.dumps(value if value is not None else {"message": f"status {status}"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    # -- GitHub

    def _github(self, method: str, path: str, query: dict[str, str], told: dict[str, Any]) -> Answer:
        state, base = self.server.state, self.server.state.address
        below = path.removeprefix("/api/v3")
        usual = {"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": "4102444800"}
        if below == "/user":
            return 200, {"login": "ada"}, usual
        if below == f"/repos/{REPOSITORY}":
            return 200, {"full_name": REPOSITORY, "default_branch": "main", "url": f"{base}{path}"}, usual
        if below == f"/repos/{REPOSITORY}/issues":
            found = [self._as_github(one) for one in self._fitting(query, query.get("assignee", ""))]
            return self._page(found, query, usual)
        if below == f"/repos/{REPOSITORY}/pulls" and method == "POST":
            if any(one["head"] == told["head"] and one["state"] == "open" for one in state.requests):
                error = {"message": "Validation Failed", "errors": [{"message": "A pull request already exists"}]}
                return 422, error, usual
            made = {**told, "number": 100 + len(state.requests), "state": "open"}
            state.requests.append(made)
            return 201, self._pull(made), usual
        if below == f"/repos/{REPOSITORY}/pulls":
            head = query.get("head", "").partition(":")[2]
            return 200, [self._pull(one) for one in state.requests if one["head"] == head], usual
        return 404, {"message": "Not Found"}, usual

    def _fitting(self, query: dict[str, str], assignee: str) -> list[dict[str, Any]]:
        wanted = {one for one in query.get("labels", "").split(",") if one}
        found = [one for one in self.server.state.issues if one["state"] == "open" and wanted <= set(one["labels"])]
        return [one for one in found if not assignee or one.get("assignee") == assignee]

    def _as_github(self, one: dict[str, Any]) -> dict[str, Any]:
        base = self.server.state.address
        made = {
            "number": one["number"], "title": one["title"], "body": one["text"] or None, "state": one["state"],
            "html_url": f"{base}/{REPOSITORY}/issues/{one['number']}", "user": {"login": "grace"},
            "url": f"{base}/api/v3/repos/{REPOSITORY}/issues/{one['number']}", "labels": [],
        }  # fmt: skip
        pull = {"pull_request": {"url": "x"}, "html_url": f"{base}/{REPOSITORY}/pull/{one['number']}"}
        return {**made, **pull} if one.get("pull") else made

    def _pull(self, one: dict[str, Any]) -> dict[str, Any]:
        base = self.server.state.address
        return {
            "number": one["number"], "state": one["state"], "head": {"ref": one["head"]}, "title": one["title"],
            "html_url": f"{base}/{REPOSITORY}/pull/{one['number']}",
            "url": f"{base}/api/v3/repos/{REPOSITORY}/pulls/{one['number']}",
        }  # fmt: skip

    def _page(self, found: list[dict[str, Any]], query: dict[str, str], headers: dict[str, str]) -> Answer:
        page = int(query.get("page", "1"))
        part = found[(page - 1) * PAGE : page * PAGE]
        if page * PAGE < len(found):
            parts = urlsplit(self.path)
            rest = re.sub(r"&?\bpage=\d+", "", parts.query)
            link = f"{self.server.state.address}{parts.path}?{rest}&page={page + 1}"
            headers = {**headers, "Link": f'<{link}>; rel="next"'}
        return 200, part, headers

    # -- GitLab

    def _gitlab(self, method: str, path: str, query: dict[str, str], told: dict[str, Any]) -> Answer:
        state, base = self.server.state, self.server.state.address
        below = unquote(path.removeprefix("/api/v4"))
        if below == "/user":
            return 200, {"username": "ada"}, {}
        if below == f"/projects/{REPOSITORY}":
            return 200, {"id": 7, "path_with_namespace": REPOSITORY, "default_branch": "main"}, {}
        if below == f"/projects/{REPOSITORY}/issues":
            who = query.get("assignee_username", "")
            found = [
                {
                    "iid": one["number"], "title": one["title"], "description": one["text"] or None,
                    "author": {"username": "grace"}, "web_url": f"{base}/{REPOSITORY}/-/issues/{one['number']}",
                }
                for one in self._fitting(query, who) if not one.get("pull")
            ]  # fmt: skip
            return self._page(found, query, {})
        if below == f"/projects/{REPOSITORY}/merge_requests" and method == "POST":
            if any(one["head"] == told["source_branch"] and one["state"] == "open" for one in state.requests):
                return 409, {"message": ["Another open merge request already exists for this source branch: !1"]}, {}
            made = {
                "head": told["source_branch"], "base": told["target_branch"], "title": told["title"],
                "body": told["description"], "number": 100 + len(state.requests), "state": "open",
            }  # fmt: skip
            state.requests.append(made)
            return 201, self._merge(made), {}
        if below == f"/projects/{REPOSITORY}/merge_requests":
            return 200, [self._merge(one) for one in state.requests if one["head"] == query["source_branch"]], {}
        return 404, {"message": "404 Project Not Found"}, {}

    def _merge(self, one: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.server.state.address}/{REPOSITORY}/-/merge_requests/{one['number']}"
        state = "opened" if one["state"] == "open" else one["state"]
        return {"id": 1, "iid": one["number"], "web_url": url, "source_branch": one["head"], "state": state}

    # -- git

    def _git(self, method: str, path: str, query: str, body: bytes, key: str) -> None:
        if key != KEY:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="forge"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.state.root), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, "REMOTE_USER": "ada",
            "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        told = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(told.pop("Status", "200 OK").split()[0]))
        for name, value in told.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)


class _Http(ThreadingHTTPServer):
    state: Server
    daemon_threads = True


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    state = Server(root)
    with _Http(("127.0.0.1", 0), _Handler) as http:
        http.state = state
        state.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            http.shutdown()
            thread.join()
