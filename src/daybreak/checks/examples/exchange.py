"""The language of `http` blocks: paragraphs that alternate, a request and the answer it must get.

    POST /books
    {"title": "Dune"}

    201
    Location: <url as book>
    {"id": <integer>, "title": "Dune", ...}

A request is `METHOD /path` (or a caught `{{url}}`), headers, a body; it is sent verbatim, as JSON unless a
header says otherwise. An answer is a status, headers, a body; without a body it is not checked for one.
`{{name}}` puts in what `<kind as name>` caught in an earlier answer, as raw text, anywhere.

Reading never fails: what is wrong becomes a Fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from daybreak.checks.example import Fault
from daybreak.checks.examples import pattern

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(?:[ \t]+(.*)|)")
_PLACE = re.compile(rf"\{{\{{({pattern.NAME})\}}\}}")
_ALMOST_A_PLACE = re.compile(r"\{\{\s*[\w-]+\s*\}\}")
_STATUS_LINE = re.compile(r"\d{3}(\s|$)")
_ALTERNATE = "requests and answers alternate, a blank line between: `GET /books/1`, then `200`"
_EMBEDDED_KIND = re.compile("<(?:" + "|".join(pattern.KINDS) + rf")(?: as {pattern.NAME})?>")


@dataclass(frozen=True, slots=True)
class Request:
    """`line` counts from 0 at the block's first line, as everywhere here."""

    method: str
    target: str
    """A path from `/`, or `{{name}}` and what follows it."""
    headers: tuple[tuple[str, str], ...]
    body: str
    line: int


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    """Empty: not checked."""
    line: int
    body_line: int

    @property
    def is_json(self) -> bool:
        return _is_json(self.headers)


@dataclass(frozen=True, slots=True)
class Exchange:
    request: Request
    answer: Answer


@dataclass(frozen=True, slots=True)
class _Paragraph:
    line: int
    lines: tuple[str, ...]


def header(headers: tuple[tuple[str, str], ...], name: str) -> str | None:
    """The first header of that name, in any case."""
    return next((value for found, value in headers if found.lower() == name.lower()), None)


def _is_json(headers: tuple[tuple[str, str], ...]) -> bool:
    media = header(headers, "Content-Type")
    return media is None or "json" in media.lower() or media.startswith("<")


def places(text: str) -> list[str]:
    """The names that a text asks for with `{{name}}`."""
    return _PLACE.findall(text)


def fill(text: str, caught: Mapping[str, str]) -> str:
    """The text with every `{{name}}` put in. Raises KeyError for a name that nothing caught."""
    return _PLACE.sub(lambda found: caught[found[1]], text)


def read(body: str) -> tuple[list[Exchange], list[Fault]]:
    """The exchanges of a block in order, and what is wrong with it, by line."""
    faults: list[Fault] = []
    paragraphs = _paragraphs(body)
    if not paragraphs:
        return [], [Fault(0, "the block has no request", "write `GET /path`, a blank line and the status")]
    exchanges: list[Exchange] = []
    request: Request | None = None
    for paragraph in paragraphs:
        first = paragraph.lines[0]
        if request is None and _STATUS_LINE.match(first):
            faults.append(
                Fault(paragraph.line, f"an answer ({first}) stands where a request must", _ALTERNATE)
            )
        elif request is not None and first.partition(" ")[0] in METHODS:
            faults.append(Fault(request.line, "the request has no answer", _ALTERNATE))
            request = _read_request(paragraph, faults)
        elif request is None:
            request = _read_request(paragraph, faults)
        else:
            if (answer := _read_answer(paragraph, faults)) is not None:
                exchanges.append(Exchange(request, answer))
            request = None
    if request is not None:
        faults.append(Fault(request.line, "the request has no answer", _ALTERNATE))
    _check_bodies(exchanges, faults)
    _check_names(exchanges, faults)
    return exchanges, sorted(faults, key=lambda fault: fault.line)


def _paragraphs(body: str) -> list[_Paragraph]:
    found: list[_Paragraph] = []
    lines: list[str] = []
    for number, line in enumerate([*body.split("\n"), ""]):
        if line.strip():
            lines.append(line)
        elif lines:
            found.append(_Paragraph(number - len(lines), tuple(lines)))
            lines = []
    return found


