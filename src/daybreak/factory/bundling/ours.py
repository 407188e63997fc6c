"""Our own package as files in a folder: as it was installed, or, where it runs from a checkout, as its wheel has it."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from daybreak.errors import cut
from daybreak.factory.bundling.required import OURS, InstalledDiffers, check_whole
from daybreak.host import process

BUILD_S = 120
DATED = "1577836800"
"""1 January 2020: the same for every build."""
_OF_THE_INSTALLER = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"})


def put(folder: Path, scratch: Path) -> None:
    """Write it into `folder`, which is empty: modules, data, metadata; modes and order do not depend on where or
    when. Raises InstalledDiffers."""
    one = metadata.distribution(OURS)
    checkout = _checkout(one)
    _check_running(checkout or Path(str(one.locate_file(""))))
    if checkout is not None:
        _unpack(_build(checkout, scratch), folder)
    else:
        check_whole([one])
        _copy(one, folder)


def _checkout(one: metadata.Distribution) -> Path | None:
    """The folder that it runs from, if it is installed so that changes there take effect at once."""
    told = json.loads(one.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(told["url"]).path))


def _check_running(root: Path, running: str = __file__) -> None:
    """What runs is what is packed: another checkout may stand before it on the path."""
    if not Path(running).resolve().is_relative_to(root.resolve()):
        raise InstalledDiffers(
            f"Daybreak runs from {cut(Path(running).resolve().parents[2])}, and is installed from {cut(root)}",
            hint="without PYTHONPATH, in the environment that is to be packed, try again",
        )


def _build(checkout: Path, scratch: Path) -> Path:
    out = scratch / "wheel"
    finished = process.run(
        [sys.executable, "-I", "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        cwd=checkout,
        env=process.clean_environment(scratch, SOURCE_DATE_EPOCH=DATED),
        timeout_s=BUILD_S,
        merge=True,
    )
    wheels = sorted(out.glob("*.whl")) if out.is_dir() else []
    if not finished.ok or len(wheels) != 1:
        said = finished.stdout.decode(errors="replace").strip().splitlines()
        raise InstalledDiffers(
            f"the wheel of {checkout} cannot be built: {cut(said[-1] if said else finished.ending)}",
            hint="`python -m hatchling build` there shows why",
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if not name.endswith("/"):
                _write(folder, name, packed.read(name))


def _copy(one: metadata.Distribution, folder: Path) -> None:
    """What belongs into the folder of packages; not the command, which the installer has written for this place."""
    record = []
    for file in sorted(one.files or (), key=str):
        meta = file.parts[0].endswith(".dist-info")
        if ".." in file.parts or file.suffix == ".pyc" or (meta and file.name in _OF_THE_INSTALLER):
            continue
        content = Path(file.locate()).read_bytes()
        _write(folder, str(file), content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{file},sha256={digest},{len(content)}\n")
    meta_folder = next(folder.glob("*.dist-info")).name
    record.append(f"{meta_folder}/RECORD,,\n")
    _write(folder, f"{meta_folder}/RECORD", "".join(record).encode())


def _write(folder: Path, name: str, content: bytes) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(0o644)
