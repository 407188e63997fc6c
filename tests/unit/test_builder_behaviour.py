"""What the embedded builder makes behaves as the specification format says, in real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from daybreak.agents.builder import generate
from daybreak.agents.entities import Action, Change, Entity, Field, Measure, Total, Type, TypeName
from daybreak.agents.protocol import Brief, HttpOptions

NEVER = threading.Event()
Run = Callable[..., tuple[int, str, str]]


def field(name: str, kind: TypeName, **rules: Any) -> Field:
    parts = {key: rules.pop(key) for key in ("choices", "of", "target") if key in rules}
    return Field(name=name, type=Type(name=kind, **parts), **rules)


def move(name: str, source: str, value: str) -> Change:
    return Change(verb="move", field=name, source=source, value=value)


ENTITIES = (
    Entity(
        name="Author",
        fields=(
            field("name", "text", required=True, unique_ignoring_case=True, unique=True),
            field("password", "text", secret=True, min="8"),
        ),
    ),
    Entity(
        name="Book",
        fields=(
            field("title", "text", required=True, min="1", max="20"),
            field("isbn", "text", unique=True, pattern=r"\d{3}"),
            field("pages", "integer", min="1"),
            field("price", "decimal", min="0", default="0"),
            field("rating", "number", min="0", max="5"),
            field("shelf", "choice", choices=("science", "fiction"), default="science"),
            field("status", "choice", choices=("in", "out"), default="in"),
            field("tags", "list", of=Type(name="text")),
            field("published", "date"),
            field("due", "date", after="published"),
            field("author", "ref", target="Author"),
            field("code", "text", immutable=True),
            field("url", "link", computed=True),
        ),
        actions=(
            Action(name="lend", changes=(move("status", "in", "out"), Change(verb="ask", field="due"))),
            Action(name="give-back", changes=(move("status", "out", "in"), Change(verb="clear", field="due"))),
            Action(name="praise", changes=(Change(verb="add", field="rating", value="0.1"),)),
        ),
        totals=(
            Total(
                measures=(
                    Measure(kind="count"),
                    Measure(kind="sum", field="price"),
                    Measure(kind="mean", field="rating"),
                ),
                by="shelf",
            ),
        ),
    ),
    Entity(
        name="BookLoan",
        fields=(
            field("at", "timestamp", required=True, unique_with=("book",)),
            field("book", "ref", target="Book", required=True),
        ),
    ),
    Entity(name="Review", fields=(field("book", "ref", target="Book", required=True),)),
)
BRIEF = Brief(
    name="book-shelf",
    version="0.1.0",
    language="python",
    interfaces=("cli", "http"),
    title="Bookshelf",
    summary="",
    requirements=(),
    entities=ENTITIES,
    http=HttpOptions(cors="*", delete_all=True),
    serve="book-shelf serve --port {port}",
    specification="",
)


@pytest.fixture(scope="module", name="source")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated sources, ready to run."""
    folder = tmp_path_factory.mktemp("project")
    for path, content in generate(BRIEF).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder / "src"


def surroundings(source: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(source), "TZ": "UTC", **more}


@pytest.fixture(name="run")
def runner(source: Path, tmp_path: Path) -> Run:
    """Runs a command in an empty directory: exit status, standard output, standard error."""

    def run(*words: str | bytes, **more: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "book_shelf", *words]
        result = subprocess.run(
            command, cwd=tmp_path, env=surroundings(source, **more), capture_output=True, check=False
        )
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    return run


