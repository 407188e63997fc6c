"""Projects that lay links and pipes where the checks, outside of every sandbox, use names afterwards."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.checks import Evidence, Example, Product, install, reading, run_example, sandboxed, syntax, tests, watched
from daybreak.checks.product import make_prefix, write_program
from daybreak.host import sandbox
from daybreak.host.sandbox import SandboxRefused, plan

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made for Linux only so far")
HASH = "ab" * 32


def _shelf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("checks_shelf", Path(__file__).with_name("checks_shelf.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHELF = _shelf()


@pytest.fixture(params=["full", "degraded"])
def strength(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of sandbox, one after the other."""
    found = sandbox.detect()
    if request.param == "degraded":
        found = replace(found, bwrap="", bwrap_why="left out by the test")
    if found.mode().strength != request.param:
        pytest.skip(f"no {request.param} sandbox on this machine: {found.mode().words}")
    monkeypatch.setattr(plan, "detect", lambda: found)
    return str(request.param)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the user's, outside of everything that is granted."""
    path = tmp_path / "victim" / "secret.txt"
    path.parent.mkdir()
    path.write_text("the user's secret\n")
    return path


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def said(evidence: Evidence) -> str:
    return " | ".join([evidence.summary, *(f"{mark.place} {mark.message}" for mark in evidence.marks)])


# -- tests


WITHOUT_SERVER = SHELF.FILES["tests/test_shelf.py"].partition("def test_the_server")[0]
"""A degraded sandbox has no sockets for tests."""


def tried(*acts: str) -> str:
    """A conftest that does things and goes on where it cannot."""
    tries = "".join(f"with contextlib.suppress(OSError):\n    {act}\n" for act in acts)
    return f'"""Ours."""\n\nimport contextlib\nimport os\n\n{tries}'


def look(
    tmp_path: Path,
    scratch: Path,
    changes: dict[str, str | None],
    coverage_min: float = 30,
    *,
    once: bool = False,
) -> Evidence:
    """`once`: only on the program as it is, where what is claimed has to do with that run alone."""
    tree = SHELF.write(tmp_path / "tree", {"tests/test_shelf.py": WITHOUT_SERVER, **changes})
    return tests.look(tree, HASH, scratch=scratch, coverage_min=coverage_min, trusted=once)


BESIDE = ("coverage.ini", "coverage.json", "coverage", "counting", "counting/coverage.ini", "ran", "data/../new")


def test_a_test_cannot_lay_anything_beside_its_copy(tmp_path: Path, scratch: Path, secret: Path, strength: str) -> None:
    """Links and pipes there cannot be made, so nothing of the user's is written and nobody waits."""
    # shows: X6 N9
    acts = [
        act.format(leads=str(leads), name=f"../{name}")
        for leads in (secret, secret.with_name("planted"))
        for name in BESIDE
        for act in ("os.symlink({leads!r}, {name!r})", "os.mkfifo({name!r})")
    ]
    seen = look(tmp_path, scratch, {"tests/conftest.py": tried(*acts)})
    assert seen.outcome == "passed", said(seen) + seen.output
    assert secret.read_text() == "the user's secret\n"
    assert [path.name for path in secret.parent.iterdir()] == ["secret.txt"]


def test_a_test_cannot_put_another_folder_in_the_place_of_a_granted_one(
    tmp_path: Path, scratch: Path, secret: Path, strength: str
) -> None:
    """The granted folders stay where they are."""
    # shows: X6 N9
    names = ("copy", "data", "home", "tmp")
    acts = [f"os.rename('../{name}', '../old-{name}')" for name in names]
    acts += [f"os.rmdir('../{name}')" for name in names]
    acts += [f"os.symlink({str(secret.parent)!r}, '../{name}')" for name in names]
    seen = look(tmp_path, scratch, {"tests/conftest.py": tried(*acts)})
    assert seen.outcome == "passed", said(seen) + seen.output
    assert [path.name for path in secret.parent.iterdir()] == ["secret.txt"]


