"""What is left where nothing could be built, and only where somebody asked for it: a folder that says what was wanted,
and in every file that it is not built."""

from __future__ import annotations

import json
from pathlib import Path

from daybreak.factory import deliver
from daybreak.factory.spec.model import Specification

LABEL = "NOT BUILT"


def put(output: Path, spec: Specification, text: str, run: str, scratch: Path) -> int:
    """Make it in `scratch` and put it at `output`; how many files. Where anything is there already, which may be an
    earlier delivery that works, nothing is written, and the answer is 0. Doing it again for the same run changes
    nothing. Raises DeliveryErrors, and NotATree."""
    files = _files(spec, text, run)
    if _is_ours(output, run):  # a crash came between putting and recording it
        return len(files)
    if output.is_symlink() or (output.exists() and not (output.is_dir() and not any(output.iterdir()))):
        return 0
    for name, content in files.items():
        path = scratch / "skeleton" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    deliver.put(scratch / "skeleton", output, {"name": spec.name, "run": run, "label": LABEL})
    return len(files)


def _is_ours(output: Path, run: str) -> bool:
    try:
        manifest = json.loads((output / deliver.MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("label") == LABEL and manifest.get("run") == run


def _files(spec: Specification, text: str, run: str) -> dict[str, str]:
    wanted = "\n".join(f"- [ ] {one.id}: {one.text} ({LABEL.lower()})" for one in spec.requirements)
    package = spec.name.replace("-", "_")
    said = f"{spec.title}: {LABEL}. `daybreak report {run}` says why."
    return {
        "NOT_BUILT.md": f"# {spec.title}: {LABEL}\n\nNothing here works. {said}\n\n{wanted}\n",
        "specification.txt": f"{LABEL}: this is what was asked for, and nothing of it is here.\n\n{text}",
        f"src/{package}/__init__.py": f'"""{LABEL}: nothing here works."""\n\nraise NotImplementedError({said!r})\n',
    }
