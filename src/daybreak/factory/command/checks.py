"""Looking whether a command did what it should, and whether a task is done. What cannot be looked at does not hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from daybreak.checks.evidence import Evidence, Mark, Outcome
from daybreak.factory import quantity
from daybreak.factory.command.run import CommandFailed, Order, Runner, tail
from daybreak.factory.command.run import Outcome as Ended
from daybreak.factory.command.task import Check, Expected
from daybreak.host import truth
from daybreak.host.truth import Observation, Probe

PREFIX = "check:"
"""Of the names of these checks in evidence."""
ANSWER_BYTES_MAX = 4_000_000
HTTP_OK = 200


def missing(expected: Expected, ended: Ended, folder: Path) -> str:
    """What of the expected is not so, in words; empty where all of it is. The exit status is not looked at."""
    return "; ".join(_missing(expected, ended, folder))


def _missing(expected: Expected, ended: Ended, folder: Path) -> Iterator[str]:
    output = ended.output
    if expected.output is not None and expected.output not in output:
        yield f"its output does not hold {expected.output[:80]!r}"
    if expected.matches is not None and re.search(expected.matches, output, re.MULTILINE) is None:
        yield f"nothing in its output matches {expected.matches[:80]!r}"
    if "data" in expected.model_fields_set:
        yield from _lacking_json(expected.data, output)
    for one in truth.look(*(truth.exists(folder / path) for path in expected.files)) if expected.files else ():
        if not one.holds:
            yield f"{one.expected}, but: {one.seen}"


def _lacking_json(wanted: Any, output: str) -> Iterator[str]:
    try:
        seen = json.loads(output)
    except (ValueError, RecursionError) as error:
        yield f"its output is no JSON: {str(error)[:80]}"
        return
    if (place := _differs(wanted, seen, "it")) is not None:
        yield f"its JSON is not as expected: {place}"


def _differs(wanted: Any, seen: Any, place: str) -> str | None:
    """Where `seen` lacks something of `wanted`: tables hold at least those keys, lists exactly those items."""
    if isinstance(wanted, dict) and isinstance(seen, dict):
        inner = (
            _differs(item, seen[key], f"{place}.{key}") if key in seen else f"{place}.{key} is missing"
            for key, item in wanted.items()
        )
        return next((told for told in inner if told is not None), None)
    if isinstance(wanted, list) and isinstance(seen, list) and len(wanted) == len(seen):
        pairs = (_differs(one, other, f"{place}[{n}]") for n, (one, other) in enumerate(zip(wanted, seen, strict=True)))
        return next((told for told in pairs if told is not None), None)
    same = wanted == seen and isinstance(wanted, bool) == isinstance(seen, bool)
    return None if same else f"{place} is {json.dumps(seen)[:60]}, not {json.dumps(wanted)[:60]}"


# -- checks of a task


def look(name: str, number: int, check: Check, runner: Runner) -> Evidence:
    """Evidence of one check. Raises what running a command raises where that is not the check's own answer."""
    if check.run is not None:
        return _command(name, number, check, runner)
    if check.file is not None:
        return _file(name, check, runner)
    return _http(name, number, check, runner)


def _command(name: str, number: int, check: Check, runner: Runner) -> Evidence:
    assert check.run is not None
    order = Order(f"check {name}", number, check.run, check.cwd, check.env, check.limit)
    command = check.run if isinstance(check.run, str) else " ".join(check.run)
    expected = check.expect or Expected()
    try:
        ended = runner.outcome(order)
    except CommandFailed as error:
        return _evidence(name, "unusable", error.message, command=command, output=tail(error.output))
    output = tail(ended.output + ended.errors)
    if ended.exit not in expected.exit:
        said = (ended.errors.strip() or ended.output.strip()).splitlines()[-1:]
        summary = ": ".join([f"exit status {ended.exit}", *said])
        return _evidence(name, "failed", summary, command=command, output=output)
    if why := missing(expected, ended, runner.folder):
        return _evidence(name, "failed", why, command=command, output=output)
    return _evidence(name, "passed", f"exit status {ended.exit}", command=command, output=output)


def _file(name: str, check: Check, runner: Runner) -> Evidence:
    assert check.file is not None
    if (out := _led_out(Path(check.file), runner)) is not None:
        return _evidence(name, "unusable", f"{check.file} leads to {out}, which the task was not granted")
    observations = truth.look(*_probes(runner.folder / check.file, check))
    wrong = [one for one in observations if not one.holds]
    seen = wrong[0] if wrong else observations[-1]
    return _evidence(
        name, "failed" if wrong else "passed", f"{seen.expected}: {seen.seen}", marks=tuple(map(_mark, wrong))
    )


def _led_out(file: Path, runner: Runner) -> Path | None:
    """Where a file of the task's folder really lies, if that is none that its commands may see: they could have made
    the link, and we look without a sandbox. Who names a place elsewhere in so many words means that place."""
    if runner.task.sandbox == "none" or file.is_absolute() or ".." in file.parts:
        return None
    real = Path(os.path.realpath(runner.folder / file))
    granted = (str(runner.folder), *runner.task.grant.write, *runner.task.grant.read)
    return None if any(real.is_relative_to(one) for one in granted) else real


def _probes(path: Path, check: Check) -> Iterator[Probe]:
    if check.absent:
        yield truth.absent(path)
        return
    yield truth.exists(path)
    if check.contains is not None:
        yield truth.contains(path, check.contains)
    if check.matches is not None:
        yield truth.contains(path, re.compile(check.matches, re.MULTILINE))


def _mark(one: Observation) -> Mark:
    return Mark(message=f"{one.expected}, but: {one.seen}", place=one.looked_at)


def _http(name: str, number: int, check: Check, runner: Runner) -> Evidence:
    import httpx

    assert check.http is not None
    limit_s = quantity.seconds(check.limit)
    runner.warden.may_connect(number, _host(check.http), timedelta(seconds=limit_s))
    command = f"GET {check.http}"
    body = b""
    try:
        with (
            httpx.Client(timeout=limit_s, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", check.http) as answer,
        ):
            for part in answer.iter_bytes():
                body += part
                if len(body) > ANSWER_BYTES_MAX:
                    break
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _evidence(name, "unusable", f"no answer: {type(error).__name__}: {error}", command=command)
    text = body[:ANSWER_BYTES_MAX].decode(errors="replace")
    wanted = check.status or HTTP_OK
    why = [f"status {status}, not {wanted}"] if status != wanted else []
    if check.contains is not None and check.contains not in text:
        why.append(f"the answer does not hold {check.contains[:80]!r}")
    if check.matches is not None and re.search(check.matches, text, re.MULTILINE) is None:
        why.append(f"nothing in the answer matches {check.matches[:80]!r}")
    return _evidence(
        name, "failed" if why else "passed", "; ".join(why) or f"status {status}", command=command, output=tail(text)
    )


def _host(url: str) -> str:
    """As the door names it."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _evidence(
    name: str, outcome: Outcome, summary: str, *, command: str = "", output: str = "", marks: tuple[Mark, ...] = ()
) -> Evidence:
    """Of the task's folder as it is: there is no copy whose hash could be named."""
    return Evidence(
        check=f"{PREFIX}{name}",
        workspace="",
        outcome=outcome,
        summary=" ".join(summary.split())[:500],
        command=command[:1000],
        output=output,
        marks=marks,
    )
