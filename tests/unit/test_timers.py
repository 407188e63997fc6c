"""Timers of the operating system: the texts are right, and nothing of the user's is ever touched."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.host.process import Finished
from daybreak.host.timers import (
    Crontab,
    Night,
    Runner,
    Systemd,
    TimersForeign,
    TimersMissing,
    TimersRefused,
    Times,
    TimesWrong,
    kind_here,
    machine_zone,
    runner,
    scripts,
    state_of,
    units,
)

TIMES = Times(begin="22:00", until="07:00", zone="Europe/Berlin")
ODD = '/opt/day break/100% "of" $HOME\'s \\ back'


def night(**changes: Any) -> Night:
    given: dict[str, Any] = {
        "times": Times(),
        "program": ("/usr/bin/python3", "-m", "daybreak"),
        "options": ("--budget", "20usd"),
        "folder": Path("/home/me"),
        "environment": {"PATH": "/usr/bin:/bin"},
    }
    return Night(**(given | changes))


def finished(code: int = 0, out: bytes = b"", error: bytes = b"") -> Finished:
    return Finished(code, None, out, error, False, False, 1)


class Machine:
    """systemctl, loginctl and crontab that remember; `fails` names a word whose call fails."""

    def __init__(self, table: str | None = None, fails: str = "") -> None:
        self.table, self.fails, self.calls = table, fails, list[str]()
        self.meanwhile = ""

    def __call__(self, argv: Sequence[str], given: bytes) -> Finished:
        self.calls.append(" ".join(argv))
        if self.fails and self.fails in argv:
            return finished(1, b"", b"Failed to connect to bus\n")
        if argv[0] == "loginctl":
            return finished(0, b"yes\n")
        if list(argv) == ["crontab", "-l"]:
            text = self.table
            if self.meanwhile:
                self.table = f"{text or ''}{self.meanwhile}"
            return finished(0, text.encode()) if text is not None else finished(1, b"", b"no crontab for me\n")
        if argv[0] == "crontab":
            self.table = given.decode()
        return finished()


def test_a_night_is_within_its_times_by_the_clock_on_the_wall() -> None:
    """Over midnight, over a change of the clock, in its own zone; the end is outside."""
    # shows: N6
    moments = {"2026-10-24T20:00": True, "2026-10-24T19:59": False, "2026-10-25T05:59": True, "2026-10-25T06:00": False}
    for text, expected in moments.items():
        assert TIMES.within(datetime.fromisoformat(text).replace(tzinfo=UTC)) is expected
    day = Times(begin="01:00", until="05:30", zone="UTC")
    assert [day.within(datetime(2026, 1, 1, hour, 30, tzinfo=UTC)) for hour in (0, 1, 5)] == [False, True, False]


@pytest.mark.parametrize(
    ("begin", "until", "report", "hours"), [("22:00", "07:00", "07:05", 10), ("01:00", "23:58", "00:03", 24)]
)
def test_the_report_comes_after_the_end_of_the_night(begin: str, until: str, report: str, hours: int) -> None:
    """And no night is longer than it can be when the clock is set back."""
    times = Times(begin=begin, until=until)
    assert (times.report, times.hours) == (report, hours)


@pytest.mark.parametrize(
    "wrong",
    [
        {"begin": "7:00"},
        {"begin": "0\uff17:00"},
        {"until": "24:00"},
        {"begin": "07:00"},
        {"zone": "Mars/X"},
        {"zone": "../x"},
        {"begin": 7},
    ],
)
def test_times_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    """With a hint."""
    with pytest.raises(TimesWrong) as caught:
        Times(**wrong)
    assert caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"program": ()}, {"program": ("daybreak",)}, {"folder": Path("here")}, {"label": "A b"}, {"label": "../x"},
        {"options": ("a\nExecStart=rm",)}, {"environment": {"A": "b\n"}}, {"folder": Path("/a\u2028b")},
        {"environment": {"A": "\udcff"}},
    ],
)  # fmt: skip
def test_what_no_unit_and_no_script_can_hold_is_refused(wrong: dict[str, Any]) -> None:
    """A line end would begin an assignment of its own."""
    # shows: P8
    with pytest.raises(TimesWrong):
        night(**wrong)


def test_the_night_is_started_again_and_the_report_has_a_timer_of_its_own() -> None:
    """What systemd is told, word by word."""
    # shows: N1 N2
    made = units(night(times=TIMES))
    assert list(made) == [
        "daybreak-night.service", "daybreak-night.timer", "daybreak-report.service", "daybreak-report.timer",
    ]  # fmt: skip
    work = made["daybreak-night.service"].splitlines()
    python = '"/usr/bin/python3" "-m" "daybreak"'
    assert f'ExecStart={python} "night" "--until" "07:00" "--budget" "20usd"' in work
    within = '"schedule" "within" "--from" "22:00" "--until" "07:00" "--zone" "Europe/Berlin"'
    assert f"ExecCondition={python} {within}" in work
    assert {"Restart=on-failure", "KillMode=mixed", "RuntimeMaxSec=10h", 'Environment="TZ=Europe/Berlin"'} <= set(work)
    assert "OnCalendar=*-*-* 22:00:00 Europe/Berlin" in made["daybreak-night.timer"]
    assert "OnCalendar=*-*-* 07:05:00 Europe/Berlin" in made["daybreak-report.timer"]
    assert f'ExecStart={python} "report" "--night"' in made["daybreak-report.service"]
    assert "daybreak-night-0a1b.timer" in units(night(label="0a1b"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_itself_accepts_the_units(tmp_path: Path) -> None:
    """With odd letters in every place where the user's words come in."""
    odd = night(
        times=TIMES,
        program=("/bin/sh", ODD),
        options=(ODD, "%h", "$PATH", "; rm"),
        folder=Path("/"),
        environment={"PATH": ODD},
    )
    files = []
    for name, text in units(odd).items():
        (tmp_path / name).write_text(text)
        files.append(str(tmp_path / name))
    checked = subprocess.run(
        ["systemd-analyze", "--user", "verify", *files],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert checked.returncode == 0, checked.stderr
    assert str(tmp_path) not in checked.stderr


def stub(tmp_path: Path, within: Sequence[int], nights: Sequence[int]) -> Path:
    """A `daybreak` whose calls end with these statuses in turn and are written down."""
    (tmp_path / "within").write_text("".join(f"{code}\n" for code in within))
    (tmp_path / "night").write_text("".join(f"{code}\n" for code in nights))
    program = tmp_path / "daybreak"
    program.write_text(
        "#!/bin/sh\n"
        f"cd {tmp_path}\n"
        'echo "$* PATH=$PATH ODD=$ODD" >> calls\n'
        'file=night; [ "$1" = schedule ] && file=within; [ "$1" = report ] && exit 0\n'
        "code=$(head -n 1 $file); tail -n +2 $file > rest; mv rest $file; exit ${code:-1}\n"
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("within", "nights", "calls"),
    [([0], [0], 2), ([0], [3], 2), ([0], [2], 2), ([1], [0], 1), ([0, 0, 0], [1, 139, 0], 6), ([0, 1], [1], 3)],
)
def test_the_script_begins_a_failed_night_again_while_its_time_lasts(
    tmp_path: Path, within: list[int], nights: list[int], calls: int
) -> None:
    """One that ended by its rules, or waits for a person, is not begun again; late ones are not begun at all."""
    # shows: N1
    program = stub(tmp_path, within, nights)
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "ODD": ODD}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "sleep").chmod(0o755)
    made = scripts(night(program=(str(program),), folder=tmp_path, environment=environment))
    for name, text in made.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    subprocess.run([tmp_path / "daybreak-night.sh"], check=True, env={})
    told = (tmp_path / "calls").read_text().splitlines()
    assert len(told) == calls
    assert told[0] == f"schedule within --from 22:00 --until 07:00 PATH={environment['PATH']} ODD={ODD}"
    subprocess.run([tmp_path / "daybreak-report.sh"], check=True, env={})
    assert (tmp_path / "calls").read_text().splitlines()[-1].startswith("report --night PATH=")


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30))
def test_any_word_reaches_the_program_through_the_script(word: str) -> None:
    """Quotes, dollars, percent signs, spaces."""
    made = scripts(night(program=("/usr/bin/printf", "%s\\n"), options=(word,), folder=Path("/")))["daybreak-night.sh"]
    line = next(line for line in made.splitlines() if " night " in line)
    printed = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True).stdout
    assert printed.decode() == f"night\n--until\n07:00\n{word}\n"


