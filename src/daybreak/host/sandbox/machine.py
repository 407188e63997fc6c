"""What this machine can enforce: found by trying, once per process."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from daybreak.errors import HostError
from daybreak.host.sandbox.calls import MACHINES
from daybreak.host.sandbox.model import Mode, Network, Sandbox, Strength

BWRAP_PATH = "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin"
"""Never the caller's PATH: what lies there first would be our jailer."""
BWRAP_VERSION_MIN = (0, 8)
"""The first with a size for tmpfs."""
LANDLOCK_NETWORK, LANDLOCK_SCOPES, LANDLOCK_TRUNCATE = 4, 6, 3
GROUP_PREFIX = "daybreak-"
INSTALL_HINT = "install bubblewrap (apt install bubblewrap, dnf install bubblewrap), or lower what the policy asks for"


@dataclass(frozen=True)
class Machine:
    """Abilities. Tests make their own; everybody else takes `detect()`."""

    system: str = "Linux"
    architecture: str = "x86_64"
    root: bool = False
    bwrap: str = ""
    """Path of the program; empty: not usable."""
    bwrap_why: str = "not installed"
    """Where it is not usable: why."""
    own_user: bool = False
    """Being root, a sandbox can have a user of its own (id-mapped mounts)."""
    own_user_why: str = "not tried"
    landlock_abi: int = 0
    seccomp: bool = False
    groups: dict[str, Path] = field(default_factory=dict)
    """Folders of version 1 control groups below which we can make our own, by controller (`memory`, `pids`); `unified`
    for version 2, which has both."""

    def mode(self, network: Network = "none") -> Mode:
        """What a sandbox with this kind of network is on this machine."""
        boxed = bool(self.bwrap)
        layers, missing = [], []
        for there, name, why in (
            (boxed, "bubblewrap", self.bwrap_why),
            (boxed and self.own_user, "own user", self.own_user_why if boxed else "needs bubblewrap"),
            (self.landlock_abi > 0, f"landlock {self.landlock_abi}", "the kernel has none, or it is switched off"),
            (self.seccomp, "seccomp", f"not known for {self.system} on {self.architecture}"),
            (bool(self.groups), f"control groups ({', '.join(sorted(self.groups))})", "not writable"),
        ):
            if name == "own user" and not self.root:
                continue  # our user is what a dropped one would be
            if there:
                layers.append(name)
            else:
                missing.append(f"{re.sub(r' [0-9(].*', '', name)}: {why}")
        layers += ["limits", "guard"]
        return Mode(self._strength(), tuple(layers), tuple(missing), tuple(self._gaps(network)))

    def _strength(self) -> Strength:
        if self.bwrap and self.seccomp and (self.own_user or not self.root):
            return "full"
        if self.seccomp and (self.bwrap or self.landlock_abi) and self._ends_all():
            return "degraded"
        return "none"

    def _ends_all(self) -> bool:
        """Whether nothing goes on when a program is over: it cannot kill its guard, or not escape by that."""
        return bool(self.bwrap or self.groups) or self.landlock_abi >= LANDLOCK_SCOPES

    def _gaps(self, network: Network) -> list[str]:
        gaps = ["locks"] if self.seccomp else ["locks", "kernel", "set-user-id", "namespaces"]
        if self.bwrap:
            held_back = network != "host" or self.landlock_abi >= LANDLOCK_SCOPES
            return gaps + ([] if held_back else ["unix-sockets"])
        gaps += ["names", "metadata", "processes-seen"]
        if not self.landlock_abi:
            gaps += ["reading", "writing"]
        if self.landlock_abi < LANDLOCK_TRUNCATE:
            gaps.append("truncating")
        if self.landlock_abi < LANDLOCK_SCOPES:
            gaps.append("signals")
        if not self._ends_all():
            gaps.append("outliving")
        if not self.landlock_abi and not self.seccomp:
            gaps.append("tracing")
        if not self.seccomp or network == "host":
            gaps.append("unix-sockets")
        if not self.seccomp or (network == "listen" and self.landlock_abi < LANDLOCK_NETWORK):
            gaps.append("network")
        if network == "listen":
            gaps.append("port-seen")
        return gaps + ([] if self.seccomp else ["shared-memory"])


