"""What runners of tests print, read as tests: how many passed, which by name, and how much of the code they ran.

What is printed comes from the project's own programs and may say anything; the exit status has the last word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from daybreak.factory.validate.planned import Reading

NAMES_MAX = 100_000
NAME_CHARS_MAX = 300


@dataclass
class Tests:
    """What was seen. Names are there where the runner tells them."""

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """Name → why, in the runner's words."""
    skipped: set[str] = field(default_factory=set)
    counted: tuple[int, int, int] | None = None
    """Passed, failed, skipped, as the runner says; None where only names are known."""
    coverage: float | None = None
    """Percent."""

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.counted or (len(self.passed), len(self.failed), len(self.skipped))

    @property
    def known(self) -> bool:
        """Did anything say that tests ran?"""
        return self.counted is not None or bool(self.passed or self.failed)


def read(reading: Reading, printed: str) -> Tests:
    """What the output says; nothing where it says nothing."""
    if reading == "any":
        found = (reader(printed) for reader in (_pytest, _node, _go, _cargo, _maven))
        return next((one for one in found if one.known), Tests())
    return _READERS[reading](printed) if reading in _READERS else Tests()


_PYTEST = re.compile(r"^=* ?(?P<all>(?:\d+ [a-z]+,? ?)+)(?: in [\d.]+\w*.*)?=*$", re.MULTILINE)
_UNITTEST = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
_UNITTEST_BAD = re.compile(r"\b(?:failures|errors)=(\d+)")


def _pytest(printed: str) -> Tests:
    """Also unittest, which counts alike."""
    for line in reversed(_PYTEST.findall(printed)):
        said = {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", line)}
        if said.keys() & {"passed", "failed", "error"}:
            bad = said.get("failed", 0) + said.get("error", 0)
            return Tests(counted=(said.get("passed", 0), bad, said.get("skipped", 0)))
    if ran := _UNITTEST.findall(printed):
        bad = sum(map(int, _UNITTEST_BAD.findall(printed)))
        return Tests(counted=(max(0, int(ran[-1]) - bad), bad, 0))
    return Tests()


_TAP = re.compile(r"^(?P<indent> *)(?P<not>not )?ok \d+ - (?P<name>.*?)(?P<skip> # (?:SKIP|TODO).*)?$", re.MULTILINE)
_SPEC = re.compile(r"^(?P<indent> *)(?P<mark>[✔✖﹣✓✕×]) (?P<name>.*?)(?: \([\d.]+ ?m?s\))?$", re.MULTILINE)
_NODE = re.compile(r"^(?:#|ℹ) (pass|fail|skipped) (\d+)$", re.MULTILINE)
_JEST = re.compile(r"^ *Tests:? +(?P<all>.*(?:passed|failed).*)$", re.MULTILINE)
_MOCHA = re.compile(r"^ *(\d+) (passing|failing|pending)\b", re.MULTILINE)


def _node(printed: str) -> Tests:
    """node --test (TAP and spec), jest, vitest and mocha."""
    found = Tests()
    for one in _TAP.finditer(printed):
        _take(found, one["name"], ok=not one["not"], skipped=bool(one["skip"]))
    for one in _SPEC.finditer(printed):
        _take(found, one["name"], ok=one["mark"] in "✔✓", skipped=one["mark"] == "﹣")
    if told := dict(_NODE.findall(printed)):
        found.counted = (int(told.get("pass", 0)), int(told.get("fail", 0)), int(told.get("skipped", 0)))
    elif lines := _JEST.findall(printed):
        said = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|todo)", lines[-1])}
        found.counted = (said.get("passed", 0), said.get("failed", 0), said.get("skipped", 0))
    elif lines := _MOCHA.findall(printed):
        said = {word: int(number) for number, word in lines}
        found.counted = (said.get("passing", 0), said.get("failing", 0), said.get("pending", 0))
    return found


def _go(printed: str) -> Tests:
    """The events of `go test -json`."""
    found, shares = Tests(), []
    said: dict[str, str] = {}
    for line in printed.splitlines():
        try:
            event = json.loads(line)
            action, package = event["Action"], str(event.get("Package", ""))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        test = event.get("Test")
        name = f"{package}.{test}"
        if action == "output":
            text = str(event.get("Output", ""))
            if test:
                said[name] = (said.get(name, "") + text)[-2000:]
            elif share := re.search(r"coverage: ([\d.]+)% of statements", text):
                shares.append(float(share[1]))
        elif test and action in ("pass", "fail", "skip"):
            _take(found, name, ok=action == "pass", skipped=action == "skip", why=said.get(name, ""))
        elif action == "fail":
            found.failed.setdefault(package, said.get(f"{package}.None", "the package does not build or its tests end"))
    if found.passed:  # a package fails where one of its tests does, which is told already
        for package in [name for name in found.failed if any(one.startswith(f"{name}.") for one in found.failed)]:
            del found.failed[package]
    if shares:
        found.coverage = int(sum(shares) / len(shares) * 10) / 10
    return found


_CARGO = re.compile(r"^test (?P<name>.+?) \.\.\. (?P<how>ok|FAILED|ignored)\b", re.MULTILINE)
_CARGO_SUM = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)


def _cargo(printed: str) -> Tests:
    found = Tests()
    for one in _CARGO.finditer(printed):
        _take(found, one["name"], ok=one["how"] == "ok", skipped=one["how"] == "ignored")
    if sums := _CARGO_SUM.findall(printed):
        passed, failed, skipped = (sum(int(one[at]) for one in sums) for at in range(3))
        found.counted = (passed, failed, skipped)
    return found


_MAVEN = re.compile(r"Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)(?!.*\bTime elapsed)")


def _maven(printed: str) -> Tests:
    sums = _MAVEN.findall(printed)
    if not sums:
        return Tests()
    ran, failures, errors, skipped = map(int, sums[-1])
    bad = failures + errors
    return Tests(counted=(max(0, ran - bad - skipped), bad, skipped))


_GRADLE = re.compile(r"^(?P<name>\S+ > .+?) (?P<how>PASSED|FAILED|SKIPPED)$", re.MULTILINE)


def _gradle(printed: str) -> Tests:
    found = Tests()
    for one in _GRADLE.finditer(printed):
        _take(found, one["name"], ok=one["how"] == "PASSED", skipped=one["how"] == "SKIPPED")
    return found


_READERS: dict[Reading, Callable[[str], Tests]] = {
    "node": _node,
    "go": _go,
    "cargo": _cargo,
    "maven": _maven,
    "gradle": _gradle,
}


def _take(found: Tests, name: str, *, ok: bool, skipped: bool, why: str = "") -> None:
    """A name that comes again and fails once has failed."""
    name = name.strip()[:NAME_CHARS_MAX]
    if not name or len(found.passed) + len(found.failed) > NAMES_MAX:
        return
    if skipped:
        found.skipped.add(name)
    elif not ok:
        found.failed[name] = why
        found.passed.discard(name)
    elif name not in found.failed:
        found.passed.add(name)
