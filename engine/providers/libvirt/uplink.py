"""The way out of a private world: slirp4netns on our side carries what guests send on, as if the user's own programs had sent it.

It needs no rights, changes nothing on the host, and ends with the world. Guests reach what the user reaches, except for the host's
loopback: what listens there trusts whoever can connect. Names are resolved by the host's resolver. Without the program a world has no
way out, and everything else works.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import threading
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from ...context import TaskContext
from .capacity import ROUTES, subnets_in_routes
from .private import World
from .world_facts import search_path
from .world_init import RESOLV_CONF

PROGRAM = "slirp4netns"
INTERFACE = "uplink"
NETWORKS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.2.0/24")
"""Between the world and the program, where both have addresses: the first of these that the host is not on, so that it hides nothing
that guests may want to reach. Nobody should have the first three (RFC 5737); the last is the program's own choice."""

RESOLVER_OCTET = 3
"""Last octet of the address where the program answers DNS. (slirp4netns.1)"""

MTU = 65520
UP_S = 5.0
"""Seconds that it may take to be up; some milliseconds are usual."""


def has_uplink(pid: int) -> bool:
    """Whether the world of process `pid` has its way out; the interface goes with the program that serves it."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0].strip() == INTERFACE for line in lines)


def attach_uplink(ctx: TaskContext, world: World, *, path: str | None = None) -> str:
    """Give the world its way out, unless it has it.

    Args:
        ctx: the task it is for.
        world: that runs, held.
        path: where the program is looked for; None: on PATH and where system programs are.

    Returns:
        "", or why its guests cannot reach outside.
    """
    if has_uplink(world.pid):
        return ""
    program = shutil.which(PROGRAM, path=path or search_path())
    if program is None:
        return f"'{PROGRAM}' is not installed (sudo apt-get install {PROGRAM})"
    log = world.paths.folder / "uplink.log"
    network = choose_network(ROUTES.read_text())
    # in place: the world has mounted this very file
    (world.paths.folder / "etc" / RESOLV_CONF).write_text(f"nameserver {network.rpartition('.')[0]}.{RESOLVER_OCTET}\n")
    try:
        came_up = _start(program, world.pid, network, log)
    except ProcessLookupError:
        return "the private host has just ended"
    if came_up or has_uplink(world.pid):  # another process may have been faster
        ctx.log("machines of the private host reach outside")
        return ""
    return f"'{PROGRAM}' did not come up: {_last_words(log)}"


def choose_network(routes: str) -> str:
    """Return the network between the world and the program, for a host with these routes (as in /proc/net/route)."""
    used = [IPv4Network(subnet) for subnet in subnets_in_routes(routes, frozenset())]
    return next((each for each in NETWORKS if not any(IPv4Network(each).overlaps(subnet) for subnet in used)), NETWORKS[0])


def _start(program: str, pid: int, network: str, log: Path) -> bool:
    """Start the program for the network of process `pid`; true when it is up. It ends when that process does."""
    life = os.pidfd_open(pid)
    ready, tell_ready = os.pipe()
    try:
        argv = [program, "--configure", f"--mtu={MTU}", f"--cidr={network}", "--disable-host-loopback", "--enable-sandbox"]
        argv += [f"--exit-fd={life}", f"--ready-fd={tell_ready}", str(pid), INTERFACE]
        with log.open("wb") as said:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                env={"PATH": search_path(), "LC_ALL": "C"},
                pass_fds=[life, tell_ready],
                start_new_session=True,
            )
        os.close(tell_ready)
        tell_ready = -1
        came_up = bool(select.select([ready], [], [], UP_S)[0]) and bool(os.read(ready, 1))
    finally:
        for descriptor in (life, ready, tell_ready):
            if descriptor >= 0:
                os.close(descriptor)
    if not came_up:
        with suppress(ProcessLookupError):
            process.kill()
    threading.Thread(target=process.wait, name="uplink-reaper", daemon=True).start()
    return came_up


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
