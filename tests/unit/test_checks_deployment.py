"""Check `deployment`: what would not build, would not start, or would not test anything is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.agents.builder import project
from daybreak.agents.protocol import Brief
from daybreak.checks import deployment

HASH = "0" * 64
CONTAINER = 'FROM python:3.12-slim\nRUN pip install . \\\n  && true\nUSER app\nCMD ["notes"]\n'
WORKFLOW = "jobs:\n  tests:\n    steps:\n      - run: python -m pytest\n"


def look(tree: Path, container: str | bytes | None = CONTAINER, workflow: str | None = WORKFLOW) -> list[str]:
    if container is not None:
        (tree / "Containerfile").write_bytes(container if isinstance(container, bytes) else container.encode())
    if workflow is not None:
        (tree / ".github/workflows").mkdir(parents=True)
        (tree / ".github/workflows/tests.yml").write_text(workflow)
    seen = deployment.look(tree, HASH)
    assert (seen.outcome == "passed") == (not seen.marks)
    return [mark.message for mark in seen.marks]


def test_what_would_work_passes(tmp_path: Path) -> None:
    """Also with instructions over several lines."""  # shows: P1
    assert look(tmp_path) == []


@pytest.mark.parametrize("interfaces", [("cli",), ("cli", "http")])
def test_what_the_embedded_builder_adds_passes(tmp_path: Path, interfaces: tuple[str, ...]) -> None:
    """It serves where there is something to serve."""  # shows: P1
    files = project.deployment(Brief(name="notes", title="Notes", summary="", interfaces=interfaces))
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert look(tmp_path, None, None) == []
    assert ("serve" in files["Containerfile"]) == ("http" in interfaces)


def test_nothing_is_named_as_missing(tmp_path: Path) -> None:
    """Both of them."""  # shows: P1
    assert look(tmp_path, None, None) == ["is missing", "there is no CI workflow"]


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ("", "does not begin with FROM"),
        ("RUN true\n" + CONTAINER, "does not begin with FROM"),
        (CONTAINER.replace("USER app\n", ""), "runs as root"),
        (CONTAINER.replace("USER app", "USER root"), "runs as root"),
        (CONTAINER + "FROM scratch\nUSER app\n", "starts nothing"),
        (CONTAINER + "INSTALL all\n", "is no instruction"),
        (CONTAINER.replace("USER", "ENV API_KEY=abcdef123456\nUSER"), "looks like a secret"),
        (b"\xff\xfe", "is no text"),
        ("# " + "x" * deployment.BYTES_MAX, "is no text of at most"),
    ],
)
def test_a_container_file_that_would_not_do_is_said(tmp_path: Path, container: str | bytes, said: str) -> None:
    """With the reason."""  # shows: P1, P8
    assert any(said in message for message in look(tmp_path, container))


@pytest.mark.parametrize(
    ("workflow", "said"),
    [
        ("", "is no YAML with keys"),
        ("jobs: [", "is no YAML with keys"),
        ("a: " + "[" * 5_000, "is no YAML with keys"),
        ("name: tests\n", "has no jobs"),
        (WORKFLOW.replace("python -m pytest", "echo all tests pass"), "no step of it runs the tests"),
        (WORKFLOW.replace("- run: python -m pytest", "- name: pytest"), "no step of it runs the tests"),
    ],
)
def test_a_workflow_that_tests_nothing_is_said(tmp_path: Path, workflow: str, said: str) -> None:
    """A name is not a command."""  # shows: P1, P8
    assert any(said in message for message in look(tmp_path, workflow=workflow))


def test_a_link_is_no_container_file(tmp_path: Path) -> None:
    """It could lead anywhere."""  # shows: N9
    (tmp_path / "Dockerfile").symlink_to("/etc/passwd")
    assert "is missing" in look(tmp_path, None)
