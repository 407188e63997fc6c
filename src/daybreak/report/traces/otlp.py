"""Spans and log lines as OpenTelemetry has them, sent as OTLP over HTTP. The one module that imports its SDK."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daybreak.errors import UsageError
from daybreak.report.traces.naming import span_of, trace_of
from daybreak.report.traces.spans import Line, Span, nanoseconds
from daybreak.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

SEND_S = 5.0
"""The longest that one sending may take, its repetitions among it."""

_INTEGER_MAX = 2**63 - 1
_OWN = frozenset({"content-type", "content-length", "content-encoding", "user-agent", "accept", "accept-encoding"})
"""Headers of the request itself."""
_SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}


class TracesUnavailable(UsageError):
    """Traces are asked for, and the library that sends them is not installed."""

    code = "U370"


class Otlp:
    """Sends to one collector. Blocks while it does; used by one thread."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], host: str) -> None:
        """endpoint: of the collector, with or without `/v1/traces`. Headers, credentials and proxies that
        the environment names for other programs are not used. Raises TracesUnavailable."""
        try:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ImportError as error:
            raise TracesUnavailable(
                f"[traces] names an endpoint, and {error.name or 'opentelemetry'} is not installed",
                hint="pip install 'daybreak[otel]', or take [traces] out of daybreak.toml",
            ) from error
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what cannot be sent is told once, by `sending`
        about = {"service.name": "daybreak", "service.version": __version__, "host.name": host}
        self._resource = Resource(about)
        self._scope = InstrumentationScope("daybreak", __version__)
        base, sent = endpoint.rstrip("/").removesuffix("/v1/traces"), dict(headers)
        self._spans = OTLPSpanExporter(
            endpoint=f"{base}/v1/traces", headers=sent, timeout=SEND_S, session=_session(headers)
        )
        self._logs = OTLPLogExporter(
            endpoint=f"{base}/v1/logs", headers=sent, timeout=SEND_S, session=_session(headers)
        )

    def spans(self, found: Sequence[Span]) -> bool:
        """False where they could not be handed over."""
        return self._spans.export([self._span(one) for one in found]).name == "SUCCESS"

    def lines(self, found: Sequence[Line]) -> bool:
        """False where they could not be handed over."""
        return self._logs.export([self._line(one) for one in found]).name == "SUCCESS"

    def close(self) -> None:
        for exporter in (self._spans, self._logs):
            end: Callable[[], None] = exporter.shutdown
            end()

    def _span(self, one: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        return ReadableSpan(
            _sendable(one.name),
            context=_context(one.trace, one.span),
            parent=_context(one.trace, one.parent) if one.parent else None,
            resource=self._resource,
            attributes={name: _plain(value) for name, value in one.attributes.items()},
            kind=SpanKind.CLIENT if one.client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, _sendable(one.error)) if one.error else Status(StatusCode.UNSET),
            start_time=one.start_ns,
            end_time=max(one.start_ns, one.end_ns),
            instrumentation_scope=self._scope,
        )

    def _line(self, line: Line) -> ReadableLogRecord:
        from opentelemetry import trace
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.sdk._logs import ReadableLogRecord

        told: dict[str, Any] = json.loads(line.text)
        context = None
        if line.night or line.run:
            found = _context(trace_of(line.night, line.run), _span_of(line))
            context = trace.set_span_in_context(trace.NonRecordingSpan(found))
        level = str(told.get("level", "info"))
        record = LogRecord(
            timestamp=_moment(told),
            observed_timestamp=_moment(told),
            context=context,
            severity_text=level,
            severity_number=SeverityNumber(_SEVERITY.get(level, 9)),
            body=_sendable(str(told.get("event", ""))),
            attributes={
                _sendable(name): _plain(value) for name, value in told.items() if name not in ("ts", "level", "event")
            },
        )
        return ReadableLogRecord(record, self._resource, self._scope)


def _context(trace: int, span: int) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _session(headers: Mapping[str, str]) -> Any:
    """What sends: to that address alone, with those headers alone. The exporters would add headers that the
    environment holds for other collectors, and count being sent elsewhere as success."""
    import requests

    allowed = _OWN | {name.lower() for name in headers}

    def only_ours(request: Any) -> Any:
        for name in [one for one in request.headers if one.lower() not in allowed]:
            del request.headers[name]
        return request

    def final(answer: Any, **_: object) -> None:
        if 300 <= answer.status_code < 400:
            answer.close()
            raise ValueError(f"{answer.status_code}: the collector is elsewhere")

    session = requests.Session()
    session.trust_env = False  # neither proxies nor passwords of the machine
    session.auth = only_ours
    session.hooks["response"] = [final]
    return session


def _span_of(line: Line) -> int:
    if line.key:
        return span_of("step", line.key)
    return line.span if line.run else span_of("night", line.night)


def _moment(told: Mapping[str, Any]) -> int:
    return nanoseconds(str(told["ts"]))


def _sendable(text: str) -> str:
    """Names of files may hold bytes that are no text; one such would spoil all that is sent with it."""
    return text.encode("utf-8", "replace").decode()


def _plain(value: object) -> str | int | float | bool:
    """A value that can be sent: one that cannot would spoil all others."""
    if isinstance(value, str):
        return _sendable(value)
    if isinstance(value, bool) or (isinstance(value, int) and -_INTEGER_MAX <= value <= _INTEGER_MAX):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _sendable(json.dumps(value))
