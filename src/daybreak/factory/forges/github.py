"""GitHub and GitHub Enterprise, through PyGithub, which waits and repeats nothing here: that is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import requests
from github import Auth, Github, GithubException

from daybreak.factory.forges import forge
from daybreak.factory.forges.forge import Issue, Request

_PULL = re.compile(r"/pull/[0-9]+$")


class GitHub:
    """One account on one server."""

    def __init__(self, name: str, address: str, key: str) -> None:
        self._name, self._key = name, key
        self._api = Github(
            base_url=address,
            auth=Auth.Token(key),
            timeout=int(forge.TIMEOUT_S),
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            per_page=100,
            user_agent="daybreak",
            lazy=True,
        )

    def issues(self, repository: str, *, labels: Sequence[str], assignee: str, most: int) -> list[Issue]:
        with self._told(f"the issues of {repository}"):
            wanted: dict[str, Any] = {"state": "open", "sort": "created", "direction": "asc"}
            if labels:
                wanted["labels"] = list(labels)
            if assignee:
                wanted["assignee"] = self._api.get_user().login if assignee == "me" else assignee
            found = self._api.get_repo(repository).get_issues(**wanted)
            # It lists pull requests as issues too; to ask each for `pull_request` would cost a request of its own.
            plain = (one for one in found if not _PULL.search(one.html_url))
            return [
                Issue(one.number, one.title or "", one.body or "", getattr(one.user, "login", ""), one.html_url)
                for one in islice(plain, most)
            ]

    def request_of(self, repository: str, branch: str) -> Request | None:
        owner = repository.split("/")[0]
        with self._told(f"the pull requests of {repository}"):
            found = self._api.get_repo(repository).get_pulls(state="all", head=f"{owner}:{branch}")
            fitting = [
                Request(one.number, one.html_url, one.state == "open")
                for one in islice(found, 100)
                if one.head.ref == branch
            ]
        return next((one for one in fitting if one.open), fitting[0] if fitting else None)

    def offer(self, repository: str, *, branch: str, into: str, title: str, text: str) -> Request:
        with self._told(f"a pull request for {branch} in {repository}"):
            there = self._api.get_repo(repository)
            made = there.create_pull(base=into or there.default_branch, head=branch, title=title, body=text)
            return Request(made.number, made.html_url)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except GithubException as error:
            said = error.data.get("message", "") if isinstance(error.data, dict) else error.data
            details = error.data.get("errors") if isinstance(error.data, dict) else None
            words = f"{said or error.message or ''} {_details(details)}"
            raise forge.failed(what, self._name, error.status, words, error.headers, key=self._key) from error
        except requests.RequestException as error:
            raise forge.failed(what, self._name, None, type(error).__name__, key=self._key) from error


def _details(errors: Any) -> str:
    if not isinstance(errors, list):
        return ""
    return "; ".join(str(one.get("message", one)) if isinstance(one, dict) else str(one) for one in errors[:5])
