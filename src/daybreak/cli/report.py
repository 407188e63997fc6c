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
    from collections.abc import Mapping, Sequence

    from daybreak.home import Home
    from daybreak.home.rerunning import Again
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
        bool, typer.Option("--rerun", help="Also look again at what was delivered, where it lies on this machine.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Is a saved report what the ledger says, word for word? Needs the file and the key, no ledger and no network.

    Exit status: 0 true, 1 changed, or what was delivered is no longer what was verified, 3 whole, but by no key that is
    known here.
    """
    from daybreak.cli.prove import read_file, read_text
    from daybreak.home import rerunning
    from daybreak.report.morning import checking

    page = sys.stdin.buffer.read(checking.FILE_MAX + 1) if file == "-" else b""
    page = page or read_file(arguments.path(file), checking.FILE_MAX + 1, "the report")
    keys, whose = _keys(page, key or [])
    told = checking.check(page, keys, [read_text(arguments.path(path), "the head") for path in head or []])
    if rerun and whose == "page":
        raise ArgumentWrong(
            "--rerun looks only at what a known ledger says was delivered", hint="give its key with --key"
        )
    again = rerunning.look_again(told.report, told.checkpoint.origin) if rerun else []
    if as_json:
        faces.result_json(_checked_as_json(file, told, whose, again, rerun=rerun))
    else:
        _tell_checked(file, told, whose, again, rerun=rerun)
    if any(one.same is False for one in again):
        raise typer.Exit(faces.EXIT_FAILED)
    if whose == "page":
        raise typer.Exit(faces.EXIT_PARKED)


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


def _tell_checked(file: str, told: Checked, whose: str, again: Sequence[Again], *, rerun: bool) -> None:
    checkpoint = told.checkpoint
    if whose == "page":
        faces.result(f"{file}: whole; WHO MADE IT IS NOT SHOWN: anybody can make such a page under a key of his own")
        faces.result(f"key         the page's own was taken: {told.key}")
    else:
        faces.result(f"{file}: true, word for word; signed by the key {told.key_id} of {checkpoint.origin}")
    faces.result(f"checkpoint  {checkpoint.size:,} events, root {checkpoint.root.hex()}")
    faces.result(f"stands on   {told.events:,} events, {told.whole:,} of them whole in the page")
    faces.result(f"made        {told.report.made}, about {told.report.since} to {told.report.until}")
    faces.result(f"it says     {told.report.sentence}")
    if told.heads:
        faces.result(f"agrees      with {told.heads} known from elsewhere")
    for one in again:
        faces.result(f"again       {one.run}: {one.words}")
    if rerun and not again:
        faces.result("again       nothing in it was delivered: there is nothing to look at")
    for line in _not_shown(told, whose, rerun=rerun):
        faces.result(f"not shown   {line}")


def _not_shown(told: Checked, whose: str, *, rerun: bool) -> list[str]:
    """What nobody may conclude from it."""
    lines = []
    if whose == "page":
        lines.append("whose ledger it is: --key compares with the key that you know")
    elif not told.heads:
        lines.append("that no other history was signed with this key: --head compares with a checkpoint that you know")
    if hidden := told.events - told.whole:
        lines.append(
            f"what {hidden:,} events say: their payloads stay with the ledger, whose own event `report.made` vouches "
            "for the excerpts; that nothing was left out it vouches for too"
        )
    lines.append(f"what happened after {told.report.made}")
    if not rerun:
        lines.append("that what was delivered is still there and still works: --rerun looks")
    return lines


def _checked_as_json(file: str, told: Checked, whose: str, again: Sequence[Again], *, rerun: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from daybreak.report import morning

    return {
        "file": file,
        "ok": whose != "page",
        "origin": told.checkpoint.origin,
        "key": told.key_id,
        "key_from": whose,
        "checkpoint": {"size": told.checkpoint.size, "root": told.checkpoint.root.hex()},
        "events": told.events,
        "whole": told.whole,
        "again": [asdict(one) for one in again] if rerun else None,
        "not_shown": _not_shown(told, whose, rerun=rerun),
        "report": morning.as_json(told.report),
    }
