"""Runs the system's virtlogd and libvirtd until it is told to end: what an init system does, for machines without one.

It reaps the daemons' orphans: with a process 1 that does not, libvirt waits 40 s for each dead probe. `--without-kvm` hides a /dev/kvm that
opens but boots nothing: libvirt would probe QEMU again at every start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36
DAEMONS = ("virtlogd", "libvirtd")


def main(words: list[str]) -> int:
    if words == ["--without-kvm"]:
        command = ["mount", "--bind", "/dev/null", "/dev/kvm"]
        subprocess.run(command, check=True)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemons = [subprocess.Popen([name], **quiet) for name in DAEMONS]

    def end(signum: int, frame: FrameType | None) -> None:
        for daemon in reversed(daemons):
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    left = {daemon.pid for daemon in daemons}
    while left:
        pid, _ = os.waitpid(-1, 0)
        left.discard(pid)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
