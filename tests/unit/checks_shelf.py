"""A small honest project for the tests of checks: a command, a server, tests, all clean."""

from __future__ import annotations

from pathlib import Path

HASH = "ab" * 32
NAME = "shelf"

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shelf"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = []

[project.scripts]
shelf = "shelf.cli:main"

[tool.hatch.build.targets.wheel]
packages = ["src/shelf"]
""",
    "README.md": "# shelf\n\nKeeps titles.\n",
    "src/shelf/__init__.py": '"""Keeps titles."""\n',
    "src/shelf/__main__.py": 'from shelf.cli import main\n\nif __name__ == "__main__":\n    raise SystemExit(main())\n',
    "src/shelf/cli.py": '''\
"""The command line."""

import sys
from collections.abc import Sequence

from shelf import server, store


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["add"]:
        print(f"added {store.add(words[1])}")
        return 0
    if words[:1] == ["list"]:
        print("\\n".join(store.titles()))
        return 0
    if words[:1] == ["serve"]:
        server.serve(int(words[2]))
        return 0
    print(f"shelf: no command {words[0]}", file=sys.stderr)
    return 2
''',
    "src/shelf/store.py": '''\
"""Titles in a file of the working directory."""

from pathlib import Path

FILE = Path("shelf.txt")


def titles() -> list[str]:
    """All titles, oldest first."""
    return FILE.read_text("utf-8").splitlines() if FILE.exists() else []


def add(title: str) -> int:
    """Keep a title; gives its number, from 1."""
    kept = [*titles(), title]
    FILE.write_text("\\n".join(kept) + "\\n", "utf-8")
    return len(kept)
''',
    "src/shelf/server.py": '''\
"""The same over HTTP."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shelf import store


class Handler(BaseHTTPRequestHandler):
    """Answers GET /titles and POST /titles."""

    def answer(self, status: int, value: object) -> None:
        """Send a value as JSON."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 201:
            host = self.headers["Host"]
            self.send_header("Location", f"http://{host}/titles/{len(store.titles())}")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Health, all titles, one title."""
        if self.path == "/health":
            self.answer(200, {})
        elif self.path == "/titles":
            self.answer(200, store.titles())
        elif self.path.startswith("/titles/"):
            number = int(self.path.rpartition("/")[2])
            known = store.titles()
            if number > len(known):
                self.answer(404, {"detail": f"no title {number}"})
            else:
                self.answer(200, {"id": number, "title": known[number - 1]})
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        """Add a title."""
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = store.add(sent["title"])
        self.answer(201, {"id": number, "title": sent["title"], "price": 1.0})


def serve(port: int) -> None:
    """Until somebody ends it."""
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as running:
        running.serve_forever()
''',
    "tests/test_shelf.py": '''\
"""What shelf promises."""

import json
import threading
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from shelf import cli, server


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_is_added_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["add", "Dune"]) == 0
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "added 1\\nDune\\n"


@pytest.mark.parametrize("word", ["nope", "other"])
def test_unknown_commands_are_refused(word: str) -> None:
    assert cli.main([word]) == 2


def test_the_server_keeps_titles() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), server.Handler) as running:
        threading.Thread(target=running.serve_forever, args=[0.01], daemon=True).start()
        base = f"http://127.0.0.1:{running.server_address[1]}"
        body = json.dumps({"title": "Emma"}).encode()
        with urllib.request.urlopen(base + "/titles", data=body) as answer:
            assert answer.status == 201
        with urllib.request.urlopen(base + "/titles/1") as answer:
            assert json.load(answer) == {"id": 1, "title": "Emma"}
        with urllib.request.urlopen(base + "/titles") as answer:
            assert json.load(answer) == ["Emma"]
        with urllib.request.urlopen(base + "/health") as answer:
            assert answer.status == 200
        running.shutdown()
''',
}


def write(tree: Path, changes: dict[str, str | None] | None = None) -> Path:
    """The project in `tree`, some files changed, added or (None) left out."""
    for path, text in {**FILES, **(changes or {})}.items():
        if text is not None:
            place = tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    return tree