# -- in place


def test_units_are_written_begun_and_taken_away(tmp_path: Path) -> None:
    """A second install changes nothing; an uninstall leaves nothing of ours and everything of others."""
    machine = Machine()
    timers = Systemd(tmp_path / "user", machine)
    assert all(change.needed for change in timers.plan(night()))
    assert not (tmp_path / "user").exists()
    timers.install(night())
    (tmp_path / "user" / "mine.timer").write_text("[Timer]\n")
    assert machine.calls == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now daybreak-night.timer daybreak-report.timer",
    ]
    assert not any(change.needed for change in timers.install(night()))
    changed = timers.install(night(times=Times(begin="23:00")))
    assert [Path(change.where).name for change in changed if change.needed] == [
        "daybreak-night.service", "daybreak-night.timer",
    ]  # fmt: skip
    assert len(timers.uninstall("", dry_run=True)) == 4
    assert len(timers.uninstall("")) == 4
    assert machine.calls[-2:] == [
        "systemctl --user disable --now daybreak-night.timer daybreak-report.timer", "systemctl --user daemon-reload",
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "user").iterdir()] == ["mine.timer"]
    assert timers.uninstall("") == []
    assert timers.lingers("me") is True


@pytest.mark.parametrize("how", ["foreign", "changed", "link", "folder"])
def test_a_unit_that_is_not_ours_or_was_changed_is_left_alone(tmp_path: Path, how: str) -> None:
    """And nothing else is written or removed either."""
    machine = Machine()
    timers = Systemd(tmp_path, machine)
    place = tmp_path / "daybreak-report.timer"
    if how == "foreign":
        place.write_text("[Timer]\nOnCalendar=daily\n")
    elif how == "changed":
        timers.install(night())
        place.write_text(place.read_text().replace("07:05", "08:00"))
    elif how == "link":
        place.symlink_to("/dev/null")
    else:
        place.mkdir()
    before = sorted((path.name, path.lstat().st_mtime_ns) for path in tmp_path.iterdir())
    machine.calls.clear()
    for call in (
        lambda: timers.install(night(times=Times(begin="23:00"))),
        lambda: timers.uninstall(""),
    ):
        with pytest.raises(TimersForeign) as caught:
            call()
        assert "daybreak-report.timer" in caught.value.message
    assert sorted((path.name, path.lstat().st_mtime_ns) for path in tmp_path.iterdir()) == before
    assert machine.calls == []


