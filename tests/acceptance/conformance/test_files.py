"""Export and import: CSV and JSON."""

from __future__ import annotations

import csv
import io
import json

import pytest

from .product import Desk

TRICKY = 'Line one\nLine "two", with; commas\r\n\tand =SUM(A1) ☃'
FULL = (
    "--title", "é,\"x\"", "--code", "007", "--pages", "12", "--big", "-9223372036854775808", "--rating", "4.5",
    "--price", "7.50", "--cost", "-0.10", "--read", "true", "--flag", "false", "--shelf", "alpha",
    "--published", "2027-01-01", "--starts", "2027-03-01T09:00:00Z", "--tags", "a,b", "--tags", 'c"d', "--tags", "ü",
    "--amounts", "1.50", "--days", "2027-01-01", "--steps", "up", "--switches", "true", "--origin", "Oslo",
)  # fmt: skip
OWN = ("id", "created_at", "updated_at")


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_what_was_exported_comes_in_again_without_loss(sink: Desk, suffix: str):
    """Every type; missing stays missing, digits stay digits. New ids, nothing else changes."""
    sink.add("sample", *FULL)
    sink.add("sample", "--title", "yy")
    for field in ("marks", "price", "shelf", "best_before"):
        sink.run("sample", "edit", "2", "--clear", field).done()
    assert sink.run("sample", "export", f"out.{suffix}").done().out == "exported 2 samples\n"
    assert sink.run("sample", "import", f"out.{suffix}", SINK_DB="copy.sqlite").done().out == "imported 2 samples\n"
    copied = sink.run("sample", "list", "--json", SINK_DB="copy.sqlite").done().json
    for old, new in zip(sink.records("sample"), copied, strict=True):
        assert {k: v for k, v in old.items() if k not in OWN} == {k: v for k, v in new.items() if k not in OWN}


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_text_survives_both_ways(sink: Desk, suffix: str):
    """Newlines, quotes, tabs, leading equals signs."""
    sink.add("note", "--body", TRICKY, "--labels", "a\nb")
    sink.run("note", "export", f"out.{suffix}").done()
    assert sink.run("note", "import", f"out.{suffix}").done().out == "imported 1 note\n"
    assert sink.record("note", 2) == sink.record("note", 1) | {"id": 2}


def test_the_form_of_csv(sink: Desk):
    """UTF-8 with a header; refs as ids; missing empty; lists as a JSON array in the cell."""
    sink.add("vet", "--name", "Zoë")
    sink.add("visit", "--at", "2027-03-01T10:00:00+01:00", "--vet", "1")
    sink.add("note", "--size", "3", "--labels", "a,b", "--labels", "ü")
    sink.run("visit", "export", "visits.csv").done()
    sink.run("note", "export", "notes.csv").done()
    visits = list(csv.reader(io.StringIO((sink.folder / "visits.csv").read_text(encoding="utf-8"), newline="")))
    assert visits == [["id", "at", "vet", "room", "bed"], ["1", "2027-03-01T09:00:00Z", "1", "", ""]]
    header, row = csv.reader(io.StringIO((sink.folder / "notes.csv").read_text(encoding="utf-8"), newline=""))
    assert header == ["id", "body", "size", "amount", "labels"]
    assert row[:4] == ["1", "", "3", ""]
    assert json.loads(row[4]) == ["a,b", "ü"]


def test_the_form_of_json(sink: Desk):
    """An array of the records."""
    sink.add("note", "--body", "ü", "--amount", "1.50")
    assert sink.run("note", "export", "out.json").done().out == "exported 1 note\n"
    text = (sink.folder / "out.json").read_text(encoding="utf-8")
    assert json.loads(text) == [{"id": 1, "body": "ü", "size": None, "amount": "1.50", "labels": []}]


def test_exporting_nothing(sink: Desk):
    """`exported 0 notes`; what was written can be imported."""
    for suffix in ("csv", "json"):
        assert sink.run("note", "export", f"none.{suffix}").done().out == "exported 0 notes\n"
        assert sink.run("note", "import", f"none.{suffix}").done().out == "imported 0 notes\n"


def test_import_ignores_ids_automatic_and_computed_columns(sink: Desk):
    """New records are added after those that are there."""
    sink.add("sample", "--title", "xx")
    sink.write("in.csv", "url,id,title,created_at\nhttp://x/,1,yy,2001-01-01T00:00:00Z\nhttp://y/,77,zz,nonsense\n")
    assert sink.run("sample", "import", "in.csv").done().out == "imported 2 samples\n"
    assert [(r["id"], r["title"]) for r in sink.records("sample")] == [(1, "xx"), (2, "yy"), (3, "zz")]
    assert not sink.record("sample", 2)["created_at"].startswith("2001")


