"""Makes the histories of a release. Kept, so that anybody can see how a folder here came about.

    python -m tests.histories.make night FOLDER     a finished build, and a night: a state folder (DAYBREAK_HOME)
    python -m tests.histories.make every FOLDER     one event of every type that can be appended
    python -m tests.histories.make subjects FOLDER  two subjects, one of them forgotten; a key rotated and revoked
    python -m tests.histories.make archived FOLDER  events in archives, some of them pruned, some put back
    python -m tests.histories.make shapes           adds new events and new fields to shapes.json

A folder that is there is never written to, and `shapes` changes nothing that it holds: what is in a ledger is for ever.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

import daybreak
from daybreak import events
from daybreak.errors import DraftRefused, LedgerError, UsageError

HERE = Path(__file__).parent
SHAPES = HERE / "shapes.json"
EXAMPLE = HERE.parents[1] / "examples" / "todo" / "spec.md"
DELIVERIES = Path(tempfile.gettempdir()) / "daybreak-history"
MOMENT = "2026-11-22T04:30:00.000000Z"
TASKS = {
    "copy": """title = "Copy a list"
folder = "{work}"
[[step]]
name = "copy"
run = ["cp", "list.txt", "copy.txt"]
[[check]]
run = ["cmp", "list.txt", "copy.txt"]
""",
    "wrong": """title = "Count wrongly"
