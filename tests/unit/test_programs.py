"""Needed programs: found, trusted, in a version that fits, or named with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import programs
from daybreak.host.programs import DiskCache, Platform, Program, find, find_all, guard
from daybreak.host.programs.cache import PROCESS_CACHE
from daybreak.host.programs.versions import read_version

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


class Shelf:
    """A folder of PATH with small programs in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, script: str, *, folder: str = "bin", mode: int = 0o755) -> Path:
        """A shell script; what it does is in `script`."""
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path

    def platform(self, *folders: str, managers: tuple[str, ...] = ("apt",), system: str = "linux") -> Platform:
        path = ":".join([*(str(self.root / folder) for folder in folders or ("bin",)), SYSTEM_PATH])
        return Platform(system, path, managers)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A folder of this test's own, and nothing remembered."""
    PROCESS_CACHE.clear()
    return Shelf(tmp_path)


# -- found


def test_a_program_that_fits_is_found_with_its_path_and_version(shelf: Shelf) -> None:
    """What comes back can be given to what runs it."""
    # shows: X3
    path = shelf.put("tool", "echo tool 3.4.1")
    found = find(Program("tool", ">=3,<4"), platform=shelf.platform())
    assert (found.path, found.version, os.fspath(found)) == (path, "3.4.1", str(path))


def test_without_a_range_the_program_is_not_run(shelf: Shelf) -> None:
    """Any version will do, so nobody asks."""
    shelf.put("tool", f"touch {shelf.root}/was-run")
    assert find("tool", platform=shelf.platform()).version is None
    assert not (shelf.root / "was-run").exists()


def test_the_git_of_this_machine_says_its_version() -> None:
    """Real output of a real program is understood."""
    found = find("git>=2")
    assert found.path.is_absolute()
    assert found.version is not None
    assert found.version.startswith("2.")


def test_a_program_may_be_given_by_its_path(shelf: Shelf) -> None:
    """A program that is not on PATH is asked just the same; a relative path is refused."""
    path = shelf.put("hidden", "echo 1.2.3", folder="elsewhere")
    assert find(Program("tool", ">=1"), at=path).version == "1.2.3"
    with pytest.raises(programs.ProgramUntrusted):
        find(Program("tool", ">=1"), at=Path("bin/tool"))
    with pytest.raises(programs.ProgramUntrusted):
        find(Program("tool", ">=1"), at=shelf.root / "nowhere")


def test_a_version_on_stderr_counts(shelf: Shelf) -> None:
    """Some programs print it there."""
    shelf.put("tool", "echo 'openjdk version \"17.0.9\" 2023-10-17' >&2")
    assert find("tool>=17", platform=shelf.platform()).version == "17.0.9"


# -- refused


@pytest.mark.parametrize(
    ("managers", "command"),
    [
        (("apt", "pip"), "sudo apt-get install ripgrep"),
        (("dnf",), "sudo dnf install ripgrep"),
        (("brew",), "brew install ripgrep"),
        (("winget",), "winget install --exact --id BurntSushi.ripgrep.MSVC"),
        (("npm",), "its packages are apt: ripgrep"),
        ((), "its packages are apt: ripgrep"),
    ],
)
def test_what_is_missing_is_named_with_the_command_of_this_platform(
    managers: tuple[str, ...], command: str, shelf: Shelf
) -> None:
    """The hint is a command that exists here."""
    # shows: X3
    (shelf.root / "bin").mkdir()
    with pytest.raises(programs.ProgramAbsent) as caught:
        find("rg>=13", platform=Platform("linux", str(shelf.root / "bin"), managers))
    assert command in caught.value.hint
    assert "rg >=13" in caught.value.hint


@pytest.mark.parametrize(
    ("manager", "command"), [("pip", "python -m pip install x"), ("npm", "npm install --global x")]
)
def test_packages_of_languages_are_hinted_at_too(manager: str, command: str) -> None:
    """pip and npm are managers like others."""
    with pytest.raises(programs.ProgramAbsent) as caught:
        find(Program("x-tool", hints={manager: "x"}), platform=Platform("linux", "/nowhere", ("apt", manager)))
    assert command in caught.value.hint


