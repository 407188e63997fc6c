"""A commit of a user's repository is pushed to a branch of the same repository on a forge.

Git works in a folder of ours that borrows the user's objects, so neither the user's remotes, nor hooks, nor what their
configuration says of addresses and helpers have a say in where it goes. The key is in the environment of git's own
child that asks for it, and nowhere else: not in arguments, not in an address, not in a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from daybreak.factory.forges import forge
from daybreak.factory.forges.reaching import Reached
from daybreak.factory.repository import git as repositorygit
from daybreak.host.workspaces import git

_ASK = """\
#!/bin/sh
case "$1" in
  Username*) printf '%s\\n' "$DAYBREAK_FORGE_USER" ;;
  *) printf '%s\\n' "$DAYBREAK_FORGE_KEY" ;;
esac
"""
_USERS = {"github": "x-access-token", "gitlab": "oauth2"}
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")
_AUTHORITIES = ("GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_STATUS = re.compile(r"requested URL returned error: ([0-9]{3})")
_REFUSED = ("[rejected]", "[remote rejected]", "pre-receive hook declined", "protected branch")


def push(
    repository: Path,
    commit: str,
    branch: str,
    place: str,
    reached: Reached,
    environment: Mapping[str, str],
    scratch: Path,
) -> None:
    """Put `commit` onto `branch` of the repository `place` (`owner/name`). A branch that is there and holds something
    else is left alone. Doing it again changes nothing. `scratch` is an empty folder of ours.

    Raises ForgeRefused, ForgeDown, NotARepository, CommitUnknown."""
    ref = git.check_branch(branch)
    found = git.find(repository)
    git_dir = scratch / "git"
    git.prepare(git_dir, found, git.resolve(found, commit))
    ask = scratch / "ask"
    ask.write_text(_ASK)
    ask.chmod(0o700)
    address = f"{forge.git_address(reached.settings)}/{place}.git"
    words = [
        *("-c", "credential.helper=", "-c", "http.followRedirects=false", "-c", "core.askPass="),
        *("-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={int(forge.TIMEOUT_S)}"),
        *("push", "--porcelain", "--no-verify", "--no-signed", "--quiet", address, f"{commit}:{ref}"),
    ]
    ran = repositorygit.ask(git_dir, words, cwd=scratch, extra=_environment(ask, address, reached, environment))
    if ran.ok:
        return
    said = forge.without_key((ran.stderr + b"\n" + ran.stdout).decode("utf-8", "replace"), reached.key)
    raise forge.failed(f"pushing {branch} to {place}", reached.name, _status(said, ended=ran.ended_by_us), _short(said))


def _environment(ask: Path, address: str, reached: Reached, environment: Mapping[str, str]) -> dict[str, str]:
    authorities = next((environment[name] for name in _AUTHORITIES if environment.get(name)), "")
    return {
        **{name: environment[name] for name in _PASSED_ON if environment.get(name)},
        **({"GIT_SSL_CAINFO": authorities} if authorities else {}),
        "GIT_ALLOW_PROTOCOL": address.partition(":")[0],
        "GIT_ASKPASS": str(ask),
        "DAYBREAK_FORGE_USER": _USERS[reached.settings.kind],
        "DAYBREAK_FORGE_KEY": reached.key,
    }


def _status(said: str, *, ended: bool) -> int | None:
    """What the forge meant, as a status of HTTP; None where it could not be reached."""
    if found := _STATUS.search(said):
        return int(found[1])
    if "Authentication failed" in said:
        return 401
    if "not found" in said and "repository" in said:
        return 404
    if any(word in said for word in _REFUSED):
        return 409
    return None if ended or "unable to access" in said or "Could not resolve" in said else 400


def _short(said: str) -> str:
    """What counts of many lines."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "!", "remote:"))]
    return "; ".join((telling or lines)[:4])
