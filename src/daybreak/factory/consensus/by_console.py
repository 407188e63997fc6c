"""Scenes that only the command line has: files, and wrong usage."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daybreak.factory.consensus.model import Ask
from daybreak.factory.consensus.speaking import Console, written

if TYPE_CHECKING:
    from daybreak.factory.consensus.scenes import Stage

_MARK = "what-stands-for-odd-bytes"


def files(stage: Stage) -> Iterator[Ask]:
    """Export and import, which only the command line has."""
    speaker, entity = stage.speaker, stage.entity
    assert isinstance(speaker, Console)
    yield from stage.world()
    for kind in ("csv", "json"):
        yield stage.ask(speaker.line(entity, "export", f"kept.{kind}"), f"export {kind}", "transfer")
        yield stage.ask((f"cat kept.{kind}", ""), f"the {kind} file", "transfer")
        yield stage.ask(speaker.line(entity, "import", f"kept.{kind}"), f"import the same {kind} again", "transfer")
    for number in range(len(stage.records), 0, -1):
        yield stage.ask(speaker.delete(entity, number), "delete", "delete")
    for kind in ("csv", "json"):
        yield stage.ask(speaker.line(entity, "import", f"kept.{kind}"), f"import {kind}", "transfer")
        yield stage.ask(speaker.find(entity, {}), "list", "list")
    good, clash = stage.another(21), stage.another(22)
    broken = {name: "" if stage.entity.field(name).required else value for name, value in clash.items()}
    for about, records in (
        ("one that fits", [good]),
        ("the same twice", [clash, clash]),
        ("a bad one at the end", [stage.another(23), broken]),
        ("two bad ones", [broken, stage.another(24), broken]),
        ("another column", [{"no_such_field": 1}]),
        ("nothing", []),
    ):
        for kind, text in (("csv", _csv(records)), ("json", json.dumps(records, ensure_ascii=False))):
            yield stage.ask((f"printf '%s' {shlex.quote(text)} > some.{kind}", ""), f"a file with {about}", "transfer")
            said = speaker.line(entity, "import", f"some.{kind}")
            yield stage.ask(said, f"import {kind} with {about}", "transfer", "invalid")
        yield stage.all()
    yield stage.ask(("printf '{' > odd.json; printf '\\377' > odd.csv", ""), "files that are none", "transfer")
    for text in ("[1]", "{}", "[[]]"):
        yield stage.ask((f"printf '{text}' > some.json", ""), f"the file {text}", "transfer")
        said = speaker.line(entity, "import", "some.json")
        yield stage.ask(said, f"import {text}", "transfer", "invalid", exact=False)
    for kind in ("json", "csv"):
        said = speaker.line(entity, "import", f"odd.{kind}")
        yield stage.ask(said, f"import {kind} that is none", "transfer", exact=False)
    yield stage.ask(speaker.line(entity, "import", "nowhere.csv"), "import nothing", "transfer", exact=False)


def usage(stage: Stage) -> Iterator[Ask]:
    """Wrong usage, which the specification gives a status and no words."""
    speaker, entity = stage.speaker, stage.entity
    assert isinstance(speaker, Console)
    yield from stage.world(own=1)
    yield stage.ask(speaker.show(entity, 1, "--json"), "show as JSON", "show")
    yield stage.ask(speaker.add(entity, stage.another(5), "--json"), "add as JSON", "add")
    for option in ("--help", "--version", "--nothing"):
        yield stage.ask(speaker.plain(option), option, "console", exact=False)
    texts = [field for field in entity.fields if field.type.name == "text" and field.name in stage.records[-1]]
    for field in texts[:1]:
        line, _ = speaker.add(entity, {**stage.another(7), field.name: _MARK})
        said = line.replace(_MARK, "\"$(printf 'a\\377b')\""), ""
        yield stage.ask(said, "bytes that are no text", "add", "invalid", field=field.name)
        yield stage.all()
    for words in (["show"], ["show", "x"], ["show", "1", "2"], ["add", "more"], ["nothing"], [], ["delete"]):
        yield stage.ask(speaker.line(entity, *words), f"wrong usage: {' '.join(words)}", "console", exact=False)


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    """As a file, lists as JSON in their cells."""
    file = io.StringIO()
    names = list(dict.fromkeys(name for record in records for name in record))
    table = csv.DictWriter(file, names, lineterminator="\n")
    table.writeheader()
    for record in records:
        table.writerow({name: "" if value is None else written(value) for name, value in record.items()})
    return file.getvalue()
