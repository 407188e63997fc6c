"""Builds a wheel and installs it: `python -I building.py SOURCE OUT PREFIX INTERPRETER`.

A program of its own because a build runs code of the project. It imports nothing of ours. What it prints is
for people; whether it worked is seen from its exit status and from what then lies in PREFIX.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import tomllib
from pathlib import Path


def main(source: Path, out: Path, prefix: Path, interpreter: str) -> None:
    wheel = build(source, out)
    install(wheel, prefix, interpreter)
    if unmet := unmet_requirements(prefix):
        sys.exit("not installed here, but required: " + ", ".join(unmet))


def build(source: Path, out: Path) -> Path:
    """By the PEP 517 hook of the backend that pyproject.toml names; nothing is downloaded."""
    os.chdir(source)
    system = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8")).get("build-system", {})
    sys.path[:0] = [str(source / path) for path in system.get("backend-path", [])]
    module, _, attribute = system.get("build-backend", "setuptools.build_meta").partition(":")
    try:
        backend = importlib.import_module(module)
    except ImportError as error:
        sys.exit(f"the build backend {module} is not installed here: {error}")
    for part in filter(None, attribute.split(".")):
        backend = getattr(backend, part)
    wheel: str = backend.build_wheel(str(out), {}, None)
    return out / wheel


def install(wheel: Path, prefix: Path, interpreter: str) -> None:
    import installer
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    library = str(prefix / "lib")
    destination = SchemeDictionaryDestination(
        {
            "purelib": library,
            "platlib": library,
            "scripts": str(prefix / "bin"),
            "headers": str(prefix / "include"),
            "data": str(prefix / "data"),
        },
        interpreter=interpreter,
        script_kind="posix",
        bytecode_optimization_levels=[0],
    )
    with WheelFile.open(wheel) as opened:
        installer.install(opened, destination, {})
        sys.stdout.write(f"installed {wheel.name}\n")


def unmet_requirements(prefix: Path) -> list[str]:
    """What the installed project requires and this environment lacks."""
    from packaging.requirements import Requirement

    unmet = []
    for distribution in importlib.metadata.distributions(path=[str(prefix / "lib")]):
        for line in distribution.requires or []:
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            try:
                found = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                unmet.append(line)
                continue
            if not requirement.specifier.contains(found, prereleases=True):
                unmet.append(f"{line} (here is {found})")
    return unmet


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
