"""What a program printed, as kept in evidence."""

from __future__ import annotations

from daybreak.host.process import Finished

OUTPUT_CHARS_MAX = 40_000


def text(printed: bytes) -> str:
    """Printed bytes as text; what is not UTF-8 shows as `\\xNN`, so that it can be stored and seen."""
    return printed.decode("utf-8", "backslashreplace")


def cut(long: str, chars_max: int = OUTPUT_CHARS_MAX) -> str:
    """The text, without its middle where it is longer than `chars_max`; the cut says how much is left out."""
    if len(long) <= chars_max:
        return long
    half = chars_max // 2
    return f"{long[:half]}\n[... {len(long) - 2 * half} characters left out ...]\n{long[-half:]}"


def of(finished: Finished) -> str:
    """Both streams and how it ended."""
    parts = [text(finished.stdout), text(finished.stderr)]
    if finished.exit_code != 0 or finished.ended_by_us:
        parts.append(f"[{finished.ending}]")
    return cut("\n".join(part.rstrip("\n") for part in parts if part))
