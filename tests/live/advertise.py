"""Run in a network of its own: be a router on an interface, `tp0`, and advertise a prefix on it once; ends with stdin."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

TUNSETIFF, TAP_WITHOUT_HEADER = 0x400454CA, 0x1002
"""Of linux/if_tun.h: IFF_TAP | IFF_NO_PI."""
ROUTER, ALL_NODES = (bytes.fromhex(f"{head}{'00' * 13}{tail}") for head, tail in (("fe80", "09"), ("ff02", "01")))
ETHERNET = bytes.fromhex("33330000000102000000000986dd")
PREFIX = bytes.fromhex("fd000007") + bytes(12)
LEARN_S = 120.0


def advertisement() -> bytes:
    """Return a frame with a router advertisement (RFC 4861, 4.2): a router for half an hour, a prefix for a day."""
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + PREFIX
    body = struct.pack("!BBBBHII", 134, 0, 64, 0, 1800, 0, 0) + option
    pseudo = ROUTER + ALL_NODES + struct.pack("!II", len(body) + 2, 58)
    words = struct.unpack(f"!{(len(pseudo) + len(body)) // 2}H", pseudo + body)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    message = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[2:]
    return ETHERNET + struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + ROUTER + ALL_NODES + message


def main() -> None:
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tp0", TAP_WITHOUT_HEADER))
    subprocess.run(["ip", "link", "set", "tp0", "up"], check=True)
    deadline_s = time.monotonic() + LEARN_S
    while not any(line.startswith("fd000007") and "tp0" in line for line in Path("/proc/net/ipv6_route").read_text().splitlines()):
        if time.monotonic() > deadline_s:
            sys.exit("the kernel does not learn")
        os.write(tap, advertisement())
        time.sleep(0.1)
    sys.stdout.write("learned\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
