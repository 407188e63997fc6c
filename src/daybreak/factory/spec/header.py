"""The front matter's values: read as text, then by type, each in its range."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, get_args

from daybreak.agents.protocol import HttpOptions
from daybreak.factory.quantity import size_bytes
from daybreak.factory.spec import names, shape
from daybreak.factory.spec.file import BudgetPart, HttpPart, LimitsPart, NeedsPart, QualityPart
from daybreak.factory.spec.located import Mapping, Node, Scalar
from daybreak.factory.spec.model import Budget, Complexity, Interface, Limits, Needed, Quality, Shared
from daybreak.factory.spec.problems import Problems, listed, meant

RANGES: dict[str, tuple[int, int]] = {
    "budget.attempts": (1, 20),
    "budget.tokens": (0, 10_000_000_000),
    "limits.workers": (1, 64),
    "limits.depth": (1, 10),
    "limits.children": (1, 50),
    "quality.coverage": (0, 100),
    "quality.thresholds": (0, 100),
    "http.page": (1, 1000),
    "http.page_max": (1, 100_000),
}
HTTP_WORDS: dict[str, tuple[str, ...]] = {
    "envelope": ("name", "data"),
    "errors": ("problem", "fields", "message"),
    "names": ("declared", "camel"),
    "put": ("all", "some"),
}
_REFUSALS = tuple(range(400, 452))
STATUSES: dict[str, tuple[int, ...]] = {
    "added": (200, 201),
    "deleted": (200, 204),
    **dict.fromkeys(("invalid", "missing", "conflict", "anonymous", "forbidden"), _REFUSALS),
}
"""By what happened: the statuses that may stand for it."""
TIME_S_MIN, TIME_S_MAX = 10, 7 * 24 * 3600
MONEY_USD_MAX = Decimal(10_000)
CPUS_MIN, CPUS_MAX = 0.1, 1000
MEMORY_BYTES_MIN, MEMORY_BYTES_MAX = 64 * 2**20, 2**40
LABELS_MAX = 50
HOLDOUT_MAX = 0.8
THRESHOLDS_MAX = 10

_VERSION = re.compile(
    r"\d{1,9}(\.\d{1,9}){0,5}((a|b|rc)\d{1,9})?(\.post\d{1,9})?(\.dev\d{1,9})?(\+[a-z0-9]+(\.[a-z0-9]+)*)?", re.ASCII
)
_LANGUAGE = re.compile(r"[a-z][a-z0-9+#.-]{0,29}", re.ASCII)
_TIME = re.compile(r"(?=\d)(?:(\d{1,6})\s*h)?\s*(?:(\d{1,6})\s*m(?:in)?)?\s*(?:(\d{1,6})\s*s)?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_MONEY = re.compile(r"\$\s*(\d{1,9}(?:\.\d{1,4})?)|(\d{1,9}(?:\.\d{1,4})?)\s*(?:usd|\$)", re.ASCII | re.IGNORECASE)
_TOKENS = re.compile(r"(\d{1,12}(?:_\d{3})*)(?:\.(\d{1,3}))?\s*([km]?)", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)
CPUS = re.compile(r"\d{1,4}(\.\d{1,3})?", re.ASCII)
_WORD = r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
LABEL = re.compile(rf"(?![A-Z]){_WORD}(={_WORD})?", re.ASCII)
_SHARE = re.compile(r"\d{0,3}\.?\d{1,9}", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:\d{1,5})?", re.ASCII)


@dataclass(slots=True)
class Header:
    """All values; where one was wrong it was told and the default stands here."""

    name: str = ""
    version: str = "0.1.0"
    language: str = "python"
    interfaces: tuple[Interface, ...] = ("cli",)
    complexity: Complexity | None = None
    paradigm: Shared | None = None
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    quality: Quality = field(default_factory=Quality)
    needs: Needed = field(default_factory=Needed)
    holdout: float = 0.33
    serve: str = ""
    http: HttpOptions = field(default_factory=HttpOptions)


def read(found: dict[str, Node], problems: Problems) -> Header:
    """The header of the values `found` by key."""
    return _Reader(found, problems).header()


@dataclass(slots=True)
class _Reader:
    found: dict[str, Node]
    problems: Problems

    def header(self) -> Header:
        header = Header(name=self.name(), interfaces=self.interfaces(), complexity=self.complexity())
        header.version = self.matching("version", _VERSION, header.version, "write a version such as 0.1.0 or 1.2.0rc1")
        header.language = self.matching(
            "language", _LANGUAGE, header.language, "write one word in small letters, such as python"
        )
        header.paradigm = self.paradigm()
        header.budget = Budget(**self.budget())
        header.limits = Limits(**self.whole_numbers("limits", LimitsPart))
        header.quality = Quality(**self.quality())
        header.needs = Needed(**self.needs())
        header.holdout = self.holdout()
        header.http = HttpOptions(**self.http())
        header.serve = self.serve(header)
        if "http" in self.found and "http" not in header.interfaces:
            self.problems.warn(
                self.found["http"].line,
                "S184",
                "http has no effect: the result has no http face",
                "add http to interfaces",
            )
        return header

    def text(self, key: str) -> Scalar | None:
        return shape.scalar(self.found.get(key), key, self.problems)

    def name(self) -> str:
        value = self.text("name")
        if value is None:
            return ""
        if fault := names.name_fault(value.text):
            self.problems.add(value.line, "S125", *fault)
            return ""
        return value.text

    def matching(self, key: str, form: re.Pattern[str], default: str, remedy: str) -> str:
        value = self.text(key)
        if value is None:
            return default
        text = value.text.strip()
        if form.fullmatch(text) is None:
            self.problems.add(value.line, "S126", f"{key} {value.text!r} cannot be used", remedy)
            return default
        return text

    def interfaces(self) -> tuple[Interface, ...]:
        if "interfaces" not in self.found:
            return ("cli",)
        known: tuple[Interface, ...] = get_args(Interface)
        chosen: list[Interface] = []
        values = shape.texts(self.found["interfaces"], "interfaces", self.problems)
        for value in values:
            face = next((name for name in known if name == value.text.strip()), None)
            if face is None:
                remedy = meant(value.text, known, f"the interfaces are {listed(known)}")
                self.problems.add(value.line, "S126", f"the interface {value.text!r} is unknown", remedy)
            elif face in chosen:
                self.problems.add(value.line, "S149", f"the interface {face} occurs twice", "write it once")
            else:
                chosen.append(face)
        if not values:
            line = self.found["interfaces"].line
            self.problems.add(line, "S123", "there is no interface", "write interfaces: [cli], [http] or [cli, http]")
        return tuple(chosen) or ("cli",)

    def complexity(self) -> Complexity | None:
        value = self.text("complexity")
        if value is None:
            return None
        known: tuple[Complexity, ...] = get_args(Complexity)
        for name in known:
            if value.text.strip() == name:
                return name
        remedy = meant(value.text, known, f"write {', '.join(known[:-1])} or {known[-1]}, or leave it out")
        self.problems.add(value.line, "S126", f"the complexity {value.text!r} is unknown", remedy)
        return None

    def paradigm(self) -> Shared | None:
        value = self.text("paradigm")
        if value is None:
            return None
        known: tuple[Shared, ...] = get_args(Shared)
        for name in known:
            if value.text.strip() == name:
                return name
        remedy = meant(value.text, known, f"write {', '.join(known[:-1])} or {known[-1]}, or leave it out")
        self.problems.add(value.line, "S126", f"the paradigm {value.text!r} is unknown", remedy)
        return None

    def part(
        self, key: str, model: type[BudgetPart | LimitsPart | NeedsPart | QualityPart | HttpPart]
    ) -> dict[str, Node]:
        node = self.found.get(key)
        return {} if node is None else shape.fields(node, model, key, self.problems)

    def whole(self, where: str, node: Node) -> int | None:
        value = shape.scalar(node, where, self.problems)
        low, high = RANGES[where]
        if value is None:
            return None
        if _WHOLE.fullmatch(value.text.strip()) is None:
            self.problems.add(
                value.line, "S126", f"{where} {value.text!r} is no whole number", f"write a number from {low} to {high}"
            )
            return None
        return self.within(where, int(value.text), value)

    def within(self, where: str, number: int, value: Scalar) -> int | None:
        low, high = RANGES[where]
        if low <= number <= high:
            return number
        self.problems.add(
            value.line, "S127", f"{where} {value.text.strip()} is out of range", f"write a number from {low} to {high}"
        )
        return None

    def whole_numbers(self, key: str, model: type[LimitsPart]) -> dict[str, int]:
        found = {name: self.whole(f"{key}.{name}", node) for name, node in self.part(key, model).items()}
        return {name: number for name, number in found.items() if number is not None}

    def budget(self) -> dict[str, Any]:
        part = self.part("budget", BudgetPart)
        kept: dict[str, Any] = {}
        if "attempts" in part and (attempts := self.whole("budget.attempts", part["attempts"])) is not None:
            kept["attempts"] = attempts
        for name, read in (("time", self.time_s), ("money", self.money_usd), ("tokens", self.tokens)):
            value = shape.scalar(part.get(name), f"budget.{name}", self.problems)
            if value is not None and (amount := read(value)) is not None:
                kept[{"time": "time_s", "money": "money_usd"}.get(name, name)] = amount
        return kept

    def time_s(self, value: Scalar) -> int | None:
        text = value.text.strip()
        if clock := _CLOCK.fullmatch(text):
            hours, minutes, seconds = clock.groups()
        elif (units := _TIME.fullmatch(text)) and any(units.groups()):
            hours, minutes, seconds = units.groups()
        else:
            self.problems.add(
                value.line, "S126", f"budget.time {value.text!r} is no time", "write 90s, 30m, 2h, 1h30m or 1:30"
            )
            return None
        total_s = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
        if TIME_S_MIN <= total_s <= TIME_S_MAX:
            return total_s
        self.problems.add(value.line, "S127", f"budget.time {text} is out of range", "write a time from 10s to 168h")
        return None

    def money_usd(self, value: Scalar) -> Decimal | None:
        found = _MONEY.fullmatch(value.text.strip())
        if found is None:
            self.problems.add(
                value.line, "S126", f"budget.money {value.text!r} is no amount in US dollars", "write 2usd or 0.50usd"
            )
            return None
        amount = Decimal(found[1] or found[2])
        if amount <= MONEY_USD_MAX:
            return amount
        self.problems.add(
            value.line, "S127", f"budget.money {value.text} is out of range", f"write at most {MONEY_USD_MAX}usd"
        )
        return None

    def tokens(self, value: Scalar) -> int | None:
        found = _TOKENS.fullmatch(value.text.strip())
        if found is None or (found[2] and not found[3]):
            self.problems.add(
                value.line, "S126", f"budget.tokens {value.text!r} is no number of tokens", "write 500000, 500k or 2m"
            )
            return None
        scale = {"": 1, "k": 1000, "m": 1_000_000}[found[3].lower()]
        number = Decimal(f"{found[1].replace('_', '')}.{found[2] or 0}") * scale
        return self.within("budget.tokens", int(number), value)

    def needs(self) -> dict[str, Any]:
        part = self.part("needs", NeedsPart)
        kept: dict[str, Any] = {}
        cpus = shape.scalar(part.get("cpus"), "needs.cpus", self.problems)
        if cpus is not None:
            if CPUS.fullmatch(cpus.text.strip()) and CPUS_MIN <= float(cpus.text) <= CPUS_MAX:
                kept["cpus"] = float(cpus.text)
            else:
                self.problems.add(cpus.line, "S126", f"needs.cpus {cpus.text!r} cannot be used", "write 0.5, 1 or 4")
        memory = shape.scalar(part.get("memory"), "needs.memory", self.problems)
        if memory is not None and (size := self.memory_bytes(memory)) is not None:
            kept["memory_bytes"] = size
        if "labels" in part:
            kept["labels"] = self.labels(part["labels"])
        return kept

    def memory_bytes(self, value: Scalar) -> int | None:
        try:
            size = size_bytes(value.text)
        except ValueError as error:
            self.problems.add(value.line, "S126", f"needs.memory: {error}", "write 512MB or 8GiB")
            return None
        if MEMORY_BYTES_MIN <= size <= MEMORY_BYTES_MAX:
            return size
        self.problems.add(
            value.line, "S127", f"needs.memory {value.text} is out of range", "write a size from 64MiB to 1TiB"
        )
        return None

    def labels(self, node: Node) -> tuple[str, ...]:
        found = []
        for value in shape.texts(node, "needs.labels", self.problems):
            if LABEL.fullmatch(value.text.strip()):
                found.append(value.text.strip())
            else:
                self.problems.add(
                    value.line, "S126", f"the label {value.text!r} cannot be used", "write docker, or gpu=a100"
                )
        labels = tuple(dict.fromkeys(found))
        if len(labels) > LABELS_MAX:
            self.problems.add(
                node.line, "S127", f"needs.labels has {len(labels)} labels", f"write at most {LABELS_MAX}"
            )
        return labels

    def quality(self) -> dict[str, Any]:
        part = self.part("quality", QualityPart)
        kept: dict[str, Any] = {}
        if "coverage" in part and (coverage := self.whole("quality.coverage", part["coverage"])) is not None:
            kept["coverage"] = coverage
        if "thresholds" in part and (steps := self.thresholds(part["thresholds"])):
            kept["thresholds"] = steps
        return kept

    def thresholds(self, node: Node) -> tuple[int, ...]:
        values = shape.texts(node, "quality.thresholds", self.problems)
        numbers = [self.whole("quality.thresholds", value) for value in values]
        whole = tuple(number for number in numbers if number is not None)
        if len(whole) != len(numbers):
            return ()
        rising = all(first < second for first, second in pairwise(whole))
        if not 1 <= len(whole) <= THRESHOLDS_MAX or not rising:
            self.problems.add(
                node.line,
                "S127",
                f"quality.thresholds must be 1 to {THRESHOLDS_MAX} rising numbers",
                "write them from low to high, such as [60, 75, 85]",
            )
            return ()
        return whole

    def holdout(self) -> float:
        value = self.text("holdout")
        if value is None:
            return 0.33
        if _SHARE.fullmatch(value.text.strip()) is None:
            self.problems.add(
                value.line, "S126", f"holdout {value.text!r} is no share", "write a number from 0 to 0.8, such as 0.33"
            )
            return 0.33
        share = float(value.text)
        if share > HOLDOUT_MAX:
            self.problems.add(
                value.line,
                "S127",
                f"holdout {value.text} is out of range",
                "write a number from 0 to 0.8, such as 0.33",
            )
            return 0.33
        return share

    def http(self) -> dict[str, Any]:
        part = self.part("http", HttpPart)
        kept: dict[str, Any] = {}
        prefix = shape.scalar(part.get("prefix"), "http.prefix", self.problems)
        if prefix is not None and prefix.text:
            if _PREFIX.fullmatch(prefix.text):
                kept["prefix"] = prefix.text
            else:
                self.problems.add(
                    prefix.line,
                    "S126",
                    f"http.prefix {prefix.text!r} is no path",
                    "write it like /api/v1, without `/` at the end",
                )
        delete_all = shape.scalar(part.get("delete_all"), "http.delete_all", self.problems)
        if delete_all is not None:
            if delete_all.text not in ("true", "false"):
                self.problems.add(
                    delete_all.line, "S126", f"http.delete_all {delete_all.text!r} is neither", "write true or false"
                )
            kept["delete_all"] = delete_all.text == "true"
        if "cors" in part and (cors := self.cors(part["cors"])) is not None:
            kept["cors"] = cors
        for name, known in HTTP_WORDS.items():
            value = shape.scalar(part.get(name), f"http.{name}", self.problems)
            if value is not None and value.text in known:
                kept[name] = value.text
            elif value is not None:
                remedy = meant(value.text, known, f"write {' or '.join(known)}, or leave it out")
                self.problems.add(value.line, "S126", f"http.{name} {value.text!r} is unknown", remedy)
        for name in ("page", "page_max"):
            if name in part and (number := self.whole(f"http.{name}", part[name])) is not None:
                kept[name] = number
        if kept.get("page", 1) > kept.get("page_max", RANGES["http.page"][1]):
            message = f"http.page {kept['page']} is more than http.page_max {kept['page_max']}"
            self.problems.add(part["page"].line, "S127", message, "write a smaller page")
        return kept | ({"statuses": self.statuses(part["statuses"])} if "statuses" in part else {})

    def statuses(self, node: Node) -> dict[str, int]:
        kept: dict[str, int] = {}
        seen: set[str] = set()
        if not isinstance(node, Mapping):
            self.problems.add(node.line, "S124", "http.statuses must be a mapping", "write {invalid: 400}")
            return kept
        for key, value in node.pairs:
            known = STATUSES.get(key.text, ())
            text = value.text.strip() if isinstance(value, Scalar) else ""
            if not known:
                remedy = meant(key.text, STATUSES, f"the keys are {listed(STATUSES)}")
                self.problems.add(key.line, "S121", f"http.statuses: the key {key.text!r} is unknown", remedy)
            elif key.text in seen:
                self.problems.add(key.line, "S122", f"http.statuses: {key.text} occurs twice", "keep one of them")
            elif not text.isascii() or not text.isdigit() or len(text) != 3 or int(text) not in known:
                what = " or ".join(map(str, known)) if len(known) < 5 else f"{known[0]} to {known[-1]}"
                self.problems.add(key.line, "S127", f"http.statuses.{key.text} cannot be {text!r}", f"write {what}")
            else:
                kept[key.text] = int(text)
            seen.add(key.text)
        return kept

    def cors(self, node: Node) -> str | tuple[str, ...] | None:
        if isinstance(node, Scalar) and node.text.strip() == "*":
            return "*"
        values = [node] if isinstance(node, Scalar) else shape.texts(node, "http.cors", self.problems)
        wrong = [value for value in values if _ORIGIN.fullmatch(value.text) is None]
        for value in wrong:
            self.problems.add(
                value.line,
                "S126",
                f"http.cors {value.text!r} is no origin",
                'write "*", or origins such as [https://example.org]',
            )
        if isinstance(node, Scalar) and not wrong:
            self.problems.add(node.line, "S124", "http.cors must be a list", f"write [{node.text}]")
            return None
        origins = tuple(value.text for value in values)
        if len(set(origins)) < len(origins):
            self.problems.add(node.line, "S149", "http.cors names an origin twice", "write each once")
        return origins or None

    def serve(self, header: Header) -> str:
        default = f"{header.name} serve --port {{port}}"
        value = self.text("serve")
        if value is None:
            return default
        text = value.text.strip()
        others = [mark for mark in re.findall(r"\{[A-Za-z_]*\}", text) if mark != "{port}"]
        if "{port}" not in text or "\n" in text:
            self.problems.add(
                value.line,
                "S126",
                "serve does not say which port the result listens on",
                f"write one line with {{port}}: {default}",
            )
        elif others:
            self.problems.add(value.line, "S126", f"serve holds the unknown {others[0]}", "only {port} is filled in")
        if "http" not in header.interfaces:
            self.problems.warn(
                value.line, "S184", "serve has no effect: the result has no http face", "add http to interfaces"
            )
        return text
