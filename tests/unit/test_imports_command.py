"""`daybreak spec import` as typed: what is found out, written, told and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daybreak.cli.spec import FormatUnknown, TargetExists, TargetUnwritable, app
from daybreak.factory import imports
from daybreak.factory.imports import (
    ImportBomb,
    ImportBroken,
    ImportCircular,
    ImportEmpty,
    ImportNoText,
    ImportRefused,
    ImportTooLarge,
    ImportWrongFormat,
)
from daybreak.factory.spec import read, template

CORPUS = Path(__file__).parents[1] / "corpus" / "imports"
FEATURE = CORPUS / "lending.feature"
PRD = CORPUS / "prd.md"


def test_a_valid_import_exits_0_and_says_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The format with its reason, the file, and each piece that was not understood with its line."""
    # shows: F2
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["import", str(FEATURE)])
    assert result.exit_code == 0
    assert f"read {FEATURE} as gherkin: the file's name ends in .feature" in result.stderr
    assert "wrote lending-tools.md: 10 traces, 8 not understood" in result.stderr
    assert f"{FEATURE}:2: not understood: @loans\n  specifications have no tags" in result.stdout
    assert read(tmp_path / "lending-tools.md").name == "lending-tools"
    page = (tmp_path / "lending-tools.md").read_text()
    assert "<!-- Imported from lending.feature (gherkin)." in page
    assert "  @LIB-13 (line 15) -> FR-001" in page


def test_what_is_left_to_decide_exits_1(tmp_path: Path) -> None:
    """Open questions and problems of our reader, with the line in what was written and what to do."""
    # shows: F2
    out = tmp_path / "out.md"
    result = CliRunner().invoke(app, ["import", str(PRD), "--from", "prd", "--output", str(out)])
    assert result.exit_code == 1
    line = next(n for n, text in enumerate(out.read_text().split("\n"), 1) if "May a booking last overnight?" in text)
    assert f"{out}:{line}: S183 an open question: May a booking last overnight?\n  write the answer" in result.stdout
    assert "still to do: 1 place" in result.stderr
    bare = tmp_path / "bare.md"
    bare.write_text("# Shelf\n\n## Goals\n\n- Find books\n")
    told = CliRunner().invoke(app, ["import", str(bare), "-o", str(tmp_path / "shelf.md")])
    assert told.exit_code == 1
    assert "S132 there is no requirement" in told.stdout