RESULT = """\
import os

import coverage

place = os.path.abspath("../data/coverage")


def save(self):
    {act}


coverage.Coverage.save = save
"""


@pytest.mark.parametrize(
    "act",
    [
        "os.symlink({secret!r}, place)",
        "open(place, 'w').write('no data')",
        "os.mkdir(place)",
        "os.mkfifo(place)",
        "pass",
    ],
)
def test_what_lies_in_the_place_of_measured_data_is_only_not_measured(
    tmp_path: Path, scratch: Path, secret: Path, act: str
) -> None:
    """The folder of results is theirs; what lies there is read in a sandbox, and counts for nothing."""
    # shows: X6
    conftest = RESULT.replace("{act}", act.format(secret=str(secret)))
    seen = look(tmp_path, scratch, {"tests/conftest.py": conftest}, once=True)
    assert seen.summary == "coverage could not be measured", said(seen)
    assert secret.read_text() == "the user's secret\n"


def test_sources_that_the_tests_empty_still_count_as_they_were(tmp_path: Path, scratch: Path) -> None:
    """What is measured is the result as it was handed in, not what its tests left of it."""
    # shows: X6
    long = "def never(x: int) -> int:\n" + "".join(f"    x += {n}\n" for n in range(200)) + "    return x\n"
    emptying = "from pathlib import Path\n\n\ndef test_z() -> None:\n    Path('src/shelf/never.py').write_text('')\n"
    emptying = emptying.replace("Path('src", "(Path(__file__).parents[1] / 'src")
    changes: dict[str, str | None] = {"src/shelf/never.py": long, "tests/test_z.py": emptying}
    seen = look(tmp_path, scratch, changes, once=True)
    assert seen.outcome == "failed"
    assert 0 < seen.counts["coverage"] < 20


def test_deep_and_endless_lines_in_the_channel_are_a_trick(tmp_path: Path, scratch: Path) -> None:
    """What the tests write there fails them; the check comes to its end."""
    # shows: X6
    conftest = 'import os\n\nos.write(9, b"\\n" + b"[" * 60000 + b"\\n")\nos.write(9, b"5\\n" * 20000)\n'
    seen = look(tmp_path, scratch, {"tests/conftest.py": conftest})
    assert seen.outcome == "failed"
    assert "channel of results" in said(seen)


def test_long_names_are_cut_in_evidence(tmp_path: Path, scratch: Path) -> None:
    """A name of a million characters is told, not kept."""
    text = (
        "import pytest\n\n\n@pytest.mark.parametrize('x', [str(n) + 'a' * 900_000 for n in range(5)])\n"
        "def test_long(x):\n    assert not x\n"
    )
    seen = look(tmp_path, scratch, {"tests/test_long.py": text})
    assert seen.outcome == "failed"
    assert seen.counts["failed"] == 5
    assert max(len(mark.message) + len(mark.place) for mark in seen.marks) < 10_000
    assert len(seen.summary) < 10_000


# -- counting


def line(**told: object) -> bytes:
    return json.dumps({"nonce": "n", **told}).encode() + b"\n"


@pytest.mark.parametrize(
    "told",
    [
        b"[" * 100_000 + b"\n",
        b'{"nonce": "n"}\n',
        b"5\n",
        b'"nonce"\n',
        line(kind="end", code="x"),
        line(kind="end", code=None),
        b'{"nonce": "n", "kind": "end", "code": 1e999}\n',
        line(kind="result", id="t"),
        line(kind="uncollected", id="t"),
        line(kind="changed"),
        line(kind="end", code=1).replace(b"1", b"1" * 5000),
    ],
)
def test_lines_that_the_watcher_never_writes_are_a_trick(told: bytes) -> None:
    """Too deep, too large, incomplete, of other types: never an error of ours."""
    # shows: X6
    seen = watched.tally(told, "n")
    assert seen.tricks
    assert seen.end is None


