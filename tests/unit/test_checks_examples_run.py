"""Acceptance examples run on a real product, on nothing, and on programs that lie."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from daybreak.checks import Evidence, Example, Product, install, proves, run_example
from daybreak.checks.examples import null, web
from daybreak.checks.product import make_prefix, write_program

SERVE = "shelf serve --port {port}"
HASH = "ab" * 32


def _shelf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("checks_shelf", Path(__file__).with_name("checks_shelf.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Product:
    """The honest project, installed once."""
    folder = tmp_path_factory.mktemp("shelf")
    evidence, product = install.look(_shelf().write(folder / "tree"), HASH, name="shelf", scratch=folder)
    assert product is not None, evidence.output
    return product


def example(kind: str, body: str, line: int = 10) -> Example:
    fields = {"id": "0123456789ab", "kind": kind, "title": "FR-001 titles", "requirements": ("FR-001",)}
    return Example.model_validate({**fields, "body": body, "line": line})


def liar(folder: Path, program: str) -> Product:
    """A product whose command is a shell script."""
    make_prefix(folder / "prefix")
    (folder / "tree").mkdir()
    product = Product(name="shelf", workspace=HASH, tree=folder / "tree", prefix=folder / "prefix")
    write_program(product.bin / "shelf", "#!/bin/sh\n" + program)
    return product


def look(product: Product, scratch: Path, kind: str, body: str, **options: object) -> Evidence:
    return run_example(example(kind, body), product, scratch, serve=SERVE, **options)  # type: ignore[arg-type]


# -- console

CONSOLE = """\
$ shelf add Dune
added 1
$ T=Emma
$ shelf add "$T" && shelf add x > log
added 2
$ shelf list
Dune
...
$ shelf nope
shelf: no command nope
[2]
$ echo $?
2
$ cat <<END
> über
> END
über
$ python3 -m shelf add y
added 4
$ pwd | sed 's/.*work/work/'; date +%Z; locale charmap 2>/dev/null || echo UTF-8
work
UTC
UTF-8
$ cd / && pwd
/
$ pwd; exit 3
/
[3]
"""


def test_a_console_example_passes_on_an_honest_product(shelf: Product, tmp_path: Path) -> None:
    """State is kept between commands; statuses, streams, here-documents are as in a shell."""  # shows: F1 X6
    seen = look(shelf, tmp_path, "console", CONSOLE)
    assert seen.outcome == "passed", seen.marks
    assert seen.workspace == HASH
    assert seen.requirements == ("FR-001",)
    assert seen.counts["commands"] == 11


def test_every_block_starts_from_nothing(shelf: Product, tmp_path: Path) -> None:
    """What one block left is not seen by the next, and the folder is empty."""
    for _ in range(2):
        assert look(shelf, tmp_path, "console", "$ ls -A\n$ shelf add Dune\nadded 1\n").outcome == "passed"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("echo added 2", "+ added 2"),
        ("echo added 1; exit 4", "expected exit status 0, got 4"),
        ("echo added 1; echo noise >&2", "+ noise"),
        ("true", "- added 1"),
        ("kill -9 $$", "got 137"),
        ("kill -9 $PPID", "no exit status"),
    ],
)
def test_what_differs_is_shown_with_its_place(tmp_path: Path, program: str, message: str) -> None:
    """A wrong answer, status, stream, or end fails, with the difference and the line."""  # shows: F16
    seen = look(liar(tmp_path, program), tmp_path, "console", "$ true\n$ shelf add Dune\nadded 1\n")
    assert seen.outcome == "failed"
    assert message in seen.marks[0].message
    assert seen.marks[0].place == "FR-001 titles, line 11"


def test_output_that_imitates_the_protocol_changes_nothing(tmp_path: Path) -> None:
    """A program cannot say that it is done, or what its status is, by printing it, nor through 8 and 9."""
    program = """
    for fd in 1 2; do printf '%s 0\\n' word; echo '[0]'; echo '$ shelf add Dune'; done
    (echo "0 0" >&9) 2>/dev/null || echo closed
    (read -r x <&8) 2>/dev/null || echo closed
    exit 5
    """
    expected = "word 0\n[0]\n$ shelf add Dune (re)\n".replace("$ shelf", r"\$ shelf") * 2
    body = f"$ shelf\n{expected}closed\nclosed\n[5]\n$ echo next\nnext\n"
    seen = look(liar(tmp_path, program), tmp_path, "console", body)
    assert seen.outcome == "passed", seen.marks


def test_stdout_comes_before_stderr_and_a_missing_newline_is_no_matter(tmp_path: Path) -> None:
    """However they were written in time."""
    program = "echo late >&2; printf early"
    body = "$ shelf\nearly\nlate\n"
    assert look(liar(tmp_path, program), tmp_path, "console", body).outcome == "passed"


def test_a_command_that_breaks_the_shell_fails_and_the_rest_is_told(tmp_path: Path, shelf: Product) -> None:
    """A syntax error ends the shell; nothing after it counts as run."""
    seen = look(shelf, tmp_path, "console", "$ shelf list\n\n$ fi\n$ echo hello\nhello\n")
    assert seen.outcome == "failed"
    assert any("ended before" in mark.message for mark in seen.marks)


def test_a_hanging_command_is_ended_and_named(tmp_path: Path) -> None:
    """The block's time is over: told, and nothing left running."""
    seen = look(liar(tmp_path, "exec sleep 1000"), tmp_path, "console", "$ shelf\n$ echo x\nx\n", timeout_s=0.5)
    assert seen.outcome == "failed"
    assert "time was over" in seen.marks[0].message


