"""A coding worker of our own: a language model with tools for the files and programs of one workspace.

`worker.ModelWorker` runs inside the sandbox, `find.find` on the host before that. Needs the extra `models`; nothing of
it is imported before a model is asked.
"""

from __future__ import annotations

from daybreak.agents.model.worker import ModelWorker

__all__ = ["ModelWorker"]
