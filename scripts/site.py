"""What the site adds to the pages: the README as its front page, and the examples that pages point to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_SHIM = "https://unpkg.com/iframe-worker/shim"
_OUTSIDE = r"(examples|tests|src|schema|benchmarks|scripts|CONTRIBUTING\.md|AGENTS\.md|LICENSE)"
_TO_OUTSIDE = re.compile(rf"\[([^\]]+)\]\((?:\.\./)*{_OUTSIDE}([^)#]*)(?:#[^)]*)?\)")
_FIRST = "decisions/0001-standalone-first.md"
_TO_DOCS = re.compile(r"\]\(docs/([^)]*)\)")


def on_files(files: Files, config: Any) -> Files:
    """The front page and the files of the examples."""
    files.append(File.generated(config, "index.md", content=_front((ROOT / "README.md").read_text("utf-8"))))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to sources name them instead: a site has no sources beside it."""
    return _TO_OUTSIDE.sub(_named, markdown)


def on_post_build(config: Any) -> None:
    """What makes the search work without a server lies in the site itself."""
    site = Path(config["site_dir"])
    for path in site.rglob("*.html"):
        up = "../" * (len(path.relative_to(site).parts) - 1)
        told = path.read_text("utf-8")
        path.write_text(told.replace(_SHIM, f"{up}assets/iframe-worker-1.0.4.js"), "utf-8")


def _front(readme: str) -> str:
    """The README with links that count from the folder of the pages; one to a folder goes to its first page."""
    return _TO_DOCS.sub(lambda found: f"]({found[1] if '.' in found[1] else _FIRST})", readme)


def _named(found: re.Match[str]) -> str:
    words, path = found[1], f"{found[2]}{found[3]}".rstrip("/")
    return words if path.rpartition("/")[2] in words else f"{words} (`{path}`)"
