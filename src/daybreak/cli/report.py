"""`daybreak report`: what needs a decision, what was verified, what failed; every line with its evidence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daybreak.home import Home
    from daybreak.ledger.note import Verifier
    from daybreak.ledger.record import Record
    from daybreak.report.morning import Morning, Source
    from daybreak.report.morning.checking import Checked

EXAMPLES = (
    "Examples:  daybreak report    daybreak report --since 22:00    daybreak report --night --html morning.html    "
    "daybreak report run-0k3    daybreak report check morning.html"
)
SHOW = "show"


class _Report(TyperGroup):
    """`report` alone, with options or with a run, is `report show`."""

    usual = SHOW
    """What is meant where none of the commands is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names = ("-h", "--help", *self.commands)
        found = super().parse_args(ctx, args if args and args[0] in names else [self.usual, *args])
        return list(found)


app = typer.Typer(cls=_Report, help="What was done, what was shown, what needs a decision.", epilog=EXAMPLES)


class PageTaken(UsageError):
    """There is a file that is no report of ours."""

    code = "U303"


class AddressWrong(UsageError):
    """An address at which no browser finds anything."""

    code = "U304"


@app.command(SHOW, epilog=EXAMPLES)
def report(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run, or the beginning of its name; with --night the name of a night."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown document.")] = False,
    night: Annotated[
        bool, typer.Option("--night", help="On the newest night, or on the one that is named instead of a run.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From then on: 22:00, -12h, 2026-11-21T22:00Z.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="As one page that can be handed on.", parser=arguments.path),
    ] = None,
    address: Annotated[
        str, typer.Option("--address", metavar="URL", help="Of the dashboard, to which the page then links.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="With --html: over a file that is no report.")] = False,
    as_json: Json = False,
) -> None:
    """The morning report, or with RUN all that is known of one run.

    Without a word: from the begin of the newest night on, if it ended within a day; else since the last report that was
    handed out as a page, a day at most. Numbers behind # are places in a stream: `daybreak ledger show RUN` has them.
    """
    _refuse_unclear(run, night, since, html, address, force, markdown=markdown, as_json=as_json)
    if run is not None and not night:
        _of_run(run, markdown=markdown, as_json=as_json)
        return
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.home import moments, mornings
    from daybreak.report import morning
    from daybreak.report.morning.deriving import derive

    now = SystemClock().now()
    begin = None if since is None else moments.past_moment(since, now)
    with home.opened(looking=True) as opened:
        source, records = mornings.gather(
            opened, now, since=begin, night=(run or "") if night else None, address=address
        )
        told = derive(source)
        if html is not None:
            write_page(opened, source, records, told, html, force=force)
            faces.say(f"{html}: check it anywhere with `daybreak report check {html}`")
            return
    if as_json:
        faces.result_json(morning.as_json(told))
    elif markdown:
        faces.result(morning.markdown.render(told).rstrip("\n"))
    else:
        faces.result(morning.text.render(told).rstrip("\n"))


def _refuse_unclear(
    run: str | None,
    night: bool,
    since: str | None,
    html: Path | None,
    address: str,
    force: bool,
    *,
    markdown: bool,
    as_json: bool,
) -> None:
    """Raises ArgumentWrong, AddressWrong."""
    if night and since is not None:
        raise ArgumentWrong("--night and --since were given", hint="give one of the two")
    if run is not None and not night and (since is not None or html is not None):
        raise ArgumentWrong("--since and --html are for the morning report", hint="leave RUN away, or say --night")
    if (html is not None) + markdown + as_json > 1:
        raise ArgumentWrong("a report has one form", hint="give one of --html, --markdown and --json")
    if html is None and (address or force):
        raise ArgumentWrong("--address and --force are for a page", hint="say --html FILE too")
    if address and not (address.startswith(("http://", "https://")) and address.isprintable() and " " not in address):
        raise AddressWrong(f"{arguments.cut(address)} is no address", hint="write http://127.0.0.1:8765")


def _of_run(run: str, *, markdown: bool, as_json: bool) -> None:
    """All that is known of one run, with each look of each check."""
    from daybreak import events, home
    from daybreak.home import marks
    from daybreak.report import marks as marking
    from daybreak.report import render
    from daybreak.report.run import collect

    with home.opened(looking=True) as opened:
        picked = home.pick_run(opened, run)
        records = [*opened.records(picked), *opened.ledger.read(events.control_stream(picked))]
        seen = marks.look(opened)
    collected, last = collect(records), max(record.index for record in records)
    told = marking.lines(seen, last)
    if as_json:
        plain = {**collected.model_dump(mode="json"), "next_steps": collected.next_steps}
        faces.result_json({**plain, "marks": marking.as_json(seen, last)})
    elif markdown:
        faces.result(render.to_markdown(collected, told))
    else:
        render.to_terminal(collected, faces.console())
        for line in told:
            faces.result(line)


def write_page(
    opened: Home, source: Source, records: Mapping[int, Record], told: Morning, path: Path, *, force: bool = False
) -> None:
    """The report as a page with its proof, whole at any moment. Raises PageTaken, FilesError."""
    import os

    from daybreak import ids
    from daybreak.clock import SystemClock
    from daybreak.host.files import write_file
    from daybreak.report import morning
    from daybreak.report.morning import checking, proofs

    if path.is_dir() or (not force and path.exists() and not checking.is_ours(path.read_bytes()[:100_000])):
        raise PageTaken(f"{path} is there already and is no report", hint="name another file, or say --force")
    name = ids.new("report", SystemClock().now(), os.urandom)
    facts, proof = proofs.embed(opened.ledger, source, records, report=name)
    write_file(path, morning.html.render(told, facts, proof).encode("utf-8", "backslashreplace"))


@app.command("check", epilog="Example:  daybreak report check morning.html --key ledger.vkey")
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A page that was made with --html; `-` reads it.")],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="The ledger's verification key, as text or a file.", show_default="this home's"),
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option("--head", help="A checkpoint that you know from elsewhere. Repeatable.")
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Also look again at what was delivered, where it lies.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Is a saved report what the ledger says, word for word? Needs the file and the key, no ledger and no network.

    Exit status: 0 true, 1 changed, or what was delivered is no longer what was verified.
    """
    from daybreak.cli.prove import read_file, read_text
    from daybreak.report.morning import checking

    page = sys.stdin.buffer.read(checking.FILE_MAX + 1) if file == "-" else b""
    page = page or read_file(arguments.path(file), checking.FILE_MAX + 1, "the report")
    keys, whose = _keys(page, key or [])
    told = checking.check(page, keys, [read_text(arguments.path(path), "the head") for path in head or []])
    again = _again(told) if rerun else []
    if as_json:
        faces.result_json(_checked_as_json(file, told, whose, again, rerun=rerun))
    else:
        _tell_checked(file, told, whose, again, rerun=rerun)
    if any(not one["same"] for one in again):
        raise typer.Exit(faces.EXIT_FAILED)


def _keys(page: bytes, given: list[str]) -> tuple[list[Verifier], str]:
    """By which keys it is checked, and whose they are: given, this home's, or the page's own."""
    from daybreak import home
    from daybreak.cli.check import read_key
    from daybreak.ledger import Verifier, keyfile
    from daybreak.report.morning import checking

    if given:
        return [read_key(one) for one in given], "given"
    where = home.places().keys
    if (where / keyfile.PUBLIC).exists():
        return [keyfile.with_history(where, keyfile.load_verifier(where))], "home"
    return [Verifier.parse(checking.key_of(page))], "page"


def _again(told: Checked) -> list[dict[str, Any]]:
    """Is what was verified still where it was put, unchanged? Of each result that says where it lies."""
    from daybreak.errors import DaybreakError
    from daybreak.factory import deliver

    found = []
    for one in (*told.report.verified, *told.report.claimed):
        target = Path(one.output)
        if not one.output or not target.is_absolute():
            continue
        if not target.is_dir():
            found.append({"run": one.run, "output": one.output, "same": False, "why": "it is not there"})
            continue
        try:
            differs = deliver.changes(target)
            import hashlib

            manifest = hashlib.sha256((target / deliver.MANIFEST).read_bytes()).hexdigest()
            why = "; ".join(differs[:5])
            if not differs and one.manifest and manifest != one.manifest:
                why = f"its manifest is that of another delivery, of run {deliver.run_at(target) or '?'}"
        except DaybreakError as error:
            why = f"{error.code} {error.message}"
        found.append({"run": one.run, "output": one.output, "same": not why, "why": why})
    return found


def _tell_checked(file: str, told: Checked, whose: str, again: list[dict[str, Any]], *, rerun: bool) -> None:
    faces.result(f"{file}: true, word for word; signed by the key {told.key_id} of {told.checkpoint.origin}")
    faces.result(f"checkpoint  {told.checkpoint.size:,} events, root {told.checkpoint.root.hex()}")
    faces.result(f"stands on   {told.events:,} events, {told.whole:,} of them whole in the page")
    faces.result(f"it says     {told.report.sentence}")
    if told.heads:
        faces.result(f"agrees      with {told.heads} known from elsewhere")
    for one in again:
        state = "unchanged where it was delivered" if one["same"] else f"NOT as it was verified: {one['why']}"
        faces.result(f"again       {one['run']}: {one['output']}: {state}")
    if rerun and not again:
        faces.result("again       nothing in it was delivered to a folder")
    if whose == "page":
        faces.say(f"no key was given and there is no home here: the page's own key was believed: {told.key}")
        faces.say("that shows that nobody changed it since, not who made it: --key compares with the key that you know")


def _checked_as_json(
    file: str, told: Checked, whose: str, again: list[dict[str, Any]], *, rerun: bool
) -> dict[str, Any]:
    from daybreak.report import morning

    return {
        "file": file,
        "ok": True,
        "origin": told.checkpoint.origin,
        "key": told.key_id,
        "key_from": whose,
        "checkpoint": {"size": told.checkpoint.size, "root": told.checkpoint.root.hex()},
        "events": told.events,
        "whole": told.whole,
        "again": again if rerun else None,
        "report": morning.as_json(told.report),
    }