def test_after_many_foreign_lines_nobody_listens() -> None:
    """A flood costs nothing."""
    assert len(watched.tally(b"\n" * 1_000_000, "n").tricks) == watched.FORGED_LINES_MAX


def test_halves_of_characters_become_text_that_can_be_stored() -> None:
    """JSON can hold what UTF-8 cannot."""
    told = line(kind="result", id="t\ud800", when="call", outcome="failed", why={"a": "\udfff"})
    seen = watched.tally(told, "n")
    for test, why in seen.failed.items():
        assert (test + why).encode()


json_values = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5)
keys = st.sampled_from(["kind", "id", "why", "what", "code", "outcome", "when"])
kinds = st.sampled_from(["item", "written", "own test", "deselected", "uncollected", "changed", "end", "result"])


@given(kinds, st.dictionaries(keys, json_values))
def test_any_values_in_a_genuine_line_are_counted_or_a_trick(kind: str, values: dict[str, object]) -> None:
    """Never an error."""
    watched.tally(line(**{**values, "kind": kind}), "n")


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (b'{"totals": {"num_statements": 8, "covered_lines": 7}}', 87.5),
        (b'{"totals": {"num_statements": 0, "covered_lines": 0}}', 100.0),
        (b'{"totals": {"num_statements": 1, "covered_lines": 2}}', None),
        (b'{"totals": {"num_statements": -1, "covered_lines": -2}}', None),
        (b'{"totals": {"num_statements": true, "covered_lines": true}}', None),
        (b'{"totals": {"num_statements": 1.5, "covered_lines": 1}}', None),
        (b'{"totals": []}', None),
        (b"[]", None),
        (b"[" * 100_000, None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_report_of_coverage_is_a_number_or_nothing(counted: bytes, expected: float | None) -> None:
    """Whatever it holds."""
    assert tests.percent(counted) == expected


# -- install

BACKEND = '''"""Ours."""

import contextlib
import os
from pathlib import Path

from hatchling.build import build_wheel as real


def build_wheel(out, settings=None, metadata=None):
    """Build."""
    prefix = Path(out).parent / "prefix"
    import installer

    true_install = installer.install

    def install(*given):
        true_install(*given)
{act}

    installer.install = install
    return real(out, settings, metadata)
'''


def built(tmp_path: Path, scratch: Path, act: str) -> tuple[Evidence, Product | None]:
    """A project whose build does something when it has installed itself."""
    pyproject = re.sub(
        "build-backend = .*", 'build-backend = "backend"\nbackend-path = ["."]', SHELF.FILES["pyproject.toml"]
    )
    act = "".join(f"        {part}\n" for part in act.splitlines())
    tree = SHELF.write(tmp_path / "tree", {"pyproject.toml": pyproject, "backend.py": BACKEND.replace("{act}", act)})
    return install.look(tree, HASH, name="shelf", scratch=scratch)


@pytest.mark.parametrize("name", ["prefix", "source", "wheel", "home", "tmp"])
def test_a_build_cannot_put_a_link_in_the_place_of_a_granted_folder(
    tmp_path: Path, scratch: Path, secret: Path, strength: str, name: str
) -> None:
    """So what examples may read later is the installation, and not what a link leads to."""
    # shows: X6 N9
    act = f"with contextlib.suppress(OSError):\n    (prefix.parent / {name!r}).rename(prefix.parent / 'old')\n"
    act += f"    os.symlink({str(secret.parent)!r}, prefix.parent / {name!r})"
    seen, product = built(tmp_path, scratch, act)
    assert seen.outcome == "passed", said(seen) + seen.output
    assert product is not None
    assert product.prefix.is_dir()
    assert product.prefix.resolve() == product.prefix


@pytest.mark.parametrize(
    "act",
    [
        "(prefix / 'bin' / 'shelf').unlink()\nos.symlink('/bin/true', prefix / 'bin' / 'shelf')",
        "(prefix / 'bin').rename(prefix / 'old')\nos.symlink(prefix / 'old', prefix / 'bin')",
        "(prefix / 'bin' / 'shelf').unlink()\n(prefix / 'bin' / 'shelf').mkdir()",
        "(prefix / 'bin' / 'shelf').unlink()\nos.mkfifo(prefix / 'bin' / 'shelf', 0o777)",
    ],
)
def test_a_command_that_is_no_file_of_the_installation_is_none(tmp_path: Path, scratch: Path, act: str) -> None:
    """A link, a link on the way, a folder, a pipe."""
    # shows: X6
    seen, product = built(tmp_path, scratch, act)
    assert (seen.outcome, product) == ("failed", None)
    assert "it installs no command shelf" in said(seen)


# -- examples


def plants(folder: Path, secret: Path) -> Product:
    """A product that tries to lay links around the folder it runs in, tells whether it could, and ends."""
    make_prefix(folder / "prefix")
    (folder / "tree").mkdir()
    product = Product(name="shelf", workspace=HASH, tree=folder / "tree", prefix=folder / "prefix")
    names = "work-1 work-2 work-3 session.sh home tmp new"
    program = (
        "#!/bin/sh\n"
        f"for name in {names}; do\n"
        f"  if mv ../$name ../old 2>/dev/null; then echo moved $name; fi\n"
        f"  if [ ! -d ../$name ] && ln -sf {secret} ../$name 2>/dev/null; then echo laid $name; fi\n"
        "done\n"
        f"if (echo x >> ../session.sh) 2>/dev/null; then echo wrote; fi\n"
        'if [ "$1" = serve ]; then echo "address in use"; exit 1; fi\n'
        "echo over\n"
    )
    write_program(product.bin / "shelf", program)
    return product


def example(kind: str, body: str) -> Example:
    return Example.model_validate(
        {"id": "0123456789ab", "kind": kind, "title": "FR-001", "requirements": ("FR-001",), "body": body, "line": 1}
    )


def test_a_command_can_lay_nothing_beside_its_folder(
    tmp_path: Path, scratch: Path, secret: Path, strength: str
) -> None:
    """Neither the file that the shell reads nor the folders around are its own; HOME and TMPDIR are."""
    # shows: X6 N9
    body = '$ shelf\nover\n$ touch "$HOME/a" "$TMPDIR/b" c && echo fine\nfine\n'
    seen = run_example(example("console", body), plants(tmp_path, secret), scratch, serve="")
    assert seen.outcome == "passed", said(seen) + seen.output
    assert secret.read_text() == "the user's secret\n"


def test_a_server_can_lay_nothing_in_the_way_of_the_next_one(
    tmp_path: Path, scratch: Path, secret: Path, strength: str
) -> None:
    """It is started again elsewhere where its port is taken; the folder for that is made by us."""
    # shows: X6 N9
    body = "GET /health\n\n200\n"
    seen = run_example(example("http", body), plants(tmp_path, secret), scratch, serve="shelf serve --port {port}")
    assert seen.outcome == "failed", said(seen) + seen.output
    assert "moved" not in seen.output
    assert "laid" not in seen.output
    assert secret.read_text() == "the user's secret\n"


# -- grants


def test_a_link_is_refused_and_not_followed(tmp_path: Path) -> None:
    """Also on the way, also where it leads nowhere; a folder that is missing too."""
    # shows: N9
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dead").symlink_to(tmp_path / "nothing")
    for path in ("link", "link/inner", "dead", "missing"):
        with pytest.raises(SandboxRefused, match=r"cannot be granted|symbolic link"):
            sandboxed.around(tmp_path / path)
        with pytest.raises(SandboxRefused, match=r"cannot be granted|symbolic link"):
            sandboxed.around(readable=[tmp_path / path])
    assert sandboxed.around(tmp_path / "real").writable == (tmp_path / "real",)


@given(st.text(max_size=20) | st.sampled_from(["a\0b", "x" * 4096, "\ud800", "..", "a/../b"]))
def test_a_path_that_is_not_there_is_refused(name: str) -> None:
    """With an error that says so."""
    # shows: N9
    with pytest.raises(SandboxRefused) as told:
        sandboxed.around(Path("/nowhere/at/all") / name.lstrip("/"))
    assert told.value.hint


def test_a_scratch_folder_with_a_link_before_it_is_resolved_once(tmp_path: Path, scratch: Path) -> None:
    """What the caller names may lead through links of the caller's; that is before anything runs."""
    (tmp_path / "way").symlink_to(scratch)
    seen = look(tmp_path, tmp_path / "way", {})
    assert seen.outcome == "passed", said(seen) + seen.output
    installed, product = install.look(tmp_path / "tree", HASH, name="shelf", scratch=tmp_path / "way")
    assert product is not None, said(installed)
    body = "$ shelf add Dune\nadded 1\n"
    seen = run_example(example("console", body), product, tmp_path / "way", serve="")
    assert seen.outcome == "passed", said(seen) + seen.output


# -- words in tests that reach into the run

FORGING = """\
import os
import sys

frame = sys._getframe()
while "nonce" not in frame.f_locals:
    frame = frame.f_back
os.write(9, frame.f_locals["nonce"].encode())
os._exit(1)
"""


@pytest.mark.parametrize("place", ["tests/conftest.py", "tests/deep/helper.py", "conftest.py"])
def test_tests_that_look_into_the_run_that_watches_them_fail(tmp_path: Path, scratch: Path, place: str) -> None:
    """Each word is named with its line."""
    # shows: X6
    seen = syntax.look(SHELF.write(tmp_path / "tree", {place: FORGING}), HASH, scratch=scratch)
    assert seen.outcome == "failed"
    for number, word in ((4, "_getframe"), (5, "f_locals"), (6, "f_back"), (8, "_exit")):
        assert any(mark.place == f"{place}:{number}" and f" {word}:" in mark.message for mark in seen.marks), said(seen)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from sys import _getframe as f\n", ["_getframe"]),
        ("import gc\n\nx = gc.get_objects()\n", ["gc.get_objects"]),
        ("from gc import get_referrers\n", ["gc.get_referrers"]),
        ("import os\n\nf = getattr(os, '_exit')\n", ["_exit"]),
        ("open('/proc/self/mem', 'rb')\nopen(b'/proc/self/maps')\n", ["/proc/self", "/proc/self"]),
        ("def test_a(client):\n    client.get_objects()\n", []),
        ("def test_a():\n    with open('half_back') as f_local:\n        f_local.__exit__()\n", []),
        ("# sys._getframe\nx = 'the _exit of a play'\n", []),
    ],
)
def test_words_are_found_where_they_are_code(text: str, words: list[str]) -> None:
    """Names, attributes, imports and whole strings; not comments, not parts of other words."""
    assert [word for _, word in reading.peeks(text.encode())] == words


def test_the_program_itself_may_use_them(tmp_path: Path, scratch: Path) -> None:
    """They are ordinary words outside of tests."""
    text = '"""Ends."""\n\nimport os\n\n\ndef end() -> None:\n    """At once."""\n    os._exit(1)\n'
    assert syntax.look(SHELF.write(tmp_path / "tree", {"src/shelf/end.py": text}), HASH, scratch=scratch).outcome == (
        "passed"
    )


def test_home_and_tmpdir_are_what_is_granted(tmp_path: Path) -> None:
    """HOME and TMPDIR as granted are those that the environment names."""
    from daybreak.host.process import clean_environment

    environment = clean_environment(tmp_path)
    assert [str(path) for path in sandboxed.homes(tmp_path)] == [environment["HOME"], environment["TMPDIR"]]