def test_what_systemd_refuses_is_said() -> None:
    """Its own words, and what to do."""
    timers = Systemd(Path("/nonexistent-folder-of-nobody"), Machine(fails="disable"))
    assert timers.uninstall("") == []
    with pytest.raises(TimersRefused, match=r"cannot be made"):
        Systemd(Path("/proc/self/nothing"), Machine()).install(night())


def test_a_failed_reload_says_why_and_the_next_install_mends_it(tmp_path: Path) -> None:
    """The units are there, and the same command does the rest."""
    with pytest.raises(TimersRefused, match="Failed to connect to bus"):
        Systemd(tmp_path, Machine(fails="daemon-reload")).install(night())
    machine = Machine()
    Systemd(tmp_path, machine).install(night())
    assert len(machine.calls) == 2


MINE = "# my own\nMAILTO=me\n*/5 * * * * echo 100\\% >> log\n\n"


@pytest.mark.parametrize("table", [None, "", MINE, MINE.rstrip("\n"), "\r\n# odd\r\n", f"{MINE}ä ö\n"])
def test_the_lines_of_the_crontab_that_are_not_ours_stay_byte_for_byte(tmp_path: Path, table: str | None) -> None:
    """Before, between and after an install; an uninstall gives back what was there."""
    machine = Machine(table)
    timers = Crontab(tmp_path / "timers", machine)
    timers.install(night())
    text = machine.table or ""
    assert text.startswith(table or "")
    assert f"0 22 * * * {tmp_path}/timers/daybreak-night.sh\n@reboot {tmp_path}/timers/daybreak-night.sh\n" in text
    assert f"5 7 * * * {tmp_path}/timers/daybreak-report.sh\n" in text
    for name in ("daybreak-night.sh", "daybreak-report.sh"):
        assert stat.S_IMODE((tmp_path / "timers" / name).stat().st_mode) == 0o755
    machine.table = f"{text}# after\n"
    calls = len(machine.calls)
    timers.install(night())
    assert "crontab -" not in machine.calls[calls:]
    timers.install(night(times=Times(begin="23:30")))
    assert "30 23 * * *" in (machine.table or "")
    timers.install(night(label="other"))
    assert (machine.table or "").count("@reboot") == 2
    timers.uninstall("other")
    timers.uninstall("")
    ended = "\n" if table and not table.endswith("\n") else ""
    assert machine.table == f"{table or ''}{ended}# after\n"
    assert list((tmp_path / "timers").iterdir()) == []
    assert timers.uninstall("") == []