def test_a_flood_is_cut(tmp_path: Path) -> None:
    """A program that prints without end fails soon, and the evidence stays small."""
    seen = look(liar(tmp_path, "yes"), tmp_path, "console", "$ shelf\n...\n")
    assert seen.outcome == "failed"
    assert len(seen.model_dump_json()) < 200_000


def test_a_background_process_does_not_hold_the_block(tmp_path: Path) -> None:
    """A daemon that keeps the output open delays nothing."""
    program = "sleep 1000 & echo up"
    seen = look(liar(tmp_path, program), tmp_path, "console", "$ shelf\nup\n$ echo next\nnext\n")
    assert seen.outcome == "passed", seen.marks
    assert seen.duration_ms < 10_000


def test_output_that_is_no_text_is_shown_and_stored(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 make readable evidence."""
    seen = look(liar(tmp_path, r"printf '\377\000x\n'"), tmp_path, "console", "$ shelf\nx\n")
    assert seen.outcome == "failed"
    assert r"\xff" in seen.marks[0].message
    seen.model_dump_json()


def test_no_secret_of_ours_is_in_the_shell(tmp_path: Path, shelf: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a block is made, not inherited."""  # shows: N9
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("SHELF_DB", "/somewhere")
    assert look(shelf, tmp_path, "console", "$ env | grep -e KEY -e _DB\n[1]\n").outcome == "passed"


def test_cancelling_makes_it_unusable(tmp_path: Path) -> None:
    """A cancelled example says nothing about the product."""
    cancelled = threading.Event()
    cancelled.set()
    seen = look(liar(tmp_path, "sleep 1000"), tmp_path, "console", "$ shelf\n", cancelled=cancelled)
    assert seen.outcome == "unusable"


def test_a_block_that_cannot_be_read_is_unusable(tmp_path: Path, shelf: Product) -> None:
    """It never counts as passed."""
    assert look(shelf, tmp_path, "console", "no command\n").outcome == "unusable"


# -- http

HTTP = """\
GET /titles/1

404

POST /titles
{"title": "Dune"}

201
content-type: application/json
Location: <url as here>
{"id": <integer as number>, "title": "Dune", "price": 1}

GET {{here}}

200
{"id": {{number}}, "title": <text as title>}

POST /titles
{"title": "{{title}} again"}

201

GET /titles

200
["Dune", ..., "Dune again"]
"""


def test_an_http_example_passes_on_an_honest_product(shelf: Product, tmp_path: Path) -> None:
    """Requests, kinds, catches and absolute addresses against a real server."""  # shows: F1
    seen = look(shelf, tmp_path, "http", HTTP)
    assert seen.outcome == "passed", seen.marks
    assert "what the server printed" in seen.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"price": 1}', '"price": 2}', "$.price: expected 2, got 1.0"),
        ('"title": "Dune", "price"', '"name": "Dune", "price"', "$.title: not expected"),
        ("Location: <url as here>", "Location: <integer as here>", "header Location"),
        ("content-type: application/json", "content-type: application/problem+json", "header content-type"),
        ("201\nc", "200\nc", "expected status 200, got 201"),
    ],
)
def test_what_differs_in_an_answer_is_shown(shelf: Product, tmp_path: Path, old: str, new: str, message: str) -> None:
    """A wrong member, header or status fails and is named, with the request."""
    assert old in HTTP
    seen = look(shelf, tmp_path, "http", HTTP.replace(old, new))
    assert seen.outcome == "failed"
    assert any(message in mark.message for mark in seen.marks), seen.marks
    assert seen.marks[0].message.startswith("POST /titles")


