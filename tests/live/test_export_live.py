"""Export of real machines, and the same machines beside the originals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.live.conftest import Person

ENV = """
nets:
  lab: {type: nat, management: true, dhcp: {start: 100, end: 200}}
domains:
  one:
    memory: 128
    vcpu: 1
    nics: [{net: lab}]
    metadata: {deploy-scripts: [setup.sh]}
    disks:
      - {template_name: tiny, type: template, name: root, dev: vda}
      - {type: empty, name: data, dev: vdb, size: 16M, format: raw}
"""


def test_machines_are_made_anew_beside_the_originals_with_their_data(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ENV)
    ordinary.write("setup.sh", "true\n")
    ordinary.lago("up")
    ordinary.lago("shell", "one", "echo precious > /root/data; echo raw | dd of=/dev/vdb conv=notrunc 2>/dev/null; sync")
    assert "snapshot NAME" in ordinary.lago("export", "-d", "out", code=2)

    ordinary.lago("snapshot", "then")
    ordinary.lago("export", "--snapshot", "then", "-c", "-d", "layered")  # the machine goes on running
    ordinary.lago("stop")
    ordinary.lago("export", "-s", "-d", "alone")
    ordinary.lago("start")
    for folder in ("layered", "alone"):
        ordinary.lago("check", f"{folder}/LagoInitFile")
        ordinary.lago("-P", folder, "up", f"{folder}/LagoInitFile")

    addresses = set()
    for prefix in ("default", "layered", "alone"):
        said = ordinary.lago("-P", prefix, "shell", "one", "hostname; cat /root/data; head -c 4 /dev/vdb; ip -4 -o addr show eth0")
        assert said.startswith("one\nprecious\nraw\n"), prefix
        addresses.add(said.split("inet ")[1].split()[0])
    assert len(addresses) == 3


def test_an_export_that_is_killed_leaves_nothing_after_recover(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ENV)
    ordinary.write("setup.sh", "true\n")
    ordinary.lago("init")
    big = ordinary.home / ".lago" / "default" / "images" / "one_data.raw"
    write_noise(big, 64)
    process = ordinary.popen("--run", "export", "-s", "-c", "-d", "out", start_new_session=True)
    out, deadline_s = ordinary.home / "out", time.monotonic() + 60
    while not list(out.glob(".export-*/new/*")) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(out.glob(".export-*.partial"))
    assert "undone" in ordinary.lago("recover")
    assert not out.exists()
    ordinary.lago("export", "-s", "-d", "out")
    assert (out / "LagoInitFile").is_file()


def write_noise(path: Path, mib: int) -> None:
    """Fill an image with what xz takes its time for."""
    owner = path.stat()
    subprocess.run(["dd", "if=/dev/urandom", f"of={path}", "bs=1M", f"count={mib}", "status=none"], check=True)
    os.chown(path, owner.st_uid, owner.st_gid)