def test_a_wrong_version_is_refused_with_both_numbers(shelf: Shelf) -> None:
    """The message has what is there and what is wanted."""
    shelf.put("tool", "echo tool 2.9")
    with pytest.raises(programs.ProgramVersionWrong) as caught:
        find("tool>=3", platform=shelf.platform())
    assert "2.9" in caught.value.message
    assert ">=3" in caught.value.message
    assert caught.value.version == "2.9"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo hello", "hello"),
        ("true", "nothing"),
        ("echo tool 3.4; exit 1", "exit status 1"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("yes 1.2", "printed too much"),
        ("echo 'built from /opt/tool-9.1/src at 127.0.0.1'", "built from"),
    ],
)
def test_a_program_that_does_not_say_its_version_is_refused(script: str, why: str, shelf: Shelf) -> None:
    """Crashes, floods, failures and mumbling are an unknown version, never a lucky guess."""
    shelf.put("tool", script)
    with pytest.raises(programs.ProgramVersionUnknown, match=why) as caught:
        find("tool>=3", platform=shelf.platform())
    assert caught.value.hint


def test_a_program_that_hangs_is_ended_with_all_it_started(shelf: Shelf) -> None:
    """Time is bounded, and nothing is left running."""
    pid = shelf.root / "pid"
    shelf.put("tool", f"trap '' TERM; sleep 300 & echo $! > {pid}; wait; wait; sleep 300")
    began = time.monotonic()
    with pytest.raises(programs.ProgramVersionUnknown, match="time was over"):
        find("tool>=3", platform=shelf.platform(), timeout_s=0.5)
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_file_that_cannot_be_started_is_refused(shelf: Shelf) -> None:
    """Executable by its mode, but no program."""
    path = shelf.put("tool", "")
    path.write_bytes(b"\x00\x01\x02 no program")
    with pytest.raises(programs.ProgramVersionUnknown):
        find("tool>=3", platform=shelf.platform())


# -- not trusted


def test_a_relative_entry_of_path_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a name means must not depend on the working directory."""
    # shows: X3
    shelf.put("git", "echo git version 99.0")
    monkeypatch.chdir(shelf.root)
    for entry in ("bin", "./bin", ".", ""):
        shelf.put("git", "echo git version 99.0", folder="." if entry in (".", "") else "bin")
        with pytest.raises(programs.ProgramUntrusted, match="relative entry"):
            find("git>=2", platform=Platform("linux", f"{entry}:{SYSTEM_PATH}"))
        (shelf.root / "git").unlink(missing_ok=True)


def test_a_relative_entry_without_the_program_does_no_harm(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what would be run from there is refused."""
    monkeypatch.chdir(shelf.root)
    assert find("git>=2", platform=Platform("linux", f"bin:{SYSTEM_PATH}")).path.is_absolute()


def test_a_program_that_hides_the_one_that_fits_is_named(shelf: Shelf) -> None:
    """Calling by name would run the older one: the way out is the order of PATH."""
    old = shelf.put("tool", "echo tool 1.0", folder="old")
    new = shelf.put("tool", "echo tool 3.0", folder="new")
    with pytest.raises(programs.ProgramUntrusted) as caught:
        find("tool>=3", platform=shelf.platform("old", "new"))
    assert str(old) in caught.value.message
    assert str(new) in caught.value.message
    assert find("tool>=3", platform=shelf.platform("new", "old")).path == new


def test_the_same_program_under_two_names_hides_nothing(shelf: Shelf) -> None:
    """/bin and /usr/bin are often one folder."""
    shelf.put("tool", "echo tool 1.0", folder="old")
    (shelf.root / "also").symlink_to(shelf.root / "old")
    with pytest.raises(programs.ProgramVersionWrong):
        find("tool>=3", platform=shelf.platform("old", "also"))


