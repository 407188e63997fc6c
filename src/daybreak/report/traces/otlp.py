"""Spans and log lines as OpenTelemetry has them, sent as OTLP over HTTP. The one module that imports its SDK."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daybreak.errors import UsageError
from daybreak.report.traces.naming import span_of, trace_of
from daybreak.report.traces.spans import Span
from daybreak.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

SEND_S = 5.0
"""The longest that one sending may take, its repetitions among it."""

_SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}


class TracesUnavailable(UsageError):
    """Traces are asked for, and the library that sends them is not installed."""

    code = "U370"


class Otlp:
    """Sends to one collector. Blocks while it does; used by one thread."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], host: str) -> None:
        """endpoint: of the collector, without `/v1/traces`. Raises TracesUnavailable."""
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
        self._resource = Resource.create(about)
        self._scope = InstrumentationScope("daybreak", __version__)
        base, sent = endpoint.rstrip("/"), dict(headers)
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", headers=sent, timeout=SEND_S)
        self._logs = OTLPLogExporter(endpoint=f"{base}/v1/logs", headers=sent, timeout=SEND_S)

    def send(self, spans: Sequence[Span], lines: Sequence[str]) -> bool:
        """Log lines as `daybreak.logs` makes them. False where some of it could not be handed over."""
        whole = True
        if spans:
            whole = self._spans.export([self._span(one) for one in spans]).name == "SUCCESS"
        if lines:
            whole = self._logs.export([self._line(one) for one in lines]).name == "SUCCESS" and whole
        return whole

    def close(self) -> None:
        for exporter in (self._spans, self._logs):
            end: Callable[[], None] = exporter.shutdown
            end()

    def _span(self, one: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        return ReadableSpan(
            one.name,
            context=_context(one.trace, one.span),
            parent=_context(one.trace, one.parent) if one.parent else None,
            resource=self._resource,
            attributes=one.attributes,
            kind=SpanKind.CLIENT if one.client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, one.error) if one.error else Status(StatusCode.UNSET),
            start_time=one.start_ns,
            end_time=max(one.start_ns, one.end_ns),
            instrumentation_scope=self._scope,
        )

    def _line(self, line: str) -> ReadableLogRecord:
        from opentelemetry import trace
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.sdk._logs import ReadableLogRecord

        told: dict[str, Any] = json.loads(line)
        night, run, key = (str(told.get(name, "")) for name in ("night", "run", "key"))
        context = None
        if night or run:
            found = _context(trace_of(night, run), span_of("step", key) if key else span_of("run", run))
            context = trace.set_span_in_context(trace.NonRecordingSpan(found))
        level = str(told.get("level", "info"))
        record = LogRecord(
            timestamp=_moment(told),
            observed_timestamp=_moment(told),
            context=context,
            severity_text=level,
            severity_number=SeverityNumber(_SEVERITY.get(level, 9)),
            body=str(told.get("event", "")),
            attributes={name: _plain(value) for name, value in told.items() if name not in ("ts", "level", "event")},
        )
        return ReadableLogRecord(record, self._resource, self._scope)


def _context(trace: int, span: int) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _moment(told: Mapping[str, Any]) -> int:
    from daybreak.report.traces.spans import nanoseconds

    return nanoseconds(str(told["ts"]))


def _plain(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)
