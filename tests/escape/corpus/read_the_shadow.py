# ruff: noqa: SIM115 - hostile, and short
"""Reads the password hashes."""

print("ESCAPED", len(open("/etc/shadow").read()))