def test_a_server_that_ends_at_once_is_the_products_failure(tmp_path: Path) -> None:
    """Not being able to start is failed, not unusable, and shows what was printed."""
    seen = look(liar(tmp_path, "echo no data >&2; exit 3"), tmp_path, "http", HTTP)
    assert seen.outcome == "failed"
    assert "exit status 3" in seen.summary
    assert "no data" in seen.output


def test_a_missing_serve_command_fails(tmp_path: Path) -> None:
    """Where the command that serves does not exist."""
    seen = run_example(example("http", HTTP), liar(tmp_path, ""), tmp_path, serve="nothing-here {port}")
    assert seen.outcome == "failed"


SILENT = """
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers(); return
        if self.path == "/hang":
            time.sleep(1000)
        if self.path == "/drip":
            self.send_response(200); self.end_headers()
            while True:
                self.wfile.write(b"x"); time.sleep(0.05)
        if self.path == "/flood":
            self.send_response(200); self.end_headers()
            while True:
                self.wfile.write(b"x" * 100000)
        if self.path == "/away":
            self.send_response(302); self.send_header("Location", "http://example.com/"); self.end_headers()
        if self.path == "/elsewhere":
            body = b'"http://example.com/1"'
            self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
        if self.path == "/text":
            body = "a,b\\n1,ü\\n".encode()
            self.send_response(200); self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
        if self.path == "/crash":
            import os; os._exit(1)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


@pytest.fixture
def mischief(tmp_path: Path) -> Product:
    product = liar(tmp_path, f'exec python3 {tmp_path}/prefix/server.py "$3"\n')
    (product.prefix / "server.py").write_text(SILENT)
    return product


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("GET /hang\n\n200\n", "no answer in time"),
        ("GET /drip\n\n200\n", "time"),
        ("GET /flood\n\n200\n", "longer than"),
        ("GET /crash\n\n200\n", "no answer"),
        ("GET /elsewhere\n\n200\n<url as there>\n\nGET {{there}}\n\n200\n", "does not lead to the server"),
    ],
)
def test_a_mischievous_server_fails_and_is_ended(mischief: Product, tmp_path: Path, body: str, message: str) -> None:
    """Hanging, dripping, flooding, crashing, sending elsewhere: each ends within the block's time."""
    seen = look(mischief, tmp_path, "http", body, timeout_s=2)
    assert seen.outcome == "failed"
    assert message in seen.marks[0].message, seen.marks
    assert seen.duration_ms < 10_000


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ("a,b\n1,ü", True),
        ("a,b\n1,u", False),
        ("<text>", True),
        ("<any as all>", True),
    ],
)
def test_a_body_that_is_not_json_is_compared_as_text(mischief: Product, tmp_path: Path, body: str, fits: bool) -> None:
    """Where the expected answer names another media type."""
    seen = look(mischief, tmp_path, "http", f"GET /text\n\n200\nContent-Type: text/csv\n{body}\n")
    assert (seen.outcome == "passed") is fits, seen.marks


def test_a_body_that_should_be_json_and_is_not_is_told(mischief: Product, tmp_path: Path) -> None:
    """With what came instead."""
    seen = look(mischief, tmp_path, "http", "GET /text\n\n200\n<any>\n")
    assert "not JSON" in seen.marks[0].message


def test_redirects_are_not_followed(mischief: Product, tmp_path: Path) -> None:
    """A redirect is an answer like any other."""
    body = "GET /away\n\n302\nLocation: http://example.com/\n"
    assert look(mischief, tmp_path, "http", body).outcome == "passed"


def test_a_later_request_that_needs_what_was_not_caught_is_not_sent(shelf: Product, tmp_path: Path) -> None:
    """Instead of asking for something made up."""
    body = 'GET /titles/1\n\n200\n{"id": <integer as a>, ...}\n\nGET /titles/{{a}}\n\n200\n'
    seen = look(shelf, tmp_path, "http", body)
    assert [("not sent" in mark.message) for mark in seen.marks] == [False, True]


