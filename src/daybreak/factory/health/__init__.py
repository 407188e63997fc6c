"""Is everything here as a night needs it? `examine` looks, `repair` does what is safe, `for_night` notes."""

from daybreak.factory.health.examination import Repaired, examine, for_night, repair
from daybreak.factory.health.finding import Finding, Level

__all__ = ["Finding", "Level", "Repaired", "examine", "for_night", "repair"]
