"""Timers of the operating system that begin a night every evening and tell about it every morning.

Two ways: units of the user's own systemd, or lines in the user's crontab that call two scripts. Either way the report
has a timer of its own, so it comes even where the night died. A night that fails is begun again, as long as its time
lasts: each start asks `schedule within` first, so that one which comes late (the machine was off, or asleep) does not
work through the day.

Making the texts is pure. Putting them in place touches nothing of the user's: our files and lines carry a mark with
the checksum of what we wrote. Without the mark they are somebody else's, with another checksum somebody changed them;
both are refused by name, and nothing is written then.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from daybreak.errors import HostError, UsageError
from daybreak.host.files import write_file
from daybreak.host.process import Finished, run

Kind = Literal["systemd", "cron"]
State = Literal["absent", "ours", "changed", "foreign"]

AGAIN_S = 60
"""Between a night that failed and its next start."""
REPORT_AFTER = timedelta(minutes=5)
"""How long after its end the report of a night is made: it may still be putting things away."""
_ENDED = "0 2 3 130"
"""Exit statuses of a night that ended by its own rules, is used wrongly, waits for a person, or was interrupted."""
_PROGRAM_S = 60.0
_MARK = "# Made by `daybreak schedule install`, taken away by `daybreak schedule uninstall`; sha256 of the rest:"
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_LABEL = re.compile(r"[a-z0-9]{0,16}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


class TimesWrong(UsageError):
    """A night that nobody can time."""

    code = "U154"


class TimersMissing(HostError):
    """Neither systemd nor cron is there for this user."""

    code = "H241"


class TimersForeign(HostError):
    """A file or line of that name is not ours, or was changed since."""

    code = "H242"


class TimersRefused(HostError):
    """The timers are not as they should be: systemd or cron refused what it was given."""

    code = "H243"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """From when to when a night works, every day. Raises TimesWrong."""

    begin: str = "22:00"
    until: str = "07:00"
    """`HH:MM`; earlier than `begin` means the next day."""
    zone: str = ""
    """An IANA name; empty: the clock of this machine."""

    def __post_init__(self) -> None:
        for text in (self.begin, self.until):
            if not _TIME.fullmatch(str(text)):
                raise TimesWrong(f"{str(text)[:80]!r} is no time of day", hint="write HH:MM, such as 22:00")
        if self.begin == self.until:
            raise TimesWrong(f"a night from {self.begin} until {self.until} has no end", hint="name two times")
        try:
            _zone(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
            raise TimesWrong(f"there is no time zone {str(self.zone)[:80]!r}", hint="such as Europe/Berlin") from error

    def within(self, now: datetime) -> bool:
        """Does a night work at that moment? By the clock on the wall: from `begin` on, no longer at `until`."""
        wall = now.astimezone(_zone(self.zone)).strftime("%H:%M")
        if self.begin < self.until:
            return self.begin <= wall < self.until
        return wall >= self.begin or wall < self.until

    @property
    def report(self) -> str:
        """When the report is made, `HH:MM`."""
        return (datetime.strptime(self.until, "%H:%M").replace(tzinfo=UTC) + REPORT_AFTER).strftime("%H:%M")

    @property
    def hours(self) -> int:
        """How long a night is at most, rounded up, with the hour that a change of the clock may add."""
        begin, until = (int(text[:2]) * 60 + int(text[3:]) for text in (self.begin, self.until))
        return -(-((until - begin) % 1440) // 60) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What is begun, and with what around it. Raises TimesWrong for text that no unit and no script can hold."""

    times: Times
    program: tuple[str, ...]
    """What `daybreak` is here: an absolute path, and arguments before the command."""
    options: tuple[str, ...] = ()
    """More arguments of `daybreak night`."""
    folder: Path
    """The working folder, absolute."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Nothing else is known there: PATH belongs into it."""
    label: str = ""
    """Part of every name, where this user has several state folders: up to 16 lower-case letters and digits."""

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.label):
            raise TimesWrong(f"{self.label[:80]!r} is no label", hint="up to 16 lower-case letters and digits")
        if not self.program or not Path(self.program[0]).is_absolute() or not self.folder.is_absolute():
            raise TimesWrong("program and folder must be absolute", hint="timers know no working folder")
        for text in (*self.program, *self.options, str(self.folder), *self.environment, *self.environment.values()):
            if _CONTROL.search(text):
                raise TimesWrong(f"{text[:80]!r} cannot stand in a timer", hint="control characters are in it")

    @property
    def names(self) -> tuple[str, str]:
        """Of the night and of the report."""
        return names(self.label)

    @property
    def commands(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Is it time, the night, the report."""
        zone = ("--zone", self.times.zone) if self.times.zone else ()
        within = ("schedule", "within", "--from", self.times.begin, "--until", self.times.until, *zone)
        return (
            (*self.program, *within),
            (*self.program, "night", "--until", self.times.until, *self.options),
            (*self.program, "report", "--night"),
        )

    @property
    def surroundings(self) -> dict[str, str]:
        """The environment, in the zone of the times: `--until` means the clock that the process sees."""
        return {**self.environment, **({"TZ": self.times.zone} if self.times.zone else {})}


def names(label: str) -> tuple[str, str]:
    tail = f"-{label}" if label else ""
    return f"daybreak-night{tail}", f"daybreak-report{tail}"


# -- texts


def units(night: Night) -> dict[str, str]:
    """File name to text: a service and a timer for the night, and both for the report."""
    named, reported = night.names
    within, work, report = (" ".join(map(_systemd_word, command)) for command in night.commands)
    around = [f"WorkingDirectory={str(night.folder).replace('%', '%%')}"]
    around += [f"Environment={_systemd_word(f'{name}={value}', '%')}" for name, value in night.surroundings.items()]
    service = [
        "[Unit]",
        f"Description=Daybreak works until {night.times.until}",
        "StartLimitIntervalSec=1h",
        "StartLimitBurst=20",
        "",
        "[Service]",
        "Type=exec",
        *around,
        f"ExecCondition={within}",
        f"ExecStart={work}",
        "Restart=on-failure",
        f"RestartSec={AGAIN_S}",
        f"RestartPreventExitStatus={_ENDED}",
        "SuccessExitStatus=3 130",
        "KillMode=mixed",
        "TimeoutStopSec=180",
        f"RuntimeMaxSec={night.times.hours}h",
    ]
    morning = ["[Unit]", "Description=Daybreak reports on the night", "", "[Service]", "Type=oneshot", *around]
    return {
        f"{named}.service": _marked(service),
        f"{named}.timer": _marked(_timer(f"Daybreak begins at {night.times.begin}", night.times.begin, night)),
        f"{reported}.service": _marked([*morning, f"ExecStart={report}", "SuccessExitStatus=1 3"]),
        f"{reported}.timer": _marked(_timer("The report of Daybreak's night", night.times.report, night)),
    }


def scripts(night: Night) -> dict[str, str]:
    """File name to text: what cron calls. Lines of cron are short, know no zone and take % for a line's end."""
    within, work, report = (shlex.join(command) for command in night.commands)
    begin = ["#!/bin/sh", *(f"export {name}={shlex.quote(value)}" for name, value in night.surroundings.items())]
    begin.append(f"cd {shlex.quote(str(night.folder))} || exit 1")
    loop = [
        f"while {within}; do",
        f"  {work}",
        f"  case $? in {_ENDED.replace(' ', '|')}) exit 0 ;; esac",
        f"  sleep {AGAIN_S}",
        "done",
    ]
    named, reported = night.names
    return {
        f"{named}.sh": _marked([*begin[1:], *loop], first=begin[0]),
        f"{reported}.sh": _marked([*begin[1:], f"exec {report}"], first=begin[0]),
    }


def crontab_lines(night: Night, folder: Path) -> list[str]:
    """What stands between our marks, calling the scripts in that folder."""
    work, report = (_cron_word(folder / f"{name}.sh") for name in night.names)
    (hour, minute), (late_hour, late_minute) = (
        (int(text[:2]), int(text[3:])) for text in (night.times.begin, night.times.report)
    )
    return [f"{minute} {hour} * * * {work}", f"@reboot {work}", f"{late_minute} {late_hour} * * * {report}"]


def _timer(description: str, at: str, night: Night) -> list[str]:
    zone = f" {night.times.zone}" if night.times.zone else ""
    return [
        "[Unit]",
        f"Description={description}",
        "",
        "[Timer]",
        f"OnCalendar=*-*-* {at}:00{zone}",
        "Persistent=true",
        "AccuracySec=1s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]


def _systemd_word(text: str, special: str = "%$") -> str:
    """One word of a command line or an assignment, as systemd.syntax(7) and systemd.service(5) read it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for letter in special:
        escaped = escaped.replace(letter, letter * 2)
    return f'"{escaped}"'


def _cron_word(path: Path) -> str:
    return shlex.quote(str(path)).replace("%", "\\%")


# -- marks


def _marked(lines: Sequence[str], first: str = "") -> str:
    rest = "".join(f"{line}\n" for line in lines)
    return f"{first}\n{_mark(rest)}\n{rest}" if first else f"{_mark(rest)}\n{rest}"


def _mark(rest: str) -> str:
    return f"{_MARK} {hashlib.sha256(rest.encode()).hexdigest()}"


def state_of(text: str | None) -> State:
    """Whose a file is, by its mark."""
    if text is None:
        return "absent"
    head, _, rest = text.removeprefix("#!/bin/sh\n").partition("\n")
    if not head.startswith(_MARK):
        return "foreign"
    return "ours" if head == _mark(rest) else "changed"


# -- in place


@dataclass(frozen=True, slots=True)
class Change:
    """One file, or the crontab; None: not there."""

    where: str
    old: str | None
    new: str | None
    mode: int = 0o644

    @property
    def needed(self) -> bool:
        return self.old != self.new


Runner = Callable[[Sequence[str], bytes], Finished]
"""Runs a program with that standard input."""


def runner(environment: Mapping[str, str], folder: Path) -> Runner:
    """The real one."""
    return lambda argv, given: run(argv, cwd=folder, env=environment, timeout_s=_PROGRAM_S, stdin=given)


class Systemd:
    """The user's own units, in `folder` (by rule `~/.config/systemd/user`)."""

    def __init__(self, folder: Path, run: Runner) -> None:
        self._folder = folder
        self._run = run

    def plan(self, night: Night) -> list[Change]:
        """What an install would write. Raises TimersForeign, which names everything that is in the way."""
        return _plan({self._folder / name: (text, 0o644) for name, text in units(night).items()})

    def install(self, night: Night) -> list[Change]:
        """Write the units and begin the timers; the same again changes nothing. Raises TimersForeign, TimersRefused,
        NotWritten."""
        changes = self.plan(night)
        _write(changes)
        self._do("daemon-reload")
        self._do("enable", "--now", *(f"{name}.timer" for name in night.names))
        return changes

    def uninstall(self, label: str, *, dry_run: bool = False) -> list[Change]:
        """Stop the timers and remove our units; a night that is under way goes on. Raises as `install`."""
        paths = [self._folder / f"{name}.{kind}" for name in names(label) for kind in ("timer", "service")]
        changes = [change for change in _plan(dict.fromkeys(paths)) if change.needed]
        if changes and not dry_run:
            self._do("disable", "--now", *(Path(one.where).name for one in changes if one.where.endswith(".timer")))
            _write(changes)
            self._do("daemon-reload")
        return changes

    def lingers(self, user: str) -> bool | None:
        """Do the user's timers run while nobody is logged in? None where that cannot be found out."""
        asked = self._run(["loginctl", "show-user", user, "--property=Linger", "--value"], b"")
        return {b"yes": True, b"no": False}.get(asked.stdout.strip()) if asked.ok else None

    def _do(self, *words: str) -> None:
        done = self._run(["systemctl", "--user", *words], b"")
        if not done.ok:
            raise TimersRefused(
                f"systemctl --user {' '.join(words)}: {_said(done)}",
                hint="mend that and do the same again; what is written already does no harm",
            )


class Crontab:
    """Lines in the user's crontab, between two marks, and the scripts that they call, in `folder`."""

    def __init__(self, folder: Path, run: Runner) -> None:
        self._folder = folder
        self._run = run

    def plan(self, night: Night, machine_zone: str = "") -> list[Change]:
        """What an install would write. Raises TimesWrong where the times are of another zone than the machine's,
        which cron does not know; TimersForeign."""
        if night.times.zone not in ("", machine_zone):
            raise TimesWrong(
                f"cron knows only this machine's zone{f' {machine_zone}' * bool(machine_zone)}, not {night.times.zone}",
                hint="leave --zone away and name the times of this machine's clock",
            )
        files = {self._folder / name: (text, 0o755) for name, text in scripts(night).items()}
        return [*_plan(files), self._table(night.label, crontab_lines(night, self._folder))]

    def install(self, night: Night, machine_zone: str = "") -> list[Change]:
        """Write scripts and lines; the same again changes nothing. Raises as `plan`; TimersRefused, NotWritten."""
        changes = self.plan(night, machine_zone)
        _write(changes[:-1])
        self._put(changes[-1])
        return changes

    def uninstall(self, label: str, *, dry_run: bool = False) -> list[Change]:
        """Take our lines out, then remove our scripts. Raises as `install`."""
        files = _plan(dict.fromkeys(self._folder / f"{name}.sh" for name in names(label)))
        changes = [change for change in (self._table(label, []), *files) if change.needed]
        for change in [] if dry_run else changes:
            if change.where == "crontab":
                self._put(change)
            else:
                _write([change])
        return changes

    def _table(self, label: str, lines: Sequence[str]) -> Change:
        old = self._read()
        return Change("crontab", old, _exchanged(old or "", names(label)[0], lines))

    def _read(self) -> str | None:
        asked = self._run(["crontab", "-l"], b"")
        if asked.ok:
            return asked.stdout.decode("utf-8", "surrogateescape")
        if b"no crontab" in asked.stderr.lower() + asked.stdout.lower():
            return None
        raise TimersRefused(f"crontab -l: {_said(asked)}", hint="find out whether you may use cron (cron.allow)")

    def _put(self, change: Change) -> None:
        if not change.needed or change.new is None:
            return
        if self._read() != change.old:
            raise TimersRefused("the crontab was changed meanwhile", hint="nothing was changed in it; try again")
        done = self._run(["crontab", "-"], change.new.encode("utf-8", "surrogateescape"))
        if not done.ok:
            raise TimersRefused(f"crontab -: {_said(done)}", hint="the crontab is as it was")


def _exchanged(table: str, name: str, lines: Sequence[str]) -> str:
    """The table with these lines between our marks, everything else byte for byte as it was. Raises TimersForeign."""
    begins, ends = f"# >>> {name} >>> ", f"# <<< {name} <<<"
    rows = re.findall(r"[^\n]*\n|[^\n]+", table)
    first = [place for place, row in enumerate(rows) if row.startswith(begins)]
    last = [place for place, row in enumerate(rows) if row.rstrip("\n") == ends]
    if (len(first), len(last)) not in ((0, 0), (1, 1)) or (first and last[0] < first[0]):
        raise _foreign("crontab", f"our marks `{begins.strip()}` and `{ends}` do not stand there as a pair")
    block: list[str] = []
    if lines:
        text = "".join(f"{line}\n" for line in lines)
        block = [f"{begins}{_mark(text).removeprefix('# ')}\n", text, f"{ends}\n"]
    if not first:
        if not block:
            return table
        return table + ("\n" if table and not table.endswith("\n") else "") + "".join(block)
    inside = "".join(rows[first[0] + 1 : last[0]])
    if rows[first[0]].rstrip("\n") != f"{begins}{_mark(inside).removeprefix('# ')}":
        raise _foreign("crontab", "somebody changed the lines between our marks")
    return "".join([*rows[: first[0]], *block, *rows[last[0] + 1 :]])


def _plan(files: Mapping[Path, tuple[str, int] | None]) -> list[Change]:
    """Nothing of the user's is in the way, or TimersForeign."""
    changes = []
    for path, wanted in files.items():
        old = _text_at(path)
        state = state_of(old)
        if state == "changed" and wanted is not None and old == wanted[0]:
            state = "ours"
        if state in ("changed", "foreign"):
            why = "it is not ours" if state == "foreign" else "somebody changed it since we wrote it"
            raise _foreign(str(path), why)
        new, mode = wanted if wanted is not None else (None, 0)
        changes.append(Change(str(path), old, new, mode))
    return changes


def _text_at(path: Path) -> str | None:
    if path.is_symlink():
        raise _foreign(str(path), "it is a symbolic link")
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _foreign(str(path), f"it cannot be read: {error.strerror}") from error


def _write(changes: Sequence[Change]) -> None:
    for change in changes:
        path = Path(change.where)
        if change.new is None:
            path.unlink(missing_ok=True)
        elif change.needed:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TimersRefused(f"{path.parent} cannot be made: {error.strerror}", hint="look at it") from error
            write_file(path, change.new, mode=change.mode)


def _foreign(where: str, why: str) -> TimersForeign:
    return TimersForeign(
        f"{where} is left as it is: {why}", hint="move it away, or put your own changes into another file; then again"
    )


def _said(done: Finished) -> str:
    text = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
    return " ".join(text.split())[:300] or done.ending


# -- this machine


def kind_here(environment: Mapping[str, str], booted: Path = Path("/run/systemd/system")) -> Kind:
    """Which of the two this user can have. Raises TimersMissing."""
    path = environment.get("PATH")
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if booted.is_dir() and runtime and (Path(runtime) / "systemd").is_dir() and shutil.which("systemctl", path=path):
        return "systemd"
    if shutil.which("crontab", path=path):
        return "cron"
    raise TimersMissing(
        "there is neither a systemd of this user's nor a crontab on this machine",
        hint="install cron, or begin `daybreak night --until 07:00` from whatever starts programs here; "
        "`--systemd --dry-run` prints units to go by",
    )


def machine_zone(localtime: Path = Path("/etc/localtime"), environment: Mapping[str, str] | None = None) -> str:
    """The IANA name of this machine's zone; empty where it has none that can be found."""
    wanted = (environment or {}).get("TZ", "").removeprefix(":")
    try:
        found = wanted or str(localtime.resolve(strict=True)).partition("zoneinfo/")[2]
        return str(ZoneInfo(found)) if found else ""
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ""


def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name else None
