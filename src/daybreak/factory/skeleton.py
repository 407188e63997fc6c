"""What is left where nothing could be built, and only where somebody asked for it: a folder that says what was wanted,
and in every file that it is not built."""

from __future__ import annotations

from pathlib import Path

from daybreak.factory import deliver
from daybreak.factory.spec.model import Specification

LABEL = "NOT BUILT"


def put(output: Path, spec: Specification, text: str, run: str, scratch: Path) -> int:
    """Make it in `scratch` and put it at `output`; how many files. Where anything is there already, which may be an
    earlier delivery that works, nothing is written, and the answer is 0. Raises DeliveryErrors."""
    if output.exists() and any(output.iterdir()):
        return 0
    files = _files(spec, text, run)
    for name, content in files.items():
        path = scratch / "skeleton" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    deliver.put(scratch / "skeleton", output, {"name": spec.name, "run": run, "label": LABEL})
    return len(files)


def _files(spec: Specification, text: str, run: str) -> dict[str, str]:
    wanted = "\n".join(f"- [ ] {one.id}: {one.text} ({LABEL.lower()})" for one in spec.requirements)
    package = spec.name.replace("-", "_")
    said = f"{spec.title}: {LABEL}. `daybreak report {run}` says why."
    return {
        "NOT_BUILT.md": f"# {spec.title}: {LABEL}\n\nNothing here works. {said}\n\n{wanted}\n",
        "specification.txt": text,
        f"src/{package}/__init__.py": f'"""{LABEL}: nothing here works."""\n\nraise NotImplementedError({said!r})\n',
    }
