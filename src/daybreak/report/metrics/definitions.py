"""What is counted: every metric, what its label says, and what it means. A closed list; names never change."""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """A counter. What it counts only ever grows."""

    name: str
    help: str
    label: str = ""
    """What its label names; empty where it has none."""
    unit: str = ""
    """`microusd`, `ms`, `tokens`; empty for things that are counted."""


VERIFIED, UNVERIFIED, FAILED, CANCELLED = "verified", "unverified", "failed", "cancelled"
"""How runs end. Verified: done, and the newest gate of the run passed; unverified: done, and none did."""

COUNTERS: tuple[Metric, ...] = (
    Metric("tasks_added", "Tasks that were asked for.", "kind"),
    Metric("runs_ended", "Runs that came to an end, by how: done counts as verified or unverified.", "outcome"),
    Metric("run_failures", "Runs that failed, by the error's code.", "code"),
    Metric("runs_parked", "Times that a run stopped to ask a person."),
    Metric("questions_answered", "Answers of people to such questions."),
    Metric("attempts", "Attempts that were judged, by worker.", "worker"),
    Metric("attempts_counted", "Those that say something about the worker: no outage, no quota.", "worker"),
    Metric("attempts_solved", "Those that passed their gate.", "worker"),
    Metric("attempt_money", "What attempts cost, by worker.", "worker", "microusd"),
    Metric("attempt_troubles", "Attempts that did not finish, by why.", "trouble"),
    Metric("money", "What was spent: seen by the gateway, or told by workers beyond that.", "source", "microusd"),
    Metric("requests", "Requests to models.", "model"),
    Metric("request_troubles", "Requests to models that went wrong, by why.", "trouble"),
    Metric("tokens", "Tokens of models: input, cached (of the input) and output.", "kind", "tokens"),
    Metric("gates", "Decisions of gates.", "verdict"),
    Metric("check_failures", "Kinds of checks that failed in a gate's decision.", "check"),
    Metric("step_failures", "Steps that failed for good, by the error's code.", "code"),
    Metric("step_retries", "Steps that are tried again, by why.", "kind"),
    Metric("deliveries", "Results that were put in their place."),
    Metric("results", "What people said of results: accepted, rejected, undone.", "said"),
    Metric("refusals", "Times that the door said no, by the error's code.", "code"),
    Metric("incidents", "Incidents, by kind.", "kind"),
    Metric("breaker_openings", "Times that a breaker opened.", "breaker"),
    Metric("nights_begun", "Nights that began."),
    Metric("nights_ended", "Nights that ended, by why.", "why"),
    Metric("view_drifts", "Times that views did not say what the events say."),
    Metric("lapses", "Times that a witness or a replica stopped answering.", "what"),
    Metric("alerts_fired", "Alerts that fired.", "alert"),
)
SPREADS: tuple[Metric, ...] = (
    Metric("run_duration", "How long runs had a worker, until they ended.", unit="ms"),
    Metric("attempt_duration", "How long attempts took, by worker.", "worker", "ms"),
)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in (*COUNTERS, *SPREADS)}

HOURLY = (
    *("runs_ended", "runs_parked", "attempts", "attempts_counted", "attempts_solved", "money", "requests"),
    *("request_troubles", "tokens", "gates", "step_failures", "step_retries", "deliveries", "results", "refusals"),
    *("incidents", "breaker_openings", "nights_ended", "view_drifts", "lapses"),
)
"""Counters that are kept by the hour as well, for alerts; those in `HOURLY_LABELS` with their label.
Durations are kept by the hour too, of all workers together."""
HOURLY_LABELS = frozenset({"runs_ended", "gates", "results", "nights_ended"})
"""Their labels are words of ours, and few."""

LABELS_MAX = 200
"""So many labels of one metric are told apart; whatever comes after them counts as `OTHERS`. Workers choose some of
these texts, and must not fill the database with them."""
LABEL_CHARS_MAX = 120
OTHERS = "(others)"
NONE = "(none)"
"""Where an event says nothing."""
HOURS_KEPT_DAYS = 130
MOST = 2**53 - 1
"""No sum grows beyond this, which every JSON reader takes."""