def test_every_problem_is_told_in_table_order(run: Run) -> None:
    """A line each, unknown fields last, exit status 2, and no id is used."""
    # shows: F1, P8
    words = [
        "--colour",
        "red",
        "--author",
        "9",
        "--due",
        "2027-01-01",
        "--published",
        "2027-01-01",
        "--shelf",
        "x",
        "--pages",
        "0",
        "--isbn",
        "12",
    ]
    assert run("book", "add", *words, "--price", "1e3") == (
        2,
        "",
        "book-shelf: title is required\n"
        "book-shelf: isbn must match \\d{3} (got 12)\n"
        "book-shelf: pages must be at least 1 (got 0)\n"
        "book-shelf: price must be a decimal (got 1e3)\n"
        "book-shelf: shelf must be one of science, fiction (got x)\n"
        "book-shelf: due must be after published (got 2027-01-01)\n"
        "book-shelf: author must be the id of an existing author (got 9)\n"
        "book-shelf: colour is not a field\n",
    )
    assert run("book", "add", "--title", "Dune") == (0, "added book 1\n", "")


def test_an_option_takes_whatever_comes_next(run: Run) -> None:
    """Also a word with a dash, also a negative number."""
    # shows: F1
    assert run("book", "add", "--title", "--help") == (0, "added book 1\n", "")
    assert run("book", "add", "--title=a=b", "--pages", "-3")[2] == ("book-shelf: pages must be at least 1 (got -3)\n")
    assert "title: --help\n" in run("book", "show", "1")[1]


def test_conflicts_name_who_holds_the_value(run: Run) -> None:
    """Whatever the case of any alphabet; with the pair that clashes; and who still uses a record."""
    # shows: F1
    run("author", "add", "--name", "Straße")
    assert run("author", "add", "--name", "STRASSE") == (
        1,
        "",
        "book-shelf: name STRASSE is already used by author 1\n",
    )
    run("book", "add", "--title", "Dune", "--author", "1")
    run("book-loan", "add", "--book", "1", "--at", "2027-03-01T10:00:00+01:00")
    assert run("book-loan", "add", "--book", "1", "--at", "2027-03-01T09:00:00Z")[2] == (
        "book-shelf: at 2027-03-01T09:00:00Z with book 1 is already used by book loan 1\n"
    )
    run("book-loan", "add", "--book", "1", "--at", "2027-03-02T09:00")
    run("review", "add", "--book", "1")
    assert run("book", "delete", "1") == (
        1,
        "",
        "book-shelf: book 1 is still used by 2 book loans and 1 review\n",
    )


def test_actions_guard_the_state(run: Run) -> None:
    """From its state only; never by edit; and sums of numbers stay short."""
    # shows: F1
    run("book", "add", "--title", "Dune", "--rating", "0.1", "--status", "in")
    assert run("book", "lend", "1", "--due", "2027-03-08") == (0, "book 1: in -> out\n", "")
    assert run("book", "lend", "1", "--due", "2027-03-08") == (1, "", "book-shelf: book 1 is out, not in\n")
    assert run("book", "edit", "1", "--status", "in") == (
        2,
        "",
        "book-shelf: status is changed only by its actions\n",
    )
    run("book", "praise", "1")
    assert run("book", "praise", "1") == (0, "changed book 1\n", "")
    assert json.loads(run("book", "show", "1", "--json")[1])["rating"] == 0.3


def test_a_table_keeps_its_lines(run: Run) -> None:
    """Whatever is in the texts; equal decimals are found, missing values come last."""
    # shows: F1
    run("book", "add", "--title", "a\nb\x07", "--price", "7.50", "--rating", "4")
    run("book", "add", "--title", "Éa 北", "--tags", "x", "--tags", "y", "--price", "10")
    assert run("book", "list", "--sort", "rating", "--price", "7.5")[1].splitlines()[1].startswith(r"1   a\nb\x07  -")
    assert [line.split()[0] for line in run("book", "list", "--sort", "-price")[1].splitlines()] == [
        "id",
        "2",
        "1",
    ]
    assert run("book", "list", "--search", "ÉA")[1].splitlines()[1].split()[1] == "Éa"
    assert run("book", "list", "--tags", "z") == (0, "no books\n", "")
    assert run("book", "totals")[1] == ("shelf    count  sum_price  mean_rating\nscience  2      17.50      4.00\n")


