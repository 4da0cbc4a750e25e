"""Stands for the `remit` command where its process need not be this one: `parent.py` forks it, this passes signals on.

If this is killed, so is the command. This process's name is the number of the command's.
"""

import json
import os
import signal
import socket
import sys


def run(address: str, arguments: list[str]) -> int:
    """Have the command run with this process's streams, environment and folder; gives its exit status."""
    with socket.socket(socket.AF_UNIX) as parent:
        parent.connect(address)
        folder = os.getcwd()  # noqa: PTH109 - to import pathlib would take as long as all else
        asked = json.dumps([arguments, dict(os.environ), folder]).encode()
        socket.send_fds(parent, [b"%8x" % len(asked)], [0, 1, 2])
        parent.sendall(asked)
        pid = int(parent.recv(8, socket.MSG_WAITALL))
        with open("/proc/self/comm", "w") as name:  # noqa: PTH123 - as above
            name.write(str(pid))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda number, _frame: os.kill(pid, number))
        # Whoever reads or writes the other ends is to notice when the command closes its own.
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        return int(parent.recv(8, socket.MSG_WAITALL))


if __name__ == "__main__":
    status = run(sys.argv[1], sys.argv[2:])
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)
