"""Every way in which the door says no.

All of them are `NotAllowed`: code that only wants to know whether it may go on catches that one.
"""

from __future__ import annotations

from daybreak.errors import PolicyError, UsageError


class NotAllowed(PolicyError):
    """The token does not cover what was asked. `missing` names what it would have needed."""

    code = "P101"

    def __init__(self, message: str, *, hint: str, missing: str = "") -> None:
        super().__init__(message, hint=hint)
        self.missing = missing


class TokenForged(NotAllowed):
    """Not signed by this root key, changed, cut short, or no token at all."""

    code = "P102"


class TokenExpired(NotAllowed):
    """The token's time is over, or has not begun."""

    code = "P103"


class TokenRevoked(NotAllowed):
    """Somebody took the token back, or one that it was narrowed from."""

    code = "P104"


class TokenElsewhere(NotAllowed):
    """The token was minted for another attempt."""

    code = "P105"


class AskMalformed(NotAllowed):
    """What was asked for has no one meaning."""

    code = "P106"


class ProtectedAsked(NotAllowed):
    """The protected list names what was asked for; no token covers that."""

    code = "P107"


class GrantRefused(PolicyError, UsageError):
    """A token that may not be minted: malformed, or more than its tier has."""

    code = "P111"


class GrantWidened(PolicyError):
    """A narrower token would reach further than the one it is made from."""

    code = "P112"


class RootKeyExposed(PolicyError):
    """Others may use the key that signs tokens."""

    code = "P113"


class RootKeyWrong(PolicyError):
    """The key that signs tokens cannot be read."""

    code = "P114"


class TokenUnknown(PolicyError):
    """No token of that name was minted here."""

    code = "P115"
