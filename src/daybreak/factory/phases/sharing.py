"""The paradigm of a run that begins: who is here now, what is left to spend, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from daybreak.factory import asking
from daybreak.factory import brief as briefs
from daybreak.factory.office import Office
from daybreak.factory.phases import choosing
from daybreak.factory.phases.choosing import Chosen, Hand, Purse
from daybreak.factory.phases.phase import AUTO, Phases
from daybreak.factory.phases.takeover import Taken
from daybreak.factory.spec.model import Specification
from daybreak.settings import SettingsWrong


def chosen(
    spec: Specification, phases: Phases, names: Sequence[str], office: Office, account: str, taken: Taken | None
) -> Chosen:
    """`names` are those that may be asked. Nobody is looked for where somebody has said what is to be; otherwise it
    starts programs to ask for their versions."""
    hands: tuple[Hand, ...] = ()
    if phases.paradigm == AUTO:
        known = [name for name in names if _is_known(name, office)]
        asked = asking.look(known, office.settings, office.environment, beyond=_beyond(spec) if len(names) > 1 else "")
        hands = choosing.hands(asked, office.settings)
    money, tokens = office.left(account)
    purse = Purse(None if money is None else Fraction(money, 1_000_000), tokens)
    return choosing.choose(spec, phases, hands, purse, taken=taken.run if taken is not None and taken.tree else "")


def _is_known(name: str, office: Office) -> bool:
    try:
        office.settings.worker(name)
    except SettingsWrong:  # gone since it was asked for: whoever chooses for an attempt says so
        return False
    return True


def _beyond(spec: Specification) -> str:
    """Why the embedded builder cannot build it."""
    from daybreak.agents.builder.worker import refusal

    return refusal(briefs.make(spec, "")) or ""