def test_absent_columns_get_their_default(sink: Desk):
    """As on add."""
    sink.write("in.csv", "title\nyy\n")
    sink.run("sample", "import", "in.csv").done()
    record = sink.record("sample", 1)
    assert (record["price"], record["shelf"], record["marks"]) == ("0", "beta", [1, 2])


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfbody,size\r\none,1\r\ntwo,2\r\n",
        b"body,size\none,1\ntwo,2",
        b"size,body\n1,one\n2,two\n",
        b'"body","size"\r\n"one","1"\r\n"two","2"\r\n',
    ],
    ids=["with a byte order mark", "no newline at the end", "columns in another order", "all quoted"],
)
def test_csv_from_elsewhere_is_read(sink: Desk, raw: bytes):
    """What spreadsheets write."""
    sink.write("in.csv", raw)
    assert sink.run("note", "import", "in.csv").done().out == "imported 2 notes\n"
    assert [(record["body"], record["size"]) for record in sink.records("note")] == [("one", 1), ("two", 2)]


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        ("in.csv", "body,size\none,1\ntwo,2\nthree,x\n", ["line 4: size must be a whole number (got x)"]),
        ("in.csv", "body,size\n\"a\nb\nc\",1\ntwo,x\n", ["line 5: size must be a whole number (got x)"]),
        ("in.csv", "body,size\n\"a\nb\",x\n", ["line 2: size must be a whole number (got x)"]),
        ("in.csv", "body,size,amount\none,x,y\n", [
            "line 2: size must be a whole number (got x)", "line 2: amount must be a decimal (got y)"]),
        ("in.json", '[{"size": 1}, {"size": 2}, {"size": 3}, {"size": "x"}]',
         ["record 4: size must be a whole number (got x)"]),
        ("in.json", '[{"size": 1, "bogus": 2}]', ["record 1: bogus is not a field"]),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_and_nothing_is_imported(sink: Desk, name: str, content: str, problems: list[str]):
    """Physical lines, the header is 1; exit status 1; no id is used."""
    sink.write(name, content)
    assert sink.fails("note", "import", name, status=1) == problems
    assert sink.run("note", "list").out == "no notes\n"
    assert sink.add("note", "--body", "next") == 1


def test_every_bad_row_is_told(sink: Desk):
    """Every problem on a line of its own."""
    sink.write("in.csv", "body,size\none,x\ntwo,2\nthree,y\n")
    problems = sink.fails("note", "import", "in.csv", status=1)
    assert problems[0] == "line 2: size must be a whole number (got x)"
    assert problems[1:] in ([], ["line 4: size must be a whole number (got y)"])
    assert len(problems) == 2


@pytest.mark.parametrize(
    "content",
    [
        "code,title\n111,aa\n222,bb\n111,cc\n",
        "code,title\n333,aa\n222,bb\n999,cc\n",
    ],
    ids=["twice in the file", "already stored"],
)
def test_a_conflict_inside_a_file_imports_nothing(sink: Desk, content: str):
    """Its line is named."""
    sink.add("sample", "--title", "xx", "--code", "999")
    sink.write("in.csv", content)
    problems = sink.fails("sample", "import", "in.csv", status=1)
    assert len(problems) == 1
    assert problems[0].startswith("line 4: code ")
    assert sink.ids("sample") == [1]
    assert sink.add("sample", "--title", "yy") == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", "body,colour\none,red\n"),
        ("in.csv", "body,size\none\n"),
        ("in.csv", "body,size\none,1,2\n"),
        ("in.csv", "body,body\none,two\n"),
        ("in.csv", b"body\ncaf\xe9\n"),
        ("in.csv", "body,labels\none,not a list\n"),
        ("in.csv", 'body,labels\none,"[1]"\n'),
        ("in.csv", 'body,labels\none,"{}"\n'),
        ("in.csv", 'body\n"never closed\n'),
        ("in.csv", ""),
        ("in.json", ""),
        ("in.json", "{"),
        ("in.json", "{}"),
        ("in.json", "[1]"),
        ("in.json", "[null]"),
        ("in.json", '[{"size": NaN}]'),
        ("in.json", b'["\xff"]'),
        ("in.json", "[" * 100_000),
        ("in.json", '[{"body": "\\ud800"}]'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_file_that_is_wrong_altogether_is_refused(sink: Desk, name: str, content: str | bytes):
    """Said in the product's own words; nothing is imported."""
    sink.write(name, content)
    result = sink.run("note", "import", name)
    assert result.status in {1, 2}, result
    assert (result.out, result.err[:6]) == ("", "sink: ")
    assert sink.run("note", "list").out == "no notes\n"


@pytest.mark.parametrize("verb", ["import", "export"])
@pytest.mark.parametrize("name", ["missing/in.csv", "in.txt", "in"])
def test_a_file_that_cannot_be_used_is_refused(sink: Desk, verb: str, name: str):
    """A missing folder, an unknown kind of file."""
    result = sink.run("note", verb, name)
    assert result.status in {1, 2}
    assert (result.out, result.err[:6]) == ("", "sink: ")


def test_refs_in_a_file_must_exist(sink: Desk):
    """As ids."""
    sink.add("vet", "--name", "Ada")
    sink.write("in.csv", "at,vet\n2027-03-01T09:00:00Z,1\n2027-03-01T10:00:00Z,9\n")
    assert sink.fails("visit", "import", "in.csv", status=1) == [
        "line 3: vet must be the id of an existing vet (got 9)"
    ]


def test_a_required_secret_cannot_be_imported_from_an_export(sink: Desk):
    """It was never exported, so it is missing, and that is said."""
    sink.add("account", "--email", "a", "--password", "p")
    sink.run("account", "export", "out.csv").done()
    result = sink.run("account", "import", "out.csv", SINK_DB="copy.sqlite")
    assert (result.status, result.err) == (1, "sink: line 2: password is required\n")