def test_a_file_that_may_not_be_executed_is_no_program(shelf: Shelf) -> None:
    """It is passed over as a shell does, and named when there is no other."""
    plain = shelf.put("tool", "echo tool 3.0", mode=0o644)
    with pytest.raises(programs.ProgramUntrusted, match="may not be executed") as caught:
        find("tool>=3", platform=shelf.platform())
    assert "chmod +x" in caught.value.hint
    assert caught.value.path == plain
    shelf.put("tool", "echo tool 3.0", folder="other")
    assert find("tool>=3", platform=shelf.platform("bin", "other")).path.parent.name == "other"


def test_what_anybody_may_overwrite_is_not_run(shelf: Shelf) -> None:
    """A file or folder that is open to all is refused, also behind a link."""
    path = shelf.put("tool", f"touch {shelf.root}/was-run; echo tool 3.0")
    links = shelf.root / "links"
    links.mkdir()
    (links / "tool").symlink_to(path)
    for open_one, mode in ((path, 0o757), (path.parent, 0o777)):
        before = open_one.stat().st_mode
        open_one.chmod(mode)
        for folder in ("bin", "links"):
            with pytest.raises(programs.ProgramUntrusted, match="written by anybody"):
                find("tool>=3", platform=shelf.platform(folder))
        open_one.chmod(before)
    assert not (shelf.root / "was-run").exists()
    assert find("tool>=3", platform=shelf.platform()).version == "3.0"


def test_folders_and_broken_links_are_no_programs(shelf: Shelf) -> None:
    """Only ordinary files count."""
    (shelf.root / "bin" / "tool").mkdir(parents=True)
    (shelf.root / "other").mkdir()
    (shelf.root / "other" / "tool").symlink_to("nowhere")
    with pytest.raises(programs.ProgramAbsent):
        find("tool", platform=shelf.platform("bin", "other"))


