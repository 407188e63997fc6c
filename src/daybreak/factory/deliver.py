"""The result goes to its place, whole or not at all, with a manifest that says where it comes from."""

from __future__ import annotations
