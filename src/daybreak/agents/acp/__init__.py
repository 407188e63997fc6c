"""Any agent that speaks Agent Client Protocol 1 as a worker (extra `acp`).

The protocol's library takes most of a second to import, so nothing of it is loaded before an attempt begins. We
announce files, confined to the workspace, and no terminal: an agent runs its commands itself, below its guard.
"""

from daybreak.agents.acp.agent import AcpAgent

__all__ = ["AcpAgent"]