def test_no_secret_of_the_environment_reaches_the_program(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version is asked for without our keys."""
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    shelf.put("tool", f"env > {shelf.root}/seen; echo tool 3.0")
    find("tool>=3", platform=shelf.platform())
    assert "hunter2" not in (shelf.root / "seen").read_text()


# -- all at once, before any work


def test_a_guard_names_all_missing_programs_before_any_work(shelf: Shelf) -> None:
    """One round of installing, not one for each program."""
    # shows: X3
    shelf.put("tool", "echo tool 1.0")
    shelf.put("other", "echo other 7.0")
    done: list[str] = []

    @guard("tool>=3", "other>=7", "nonesuch", "rg>=13", platform=shelf.platform(system="linux"))
    def work() -> None:
        done.append("work")

    with pytest.raises(programs.ProgramsUnfit) as caught:
        work()
    assert not done
    assert [failure.program.name for failure in caught.value.failures] == ["tool", "nonesuch", "rg"]
    for part in ("tool 1.0", "nonesuch", "rg"):
        assert part in caught.value.message
    assert "ripgrep" in caught.value.hint


def test_a_guard_lets_work_begin_when_all_is_there(shelf: Shelf) -> None:
    """Around a block it gives what was found; around a function the result is the function's."""
    path = shelf.put("tool", "echo tool 3.1")
    need = guard("tool>=3", platform=shelf.platform())
    with need as found:
        assert found["tool"].path == path

    @need
    def work(number: int) -> int:
        return number + 1

    @need
    async def work_async() -> str:
        return "done"

    assert work(1) == 2
    assert asyncio.run(work_async()) == "done"


def test_a_guard_looks_at_each_call(shelf: Shelf) -> None:
    """A program that went away is noticed, whatever was remembered."""
    path = shelf.put("tool", "echo tool 3.1")

    @guard("tool>=3", platform=shelf.platform())
    def work() -> None: ...

    work()
    path.unlink()
    with pytest.raises(programs.ProgramsUnfit):
        work()


def test_a_guard_refuses_what_it_cannot_guard() -> None:
    """A generator works later, when nobody looks; nothing at all guards nothing; a name twice is a slip."""

    def later() -> object:
        yield 1

    with pytest.raises(programs.ProgramMisdescribed):
        guard("git")(later)
    with pytest.raises(programs.ProgramMisdescribed):
        guard()
    with pytest.raises(programs.ProgramMisdescribed, match="twice"):
        find_all("git>=2", "git<3")
    with pytest.raises(programs.ProgramMisdescribed):
        guard("git")(5)  # type: ignore[type-var]


# -- remembered


def counting(shelf: Shelf) -> Callable[[], int]:
    """A program `tool` that counts how often it is run."""
    shelf.put("tool", f"echo x >> {shelf.root}/runs; echo tool 3.0")
    return lambda: len((shelf.root / "runs").read_text().splitlines()) if (shelf.root / "runs").exists() else 0


def test_a_version_is_asked_once_for_each_state_of_the_file(shelf: Shelf) -> None:
    """The same file is not asked again; a changed one is."""
    # shows: X3
    runs = counting(shelf)
    for _ in range(3):
        find("tool>=3", platform=shelf.platform())
    assert runs() == 1
    shelf.put("tool", f"echo x >> {shelf.root}/runs; echo tool 2.0")
    with pytest.raises(programs.ProgramVersionWrong):
        find("tool>=3", platform=shelf.platform())
    find("tool>=2", platform=shelf.platform())
    assert runs() == 2
    find("tool>=2", platform=shelf.platform(), cache=None)
    assert runs() == 3


def test_a_file_replaced_with_its_old_times_is_noticed(shelf: Shelf) -> None:
    """Same path, size and time of change are not enough."""
    path = shelf.put("tool", "echo tool 3.0")
    times = path.stat()
    find("tool>=3", platform=shelf.platform())
    shelf.put("tool", "echo tool 2.0")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(programs.ProgramVersionWrong):
        find("tool>=3", platform=shelf.platform())


def test_a_disk_cache_serves_the_next_process(shelf: Shelf) -> None:
    """What one process asked, another need not."""
    runs, file = counting(shelf), shelf.root / "cache" / "programs.json"
    find("tool>=3", platform=shelf.platform(), cache=DiskCache(file))
    PROCESS_CACHE.clear()
    assert find("tool>=3", platform=shelf.platform(), cache=DiskCache(file)).version == "3.0"
    assert runs() == 1


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"a": 1}', b"[" * 200_000, b" " * 2_000_000])
def test_a_file_that_is_no_cache_is_neither_believed_nor_replaced(content: bytes, shelf: Shelf) -> None:
    """The program is asked; the file may be somebody's notes, so it stays as it is."""
    runs, file = counting(shelf), shelf.root / "programs.json"
    file.write_bytes(content)
    find("tool>=3", platform=shelf.platform(), cache=DiskCache(file))
    assert runs() == 1
    assert file.read_bytes() == content


def test_an_empty_file_becomes_a_cache(shelf: Shelf) -> None:
    """There is nothing in it to lose."""
    counting(shelf)
    file = shelf.root / "programs.json"
    file.touch()
    find("tool>=3", platform=shelf.platform(), cache=DiskCache(file))
    assert "tool 3.0" in file.read_text()


def test_a_disk_cache_that_others_may_write_is_not_believed(shelf: Shelf) -> None:
    """Somebody else could say there what version we have."""
    runs, file = counting(shelf), shelf.root / "programs.json"
    find("tool>=3", platform=shelf.platform(), cache=DiskCache(file))
    forged = {label: text.replace("3.0", "9.9") for label, text in json.loads(file.read_text()).items()}
    file.write_text(json.dumps(forged))
    file.chmod(0o666)
    PROCESS_CACHE.clear()
    assert find("tool>=3", platform=shelf.platform(), cache=DiskCache(file)).version == "3.0"
    assert runs() == 2


def test_a_disk_cache_that_cannot_be_written_costs_nothing_else(shelf: Shelf) -> None:
    """A cache may fail; the answer is still true."""
    counting(shelf)
    (shelf.root / "file").write_text("")
    found = find("tool>=3", platform=shelf.platform(), cache=DiskCache(shelf.root / "file" / "below" / "x.json"))
    assert found.version == "3.0"


# -- other platforms