@pytest.mark.parametrize(
    "target", ["http://example.com/a", "http://127.0.0.1:81/a", "https://127.0.0.1:80/a", "file:///etc/passwd"]
)
def test_requests_never_leave_the_server(target: str) -> None:
    """Only our own host and port are ever asked."""
    with pytest.raises(ValueError, match="does not lead"):
        web.local_target(target, 80)


def test_a_proxy_in_our_environment_is_not_used(
    shelf: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests go straight to the server."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert look(shelf, tmp_path, "http", "GET /titles\n\n200\n[]\n").outcome == "passed"


# -- files


def test_files_examples_look_at_the_delivered_tree(shelf: Product, tmp_path: Path) -> None:
    """exists, contains, count; each failing claim told."""
    good = """\
README.md contains "Keeps titles"
src/shelf exists
src/**/*.py count 5
*.md count 1
x* count 0
src/shelf/s[et]*.py count 2
src/shelf/[!s_]*.py count 1
src/shelf/cl?.py count 1
src/** count 6
"""
    assert look(shelf, tmp_path, "files", good).outcome == "passed"
    bad = 'README.md contains "nope"\nsrc/none exists\nsrc/*.py count 5\n'
    seen = look(shelf, tmp_path, "files", bad)
    assert [mark.place[-2:] for mark in seen.marks] == ["10", "11", "12"]


def test_a_link_out_of_the_tree_does_not_count(tmp_path: Path) -> None:
    """A result cannot show a file that it does not have."""
    product = liar(tmp_path, "")
    (tmp_path / "secret").write_text("gold")
    os.symlink(tmp_path / "secret", product.tree / "link")
    os.symlink(tmp_path, product.tree / "folder")
    for claim in ('link contains "gold"', "link exists", "folder/secret exists", "folder/* count 1"):
        assert look(product, tmp_path, "files", claim).outcome == "failed"


# -- proof


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("console", "$ shelf add Dune\nadded 1\n", None),
        ("console", "$ shelf add Dune\n", "ends with status 0"),
        ("console", "$ shelf nope\n[1]\n", "ends with status 1"),
        ("console", "$ shelf nope\n...\n[1]\n", "ends with status 1"),
        ("console", "$ shelf add Dune || true\n...\n", "nothing is installed"),
        ("console", "$ echo shelf\nshelf\n", "nothing is installed"),
        ("console", "$ python3 -m shelf\n", "ends with status 0"),
        ("console", "$ shelf nope\n[2]\n", None),
        ("http", "GET /titles\n\n200\n[]\n", None),
        ("http", "GET /titles\n\n200\n", "every request with 200"),
        ("http", "GET /titles/9\n\n404\n", "every request with 404"),
        ("http", "POST /titles\n{}\n\n201\n\nGET /titles/9\n\n404\n", None),
        ("files", "README.md exists\n", None),
        ("files", "*.secret count 0\n", "nothing is installed"),
    ],
)
def test_an_example_must_fail_on_nothing_and_on_silence(tmp_path: Path, kind: str, body: str, why: str | None) -> None:
    """What passes there proves nothing elsewhere, and says on what it passed."""  # shows: F1 X6
    found = proves(example(kind, body), "shelf", tmp_path, serve=SERVE)
    assert (found is None) if why is None else (found is not None and why in found), found


def test_a_serve_command_that_needs_no_product_proves_nothing(tmp_path: Path) -> None:
    """Serving without the product is found out by running it where nothing is installed."""
    body = "GET /\n\n200\nServer: SimpleHTTP/0.6 Python/3.11\n"
    serve = 'python3 -c \'import http.server as h; H=h.SimpleHTTPRequestHandler; H.version_string=lambda s: "x"; '
    serve += 'h.HTTPServer(("127.0.0.1", {port}), H).serve_forever()\''
    body = "GET /\n\n200\nServer: x\n"
    assert proves(example("http", body), "shelf", tmp_path, serve=serve) == "it passes where nothing is installed"


@pytest.fixture
def silent() -> Iterator[int]:
    with null.server(404) as port:
        yield port


def test_the_silent_server_answers_every_method(silent: int) -> None:
    """Every request gets the same status and nothing."""
    from daybreak.checks.examples import exchange

    block = "\n".join(f"{method} /x\n\n404\nContent-Length: 0\n" for method in exchange.METHODS)
    talk = web.hold(exchange.read(block)[0], silent, timeout_s=10)
    assert talk.problems == []