folder = "{work}"
[[step]]
name = "count"
run = "wc -l < list.txt > count.txt"
[[check]]
run = ["grep", "-qx", "7", "count.txt"]
""",
}
"""One that is done and one that its check refuses."""


# -- values


def value(kind: Any) -> Any:
    """Some value of a field's type, the same one each time."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return inside[-1]
    if origin in (Union, types.UnionType):
        return value(inside[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return filled(kind)
    for known, some in {str: "text", bool: True, int: 7, float: 0.5}.items():
        if kind is known:
            return some
    if origin is list:
        return [value(inside[0])]
    if origin is dict:
        return {"key": value(inside[1])}
    if origin is tuple:
        return [value(inside[0])]
    if kind is Any or kind is dict:
        return {"deep": [1, 2.5, None, True, "ü"]}
    raise AssertionError(f"no value for {kind}")


def filled(kind: type[Any]) -> Any:
    """An instance with something in every field."""
    made = {field.name: value(field.type) for field in msgspec.structs.fields(kind)}
    return msgspec.convert(msgspec.to_builtins(made), kind)


def shape(kind: type[Any]) -> dict[str, Any]:
    """The fields as JSON has them, whether each is needed, and an event with a value in every one."""
    told = msgspec.json.schema(kind)
    named = told.get("$defs", {})
    own = _plain(named[kind.__name__], named)
    return {
        "fields": own["properties"],
        "required": sorted(own.get("required", [])),
        "sample": {field.name: value(field.type) for field in msgspec.structs.fields(kind)},
    }


def _plain(told: Any, named: dict[str, Any]) -> Any:
    """A schema without words, names and defaults, and with what it refers to in its place."""
    if isinstance(told, list):
        return [_plain(one, named) for one in told]
    if not isinstance(told, dict):
        return told
    if "$ref" in told:
        return _plain(named[told["$ref"].rpartition("/")[2]], named)
    left = {key: one for key, one in told.items() if key not in ("title", "description", "default")}
    return {
        key: {name: _plain(field, named) for name, field in one.items()} if key == "properties" else _plain(one, named)
        for key, one in left.items()
    }


def shapes() -> dict[str, Any]:
    found = json.loads(SHAPES.read_text("utf-8")) if SHAPES.exists() else {}
    assert isinstance(found, dict)
    return found


def add_shapes() -> list[str]:
    """What was new. Nothing that stands there is changed."""
    known, new = shapes(), []
    for name, kind in events.BY_TYPE.items():
        now = json.loads(msgspec.json.encode(shape(kind), order="sorted"))
        if name not in known:
            known[name] = now
            new.append(name)
            continue
        for field in now["fields"].keys() - known[name]["fields"].keys():
            known[name]["fields"][field] = now["fields"][field]
            known[name]["sample"][field] = now["sample"][field]
            new.append(f"{name}: {field}")
    SHAPES.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    return new


# -- folders


def make_every(folder: Path) -> int:
    """A ledger with one event of every type; those that only the ledger itself may write are left out."""
    from daybreak.ledger import Draft, Ledger
    from daybreak.testing.clock import FakeClock

    clock = FakeClock(datetime(2026, 11, 22, 4, 30, tzinfo=UTC))
    with Ledger.open(folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=clock) as ledger:
        for kind in events.BY_TYPE.values():
            try:
                ledger.append([Draft("control:every", filled(kind), "history", trace=kind.type)])
            except (DraftRefused, LedgerError, UsageError) as refused:
                print(f"{kind.type} is not in it: {refused.message}")
        large = events.StepDone(run="large", branch="", name="large", nth=0, args="", result="x" * 70_000)
        ledger.append([Draft("control:every", large, "history", trace="large")])
        size = ledger.head().size
    _tidy(folder)
    return size


KEPT, FORGOTTEN = "customer-ada", "customer-bob"
DISCLOSED = "disclosed.proof"


def make_subjects(folder: Path) -> int:
    """A ledger with secrets of two subjects, of whom one was forgotten; the key was rotated meanwhile, and the old one
    revoked. Beside it a proof that discloses the first secret."""
    from daybreak.ledger import Draft, Ledger, Prover, redaction
    from daybreak.ledger.bundle import write_bundle
    from daybreak.testing.clock import FakeClock

    clock = FakeClock(datetime(2026, 11, 22, 4, 30, tzinfo=UTC))
    with Ledger.open(folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=clock) as ledger:

        def say(subject: str, words: str) -> list[Any]:
            run = f"run-{ledger.head().size}"
            task = events.TaskAdded(task=run, run=run, kind="python", title=words, args={"words": words})
            answered = events.Answered(run=run, question="where?", answer=[words])
            sealed = [Draft(events.QUEUE, task, "history", subject=subject)]
            return ledger.append([*sealed, Draft("control:history", answered, "history", subject=subject)])

        (first, _), old = say(KEPT, "Ada lives in Marylebone"), ledger.verifier.key_id
        say(FORGOTTEN, "Bob lives in Lambeth")
        ledger.rotate_key(why="a year is over")
        large = events.StepDone(run="large", branch="", name="large", nth=0, args="", result="Ada " * 17_000)
        ledger.append([Draft("control:history", large, "history", subject=KEPT)])
        say(FORGOTTEN, "Bob moved to Southwark")
        with Prover(folder / "ledger", ledger.verifier) as prover:
            (folder / DISCLOSED).write_bytes(write_bundle(prover.prove([first.index], disclose=ledger.subjects)))
        redaction.forget(ledger, FORGOTTEN, clock, why="asked for it")
        ledger.revoke_key(old, why="a copy was lost")
        say(KEPT, "Ada stays in Marylebone")
        size = ledger.head().size
    _tidy(folder)
    return size


ARCHIVED = 1300
"""Events of that history before the first one about archives."""


def make_archived(folder: Path) -> int:
    """A ledger with five archives of 256 events: two pruned, one pruned and put back, two not pruned. It was made where
    everybody has the same folders, because the database says where archives were written."""
    from daybreak.ledger import Draft, Ledger
    from daybreak.ledger.archive.archiving import archive
    from daybreak.ledger.archive.pruning import prune, refill
    from daybreak.testing.clock import FakeClock

    clock, home = FakeClock(datetime(2026, 11, 22, 4, 30, tzinfo=UTC)), DELIVERIES / folder.name
    try:
        with Ledger.open(home / "ledger", keys=home / "keys", witness=home / "witness", clock=clock) as ledger:
            ledger.append([Draft("control:history", archived_step(n), "history") for n in range(ARCHIVED - 1)])
            list(archive(ledger, home / "archive", end=ledger.head().size, most=256))
            for one in prune(ledger, witnessed=ledger.head().size):
                if one.entry.end == 768:
                    break
            list(refill(ledger, 0, 1))
            size = ledger.head().size
        for name in ("ledger", "keys", "witness", "archive"):
            shutil.copytree(home / name, folder / name)
    finally:
        shutil.rmtree(DELIVERIES, ignore_errors=True)
    _tidy(folder)
    return size


def archived_step(n: int) -> events.StepDone:
    """What event n + 1 of that history says; one of them is large."""
    return events.StepDone(
        run="r", branch="", name="step", nth=n, args="", result="x" * 70_000 if n == 700 else {"n": n}
    )


def make_night(folder: Path) -> None:
    """A build that was delivered, a task that was done and one that was not, in a night that ended with the queue.

    All of it happens in one place that is the same for everybody, so that nothing of a machine is recorded.
    """
    work = DELIVERIES / folder.name
    home, library = work / "home", work / "library"
    library.mkdir(parents=True)
    (work / "list.txt").write_text("one\ntwo\n")
    shutil.copytree(Path(daybreak.__file__).parent, library / "daybreak", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(sys.prefix, work / "python", symlinks=True, copy_function=_same)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work),
        "LANG": "C.UTF-8",
        "DAYBREAK_HOME": str(home),
        "PYTHONPATH": str(library),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*words: str) -> None:
        python = work / "python" / "bin" / "python"
        subprocess.run([python, "-m", "daybreak", *words], cwd=work, env=environment, check=True)

    try:
        shutil.copy(EXAMPLE, work / "todo.md")  # what is recorded names no folder of whoever made this
        run("build", "todo.md", "--output", str(work / "todo"))
        for name, text in TASKS.items():
            (work / f"{name}.toml").write_text(text.format(work=work))
            run("add", str(work / f"{name}.toml"))
        run("night", "--once")
        run("ledger", "verify")
        run("reconcile", "--full")
        for name in ("ledger", "keys", "witness"):
            shutil.copytree(home / name, folder / name)
    finally:
        shutil.rmtree(DELIVERIES, ignore_errors=True)
    for name in ("followers", "reconciled"):
        shutil.rmtree(folder / "ledger" / name, ignore_errors=True)
    _tidy(folder)


def _same(source: str, target: str) -> None:
    """The same file under another name where that can be, since an environment is large."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


def _tidy(folder: Path) -> None:
    """Locks and what belongs to open files are no history."""
    for pattern in ("lock", "*.lock", "*.db-shm", "*.db-wal"):
        for path in folder.rglob(pattern):
            assert not path.suffix.endswith("-wal") or not path.stat().st_size, "the log was not folded in"
            path.unlink()


def main() -> None:
    match sys.argv[1:]:
        case ["shapes"]:
            print("\n".join(add_shapes()) or "nothing is new")
        case ["every" | "night" | "subjects" | "archived" as what, name]:
            folder = HERE / name
            folder.mkdir()
            if what == "night":
                make_night(folder)
            else:
                make = {"every": make_every, "subjects": make_subjects, "archived": make_archived}[what]
                print(make(folder), "events")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
