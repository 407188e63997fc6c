"""What an assistant can do here, by name. A row is the whole truth about a tool; its scope is asked for each call."""

from daybreak.mcp.tools import deciding, handing, looking, reporting
from daybreak.mcp.tools.tool import Tool

TOOLS: dict[str, Tool] = {one.name: one for one in (*looking.TOOLS, *reporting.TOOLS, *handing.TOOLS, *deciding.TOOLS)}

__all__ = ["TOOLS", "Tool"]