def test_this_platform_knows_its_managers(shelf: Shelf) -> None:
    """Detected by the programs that are there; the system's own come first, another system's not at all."""
    for name in ("apt-get", "brew", "winget", "npm"):
        shelf.put(name, "")
    environment = {"PATH": f"{shelf.root / 'bin'}:relative"}
    assert Platform.this(environment, "linux").managers == ("apt", "brew", "npm")
    assert Platform.this(environment, "darwin").managers == ("brew", "npm")


def test_windows_finds_by_extension(shelf: Shelf) -> None:
    """PATH is split at semicolons, and a name is completed from PATHEXT."""
    path = shelf.put("tool.cmd", "echo tool 3.0", mode=0o755)
    environment = {"PATH": f"{shelf.root / 'nowhere'};{shelf.root / 'bin'}", "PATHEXT": ".EXE;.CMD"}
    platform = Platform.this(environment, "win32")
    found = find("tool>=3", platform=platform)
    assert (found.path, found.version) == (path, "3.0")


def test_windows_ends_a_program_that_hangs(shelf: Shelf) -> None:
    """The way without a guard process is bounded too."""
    shelf.put("tool.exe", "exec /bin/sleep 300")
    platform = Platform.this({"PATH": str(shelf.root / "bin")}, "win32")
    with pytest.raises(programs.ProgramVersionUnknown, match="time was over"):
        find("tool>=3", platform=platform, timeout_s=0.3)


# -- versions as they are really printed


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("git", "git version 2.39.5\n", "2.39.5"),
        ("git", "git version 2.39.5 (Apple Git-154)", "2.39.5"),
        ("git", "git version 2.41.0.windows.1", "2.41.0"),
        ("git", "git version 2.45.0.rc1", "2.45.0rc1"),
        ("rg", "ripgrep 13.0.0\n-SIMD -AVX (compiled)", "13.0.0"),
        ("bwrap", "bubblewrap 0.8.0", "0.8.0"),
        ("strace", "strace -- version 6.1\nCopyright (c) 1991-2022", "6.1"),
        ("node", "v18.13.0", "18.13.0"),
        ("go", "go version go1.21.3 linux/amd64", "1.21.3"),
        ("jq", "jq-1.6", "1.6"),
        ("java", 'openjdk version "17.0.9" 2023-10-17', "17.0.9"),
        ("java", 'java version "1.8.0_292"', "1.8.0"),
        ("openssl", "OpenSSL 1.1.1w  11 Sep 2023", "1.1.1"),
        ("gcc", "gcc (Debian 12.2.0-14) 12.2.0", "12.2.0"),
        ("bash", "GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", "5.2.15"),
        ("ffmpeg", "ffmpeg version n4.4 Copyright (c) 2000-2021", "4.4"),
        ("ffmpeg", "ffmpeg version 5.1.6-0+deb12u1 Copyright", "5.1.6"),
        ("less", "less 590 (GNU regular expressions)", "590"),
        ("curl", "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 OpenSSL/3.0.15", "7.88.1"),
        ("docker", "Docker version 24.0.5, build ced0996", "24.0.5"),
        ("psql", "psql (PostgreSQL) 15.5 (Debian 15.5-0+deb12u1)", "15.5"),
        ("perl", "\nThis is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64", "5.36.0"),
        ("unzip", "UnZip 6.00 of 20 April 2009, by Debian.", "6.0"),
        ("terraform", "Terraform v1.5.7\non linux_amd64", "1.5.7"),
        ("rustc", "rustc 1.76.0-nightly (79e9716c9 2023-11-13)", "1.76.0"),
        ("ruff", "ruff 0.17.5", "0.17.5"),
        ("mypy", "mypy 2.4.1 (compiled: yes)", "2.4.1"),
        ("npm", "npm WARN config 127.0.0.1 is a proxy\nnpm 10.2.4", "10.2.4"),
        ("tool", "Python 3.11.2 at /usr/lib\ntool 0.3.0", "0.3.0"),
        ("nginx", "nginx version: nginx/1.18.0 (Ubuntu)", "1.18.0"),
        ("chrome", "Google Chrome 120.0.6099.109 ", "120.0.6099.109"),
        ("tool", "no version at all", None),
        ("tool", "", None),
        ("tool", "see /opt/tool/1.2.3/lib", None),
        ("tool", "1" * 5000 + "." + "2" * 5000, None),
    ],
)
def test_versions_are_read_as_they_are_printed(name: str, text: str, version: str | None) -> None:
    """Output of real programs; where there is no version, none is made up."""
    assert read_version(text, name=name) == (str(version) if version else None)


