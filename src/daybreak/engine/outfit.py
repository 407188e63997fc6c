"""What a night works with, put together once; its place, its begin, its turns and its close share it."""

from __future__ import annotations

from daybreak.clock import Clock
from daybreak.engine.alarms import Alarms
from daybreak.engine.crew import Crew
from daybreak.engine.ending import Ending
from daybreak.engine.engine import Engine, Locks
from daybreak.engine.keeper import BeatingLocks, Keeper
from daybreak.engine.log import Log
from daybreak.engine.neighbours import Neighbours
from daybreak.engine.night import Hooks, Plan
from daybreak.engine.recovery import Recovery
from daybreak.engine.surroundings import Sleep
from daybreak.engine.telling import Teller
from daybreak.engine.waking import Waking
from daybreak.ledger.seats import Seats
from daybreak.policy.accounts import Accounts


class Outfit:
    """See the module. Without locks that beat there is no keeper, without seats there are no neighbours."""

    def __init__(
        self,
        engine: Engine,
        log: Log,
        clock: Clock,
        locks: Locks,
        plan: Plan,
        *,
        sleep: Sleep,
        hooks: Hooks,
        seats: Seats | None,
    ) -> None:
        self.engine = engine
        self.log = log
        self.clock = clock
        self.locks = locks
        self.plan = plan
        self.sleep = sleep
        self.hooks = hooks
        self.accounts = Accounts(log)
        self.keeper: Keeper | None = None
        if isinstance(locks, BeatingLocks):
            self.keeper = Keeper(locks, clock, lease_s=plan.lease_s, look_s=plan.look_s)
        self.seats = seats
        self.neighbours: Neighbours | None = None
        if seats is not None:
            self.neighbours = Neighbours(seats, clock, lease_s=plan.lease_s, look_s=plan.look_s)
        self.waking = Waking(sleep)
        self.ending = Ending(clock, plan, self.waking)
        self.alarms = Alarms(log)
        self.tell = Teller(log, hooks, self.ending.fail)
        self.crew = Crew(engine, clock, plan, self.tell, wake=self.waking.wake, fail=self.ending.fail)
        self.recovery = Recovery(log, locks, self.keeper, self.tell, self.neighbours)