def test_text_survives_the_poorest_locale(run: Run) -> None:
    """UTF-8 in and out; bytes that are no text are refused."""
    # shows: P8
    poor = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    assert run("book", "add", "--title", "Été".encode(), **poor) == (0, "added book 1\n", "")
    assert run("book", "list", "--title", "Été".encode(), **poor)[1].splitlines()[1].split()[1] == "Été"
    assert run("book", "add", "--title", b"\xff", **poor) == (
        2,
        "",
        "book-shelf: title must be text (got \\xff)\n",
    )


def test_what_goes_out_comes_in_again(run: Run, tmp_path: Path) -> None:
    """And a bad line adds nothing; lines are physical."""
    # shows: F1
    run("author", "add", "--name", "Ann", "--password", "tiger-tiger")
    run("book", "add", "--title", 'x,"y"\nz', "--tags", "a,b", "--author", "1", "--price", "1.10")
    assert run("book", "export", "x.csv") == (0, "exported 1 book\n", "")
    assert run("book", "import", "x.csv") == (0, "imported 1 book\n", "")
    before, after = json.loads(run("book", "list", "--json")[1])
    assert before | {"id": 2} == after
    assert run("author", "export", "a.json") == (0, "exported 1 author\n", "")
    assert "password" not in (tmp_path / "a.json").read_text()
    assert b"tiger" not in (tmp_path / "book-shelf.db").read_bytes()
    (tmp_path / "bad.csv").write_text('title,isbn\n"two\nlines",123\nB,123\nC,x\n')
    assert run("book", "import", "bad.csv") == (
        1,
        "",
        "book-shelf: line 4: isbn 123 is already used by line 2\nbook-shelf: line 5: isbn must match \\d{3} (got x)\n",
    )
    assert len(json.loads(run("book", "list", "--json")[1])) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_an_answer_that_cannot_be_written_is_no_success(source: Path, tmp_path: Path, run: Run) -> None:
    """A full disk is told; a reader that has gone is not worth a word."""
    # shows: F16
    run("book", "add", "--title", "Dune")
    command = [sys.executable, "-m", "book_shelf", "book", "list"]
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            command,
            cwd=tmp_path,
            env=surroundings(source),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (
        1,
        "book-shelf: cannot write the answer: No space left on device\n",
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        result = subprocess.run(
            command,
            cwd=tmp_path,
            env=surroundings(source),
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.stderr == ""


def test_a_data_file_that_cannot_be_used_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    """No database, another program's database, no folder."""
    # shows: F16
    (tmp_path / "text.db").write_text("words " * 1000)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE other (id)")
    connection.close()
    for name in ("text.db", "other.db", "no/where.db", "."):
        status, out, err = run("book", "list", BOOK_SHELF_DB=name)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert err.startswith("book-shelf: ")


def test_programs_side_by_side_lose_nothing(run: Run) -> None:
    """Ten processes on an empty directory: ten records, ten ids."""
    # shows: F1
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda number: run("author", "add", "--name", f"a{number}"), range(10)))
    assert sorted(out for _, out, _ in answers) == sorted(f"added author {n}\n" for n in range(1, 11))


def test_a_killed_import_adds_all_or_nothing(source: Path, tmp_path: Path, run: Run) -> None:
    """However far it had come."""
    # shows: F12
    rows = "".join(f"title {number}\n" for number in range(20_000))
    (tmp_path / "big.csv").write_text("title\n" + rows)
    run("book", "list")
    for wait_s in (0.15, 0.4, 0.8):
        process = subprocess.Popen(
            [sys.executable, "-m", "book_shelf", "book", "import", "big.csv"],
            cwd=tmp_path,
            env=surroundings(source),
            stdout=subprocess.DEVNULL,
        )
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        with sqlite3.connect(tmp_path / "book-shelf.db") as connection:
            assert connection.execute("SELECT count(*) FROM book").fetchone()[0] % 20_000 == 0
        connection.close()


