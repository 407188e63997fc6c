"""Untrusted text that enters a brief: scanned, assessed, fenced."""

from daybreak.policy.injection.assessment import Assessment, assess
from daybreak.policy.injection.fence import fence
from daybreak.policy.injection.marks import SUSPICIOUS, InjectionRefused, Mark, Scan, TextRefused
from daybreak.policy.injection.scanner import scan

__all__ = ["SUSPICIOUS", "Assessment", "InjectionRefused", "Mark", "Scan", "TextRefused", "assess", "fence", "scan"]
