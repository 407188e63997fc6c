"""What candidates are asked, and what is written down of their answers."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daybreak.agents.entities import Field, Type
from daybreak.checks.product import Product, make_prefix, write_program
from daybreak.factory.consensus import Ask, Candidate, Probe, cross, observe, probes
from daybreak.factory.consensus.edges import edges, fresh
from daybreak.factory.consensus.normal import Normal
from daybreak.factory.consensus.observing import NotObserved
from daybreak.factory.consensus.touching import Touching
from daybreak.factory.spec import Specification, read_text

LIBRARY = Path(__file__).parents[2] / "examples" / "library" / "spec.md"
HASH = "ab" * 32


@pytest.fixture(scope="module")
def library() -> Specification:
    return read_text(LIBRARY.read_text(), name="spec.md", format="md")


# -- probes


def test_the_same_seed_asks_the_same(library: Specification) -> None:
    """Every candidate hears the same words, today and after a crash; another seed walks another way."""
    # shows: F7
    first = probes(library, 1, 200)
    assert first == probes(library, 1, 200)
    assert len({probe.id for probe in first}) == len(first) > 40
    other = {probe.id for probe in probes(library, 2, 200)}
    assert other != {probe.id for probe in first}
    assert len(other & {probe.id for probe in first}) > 20


def test_the_first_probes_speak_of_everything(library: Specification) -> None:
    """With few probes each entity is spoken to in each way before anything is deepened."""
    few = probes(library, 1, 6)
    assert {(probe.face, probe.title) for probe in few} == {
        (face, f"{entity}: its life") for face in ("http", "console") for entity in ("Member", "Book", "Loan")
    }
    assert probes(library, 1, 0) == ()


def test_every_ask_can_be_said_and_names_what_it_tries(library: Specification) -> None:
    """Commands are of the product (or look at its files), requests have a method and a path; nothing is empty."""
    numbers = {requirement.id for requirement in library.requirements}
    for probe in probes(library, 1, 500):
        assert probe.asks
        for ask in probe.asks:
            words = shlex.split(ask.line)
            if probe.face == "console":
                assert words[0] in ("library", "cat", "printf")
            else:
                assert words[0] in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
                assert words[1].startswith("/")
            assert ask.about
            assert set(ask.requirements) <= numbers


def test_limits_conflicts_questions_and_deletes_are_tried(library: Specification) -> None:
    """Just inside and outside of each limit, twice the same, sorting and filtering, wrong states, what others need."""
    # shows: F7
    about = {ask.about for probe in probes(library, 1, 500) for ask in probe.asks}
    assert {
        *("Book.pages: its least", "Book.pages: just beyond its least", "Loan.extensions: just beyond its greatest"),
        *("Member.email: somebody's in another case", "Book: add the same again", "Book.isbn: edit into somebody's"),
        *("Book.pages: sorted down", "Book.shelf: those with", "Book.rating: from a value on", "Book.title: search"),
        *("Book: lend", "Loan: extend without what it asks for", "Loan.due: the same as lent_on"),
        *("Book: delete what others refer to", "Book: export csv", "Book: malformed JSON", "Member: limit 2, offset 1"),
    } <= about


STAMPED = """\
---
name: desk
interfaces: [http]
---
# Desk

Calls that somebody answers.

## Objectives
- answer calls

## Requirements

### Functional Requirements
- **FR-001**: System MUST keep calls and close them

### Key Entities

#### Call

| field | type | rules |
|---|---|---|
| text | text | required |
| closed_at | timestamp | |
| created_at | timestamp | automatic |
| state | choice: open, closed | default open |

Actions:
- `close`: state open -> closed; set closed_at now

## Acceptance

