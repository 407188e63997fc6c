"""Coding agents that are programs with a stream of lines: Codex, Claude Code, pi, Gemini CLI, OpenCode, Qwen Code,
aider, mini-SWE-agent, and any other by configuration."""

from daybreak.agents.command.agent import CommandAgent

__all__ = ["CommandAgent"]
