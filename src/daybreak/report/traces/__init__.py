"""Traces: what happened as spans (night → run → task → attempt → step → effect → file write), made from events as they
are committed, and log lines beside them. Off unless `[traces]` names where they go; nothing is decided from them.

`spans` makes spans of events and holds no vendor; `sending` takes them off the hands of whoever works; `otlp` is
the one module that knows OpenTelemetry.
"""
