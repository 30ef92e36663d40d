# SPDX-License-Identifier: BSD-3-Clause
"""Background tasks that are neither lost nor silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """A set of running tasks: kept alive, their failures logged, cancelled together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start `work` as a task called `name` (for the log)."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            if isinstance(failure, OSError):
                log.warning("%s: %s", task.get_name(), failure.strerror or failure)
            else:
                log.error("%s: internal error", task.get_name(), exc_info=failure)

    async def stop(self) -> None:
        """Cancel all and wait until they ended."""
        while self._running:
            tasks = list(self._running)
            for task in tasks:
                task.cancel()
            # Awaiting tasks that are done already does not yield on newer Pythons, so their
            # callbacks may not have run: tasks that have ended are taken out here.
            await asyncio.gather(*tasks, return_exceptions=True)
            self._running.difference_update(tasks)