def _read_request(paragraph: _Paragraph, faults: list[Fault]) -> Request:
    """Always a request, so that the paragraphs after a bad one keep their roles."""
    first = paragraph.lines[0]
    method, _, target = first.partition(" ")
    target = target.strip()
    if method not in METHODS:
        faults.append(
            Fault(
                paragraph.line,
                f"{method!r} is not a method",
                f"write one of {', '.join(METHODS)}, then a path",
            )
        )
    elif not re.match(rf"/|\{{\{{{pattern.NAME}\}}\}}", target):
        faults.append(
            Fault(paragraph.line, f"{target!r} is not a path", "write `METHOD /path`, such as `GET /books/1`")
        )
    elif re.search(r"\s", target):
        faults.append(
            Fault(paragraph.line, f"the path {target!r} has a blank in it", "write %20 for a blank")
        )
    headers, text, _ = _headers_and_body(paragraph)
    return Request(method, target, headers, text, paragraph.line)


def _read_answer(paragraph: _Paragraph, faults: list[Fault]) -> Answer | None:
    first = paragraph.lines[0].strip()
    if not re.fullmatch(r"[1-5][0-9][0-9]", first):
        faults.append(
            Fault(
                paragraph.line,
                f"{first!r} stands where an answer's status must",
                "write the status alone on the line, 100 to 599, then headers, then the body; no blank lines inside",
            )
        )
        return None
    headers, text, offset = _headers_and_body(paragraph)
    for at, (name, value) in enumerate(headers):
        faults += _header_faults(name, value, paragraph.line + 1 + at)
    return Answer(int(first), headers, text, paragraph.line, paragraph.line + offset)


def _headers_and_body(paragraph: _Paragraph) -> tuple[tuple[tuple[str, str], ...], str, int]:
    """Headers, the body, and at which line of the paragraph it starts."""
    headers: list[tuple[str, str]] = []
    rest = list(paragraph.lines[1:])
    while rest and (found := _HEADER.fullmatch(rest[0])):
        headers.append((found[1], (found[2] or "").strip()))
        rest.pop(0)
    return tuple(headers), "\n".join(rest), 1 + len(headers)


def _header_faults(name: str, value: str, line: int) -> list[Fault]:
    kind = pattern.kind_of(value)
    if kind is not None and kind.kind not in pattern.KINDS:
        return [Fault(line, f"there is no kind <{kind.kind}>", f"write one of {_kinds()}")]
    if kind is None and _EMBEDDED_KIND.search(value):
        return [
            Fault(
                line, f"the header {name} mixes text and a kind", "a kind stands alone: write only the kind"
            )
        ]
    return []


def _kinds() -> str:
    return ", ".join(f"<{kind}>" for kind in pattern.KINDS)


def _check_bodies(exchanges: list[Exchange], faults: list[Fault]) -> None:
    for exchange in exchanges:
        request, answer = exchange.request, exchange.answer
        if answer.body and answer.is_json:
            try:
                pattern.read(_PLACE.sub("0", answer.body))
            except pattern.NotAPattern as problem:
                line = answer.body_line + _PLACE.sub("0", answer.body)[: problem.offset].count("\n")
                faults.append(
                    Fault(
                        line, f"the answer's body is not JSON: {problem.message}", "correct the body as JSON"
                    )
                )
        # A malformed body may be sent on purpose, but then the answer is a refusal.
        if request.body and _is_json(request.headers) and answer.status < 400:
            try:
                json.loads(_PLACE.sub("0", request.body))
            except (ValueError, RecursionError) as problem:
                faults.append(
                    Fault(
                        request.line + 1 + len(request.headers),
                        f"the request's body is not JSON: {problem}",
                        "correct the body, or say what it is with a `Content-Type:` header",
                    )
                )


def _check_names(exchanges: list[Exchange], faults: list[Fault]) -> None:
    known: set[str] = set()
    for exchange in exchanges:
        request, answer = exchange.request, exchange.answer
        sent = [request.target, *(value for _, value in request.headers), request.body]
        asked = [(request.line, text) for text in sent]
        asked += [(answer.line, text) for text in [*(value for _, value in answer.headers), answer.body]]
        for line, text in asked:
            for name in places(text):
                if name not in known:
                    faults.append(
                        Fault(
                            line,
                            f"{{{{{name}}}}} is used before anything caught it",
                            f"catch it in an earlier answer with <any as {name}>",
                        )
                    )
            for almost in _ALMOST_A_PLACE.findall(text):
                if not _PLACE.fullmatch(almost):
                    faults.append(Fault(line, f"{almost} is not a name", "write {{name}} without blanks"))
        known.update(caught_by(answer))


def caught_by(answer: Answer) -> list[str]:
    """The names under which an answer catches values."""
    names = [kind.name for _, value in answer.headers if (kind := pattern.kind_of(value)) and kind.name]
    if answer.body and answer.is_json:
        try:
            names += pattern.catches(pattern.read(_PLACE.sub("0", answer.body)))
        except pattern.NotAPattern:
            return names  # told as a fault of its own
    return names