@cache
def detect() -> Machine:
    """The abilities of this machine, tried out; takes about a tenth of a second the first time."""
    if sys.platform != "linux":
        return Machine(system=sys.platform, architecture="", bwrap_why=f"there is none for {sys.platform}")
    from daybreak.host.sandbox.child import kernel

    found = Machine(
        architecture=os.uname().machine,
        root=os.geteuid() == 0,
        landlock_abi=kernel.landlock_abi(),
        seccomp=os.uname().machine in MACHINES and Path("/proc/sys/kernel/seccomp/actions_avail").exists(),
        groups=_groups(),
    )
    program, why = _bwrap()
    if not program:
        return replace(found, bwrap_why=why)
    candidate = replace(found, bwrap=program, bwrap_why="", own_user=found.root, own_user_why="")
    why = _try(candidate)
    if not why:
        return candidate
    if found.root:
        weaker = replace(candidate, own_user=False, own_user_why=why)
        why = _try(weaker)
        if not why:
            return weaker
    return replace(found, bwrap_why=why)


def _bwrap() -> tuple[str, str]:
    """Its path, or why it cannot be used."""
    import shutil

    from daybreak.host import process

    program = shutil.which("bwrap", path=BWRAP_PATH)
    if program is None:
        return "", "not installed"
    try:
        said = process.run([program, "--version"], cwd=Path("/"), env={"LANG": "C.UTF-8"}, timeout_s=10).stdout
    except HostError as error:
        return "", error.message
    version = re.search(rb"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < BWRAP_VERSION_MIN:
        return "", f"{said.decode(errors='replace').strip() or 'no version'}: 0.8 or newer is needed"
    return program, ""


def _try(candidate: Machine) -> str:
    """Run a program in a sandbox; why it does not work, empty where it does."""
    import tempfile

    from daybreak.host import process
    from daybreak.host.sandbox.plan import prepare

    with tempfile.TemporaryDirectory(prefix="daybreak-try-") as name:
        folder = Path(name).resolve()
        ready = prepare(Sandbox(writable=(folder,), require="none"), candidate)
        try:
            done = process.run(
                ["/bin/sh", "-c", "echo tried > file"],
                cwd=folder,
                env={"PATH": process.DEFAULT_PATH},
                timeout_s=20,
                sandbox=ready,
            )
        except HostError as error:
            return error.message
        if not done.ok or not (folder / "file").is_file():
            return f"a trial failed: {done.ending} {done.stderr.decode(errors='replace').strip()}"
        return ""


# -- control groups


def _groups() -> dict[str, Path]:
    """Where a control group with these limits can be made; each was tried."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
        own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text(errors="replace").splitlines()]
    except OSError:
        return {}
    found = {}
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, point = before.split(" ")[3:5]
        wanted = {"cgroup": ("memory", "pids"), "cgroup2": ("unified",)}.get(kind, ())
        for name in wanted:
            if name != "unified" and name not in options.split(","):
                continue
            for _, controllers, path in own:
                if name in controllers.split(",") or (name == "unified" and not controllers):
                    folder = Path(point, os.path.relpath(path, root)) if path.startswith(root) else Path(point)
                    if _can_be_used(folder, name):
                        found[name] = folder
    if {"memory", "pids"} <= set(found):
        found.pop("unified", None)
    return found


def _can_be_used(folder: Path, name: str) -> bool:
    """Make one, write its limits, remove it; on the way, remove what guards that were killed have left."""
    wanted = {
        "memory": ["memory.limit_in_bytes"],
        "pids": ["pids.max"],
        "unified": ["memory.max", "pids.max"],
    }[name]
    with contextlib.suppress(OSError):
        for old in folder.glob(f"{GROUP_PREFIX}*"):
            pid = old.name.removeprefix(GROUP_PREFIX).partition("-")[0]
            if pid.isdigit() and not Path("/proc", pid).exists():
                with contextlib.suppress(OSError):
                    old.rmdir()
    trial = folder / f"{GROUP_PREFIX}{os.getpid()}-trial"
    try:
        trial.mkdir()
    except OSError:
        return False
    try:
        for file in wanted:
            descriptor = os.open(trial / file, os.O_WRONLY)
            try:
                os.write(descriptor, b"1000000000" if "mem" in file else b"1000")
            finally:
                os.close(descriptor)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            trial.rmdir()
    return True
