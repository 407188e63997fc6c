"""The table of commands: what each prints, where, and with which exit status."""

from __future__ import annotations

import json

import pytest

from .product import SAMPLE_FIELDS, Desk


def test_add_show_list_edit_delete(sink: Desk):
    """The five commands in one day's use."""
    assert sink.run("note", "add", "--body", "one", "--size", "3").done().out == "added note 1\n"
    assert sink.run("note", "show", "1").done().out == "id: 1\nbody: one\nsize: 3\namount: -\nlabels: -\n"
    assert sink.run("note", "edit", "1", "--size", "4").done().out == "changed note 1\n"
    assert sink.run("note", "list").done().lines[0].split() == ["id", "body", "size", "amount", "labels"]
    assert sink.run("note", "delete", "1").done().out == "deleted note 1\n"
    assert sink.run("note", "list").done().out == "no notes\n"


def test_show_prints_fields_in_table_order(sink: Desk):
    """`id` first, then the table's order; no secret and no link."""
    sink.add("sample", "--title", "xx", "--password", "correct horse")
    names = [line.split(":")[0] for line in sink.run("sample", "show", "1").done().lines]
    assert names == SAMPLE_FIELDS


@pytest.mark.parametrize("command", [("show", "9"), ("edit", "9", "--body", "x"), ("delete", "9")])
def test_an_unknown_record_is_named(sink: Desk, command: tuple[str, ...]):
    """`no note 9`, exit status 1."""
    assert sink.fails("note", *command, status=1) == ["no note 9"]


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999999"])
def test_an_impossible_id_is_not_found(sink: Desk, number: str):
    """Also one that no database column can hold."""
    result = sink.run("note", "show", number)
    assert result.status in ({1} if not number.startswith("-") else {1, 2}), result
    assert result.out == ""
    assert result.err.startswith("sink: ")


def test_an_id_that_is_no_number_is_refused(sink: Desk):
    """Wrong usage or not found; in any case said, and nothing printed."""
    result = sink.run("note", "show", "abc")
    assert result.status in {1, 2}
    assert (result.out, result.err[:6]) == ("", "sink: ")


WRONG_USAGE: list[tuple[str, ...]] = [
    (),
    ("bogus",),
    ("note",),
    ("note", "bogus"),
    ("note", "show"),
    ("note", "add", "--body"),
    ("note", "add", "--bod", "x"),
    ("note", "add", "extra"),
    ("note", "edit", "1"),
    ("note", "edit"),
    ("note", "delete"),
    ("note", "list", "--bogus", "x"),
    ("note", "list", "--siz", "3"),
    ("note", "list", "--body-min", "x"),
    ("note", "list", "--sort", "bogus"),
    ("note", "list", "--sort", "-bogus"),
    ("note", "list", "--limit", "x"),
    ("note", "list", "--limit", "-1"),
    ("note", "list", "--offset", "x"),
    ("note", "list", "--offset", "-1"),
    ("note", "list", "--size", "x"),
    ("note", "list", "--size-min", "x"),
    ("note", "list", "--amount", "x"),
    ("note", "export"),
    ("note", "totals"),
    ("serve", "--port", "x"),
]