@pytest.mark.parametrize("how", ["changed", "no end", "twice", "backwards"])
def test_lines_between_our_marks_that_somebody_changed_are_left_alone(tmp_path: Path, how: str) -> None:
    """Named, and nothing is written."""
    machine = Machine(MINE)
    timers = Crontab(tmp_path, machine)
    timers.install(night())
    lines = (machine.table or "").splitlines(keepends=True)
    begin = next(place for place, line in enumerate(lines) if line.startswith("# >>>"))
    if how == "changed":
        lines[begin + 1] = lines[begin + 1].replace("22", "21")
    elif how == "no end":
        del lines[-1]
    elif how == "twice":
        lines += lines[begin:]
    else:
        lines = [*lines[:begin], lines[-1], *lines[begin:-1]]
    machine.table = before = "".join(lines)
    for call in (lambda: timers.install(night(times=Times(begin="23:00"))), lambda: timers.uninstall("")):
        with pytest.raises(TimersForeign, match="crontab"):
            call()
    assert machine.table == before


def test_a_crontab_that_changes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Somebody's editor saves between our look and our write."""
    machine = Machine(MINE)
    machine.meanwhile = "# saved just now\n"
    with pytest.raises(TimersRefused, match="meanwhile"):
        Crontab(tmp_path, machine).install(night())
    assert "daybreak" not in (machine.table or "")


def test_cron_knows_no_other_zone() -> None:
    """Times of another zone are refused instead of being an hour wrong."""
    timers = Crontab(Path("/tmp"), Machine())
    with pytest.raises(TimesWrong, match="Europe/Berlin"):
        timers.plan(night(times=TIMES), "America/New_York")
    assert timers.plan(night(times=TIMES), "Europe/Berlin")


def test_a_refusing_crontab_is_no_empty_one(tmp_path: Path) -> None:
    """Otherwise everything that the user has would be replaced."""
    with pytest.raises(TimersRefused, match="Failed"):
        Crontab(tmp_path, Machine(MINE, fails="-l")).install(night())


def test_the_way_is_chosen_by_what_is_there(tmp_path: Path) -> None:
    """systemd where it runs and this user has a manager, else crontab, else a word about it."""
    programs, runtime = tmp_path / "bin", tmp_path / "run"
    programs.mkdir()
    (runtime / "systemd").mkdir(parents=True)
    environment = {"PATH": str(programs), "XDG_RUNTIME_DIR": str(runtime)}
    with pytest.raises(TimersMissing):
        kind_here(environment, tmp_path)
    for name, expected in (("crontab", "cron"), ("systemctl", "systemd")):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
        assert kind_here(environment, tmp_path) == expected
    assert kind_here({"PATH": str(programs)}, tmp_path) == "cron"
    assert kind_here(environment, tmp_path / "not booted") == "cron"


def test_the_zone_of_this_machine_is_a_name_or_nothing(tmp_path: Path) -> None:
    """By its link, by TZ; nonsense is nothing."""
    zones = tmp_path / "zoneinfo" / "Europe"
    zones.mkdir(parents=True)
    (zones / "Berlin").write_bytes(b"")
    (tmp_path / "localtime").symlink_to(zones / "Berlin")
    assert machine_zone(tmp_path / "localtime") == "Europe/Berlin"
    assert machine_zone(tmp_path / "localtime", {"TZ": ":Asia/Tokyo"}) == "Asia/Tokyo"
    assert machine_zone(tmp_path / "localtime", {"TZ": "CET-1CEST"}) == ""
    assert machine_zone(tmp_path / "missing") == ""


def test_the_real_runner_passes_standard_input_and_only_this_environment(tmp_path: Path) -> None:
    """So that `crontab -` gets the table."""
    run: Runner = runner({"PATH": "/usr/bin:/bin", "A": "b"}, tmp_path)
    done = run(["sh", "-c", "cat; echo $A$HOME"], b"table\n")
    assert done.stdout == b"table\nb\n"


@given(st.text())
def test_a_text_without_our_mark_is_never_ours(text: str) -> None:
    """Whatever it says."""
    assert state_of(text) == "foreign"
    assert state_of(None) == "absent"