def test_import_speaks_json(tmp_path: Path) -> None:
    """Everything that is told, and the model where it is valid."""
    out = tmp_path / "out.md"
    result = CliRunner().invoke(app, ["import", str(CORPUS / "tasks.json"), "-o", str(out), "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["format"], told["written"], told["valid"]) == ("openapi", str(out), True)
    assert told["not_understood"] == [
        {
            "file": str(CORPUS / "tasks.json"),
            "line": 50,
            "text": "HTTPValidationError",
            "why": "errors are problem documents (RFC 9457)",
            "remedy": "leave it out, or write how errors look",
        }
    ]
    assert [one["code"] for one in told["to_do"]] == ["S183"]
    assert {one["file"] for one in (*told["to_do"], *told["warnings"])} == {str(out)}
    assert told["specification"]["name"] == "tasks"
    assert {"theirs": "schema UserCreate", "ours": "User", "line": 43} in told["traces"]


def test_nothing_is_ever_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what was named nor what would be called so by itself; nor can a missing folder be written."""
    # shows: F12
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "lending-tools.md"
    mine.write_text("mine")
    for args in ([], ["-o", str(mine)]):
        result = CliRunner().invoke(app, ["import", str(FEATURE), *args])
        assert isinstance(result.exception, TargetExists)
    assert mine.read_text() == "mine"
    missing = CliRunner().invoke(app, ["import", str(FEATURE), "-o", str(tmp_path / "no" / "x.md")])
    assert isinstance(missing.exception, TargetUnwritable)


def test_a_format_that_is_unknown_is_refused() -> None:
    """With those that are known."""
    result = CliRunner().invoke(app, ["import", str(FEATURE), "--from", "cucumber"])
    assert isinstance(result.exception, FormatUnknown)
    assert "spec-kit, kiro, gherkin, openapi, prd" in result.exception.hint


@pytest.mark.parametrize(
    ("name", "content", "kind", "said"),
    [
        ("a.md", None, ImportRefused, "there is no file"),
        ("a.md", b"", ImportEmpty, "holds nothing"),
        ("a.md", b"\xef\xbb\xbf \n\n", ImportEmpty, "holds nothing"),
        ("a.md", b"x" * (10 * 2**20 + 1), ImportTooLarge, "larger than 10 MiB"),
        ("a.md", b"x\n" * 60_000, ImportTooLarge, "more than 50000 lines"),
        ("a.md", b"# \xff\n", ImportNoText, ":1: the text is not UTF-8: byte 0xff at offset 2"),
        ("a.md", "# x".encode("utf-16"), ImportNoText, "is UTF-16"),
        ("a.md", b"# x\n\n\0", ImportNoText, ":3: this is not text: a NUL at byte 5"),
        ("a.md", b"# x\n\x07", ImportNoText, ":2: the text holds the control character U+0007"),
        ("a.txt", b"just words\n", ImportWrongFormat, "nobody can tell which format this is"),
        ("a.yaml", b"name: shelf\n", ImportWrongFormat, "names no version of OpenAPI"),
        ("a.yaml", b"swagger: '2.0'\n", ImportWrongFormat, "is OpenAPI 2.0"),
        ("a.yaml", b"openapi: 4.0.0\n", ImportWrongFormat, "is OpenAPI 4.0.0"),
        ("a.yaml", b"openapi: 3.0.0\n  x: [\n", ImportBroken, "this is not YAML"),
        ("a.yaml", b"openapi: 3.0.0\n---\na: b\n", ImportBroken, ":2: a second document begins here"),
        ("a.yaml", b"openapi: 3.0.0\nx: *a\n", ImportBroken, "nothing is called &a"),
        ("a.yaml", b"openapi: 3.0.0\n? [a]\n: b\n", ImportBroken, ":2: a key must be a single word"),
        ("a.yaml", b"openapi: 3.0.0\nx: &a [*a]\n", ImportCircular, ":2: *a stands inside itself"),
        ("a.yaml", b"openapi: 3.0.0\nx: " + b"[" * 60 + b"]" * 60, ImportBomb, ":2: nested deeper than 40 levels"),
        ("a.json", b'{"openapi": "3.0.0", "x": ' + b"[" * 60 + b"]" * 60 + b"}", ImportBomb, ":1: nested deeper"),
        ("a.json", b'{"openapi": "3.0.0",,}', ImportBroken, ":1: this is not JSON"),
        ("a.json", b'[{"openapi": "3.0.0"}]', ImportWrongFormat, "is no mapping"),
        ("a.feature", b"Feature: a\n  Scenario: b\n    Given c\n    d\n", ImportBroken, ":4: 'd' has no place here"),
        ("a.md", b"# x\n" + b"".join(b"  " * n + b"- x\n" for n in range(60)), ImportBomb, "nested deeper"),
        ("a.md", template("shelf").encode(), ImportWrongFormat, "is a specification of Daybreak already"),
    ],
    ids=range(25),
)
def test_what_cannot_be_imported_is_refused_with_its_reason(
    tmp_path: Path, name: str, content: bytes | None, kind: type[ImportRefused], said: str
) -> None:
    """Missing, empty, too large, no UTF-8, no such format, broken, too deep, circular: each its own error."""
    # shows: F2, P8
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind) as refused:
        imports.read(path)
    assert type(refused.value) is kind
    assert said in refused.value.message
    assert str(path) in refused.value.message
    assert refused.value.hint
    assert [one.name for one in tmp_path.iterdir()] in ([name], [])


def test_folders_and_special_files_are_refused(tmp_path: Path) -> None:
    """Nothing that would block or cannot be read."""
    # shows: P8
    for path, said in ((tmp_path, "is a folder"), (Path("/dev/null"), "is no ordinary file")):
        with pytest.raises(ImportRefused) as refused:
            imports.read(path)
        assert said in refused.value.message


def test_a_billion_laughs_are_refused(tmp_path: Path) -> None:
    """Aliases are followed, but what they would grow to is counted first."""
    # shows: P8
    lines = ["openapi: 3.0.0", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "laughs.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ImportBomb) as refused:
        imports.read(path)
    assert "aliases" in refused.value.message


def test_aliases_are_followed(tmp_path: Path) -> None:
    """A document may say a thing once."""
    path = tmp_path / "shop.yaml"
    path.write_text(
        "openapi: 3.0.0\ninfo: {title: Shop, version: '1'}\npaths: {}\n"
        "components:\n  schemas:\n    Tool:\n      properties:\n"
        "        name: &name {type: string, maxLength: 9}\n        maker: *name\n"
    )
    found = imports.read(path)
    assert "| maker | text | max 9 |" in found.text


@pytest.mark.parametrize(
    ("name", "text", "format_"),
    [
        ("x.md", "# Feature Specification: X\n", "spec-kit"),
        ("x.md", "# X\n\n## User Scenarios & Testing\n", "spec-kit"),
        ("x.md", "# X\n\n- **FR-001**: System MUST x\n", "spec-kit"),
        ("x.md", "# Requirements Document\n", "kiro"),
        ("requirements.md", "# X\n\n- WHEN a THE SYSTEM SHALL b\n", "kiro"),
        ("x.md", "# X\n\n#### Acceptance Criteria\n\n1. IF a THEN b SHALL c\n", "kiro"),
        ("x.md", "# X\n\n```\n# Requirements Document\n```\n\n## Goals\n", "prd"),
        ("x", "# a comment\n@tag\nFeature: x\n", "gherkin"),
        ("x.yml", '"openapi": "3.1.0"\n', "openapi"),
        ("x.json", '{"openapi":"3.1.0"}', "openapi"),
        ("x.txt", "# X\n\n## Goals\n", "prd"),
    ],
)
def test_the_format_is_found_out_with_a_reason(name: str, text: str, format_: str) -> None:
    """By endings, titles, sections and words; code is not looked at."""
    # shows: F2
    found, reason = imports.detect(Path(name), text)
    assert found == format_
    assert reason


def test_the_page_about_importing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python is run as it stands there."""
    monkeypatch.chdir(tmp_path)
    page = (CORPUS.parents[2] / "docs" / "how-to" / "import-a-specification.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "import-a-specification.md", "exec"), {})  # noqa: S102 - our own page
