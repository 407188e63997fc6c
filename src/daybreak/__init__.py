"""Durable, verified, unattended work."""

__version__ = "0.1.0"
