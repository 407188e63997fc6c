"""Whatever comes in, the reader answers with problems that have a place and a remedy; it never breaks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.factory.spec import CODES, problems_of, problems_of_text, read_text, template, without_examples
from daybreak.factory.spec.source import FORMATS, Format

ROOT = Path(__file__).parents[2]
MARKS = (
    "` `` ``` | \\| --- <!-- --> 1.. .. , ; : -> { } [ ] \" ' ''' \"\"\" = * **FR-001** &a *a !!x ~ null é \U0001f600"
)
WORDS = "list of /choice:/unique with /after /default /pattern /on delete clear/ref /Plural:/Totals:"
TOKENS = (
    *MARKS.split(),
    *WORDS.split("/"),
    *("- ", "# ", "## ", "### ", "#### ", "> ", "1. ", "    ", "\t", "\n", "\n\n", "\u2028", "\x85", "\xa0"),
    *("[NEEDS CLARIFICATION: x]", "[NEEDS CLARIFICATION", "\U0001f600"),
)


def check(text: str, format_: Format) -> None:
    """What must hold for any text at all."""
    spec, problems = problems_of_text(text, name="file", format=format_)
    last = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    for problem in problems:
        assert 1 <= problem.line <= last
        assert problem.code in CODES
        assert problem.message.isprintable()
        assert problem.message
        assert problem.remedy.isprintable()
        assert problem.remedy
        assert problem.severity == ("warning" if problem.code >= "S180" else "error")
    assert (spec is None) == any(problem.severity == "error" for problem in problems)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".md", ".yaml", ".toml", ".json", ".txt"]))
def test_any_bytes_give_problems_and_never_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    """Through the file, as a user would."""
    # shows: F2, P8
    path = tmp_path_factory.mktemp("any", numbered=True) / f"spec{ending}"
    path.write_bytes(data)
    spec, problems = problems_of(path)
    assert spec is None
    assert problems


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=6)), max_size=30).map("".join),
    st.sampled_from(FORMATS),
)
def test_any_text_gives_problems_and_never_an_error(text: str, format_: Format) -> None:
    """Scraps of the languages themselves go deeper than random letters."""
    # shows: P8
    check(text, format_)
    if format_ == "md":
        check(f"---\nname: shelf\n{text}\n---\n# T\n", "md")
        check(f"---\nname: shelf\n---\n# T\n## Requirements\n### Key Entities\n#### A\n{text}\n", "md")
        check(f"---\nname: shelf\n---\n# T\n## Acceptance\n### FR-001\n{text}\n", "md")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.text(alphabet="abc1 ,`", max_size=6)), max_size=12).map("".join))
def test_any_cell_any_action_and_any_total_is_read_or_refused(text: str) -> None:
    """The small languages inside the table and below it."""
    text = " ".join(text.split())
    above = "---\nname: shelf\n---\n# T\n## Key Entities\n#### A\n| field | type | rules |\n|---|---|---|\n"
    for row in (f"| {text} | text |", f"| f | {text} |", f"| f | text | {text}", f"| f | integer | default {text}"):
        check(f"{above}{row} |\n", "md")
    above += "| n | integer | |\n| s | choice: a, b | |\n\n"
    for line in (f"Plural: {text}", f"Actions:\n- {text}", f"Actions:\n- `go`: {text}", f"Totals:\n- {text}"):
        check(f"{above}{line}\n", "md")


def sources() -> list[tuple[Format, str]]:
    bad = Path(__file__).parent / "bad_specs"
    found: list[tuple[Format, str]] = [("md", template("shelf"))]
    for path in sorted([*(ROOT / "examples").glob("*/spec.md"), *bad.iterdir()]):
        format_ = next((name for name in FORMATS if path.suffix == f".{name}"), None)
        if format_ is not None:
            found.append((format_, path.read_text()))
    return found


def mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 6)):
        lines = text.split("\n")
        at, line = rng.randrange(len(text) + 1), rng.randrange(len(lines))
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(TOKENS) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.randint(1, 8) :]
            case 2:
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case 3:
                lines.insert(rng.randrange(len(lines)), lines[line])
                text = "\n".join(lines)
            case _:
                text = text[:at] + rng.choice(TOKENS) + text[at + rng.randint(0, 3) :]
    return text


@pytest.mark.parametrize("seed", range(12))
def test_damaged_specifications_give_problems_and_never_an_error(seed: int) -> None:
    """Lines lost, doubled, cut and mixed up; where the result is still valid, its workers' copy is too."""
    # shows: F2, N14
    rng, texts = random.Random(seed), sources()
    for _ in range(15):
        format_, text = rng.choice(texts)
        text = mutated(text, rng)
        check(text, format_)
        spec, _problems = problems_of_text(text, name="file", format=format_)
        if spec is None or not spec.examples:
            continue
        ids = [example.id for example in spec.examples]
        held_out = set(rng.sample(ids, rng.randint(1, len(ids))))
        left = read_text(without_examples(text, held_out, format=format_), name="file", format=format_)
        assert [e.body for e in left.examples] == [e.body for e in spec.examples if e.id not in held_out]
        assert left.entities == spec.entities


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("md", "---\nname: shelf\n---\n# T\n" + "<!-- " * 50_000),
        ("md", "---\nname: shelf\n---\n# T\nx " + "<!-- " * 50_000),
        ("md", "---\nname: shelf\n---\n# T\n" + "`" * 50_000 + " `` ```" * 10_000),
        ("md", "---\nname: shelf\n---\n# T\n" + "[NEEDS CLARIFICATION: " * 20_000),
        ("md", "---\nname: shelf\n---\n# T\n" + "".join("  " * n + "- x\n" for n in range(100))),
        ("md", "---\nname: shelf\n---\n# T\n" + ">" * 5000 + " x"),
        ("md", "---\n" + "a: [" * 5000 + "\n---\n"),
        ("json", "[" * 100_000),
        ("json", '{"a":' * 100_000),
        ("toml", "a = " + "[" * 100_000 + "]" * 100_000),
        ("toml", "a" + ".a" * 100_000 + " = 1"),
        ("yaml", "[" * 100_000),
        ("yaml", "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50))),
    ],
    ids=range(13),
)
def test_bombs_do_not_go_off(format_: Format, text: str) -> None:
    """Deep nesting, aliases and runs of marks are answered in linear time and little memory."""
    # shows: P8
    check(text, format_)
