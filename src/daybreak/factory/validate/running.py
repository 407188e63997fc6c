"""Running programs about a project: in the sandbox, on a copy, without a network, with what it has installed."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.checks import sandboxed
from daybreak.factory.repository import venvs
from daybreak.factory.repository.running import Bench
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.host import process
from daybreak.host.process import Finished
from daybreak.host.programs import Program
from daybreak.host.sandbox import Sandbox, Strength
from daybreak.settings import ProjectLanguage

OUTPUT_BYTES_MAX = 50_000_000
TOOLS: dict[ProjectLanguage, tuple[str, ...]] = {
    "javascript": ("node", "npm"),
    "go": ("go", "gofmt", "golangci-lint"),
    "rust": ("cargo", "rustc", "cargo-clippy", "rustfmt"),
    "java": ("java", "javac", "mvn", "gradle"),
}


@dataclass(frozen=True)
class Room:
    """Where one state of a project is looked at. `files` is never writable for anything that runs; `scratch` is a real
    folder of ours, fresh for each check."""

    files: Path
    scratch: Path
    around: Surroundings
    limit_s: float
    require: Strength
    cancelled: threading.Event

    @property
    def bench(self) -> Bench:
        """The same, for the checks of repositories."""
        return Bench(self.files, self.scratch, self.around.environments, self.limit_s, self.require, self.cancelled)

    def place(self, name: str) -> Path:
        """A folder for one program: `copy` holds the project, with what it has installed linked in."""
        place = self.scratch / name
        place.mkdir(parents=True)
        shutil.copytree(self.files, place / "copy", symlinks=True)
        modules = self.around.node_modules
        if modules is not None and not os.path.lexists(place / "copy" / "node_modules"):
            (place / "copy" / "node_modules").symlink_to(modules)
        return place

    def shell(self, command: str, language: ProjectLanguage, place: Path) -> Finished:
        """Run shell text at the top of the copy in `place`. Raises what starting a program in a sandbox raises."""
        return process.run(
            ["/bin/sh", "-e", "-c", command],
            cwd=place / "copy",
            env=self.environment(language, place),
            timeout_s=self.limit_s,
            output_bytes_max=OUTPUT_BYTES_MAX,
            cancelled=self.cancelled,
            sandbox=self.box(language, place / "copy", *sandboxed.homes(place)),
        )

    def tool(self, argv: Sequence[str | Path], own: Path, **variables: str) -> Finished:
        """Run a tool that only reads `files` and writes into the folder `own`, which is made."""
        own.mkdir(parents=True, exist_ok=True)
        place = self.scratch
        return process.run(
            argv,
            cwd=self.files,
            env={**self.environment("python", place), **variables},
            timeout_s=self.limit_s,
            output_bytes_max=OUTPUT_BYTES_MAX,
            cancelled=self.cancelled,
            sandbox=sandboxed.around(
                own,
                *sandboxed.homes(place),
                readable=[self.files, *venvs.readable(self.around.environments)],
                require=self.require,
            ),
        )

    def box(self, language: ProjectLanguage, *writable: Path, readable: Sequence[Path] = ()) -> Sandbox:
        """What programs of that language get."""
        granted = [*readable, *installed(self.around, language)]
        if language in ("java", "generic"):
            granted += [path for path in sorted(Path("/etc").glob("java-*")) if path.is_dir()]
        named = [path for path in dict.fromkeys(granted) if not any(path == one for one in writable)]
        return sandboxed.around(*writable, readable=named, require=self.require)

    def environment(self, language: ProjectLanguage, place: Path) -> dict[str, str]:
        """All of it: nothing of ours, and what the tools of that language need to be told."""
        around, copy = self.around, place / "copy"
        programs = [*(venv / "bin" for venv in around.environments), *map(_real, around.searched())]
        told: dict[str, str] = {}
        if language in ("python", "generic"):
            roots = [copy / "src", copy] if (self.files / "src").is_dir() else [copy]
            told["PYTHONPATH"] = os.pathsep.join(map(str, roots))
        if language in ("rust", "generic"):
            told |= self._rust(place)
        if language in ("go", "generic"):
            told |= {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
            told |= {name: str(path) for name, path in around.caches("go").items()}
        if language in ("java", "generic"):
            told |= self._java(place)
        if language in ("javascript", "generic"):
            told |= {"CI": "true", "npm_config_update_notifier": "false", "npm_config_offline": "true"}
        return process.clean_environment(place, path=[*programs, Path(sys.executable).parent], **told)

    def _rust(self, place: Path) -> dict[str, str]:
        caches = self.around.caches("rust")
        own = place / "home" / ".cargo"
        own.mkdir(parents=True, exist_ok=True)
        registry = caches.get("CARGO_REGISTRY")
        if registry is not None and not os.path.lexists(own / "registry"):
            (own / "registry").symlink_to(registry)
        told = {"CARGO_HOME": str(own), "CARGO_NET_OFFLINE": "true", "CARGO_TERM_COLOR": "never"}
        return told | ({"RUSTUP_HOME": str(caches["RUSTUP_HOME"])} if "RUSTUP_HOME" in caches else {})

    def _java(self, place: Path) -> dict[str, str]:
        caches = self.around.caches("java")
        home = place / "home"
        told = {"GRADLE_USER_HOME": str(home / ".gradle")}
        words = [f"-Duser.home={home}"]
        if "MAVEN_REPOSITORY" in caches:
            words.append(f"-Dmaven.repo.local={caches['MAVEN_REPOSITORY']}")
        if "GRADLE_RO_DEP_CACHE" in caches:
            told["GRADLE_RO_DEP_CACHE"] = str(caches["GRADLE_RO_DEP_CACHE"])
        return told | {"MAVEN_OPTS": " ".join(words)}


def installed(around: Surroundings, language: ProjectLanguage) -> list[Path]:
    """What is on this machine that programs of that language need: environments, toolchains, packages."""
    modules = [around.node_modules] if around.node_modules is not None else []
    found = [*venvs.readable(around.environments), *modules]
    for one in [language] if language != "generic" else list(TOOLS):
        found += [*around.toolchain(*TOOLS.get(one, ())), *around.caches(one).values()]
    return found


def needed(around: Surroundings, language: ProjectLanguage) -> list[Path]:
    """The same, and those of their programs that the system has, where a user would find them."""
    chosen = [language] if language != "generic" else list(TOOLS)
    programs = [around.program(Program(name))[0] for one in chosen for name in TOOLS.get(one, ())]
    return [*installed(around, language), *venvs.needed(around.environments), *filter(None, programs)]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
