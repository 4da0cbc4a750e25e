"""The process above those that serve: it replaces what dies, and ends them all in order, or at once if told twice."""

import os
from multiprocessing.connection import wait

from structlog import get_logger
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

log = get_logger("remit.serve")

_LOOK_SECONDS = 0.2


class Parent(Multiprocess):
    """Serves with several processes."""

    @property
    def could_not_start(self) -> bool:
        """Whether it ended because a process could not start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        """Look after each process and replace the dead."""
        for each in self.processes:
            # Its own end of the pipe: were it open here too, one that dies while it is asked would be waited for.
            each.child_conn.close()
        super().keep_subprocess_alive()

    def join_all(self) -> None:
        """Wait until all have ended; a second signal kills them, and this process."""
        while running := [each.process for each in self.processes if each.process.is_alive()]:
            if self.signal_queue:
                log.warning("stopped_at_once")
                for process in running:
                    process.kill()
                os._exit(128 + self.signal_queue[0])
            wait([process.sentinel for process in running], _LOOK_SECONDS)