### FR-001 calls
```http
GET /calls

200
[]
```
"""


def test_nobody_is_asked_for_an_order_that_is_chance() -> None:
    """Two things done in one second stand in another order than the same two on both sides of its end: a right program
    would be another one now and then. What was given, not stamped, is asked for in every order."""
    # shows: F7
    spec = read_text(STAMPED, name="spec.md", format="md")
    for seed in range(20):
        for probe in probes(spec, seed, 200):
            lines = [ask.line for ask in probe.asks]
            assert not any("sort=-created_at" in line for line in lines)
            done = any("/close" in line for line in lines)
            assert not (done and any("sort=closed_at" in line or "sort=-closed_at" in line for line in lines))
    asked = {ask.line for probe in probes(spec, 1, 200) for ask in probe.asks}
    assert {"GET /calls?sort=created_at", "GET /calls?sort=-closed_at", "GET /calls?sort=-text"} <= asked


@pytest.mark.parametrize(
    ("field", "inside", "outside"),
    [
        (Field(name="f", type=Type(name="text"), min="2", max="5"), "xx", "x"),
        (Field(name="f", type=Type(name="integer"), min="1", max="9"), 9, 10),
        (Field(name="f", type=Type(name="decimal"), min="0.5"), "0.5", "0.49"),
        (Field(name="f", type=Type(name="number"), max="5"), 5.0, 5.25),
        (Field(name="f", type=Type(name="date"), max="2027-03-31"), "2027-03-31", "2027-04-01"),
        (Field(name="f", type=Type(name="choice", choices=("in", "out"))), "out", "inx"),
        (Field(name="f", type=Type(name="boolean")), True, "yes"),
        (Field(name="f", type=Type(name="ref", target="Book")), "1", 999),
        (Field(name="f", type=Type(name="list", of=Type(name="integer"))), [], [None]),
    ],
)
def test_edges_lie_on_both_sides(field: Field, inside: object, outside: object) -> None:
    """Of every type, values that fit and values that do not."""
    values = [value for _, value in edges(field, None)]
    assert inside in values
    assert outside in values


def test_fresh_values_fit_and_differ() -> None:
    """What has to be unique gets another value; where none can be made up, the same."""
    isbn = Field(name="isbn", type=Type(name="text"), pattern=r"\d{13}")
    made = {fresh(isbn, "1" * 13, number) for number in range(1, 5)}
    assert len(made) == 4
    assert all(len(one) == 13 and one.isdigit() for one in made)
    assert fresh(Field(name="a", type=Type(name="integer"), max="3"), 3, 1) == 3
    assert fresh(Field(name="a", type=Type(name="date")), "2027-03-01", 1) == "2027-09-18"


def test_an_input_names_the_requirements_that_share_its_words(library: Specification) -> None:
    """A hint by words: of this entity, and of what is done to it."""
    touching = Touching(library)
    entity = {one.name: one for one in library.entities}
    assert touching.ids(entity["Loan"], ["extend"]) == ("FR-007",)
    assert touching.ids(entity["Book"], ["conflict"], "isbn") == ("FR-002",)
    assert touching.ids(entity["Book"], ["totals"]) == ("FR-009",)


# -- answers without the moment

BEGAN = datetime(2026, 11, 21, 23, 59, 58, tzinfo=UTC)
ENDED = BEGAN + timedelta(seconds=5)


def normal(*said: str) -> Normal:
    return Normal(Probe.of("console", "t", tuple(Ask(line=one) for one in said or ("say",))), BEGAN, ENDED)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("created_at: 2026-11-21T23:59:59Z", "created_at: <now>Tdd:dd:ddZ"),
        ("created_at: 2026-11-22T00:00:01Z", "created_at: <now>Tdd:dd:ddZ"),
        ("created_at: 2026-11-21 23:59:59", "created_at: <now> dd:dd:dd"),
        ("created_at: 2026-11-22T01:59:59Z", "created_at: 2026-11-22T01:59:59Z"),
        ("created_at: 1970-01-01T00:00:00Z", "created_at: 1970-01-01T00:00:00Z"),
        ("due 2026-11-22, 2026-11-23", "due <today>, 2026-11-23"),
        ("2026-11  3 books", "<this month>  3 books"),
        ("see http://127.0.0.1:40123/books/1", "see http://<host>/books/1"),
        ("isbn 9780441172719", "isbn 9780441172719"),
        ("2026-11-21T99:99:99Z", "2026-11-21T99:99:99Z"),
    ],
)
def test_only_the_moment_and_the_port_are_taken_out(told: str, kept: str) -> None:
    """A time that is not now is behaviour, and so is how a time is written."""
    assert normal().text(told) == kept


def test_what_was_said_to_the_program_stays() -> None:
    """A date of today that the probe itself gives is no moment."""
    assert normal("add --due 2026-11-22").text("due: 2026-11-22") == "due: 2026-11-22"


def test_bodies_are_compared_by_value_and_refusals_by_their_fields() -> None:
    """Order of keys and 1.0 for 1 make no difference; the wording of a title makes none, a message does."""
    one = normal()
    assert one.body('{"b": 1.0, "a": [2]}', refusal=False) == one.body('{"a": [2.0], "b": 1}', refusal=False)
    assert one.body('{"a": "1"}', refusal=False) != one.body('{"a": 1}', refusal=False)
    refusals = [json.dumps({"title": "No", "errors": [{"field": "a", "message": text}]}) for text in ("x", "y")]
    assert one.body(refusals[0], refusal=True) != one.body(refusals[1], refusal=True)
    assert one.body(refusals[0], refusal=True) == one.body(refusals[0].replace("No", "Never"), refusal=True)
    assert one.body("[NaN, 1e999]" + "[" * 5000, refusal=False)
    sessions = [json.dumps({"user": {"name": "a", "token": letter * 43}}) for letter in "xy"]
    assert one.body(sessions[0], refusal=False) == one.body(sessions[1], refusal=False)
    assert one.body('{"token": "x"}', refusal=False) != one.body('{"token": "y"}', refusal=False)
    headers = [("Date", "now"), ("Allow", "PUT, GET"), ("Content-Type", "application/json; charset=utf-8")]
    assert one.headers(headers) == ["allow: GET, PUT", "content-type: application/json"]


# -- observing

NOTES = """\
#!/bin/sh
case "$1" in
  add) echo "$2" >> notes; echo "added note $(wc -l < notes)" ;;
  list) cat notes ;;
  now) date -u +%Y-%m-%dT%H:%M:%SZ ;;
  odd) echo "notes: $$" >&2; exit 2 ;;
  *) echo "notes: no command $1" >&2; exit 2 ;;