@pytest.mark.parametrize("argv", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_is_said_on_stderr_with_status_2(sink: Desk, argv: tuple[str, ...]):
    """Nothing on stdout, no traceback, nothing done."""
    sink.add("note", "--body", "one")
    result = sink.run(*argv)
    assert result.status == 2, result
    assert result.out == "", result
    assert result.err.strip(), result
    assert sink.records("note")[0]["body"] == "one"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("list", "--bogus", "x"), "bogus is not a field"),
        (("list", "--sort", "bogus"), "bogus is not a field"),
        (("list", "--size", "x"), "size must be a whole number (got x)"),
        (("list", "--amount", "1e5"), "amount must be a decimal (got 1e5)"),
        (("add", "--bogus", "x"), "bogus is not a field"),
        (("edit", "1", "--bogus", "x"), "bogus is not a field"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_unknown_fields_and_bad_values_have_their_message(sink: Desk, argv: tuple[str, ...], message: str):
    """Also for filters and sorting."""
    sink.add("note", "--body", "one")
    assert sink.fails("note", *argv, status=2) == [message]


@pytest.mark.parametrize("argv", [("--help",), ("note", "--help"), ("note", "add", "--help"), ("serve", "--help")])
def test_help_is_on_stdout(sink: Desk, argv: tuple[str, ...]):
    """And ends with status 0."""
    result = sink.run(*argv)
    assert result.status == 0
    assert "sink" in result.out
    assert result.err == ""


def test_json_is_indented_by_two_in_table_order_and_unescaped(sink: Desk):
    """On add, list, show and edit."""
    record = {"id": 1, "body": "Zoë ☃", "size": 3, "amount": "1.50", "labels": ["ä", "b"]}
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    words = ("--body", "Zoë ☃", "--size", "3", "--amount", "1.50", "--labels", "ä", "--labels", "b")
    assert sink.run("note", "add", *words, "--json").done().out == text
    assert sink.run("note", "show", "1", "--json").done().out == text
    assert sink.run("note", "edit", "1", "--size", "3", "--body", "Zoë ☃", "--json").done().out == text
    listed = json.dumps([record], indent=2, ensure_ascii=False) + "\n"
    assert sink.run("note", "list", "--json").done().out == listed
    assert sink.run("note", "list", "--json", "--size", "9").done().json == []


def test_json_leaves_out_secrets_and_links(sink: Desk):
    """Links need a host; secrets are never printed."""
    record = sink.run("sample", "add", "--title", "xx", "--json").done().json
    assert not {"url", "password", "pin"} & set(record)


def test_an_option_always_takes_the_next_word(sink: Desk):
    """Even one with a leading dash, even one that looks like an option."""
    sink.add("note", "--body", "--json", "--size", "-3", "--labels", "-a", "--labels", "--labels")
    assert sink.record("note", 1) == {
        "id": 1,
        "body": "--json",
        "size": -3,
        "amount": None,
        "labels": ["-a", "--labels"],
    }
    sink.run("note", "edit", "1", "--body", "--help").done()
    assert sink.record("note", 1)["body"] == "--help"
    assert sink.ids("note", "--search", "--HELP") == [1]


def test_ids_start_at_1_and_are_never_used_twice(sink: Desk):
    """Not after deleting the last, not after deleting all; a refused add uses none."""
    assert [sink.add("vet", "--name", name) for name in "abc"] == [1, 2, 3]
    sink.run("vet", "delete", "3").done()
    sink.fails("vet", "add", status=2)
    assert sink.add("vet", "--name", "d") == 4
    for number in ("1", "2", "4"):
        sink.run("vet", "delete", number).done()
    assert sink.add("vet", "--name", "e") == 5
    sink.add("account", "--email", "a", "--password", "p")
    sink.fails("account", "add", "--email", "A", "--password", "p", status=1)
    assert sink.add("account", "--email", "b", "--password", "p") == 2


def test_the_database_is_named_by_the_environment_or_lies_in_the_working_directory(lend_desk: Desk):
    """`LEND_DESK_DB`, default `lend-desk.db`."""
    lend_desk.add("region", "--name", "North")
    assert lend_desk.database.read_bytes().startswith(b"SQLite format 3\0")
    assert not (lend_desk.folder / "lend-desk.db").exists()
    assert lend_desk.run("region", "list", LEND_DESK_DB="other.sqlite").out == "no realms\n"
    assert lend_desk.run("region", "add", "--name", "South", LEND_DESK_DB="other.sqlite").out == "added region 1\n"
    assert (lend_desk.folder / "other.sqlite").exists()


def test_the_default_database_is_named_after_the_program(plain: Desk):
    """`plain.db` in the working directory, where no environment names another."""
    stem = plain.folder / "bare"
    pid = plain.product.start(plain.product.commands, ("thing", "add", "--name", "Ball"), plain.folder, stem)
    assert plain.product.commands.wait(pid) == 0
    assert (plain.folder / "plain.db").read_bytes().startswith(b"SQLite format 3\0")


def test_a_program_without_http_has_no_server(plain: Desk):
    """`serve` exists only if http is listed."""
    result = plain.run("serve", "--port", "1")
    assert (result.status, result.out) == (2, "")
    assert "serve" not in plain.run("--help").out
    assert not any("fastapi" in path.read_text(encoding="utf-8") for path in (plain.product.root / "src").rglob("*.py"))


def test_a_program_works_in_a_plain_c_locale(sink: Desk):
    """Text is Unicode end to end, whatever the locale says."""
    assert sink.run("note", "add", "--body", "Zoë ☃", LANG="C", LC_ALL="C").done().out == "added note 1\n"
    assert sink.record("note", 1)["body"] == "Zoë ☃"


def test_a_word_that_is_no_utf8_is_refused(sink: Desk):
    """No half-readable text gets into the database."""
    result = sink.run("note", "add", "--body", b"caf\xe9")
    assert result.status != 0
    assert result.err.startswith("sink: ")
    assert sink.run("note", "list").out == "no notes\n"


def test_a_database_that_cannot_be_opened_is_said(sink: Desk):
    """A directory in its place, or a file that is no database."""
    sink.write("junk.sqlite", b"This is not a database, it only has its name." * 100)
    for name in (str(sink.folder), "junk.sqlite", "no/such/folder/x.sqlite"):
        result = sink.run("note", "list", SINK_DB=name)
        assert result.status != 0
        assert result.out == ""
        assert result.err.startswith("sink: "), result
