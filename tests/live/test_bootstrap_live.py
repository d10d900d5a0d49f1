"""The Debian template, and a copy of it that does not speak cloud-init: told from outside, built, started, reached."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.images.guestfs import tools_missing
from tests.live.conftest import VERB_LIMIT_S, Person

SIZE = "df --output=size -B1G / | tail -1"
QUOTED = """$HOME `id` "x" 'y'; reboot"""
MUTE = """
nets:
  lab: {type: nat, management: true, dhcp: {start: 100, end: 200}, dns_domain_name: lab.test}
domains:
  mute:
    memory: 512
    vcpu: 1
    nics: [{net: lab}]
    disks:
      - template_name: mute
        type: template
        name: root
        dev: vda
        size: 5G
        build:
          - virt-customize: {touch: [/root/one, /root/two], write: %s, run-command: echo built > /root/built}
"""


@pytest.fixture(scope="module")
def debian(ordinary_for_module: Person) -> Iterator[Person]:
    """A person in whose store the Debian template is, and as template `mute` the same without a word of cloud-init."""
    person = ordinary_for_module
    missing = tools_missing("virt-sysprep", "virt-customize", "guestfish") or ("" if shutil.which("mmdebstrap") else "no mmdebstrap")
    if missing:
        pytest.skip(missing)
    image = Path(person.lago("template", "build", "debian").strip())
    mute = image.with_name("local:mute:1")
    mute.unlink(missing_ok=True)
    os.link(image, mute)
    shutil.copy(f"{image}.hash", f"{mute}.hash")
    metadata = json.loads(Path(f"{image}.metadata").read_text())
    Path(f"{mute}.metadata").write_text(json.dumps({**metadata, "cloud-init": False}))
    yield person
    for path in (mute, Path(f"{mute}.hash"), Path(f"{mute}.metadata")):
        path.unlink(missing_ok=True)


def test_an_image_without_cloud_init_is_told_built_and_reached(debian: Person) -> None:
    debian.write("LagoInitFile", MUTE % json.dumps(f"/root/quoted:{QUOTED}"))
    debian.lago("init", limit_s=2 * VERB_LIMIT_S)
    debian.lago("start")
    commands = (
        "hostname",
        "ls /root",
        "cat /root/built",
        "grep ^root: /etc/shadow | cut -d: -f2",
        "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub",
        "ls /etc/ssh/ssh_host_*_key",
        f"for second in $(seq 60); do [ $({SIZE}) -ge 5 ] && break; sleep 1; done; {SIZE}",
        "cat /root/quoted",
    )
    said = debian.lago("shell", "mute", "; ".join(commands)).splitlines()
    assert said[:6] == ["mute", "built", "one", "quoted", "two", "built"]
    assert said[6] in ("*", "!", "!*"), "root has a password that nobody gave"
    known = (debian.home / ".lago/default/known_hosts").read_text()
    assert f"mute {said[7]}\n" in known, "the host key is not the one that we gave"
    assert said[8] == "/etc/ssh/ssh_host_ed25519_key"
    assert said[9].strip() == "5", "the file system did not grow with its disk"
    assert said[10] == QUOTED
    debian.lago("destroy", "-y")