esac
"""
SERVER = """\
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        who = self.headers["Authorization"]
        told = {"path": self.path, "host": self.headers["Host"]}
        body = json.dumps({**told, "token": "secret of a session"} if "login" in self.path else told).encode()
        body = b'"known"' if who == "Bearer secret of a session" else body
        self.send_response(200 if "no" not in self.path else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Odd", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *rest):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def product(tmp_path: Path) -> Product:
    make_prefix(tmp_path / "prefix")
    write_program(tmp_path / "prefix" / "bin" / "notes", NOTES)
    (tmp_path / "prefix" / "lib" / "server.py").write_text(SERVER)
    (tmp_path / "tree").mkdir()
    return Product(name="notes", workspace=HASH, tree=tmp_path / "tree", prefix=tmp_path / "prefix")


def test_a_console_probe_is_written_down(product: Product, tmp_path: Path) -> None:
    """Standard output, standard error and status of each command, from an empty start, the same each time."""
    # shows: F7
    asks = [
        *(Ask(line="notes add 'a b'"), Ask(line="notes list"), Ask(line="notes what"), Ask(line="notes now")),
        Ask(line="notes odd", exact=False),
    ]
    probe = Probe.of("console", "all", tuple(asks))
    seen, again = (
        observe(product, probe, tmp_path, candidate="a", workspace=HASH, serve="", asked=asked) for asked in (1, 2)
    )
    assert seen.answers == (
        "exit 0\nadded note 1\n\x1e",
        "exit 0\na b\n\x1e",
        "exit 2\n\x1e\nnotes: no command what",
        "exit 0\n<now>Tdd:dd:ddZ\n\x1e",
        "exit 2",
    )
    assert seen.digest == again.digest
    assert (seen.asked, again.asked) == (1, 2)


def test_an_http_probe_is_written_down(product: Product, tmp_path: Path) -> None:
    """Status, the headers that the specification speaks of, and the body; a server that never comes up is silent."""
    # shows: F7
    asks = [
        *(Ask(line="GET /books?q=a b", bearer="me"), Ask(line="GET /no", exact=False)),
        *(Ask(line="GET /login", keeps="me"), Ask(line="GET /books", bearer="me")),
    ]
    probe = Probe.of("http", "all", tuple(asks))
    serve = f"{sys.executable} {product.library / 'server.py'} {{port}}"
    seen = observe(product, probe, tmp_path, candidate="a", workspace=HASH, serve=serve)
    body = '{"host": "<host>", "path": "/books?q=a%20b"}'
    ok = "200\ncontent-type: application/json\n"
    login = '{"host": "<host>", "path": "/login", "token": "<token>"}'
    assert seen.answers == (ok + body, "404, an object", ok + login, f'{ok}"known"')
    silent = observe(product, probe, tmp_path, candidate="a", workspace=HASH, serve="exit 3")
    assert silent.answers == ()
    assert silent.silent == "its server ended before it was ready"


def test_what_cannot_be_observed_is_no_observation(product: Product, tmp_path: Path) -> None:
    """Cancelled is not silent; what was not installed is."""
    probe = Probe.of("console", "all", (Ask(line="notes list"),))
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(NotObserved) as stopped:
        observe(product, probe, tmp_path, candidate="a", workspace=HASH, serve="", cancelled=cancelled)
    assert stopped.value.code == "C181"
    seen = observe(None, probe, tmp_path, candidate="a", workspace=HASH, serve="")
    assert seen.silent == "it could not be installed"


# -- crossing


def _tree(folder: Path, answer: int, tests: str) -> Path:
    (folder / "src" / "shelf").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "src" / "shelf" / "__init__.py").write_text(f"def count():\n    return {answer}\n")
    (folder / "tests" / "test_shelf.py").write_text(tests)
    return folder


def test_tests_run_on_the_program_of_another(tmp_path: Path) -> None:
    """The author's tests, the other's sources; where another interface is expected nothing is known."""
    # shows: F7
    mine = _tree(
        tmp_path / "a",
        1,
        "import shelf\n\n\ndef test_one():\n    assert shelf.count() == 1\n\n\n"
        "def test_any():\n    assert shelf.count() > 0\n",
    )
    other = _tree(tmp_path / "b", 2, "from shelf import stock\n\n\ndef test_it():\n    assert stock()\n")
    a, b = (Candidate(name=name, worker="w", workspace=HASH) for name in "ab")
    seen = cross(a, mine, b, other, tmp_path)
    assert seen.passed == ("tests/test_shelf.py::test_any",)
    assert seen.failed == ("tests/test_shelf.py::test_one",)
    back = cross(b, other, a, mine, tmp_path)
    assert back.why_not == "none of them could be collected there"
    assert sorted(path.name for path in (tmp_path / "b" / "tests").iterdir()) == ["test_shelf.py"]
