"""What may be granted, what a machine can enforce, and that asking for more starts nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host.sandbox import (
    GAPS,
    Machine,
    Sandbox,
    SandboxMissing,
    SandboxRefused,
    detect,
    prepare,
    python_paths,
)

BEST = Machine(bwrap="/usr/bin/bwrap", bwrap_why="", landlock_abi=7, seccomp=True)
ROOT = replace(BEST, root=True, own_user=True, own_user_why="")
WITHOUT = replace(BEST, bwrap="", bwrap_why="not installed")
SURROGATE = ["/\ud800"]
GROUPS = {"pids": Path("/sys/fs/cgroup/pids")}
NOTHING = Machine(system="Windows", architecture="AMD64", bwrap_why="there is none for Windows")


# -- what may be granted


@pytest.mark.parametrize(
    "path",
    ["/", "/usr", "/tmp", "/root", "/home", "relative", "", "/a/../b", "/a\0b", "/a\nb", "/" + "x" * 4096, *SURROGATE],
)
def test_dangerous_and_broken_paths_are_refused(path: str) -> None:
    """Nothing vague, nothing large, nothing that climbs."""
    with pytest.raises(SandboxRefused) as told:
        Sandbox(writable=(Path(path),))
    assert told.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": "internet"},
        {"network": "listen"},
        {"network": "none", "listen_port": 80},
        {"network": "listen", "listen_port": 0},
        {"network": "listen", "listen_port": 65536},
        {"network": "listen", "listen_port": True},
        {"memory_bytes": 0},
        {"processes": -1},
        {"disk_files": 1.5},
        {"cpu_s": 0},
        {"open_files": 1},
        {"require": "most"},
        {"readable": (Path("/"),)},
        {"readable": ("/usr",)},
        {"hidden": (Path("/srv/never"),)},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    """Each is named with what would be right."""
    with pytest.raises(SandboxRefused) as told:
        Sandbox(**wrong)  # type: ignore[arg-type]
    assert told.value.hint


@given(
    st.tuples(st.text(max_size=50) | st.binary(max_size=20) | st.integers() | st.none()),
    st.sampled_from(["writable", "readable", "hidden"]),
)
def test_whatever_is_given_the_error_is_ours(paths: tuple[object, ...], where: str) -> None:
    """Hostile arguments give a Sandbox or a DaybreakError with a hint, nothing else."""
    given_paths = tuple(Path("/") / one if isinstance(one, str) else one for one in paths)
    hint = "none"
    try:
        Sandbox(**{where: given_paths})  # type: ignore[arg-type]
    except DaybreakError as error:
        hint = error.hint
    assert hint


def test_a_path_through_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """Who may write to a folder cannot turn the next grant elsewhere."""  # shows: N9
    folder = tmp_path.resolve()
    (folder / "real").mkdir()
    (folder / "link").symlink_to("/etc")
    for box in (Sandbox(writable=(folder / "link",)), Sandbox(readable=(folder / "link" / "ssl",))):
        with pytest.raises(SandboxRefused, match=r"symbolic link|cannot be granted"):
            prepare(box, BEST).order(cwd=folder, env_home="", limits={})
    with pytest.raises(SandboxRefused, match="cannot be granted"):
        prepare(Sandbox(writable=(folder / "none",)), BEST).order(cwd=folder, env_home="", limits={})


def test_only_what_is_needed_is_bound(tmp_path: Path) -> None:
    """Never all of `/`, nothing that says who is here, and every bind but the granted read-only."""  # shows: N9
    folder = tmp_path.resolve()
    order = prepare(Sandbox(writable=(folder,)), BEST).order(cwd=folder, env_home="", limits={})
    words = [os.fsdecode(word) for word in order["arguments"]]
    bound = {words[at + 1]: word for at, word in enumerate(words) if word in ("--bind", "--ro-bind", "--ro-bind-try")}
    assert "/" not in bound
    assert "/etc" not in bound
    assert not {"/etc/shadow", "/etc/passwd", "/root", "/home", "/run", "/var", "/sys"} & set(bound)
    assert [path for path, how in bound.items() if how == "--bind"] == [str(folder)]
    assert "--unshare-net" in words
    assert words[words.index("--cap-drop") + 1] == "ALL"


def test_python_can_be_found_inside() -> None:
    """The environment and the installation behind it are among what is always readable, unless the system's."""
    import sys

    real = Path(os.path.realpath(sys.executable))
    always = (*python_paths(), Path("/usr"), Path("/bin"), Path("/lib"))
    assert any(real.is_relative_to(path) for path in always)
    assert any(Path(sys.executable).absolute().is_relative_to(path) for path in always)
    assert Path("/") not in python_paths()


# -- what a machine can enforce


