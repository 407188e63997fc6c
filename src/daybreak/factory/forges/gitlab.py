"""GitLab, through python-gitlab, which waits and repeats nothing here: that is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import requests
from gitlab import Gitlab
from gitlab.exceptions import GitlabError

from daybreak.factory.forges import forge
from daybreak.factory.forges.forge import Issue, Request


class GitLab:
    """One account on one server."""

    def __init__(self, name: str, address: str, key: str) -> None:
        self._name, self._key = name, key
        self._headers: Mapping[str, str] = {}
        session = requests.Session()
        session.max_redirects = 0  # the key goes to this server and to no other
        session.hooks["response"].append(self._hear)
        self._api = Gitlab(
            address,
            private_token=key,
            timeout=forge.TIMEOUT_S,
            session=session,
            per_page=100,
            keep_base_url=True,
            retry_transient_errors=False,
            user_agent="daybreak",
        )

    def issues(self, repository: str, *, labels: Sequence[str], assignee: str, most: int) -> list[Issue]:
        wanted: dict[str, Any] = {"state": "opened", "order_by": "created_at", "sort": "asc"}
        with self._told(f"the issues of {repository}"):
            if labels:
                wanted["labels"] = list(labels)
            if assignee:
                wanted["assignee_username"] = self._me() if assignee == "me" else assignee
            found = self._project(repository).issues.list(iterator=True, obey_rate_limit=False, **wanted)
            return [
                Issue(one.iid, one.title or "", one.description or "", _author(one.author), one.web_url)
                for one in islice(found, most)
            ]

    def request_of(self, repository: str, branch: str) -> Request | None:
        with self._told(f"the merge requests of {repository}"):
            found = self._project(repository).mergerequests.list(
                source_branch=branch, state="all", iterator=True, obey_rate_limit=False
            )
            fitting = [
                Request(one.iid, one.web_url, one.state == "opened")
                for one in islice(found, 100)
                if one.source_branch == branch
            ]
        return next((one for one in fitting if one.open), fitting[0] if fitting else None)

    def offer(self, repository: str, *, branch: str, into: str, title: str, text: str) -> Request:
        with self._told(f"a merge request for {branch} in {repository}"):
            if not into:
                into = self._api.projects.get(repository, obey_rate_limit=False).default_branch
            asked = {"source_branch": branch, "target_branch": into, "title": title, "description": text}
            made = self._project(repository).mergerequests.create(asked, obey_rate_limit=False)
            return Request(made.iid, made.web_url)

    def _project(self, repository: str) -> Any:
        return self._api.projects.get(repository, lazy=True)

    def _me(self) -> str:
        return str(self._api.http_get("/user", obey_rate_limit=False)["username"])  # type: ignore[index]

    def _hear(self, response: requests.Response, *args: Any, **more: Any) -> None:
        """Its exceptions leave out the headers, in which it says until when it has had enough."""
        self._headers = response.headers

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        self._headers = {}
        try:
            yield
        except GitlabError as error:
            status, words = error.response_code, error.error_message or type(error).__name__
            raise forge.failed(what, self._name, status, words, self._headers, key=self._key) from error
        except requests.RequestException as error:
            raise forge.failed(what, self._name, None, type(error).__name__, key=self._key) from error


def _author(author: Any) -> str:
    return str(author.get("username", "")) if isinstance(author, dict) else ""