def test_it_starts_quickly(run: Run) -> None:
    """Nothing of the web framework is imported for a command."""
    # shows: F1
    run("book", "list")
    begun = time.monotonic()
    run("book", "list")
    run("book", "list")
    assert (time.monotonic() - begun) / 2 < 1
    modules = run("book", "list", PYTHONPROFILEIMPORTTIME="1")[2]
    assert "sqlite3" in modules
    for heavy in ("fastapi", "asyncio", "dataclasses", "inspect", "argparse"):
        assert f" {heavy}\n" not in modules


# -- HTTP


@contextmanager
def serving(source: Path, folder: Path) -> Iterator[httpx.Client]:
    """The server as a process of its own on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "book_shelf", "serve", "--port", str(port)],
        cwd=folder,
        env=surroundings(source),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _until_ready(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def _until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            assert client.get("/health").status_code == 200
            return
        except httpx.TransportError:
            NEVER.wait(0.02)
    raise AssertionError("the server was not ready in 30 s")


def test_the_server_answers_as_the_format_says(source: Path, tmp_path: Path) -> None:
    """Records, errors, preflights, and nothing lost in parallel."""
    # shows: F1
    with serving(source, tmp_path) as client:
        added = client.post("/books", json={"title": "Dune", "price": 7.5, "rating": 4.0})
        assert added.status_code == 201
        assert added.headers["location"] == f"{client.base_url}/books/1"
        assert added.json()["url"] == added.headers["location"]
        assert added.text.startswith('{"id":1,"title":"Dune","isbn":null,"pages":null,"price":"7.5","rating":4,')
        assert added.headers["access-control-allow-origin"] == "*"
        assert client.put("/books/1", json=added.json()).json() == added.json()

        wrong = client.patch("/books/1", json={"pages": True, "colour": "red", "status": "out"})
        assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
        assert [error["message"] for error in wrong.json()["errors"]] == [
            "pages must be a whole number (got true)",
            "status is changed only by its actions",
            "colour is not a field",
        ]
        assert client.post("/books", content="{", headers={"content-type": "application/json"}).status_code == 400
        assert client.post("/books", content="{}", headers={"content-type": "text/plain"}).status_code == 415
        refused = client.request("PATCH", "/books")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST, DELETE")
        assert client.get("/books/x").status_code == 404

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda number: client.post("/authors", json={"name": f"a{number}"}), range(64)))
        assert sorted(answer.json()["id"] for answer in answers) == list(range(1, 65))
        same = [{"title": "x", "isbn": "123"}] * 12
        with ThreadPoolExecutor(12) as threads:
            statuses = sorted(threads.map(lambda body: client.post("/books", json=body).status_code, same))
        assert statuses == [201] + [409] * 11

        listed = client.get("/books", params={"price_min": "7.50", "sort": "-title", "limit": 1})
        assert (listed.headers["x-total-count"], len(listed.json())) == ("1", 1)
        preflight = client.options("/books/1/lend")
        assert (preflight.status_code, preflight.headers["access-control-allow-methods"]) == (204, "POST")


def test_an_immutable_field_stays_over_http(source: Path, tmp_path: Path) -> None:
    """It may come back unchanged; absent in a PUT it stays, as secrets and moved fields do."""
    # shows: F1
    with serving(source, tmp_path) as client:
        client.post("/books", json={"title": "Dune", "code": "A", "pages": 3, "status": "out"})
        replaced = client.put("/books/1", json={"title": "Emma"}).json()
        assert (replaced["code"], replaced["pages"], replaced["status"]) == ("A", None, "out")
        assert client.put("/books/1", json={"title": "Emma", "code": "B"}).status_code == 422
        assert client.patch("/books/1", json={"code": "A", "pages": 4}).json()["pages"] == 4
        assert client.post("/books/1/lend", json={"due": "2027-01-01"}).status_code == 409
        assert client.request("DELETE", "/books").status_code == 204
        assert client.get("/books").json() == []
