"""Whatever a specification declares of users, keys, relations and shapes: what is built is clean, and works."""

from __future__ import annotations

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from daybreak.agents.builder import generate
from daybreak.agents.builder.worker import not_built
from daybreak.agents.protocol import Brief
from daybreak.factory.spec import read_text

# shows: F1

HEAD = """---
name: things
interfaces: {faces}
{http}
---
# Things

## Objectives
- One

## Requirements
- **FR-001**: System MUST work.

### Key Entities
"""
HTTP = {
    "envelope": ["name", "data"],
    "errors": ["fields", "message"],
    "names": ["camel"],
    "page": ["7"],
    "put": ["some"],
    "prefix": ["/api"],
    "cors": ['"*"'],
    "statuses": ["{invalid: 400, deleted: 200, anonymous: 403}"],
}


def table(name: str, rows: list[str], lines: list[str]) -> str:
    head = f"\n#### {name}\n| field | type | rules |\n|---|---|---|\n"
    return head + "".join(f"| {row} |\n" for row in rows) + "\n" + "".join(f"{line}\n\n" for line in lines)


@st.composite
def specifications(draw: st.DrawFn) -> str:
    """A specification with any of the parts, each fitting the others."""

    def some(*parts: str) -> list[str]:
        chosen = draw(st.sets(st.sampled_from(range(len(parts))))) if parts else set()
        return [part for number, part in enumerate(parts) if number in chosen]

    users, tag_key, page_key = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from(["", "key", "slug"]))
    faces = draw(st.sampled_from(["[cli]", "[cli, http]", "[http]"]))
    chosen = {key: draw(st.sampled_from(values)) for key, values in HTTP.items() if draw(st.booleans())}
    http = "http: {" + ", ".join(f"{key}: {value}" for key, value in chosen.items()) + "}" if "http" in faces else ""
    text = HEAD.format(faces=faces, http=http)
    mark = some("like", "where") if users else []
    if users:
        rows = [f"nick | text | {draw(st.sampled_from(['key', 'required, unique', 'key, unique ignoring case']))}"]
        rows += ["word | text | required, secret, min 4"]
        rows += some(
            "mail | text | private, unique", "known | boolean | follow by me", "fans | integer | count of follow"
        )
        lines = ["Login: nick with word, for 3 hours", "Users may: follow"]
        readers = draw(st.sampled_from(["everyone", "users", "owner"]))
        lines += [f"Readers: {readers}", *some("Seen as: profile", "Order: -nick")]
        text += table("Person", rows, lines)
    tag = ["word | text | key, max 12" if tag_key else "word | text | required, unique", "uses | integer | default 0"]
    closed = ["Writers: users", "Readers: users"] if users else []
    tag_lines = some(*closed, "Order: -uses, word", *(["Listed by: word"] if tag_key else []))
    text += table("Tag", tag, [*tag_lines, "Actions:\n- `use`: add 1 to uses"])
    rows = ["title | text | required, max 40", "text | text | ", "state | choice: open, shut | default open"]
    rows += {"": [], "key": ["code | text | key, pattern `[a-z]{3,9}`"], "slug": ["slug | text | slug of title"]}[
        page_key
    ]
    by = "by word, new allowed" if tag_key and not any("Writers" in line for line in tag_lines) else ""
    embed = "embedded" if not any("Readers" in line for line in tag_lines) else "on delete clear"
    rows += some(
        f"tags | list of ref Tag | {by}", f"main | ref Tag | {embed}", "cost | decimal | min 0", "at | link | "
    )
    rows += some("remarks | integer | count of Remark", "made | timestamp | default now")
    lines = some("Order: -id", "Search: title, text", "Totals:\n- `count` by state")
    lists = ["- `shut`: state is shut"]
    if users:
        rows += ["writer | ref Person | owner, on delete cascade", *some("note | text | private")]
        rows += [f"my_{name} | boolean | {name} by me" for name in mark]
        rows += [f"{name}_count | integer | count of {name}" for name in mark]
        lines += [f"Users may: {', '.join(mark)}"] if mark else []
        lines += some("Readers: owner")
        lists += ["- `own`: writer is me; state is open", "- `feed`: writer in my follow"]
        lists += [f"- `any-{name}`: my {name}" for name in mark]
    lines += ["Lists:\n" + "\n".join(chosen_lists)] if (chosen_lists := some(*lists)) else []
    text += table("Page", rows, [*lines, *some("Actions:\n- `shut-it`: state open -> shut")])
    within = draw(st.sampled_from(["parent", "required, on delete cascade", "parent, on delete cascade"]))
    remark = [f"page | ref Page | {within}", "words | text | required"]
    remark += some("writer | ref Person | owner") if users else []
    return text + table("Remark", remark, some("Search: words", "Totals:\n- `count`"))


def project(text: str, folder: Path) -> Path:
    """The specification's project on disk."""
    spec = read_text(text, name="s.md", format="md")
    brief = Brief(
        name=spec.name,
        version=spec.version,
        language=spec.language,
        interfaces=spec.interfaces,
        title=spec.title,
        summary=spec.summary,
        entities=spec.entities,
        http=spec.http,
    )
    assert not_built(brief) == ()
    for path, content in generate(brief).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if path.endswith(".py"):
            ast.parse(content)
    return folder


def tool(folder: Path, *argv: str) -> None:
    keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    env = keep | {"PYTHONPATH": str(folder / "src"), "LANG": "C.UTF-8"}
    ended: Any = subprocess.run(
        [sys.executable, "-m", *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]


NUMBER = itertools.count()
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=SLOW)
@given(text=specifications())
def test_any_of_it_together_is_clean(text: str, tmp_path: Path) -> None:
    """Everything parses, and the project's own linter finds nothing."""
    tool(project(text, tmp_path / f"p{next(NUMBER)}"), "ruff", "check", "--no-cache", ".")


@pytest.mark.chaos
@settings(max_examples=int(os.environ.get("DAYBREAK_BUILDER_EXAMPLES", "5")), deadline=None, suppress_health_check=SLOW)
@given(text=specifications())
def test_any_of_it_together_works(text: str, tmp_path: Path) -> None:
    """Strictly typed, and its own tests pass."""
    folder = project(text, tmp_path / f"p{next(NUMBER)}")
    tool(folder, "mypy", "--cache-dir", str(tmp_path / "mypy"))
    tool(folder, "pytest", "-q", "-x", "-p", "no:cacheprovider")