def test_a_pattern_reads_what_is_out_of_the_ordinary(shelf: Shelf) -> None:
    """A program that calls its versions otherwise is described, not refused."""
    shelf.put("tool", "echo release r42 of 2021.5")
    wanted = Program("tool", ">=40", version_pattern=r"release r(\d+)")
    assert find(wanted, platform=shelf.platform()).version == "42"


def test_a_pre_release_is_older_than_its_release(shelf: Shelf) -> None:
    """2.45rc1 is not 2.45."""
    shelf.put("tool", "echo tool version 2.45.0.rc1")
    with pytest.raises(programs.ProgramVersionWrong):
        find("tool>=2.45", platform=shelf.platform())
    assert find("tool>=2.44", platform=shelf.platform()).version == "2.45.0rc1"


# -- hostile arguments

HOSTILE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["../git", "/bin/sh", "a" * 4096, "git\0", "-rf", "\ud800", "", ".", "git;rm", "a b", "git>=x"]),
    st.integers(),
    st.none(),
    st.binary(max_size=8),
    st.lists(st.text(max_size=3), max_size=2),
)


def refused_properly_or_done(act: Callable[[], object]) -> None:
    """The one error that may come is ours, with a hint."""
    refused: list[DaybreakError] = []
    try:
        act()
    except DaybreakError as error:
        refused.append(error)
    assert all(error.hint for error in refused)


@settings(deadline=None)
@given(name=HOSTILE, versions=HOSTILE, arguments=HOSTILE, hints=HOSTILE, pattern=HOSTILE)
def test_a_description_is_whole_or_refused(
    name: object, versions: object, arguments: object, hints: object, pattern: object
) -> None:
    """Whatever is passed, the only error is ours, with a hint."""
    # shows: P8
    described: list[Callable[[], object]] = [
        lambda: Program(name),  # type: ignore[arg-type]
        lambda: Program("git", versions),  # type: ignore[arg-type]
        lambda: Program("git", version_arguments=arguments),  # type: ignore[arg-type]
        lambda: Program("git", hints={"apt": hints}),  # type: ignore[dict-item]
        lambda: Program("git", hints={str(name): "git"}),
        lambda: Program("git", hints=hints),  # type: ignore[arg-type]
        lambda: Program("git", version_pattern=pattern),  # type: ignore[arg-type]
        lambda: Program.of(name),  # type: ignore[arg-type]
        lambda: Platform("linux", path=name),  # type: ignore[arg-type]
        lambda: find("git", timeout_s=name),  # type: ignore[arg-type]
        lambda: guard(name),  # type: ignore[arg-type]
    ]
    for describe in described:
        refused_properly_or_done(describe)


@settings(deadline=None)
@given(path=st.text(max_size=60), at=st.text(max_size=60))
def test_any_path_gives_a_program_or_one_of_our_errors(path: str, at: str) -> None:
    """PATH is an environment variable: it may hold anything."""
    for search in (
        lambda: find("no-such-program", platform=Platform("linux", path)),
        lambda: find("no-such-program", at=Path(at)),
        lambda: Platform.this({"PATH": path}, "win32"),
    ):
        refused_properly_or_done(search)


def test_hints_cannot_smuggle_commands() -> None:
    """A hint is copied into a terminal: a package's name is a name and nothing else."""
    for package in ("git; rm -rf /", "$(id)", "-y", "a b", "git\nid", ""):
        with pytest.raises(programs.ProgramMisdescribed):
            Program("git", hints={"apt": package})