@pytest.mark.parametrize(
    ("machine", "strength"),
    [
        (BEST, "full"),
        (ROOT, "full"),
        (replace(ROOT, own_user=False), "degraded"),
        (replace(BEST, seccomp=False), "none"),
        (WITHOUT, "degraded"),
        (replace(WITHOUT, landlock_abi=1, groups=GROUPS), "degraded"),
        (replace(WITHOUT, landlock_abi=5), "none"),
        (replace(BEST, landlock_abi=5), "full"),
        (replace(WITHOUT, landlock_abi=0), "none"),
        (replace(WITHOUT, seccomp=False), "none"),
        (NOTHING, "none"),
    ],
)
def test_the_mode_follows_from_what_there_is(machine: Machine, strength: str) -> None:
    """Full needs bubblewrap and the filter; as root a user of its own; the kernel alone is degraded."""
    mode = machine.mode()
    assert mode.strength == strength
    assert mode.words.startswith(strength)
    assert set(mode.not_covered) <= set(GAPS)


def test_full_covers_everything_and_each_missing_layer_is_named() -> None:
    """The mode says what is missing and why, so that nobody has to guess."""
    assert BEST.mode().not_covered == ("locks",)
    mode = replace(WITHOUT, landlock_abi=0).mode()
    assert any(line.startswith("bubblewrap: not installed") for line in mode.missing)
    assert any(line.startswith("landlock") for line in mode.missing)
    assert {"reading", "writing", "names", "signals"} <= set(mode.not_covered)


@given(abi=st.integers(0, 7), seccomp=st.booleans(), network=st.sampled_from(["none", "listen", "host"]))
def test_less_of_a_machine_never_covers_more(abi: int, seccomp: bool, network: str) -> None:
    """Taking a layer away never shortens the list of what is not covered."""
    here = replace(WITHOUT, landlock_abi=abi, seccomp=seccomp)
    gaps = set(here.mode(network).not_covered)  # type: ignore[arg-type]
    for less in (replace(here, landlock_abi=max(0, abi - 1)), replace(here, seccomp=False)):
        assert gaps <= set(less.mode(network).not_covered)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "box"),
    [
        (WITHOUT, Sandbox()),
        (replace(ROOT, own_user=False), Sandbox()),
        (NOTHING, Sandbox(require="degraded")),
        (
            replace(WITHOUT, landlock_abi=3, groups=GROUPS),
            Sandbox(require="degraded", network="listen", listen_port=8000),
        ),
        (replace(WITHOUT, landlock_abi=5), Sandbox(require="degraded")),
        (WITHOUT, Sandbox(require="degraded", readable=(Path("/srv"),), hidden=(Path("/srv/a"),))),
        (WITHOUT, Sandbox(require="degraded", writable=(Path("/srv"),), readable=(Path("/srv/a"),))),
    ],
)
def test_asking_for_more_than_there_is_fails_closed(machine: Machine, box: Sandbox) -> None:
    """The error says what there is and how to get the rest."""  # shows: N9
    with pytest.raises(SandboxMissing) as told:
        prepare(box, machine)
    assert "bubblewrap" in told.value.hint


@given(abi=st.integers(0, 7), boxed=st.booleans(), grouped=st.booleans())
def test_what_may_outlive_its_end_is_no_sandbox(abi: int, boxed: bool, grouped: bool) -> None:
    """Without scopes, groups and namespaces a program can kill its guard and leave something: said, and mode none."""
    # shows: N14
    base = replace(BEST if boxed else WITHOUT, landlock_abi=abi, groups=GROUPS if grouped else {})
    mode = base.mode()
    assert ("outliving" in mode.not_covered) == (not boxed and not grouped and abi < 6)
    assert "outliving" not in mode.not_covered or mode.strength == "none"


def test_the_longest_path_decides(tmp_path: Path) -> None:
    """Granted inside hidden is granted, hidden inside granted is hidden, both at once is hidden, and what lies
    in something hidden does not show its name by being hidden too."""  # shows: N9
    top = tmp_path.resolve()
    inner, deep = top / "hidden" / "inner", top / "hidden" / "inner" / "deep"
    deep.mkdir(parents=True)
    (top / "both").mkdir()
    (top / "hidden" / "name").touch()
    box = Sandbox(
        readable=(top, top / "both"),
        writable=(inner,),
        hidden=(deep, top / "hidden", top / "both", top / "hidden" / "name"),
    )
    order = prepare(box, BEST).order(cwd=inner, env_home="", limits={})
    words = [os.fsdecode(word) for word in order["arguments"]]
    ours = [
        (words[at - 1], str(Path(word).relative_to(top)))
        for at, word in enumerate(words)
        if Path(word).is_relative_to(top) and words[at - 1] in ("--bind", "--ro-bind", "--tmpfs", "/dev/null")
    ]
    assert [one for one in ours if one[1] != "both"] == [
        ("--ro-bind", "."),
        ("--tmpfs", "hidden"),
        ("--bind", "hidden/inner"),
        ("--tmpfs", "hidden/inner/deep"),
    ]
    assert [how for how, path in ours if path == "both"] == ["--tmpfs"]


def test_nothing_asked_nothing_refused() -> None:
    """Who asks for no strength gets what there is, also on a machine that has nothing."""
    ready = prepare(Sandbox(require="none"), NOTHING)
    assert ready.mode.strength == "none"
    assert "limits" in ready.mode.layers


def test_this_machine_is_looked_at_once() -> None:
    """The abilities are found by trying, and kept."""
    assert detect() is detect()
    assert detect().mode().strength in ("full", "degraded", "none")
