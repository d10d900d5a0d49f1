"""The tiny template, built and booted by plain qemu: what every machine of the demo and of the other live tests relies on."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.guest.keys import KeyPair, known_hosts_lines, make_host_key, make_keypair
from engine.guest.seed import Seed, write_seed
from engine.images.tiny import build_tiny

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

BOOT_TIMEOUT_S = 240.0
POWEROFF_TIMEOUT_S = 120.0
TOLD = "line 1: 'quoted' \"too\" # no comment\n\n  indented: yes\n"
USER_DATA = {
    "hostname": "theirs",
    "package_update": False,
    "write_files": [
        {"path": "/etc/told/plain", "content": TOLD, "permissions": "0640"},
        {"path": "/etc/told/encoded", "content": "AAH/", "encoding": "b64"},
    ],
    "users": ["default", {"name": "ann", "ssh_authorized_keys": ["ssh-rsa AAAA ann"]}],
    "runcmd": ["cp /etc/told/plain /root/seen", ["touch", "/root/of the user"]],
}
"""Of an init file: as `cloud-init: {user-data: …}` has it."""
ROOT_PASSWORD = 'it\'s "$(odd)" # \\ ü'


@dataclass
class Guest:
    """One boot of an overlay on the tiny image."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def serial_text(self) -> str:
        log = self.folder / "serial.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"qemu ended while waiting for {what}: {self.serial_text[-500:]}"
            assert time.monotonic() < deadline_s, f"no {what}: {self.serial_text[-500:]}"
            time.sleep(0.05)

    def options(self) -> list[str]:
        settings = {
            "IdentityFile": self.folder.parent / "id_rsa",
            "UserKnownHostsFile": self.folder.parent / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "HostKeyAlias": "vm1",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "Port": self.port,
        }
        return ["-F", "none", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]

    def ssh(self, command: str, user: str = "root") -> str:
        argv = ["ssh", *self.options(), f"{user}@127.0.0.1", command]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=240).stdout

    def qmp(self, *commands: str) -> None:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.folder / "qmp"))
            stream = monitor.makefile("rw")
            stream.readline()
            for command in ("qmp_capabilities", *commands):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                stream.readline()

    def type_on_console(self, *lines: str) -> str:
        """Type each line when the console shows a prompt; return what it printed."""
        printed = ""
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(120)
            console.connect(str(self.folder / "console"))
            console.sendall(b"\n")
            for line in lines:
                printed += _read_to_prompt(console)
                console.sendall(line.encode() + b"\n")
            return printed + _read_to_prompt(console)

    def ask_agent(self, command: str) -> object:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(120)
            agent.connect(str(self.folder / "agent"))
            agent.sendall(json.dumps({"execute": command}).encode() + b"\n")
            return json.loads(agent.makefile().readline())

    def press_power_button(self) -> float:
        """Return the seconds until qemu ended."""
        started_s = time.monotonic()
        self.qmp("system_powerdown")
        self.process.wait(POWEROFF_TIMEOUT_S)
        return time.monotonic() - started_s


@pytest.fixture(scope="session")
def tiny_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny template, built with the packages that LAGOTUI_TEST_CACHE keeps between sessions."""
    cache = os.environ.get("LAGOTUI_TEST_CACHE")
    work = Path(cache) if cache else tmp_path_factory.mktemp("tiny-packages")
    image = tmp_path_factory.mktemp("tiny") / "tiny.qcow2"
    with TaskContext.root(Bus(), "build tiny", run_id="test") as ctx:
        build_tiny(ctx, image, work)
    return image


@pytest.fixture(scope="module")
def client_key() -> KeyPair:
    return make_keypair()


@pytest.fixture(scope="module")
def seed(client_key: KeyPair) -> Seed:
    return Seed(
        hostname="vm1",
        instance_id="iid-first",
        domain="lago.local",
        ssh_user="lago",
        authorized_keys=(client_key.public_line,),
        host_key=make_host_key("vm1"),
        root_password=ROOT_PASSWORD,
        user_data=USER_DATA,
        runcmd=("echo \"ran as $(id -un): 'quoted' # not a comment\" >> /root/ran", ("touch", "/root/a b")),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, seed: Seed, client_key: KeyPair) -> Path:
    folder = tmp_path_factory.mktemp("boot")
    key = folder / "id_rsa"
    key.write_bytes(client_key.private_pem)
    key.chmod(0o600)
    assert seed.host_key is not None
    (folder / "known_hosts").write_text("\n".join(known_hosts_lines(["vm1"], seed.host_key.public_line)) + "\n")
    return folder


@pytest.fixture(scope="module")
def guest(tiny_image: Path, folder: Path, seed: Seed) -> Iterator[Guest]:
    """A machine with a seed, up, with ssh answering."""
    guest = boot(tiny_image, folder / "seeded", seed)
    yield guest
    end(guest)


def boot(image: Path, folder: Path, seed: Seed | None) -> Guest:
    """Boot what is in `folder`, or a fresh overlay on `image` when there is nothing yet; returns when ssh is ready."""
    overlay = folder / "disk.qcow2"
    if not overlay.exists():
        folder.mkdir()
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, overlay], check=True)
    (folder / "serial.log").unlink(missing_ok=True)
    port = free_port()
    argv = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "256", "-display", "none", "-monitor", "none"]
    console = f"socket,id=console,path={folder / 'console'},server=on,wait=off,logfile={folder / 'serial.log'}"
    agent = f"socket,id=agent,path={folder / 'agent'},server=on,wait=off"
    argv += ["-chardev", console, "-serial", "chardev:console", "-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"]
    argv += ["-device", "virtio-serial", "-chardev", agent, "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
    argv += ["-drive", f"file={overlay},if=virtio,format=qcow2,cache=unsafe", "-device", "virtio-rng-pci"]
    argv += ["-netdev", f"user,id=first,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=first"]
    argv += ["-netdev", "user,id=second,net=10.9.9.0/24", "-device", "virtio-net-pci,netdev=second"]
    argv += ["-netdev", f"socket,id=silent,listen=127.0.0.1:{free_port()}", "-device", "virtio-net-pci,netdev=silent"]
    if seed is not None:
        write_seed(folder / "seed.iso", seed)
        argv += ["-drive", f"file={folder / 'seed.iso'},if=virtio,format=raw,readonly=on"]
    guest = Guest(folder, port, subprocess.Popen(argv))
    try:
        guest.wait_for(lambda: "tiny: ssh ready" in guest.serial_text, "ssh")
        guest.wait_for(lambda: "tiny: eth0 " in guest.serial_text, "address")
    except BaseException:
        end(guest)
        raise
    return guest


def _read_to_prompt(console: socket.socket) -> str:
    text = ""
    while not text.rstrip(" ").endswith(("login:", "assword:", "#", "$", "incorrect")):
        text += console.recv(4096).decode(errors="replace")
    return text


def end(guest: Guest) -> None:
    guest.process.kill()
    guest.process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_image_is_small(tiny_image: Path) -> None:
    assert tiny_image.stat().st_size < 40_000_000


def test_same_packages_make_the_same_image(tiny_image: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = os.environ.get("LAGOTUI_TEST_CACHE")
    work = Path(cache) if cache else tmp_path / "work"
    with TaskContext.root(Bus(), "build tiny", run_id="test") as ctx:
        build_tiny(ctx, tmp_path / "again.qcow2", work)
    compare: list[str | Path] = ["cmp", tmp_path / "again.qcow2", tiny_image]
    assert subprocess.run(compare, capture_output=True, text=True).stdout == ""


def test_ssh_lets_the_key_in_and_shows_the_seeds_host_key(guest: Guest) -> None:
    assert guest.ssh("hostname; echo $0").split() == ["vm1", "bash"]


def test_ssh_user_is_made(guest: Guest) -> None:
    assert guest.ssh("id -un; pwd; echo $SHELL", user="lago").split() == ["lago", "/home/lago", "/bin/bash"]


def test_everything_but_the_homes_of_its_users_is_owned_by_root(guest: Guest) -> None:
    assert guest.ssh("find / -xdev ! -user root -o -xdev ! -group root | grep -vE '^/home/(lago|ann)(/|$)' || true").split() == []


def test_bash_is_bash(guest: Guest) -> None:
    assert guest.ssh("/bin/bash -c 'words=(a b); echo ${#words[@]} ${BASH_VERSION%%.*}'").split() == ["2", "5"]


def test_own_name_resolves_with_its_domain(guest: Guest) -> None:
    assert "127.0.1.1 vm1.lago.local vm1" in guest.ssh("cat /etc/hosts")


def test_there_is_one_default_route_through_the_first_nic(guest: Guest) -> None:
    guest.wait_for(lambda: "tiny: eth1 10.9.9." in guest.serial_text, "second address")
    routes = guest.ssh("ip -4 route show default").splitlines()
    assert [route.split()[4] for route in routes] == ["eth0"]


def test_nic_without_dhcp_goes_on_asking(guest: Guest) -> None:
    assert "udhcpc -i eth2" in guest.ssh("ps | grep [u]dhcpc")


def test_scp_and_sftp_carry_files(guest: Guest, tmp_path: Path) -> None:
    payload = tmp_path / "payload"
    payload.write_bytes(os.urandom(300_000))
    for number, legacy in enumerate((["-O"], ["-s"])):
        copy = tmp_path / f"copy{number}"
        subprocess.run(["scp", "-q", *legacy, *guest.options(), payload, "root@127.0.0.1:/root/payload"], check=True, timeout=240)
        subprocess.run(["scp", "-q", *legacy, *guest.options(), "root@127.0.0.1:/root/payload", copy], check=True, timeout=240)
        assert copy.read_bytes() == payload.read_bytes()


def test_runcmd_takes_lines_and_words(guest: Guest) -> None:
    guest.wait_for(lambda: "tiny: runcmd done, exit code 0" in guest.serial_text, "runcmd")
    assert guest.ssh("cat /root/ran").strip() == "ran as root: 'quoted' # not a comment"
    assert guest.ssh("ls '/root/a b'").strip() == "/root/a b"


def test_what_the_init_file_tells_cloud_init_is_done(guest: Guest) -> None:
    guest.wait_for(lambda: "tiny: runcmd done, exit code 0" in guest.serial_text, "runcmd")
    assert guest.ssh("cat /root/seen") == TOLD
    assert guest.ssh("stat -c %a /etc/told/plain; od -An -tx1 /etc/told/encoded; ls '/root/of the user'").split("\n")[:3] == [
        "640",
        " 00 01 ff",
        "/root/of the user",
    ]
    assert guest.ssh("cat /home/ann/.ssh/authorized_keys; hostname").split("\n")[:2] == ["ssh-rsa AAAA ann", "vm1"]


def test_password_logins_over_ssh_are_off(guest: Guest) -> None:
    options = ["-o", "PubkeyAuthentication=no", *guest.options()]
    refused = subprocess.run(["ssh", *options, "root@127.0.0.1", "true"], capture_output=True, text=True, timeout=240)
    assert refused.returncode == 255
    assert "(publickey)" in refused.stderr


def test_services_answer_as_in_sysvinit(guest: Guest) -> None:
    assert guest.ssh("service ssh status").strip() == "ssh is running"
    guest.wait_for(lambda: "is running" in guest.ssh("service qemu-guest-agent status || true"), "agent")


def test_agent_answers(guest: Guest) -> None:
    guest.wait_for(lambda: "is running" in guest.ssh("service qemu-guest-agent status || true"), "agent")
    assert guest.ask_agent("guest-ping") == {"return": {}}


def test_console_lets_in_with_the_seeds_password_only(guest: Guest) -> None:
    assert "incorrect" in guest.type_on_console("root", "123456")
    assert "uid=0(root)" in guest.type_on_console("root", ROOT_PASSWORD, "id", "exit")


def test_power_button_ends_the_machine_and_runcmd_runs_once(tiny_image: Path, folder: Path, seed: Seed) -> None:
    first = boot(tiny_image, folder / "twice", seed)
    first.wait_for(lambda: "tiny: runcmd done" in first.serial_text, "runcmd")
    assert first.press_power_button() < POWEROFF_TIMEOUT_S
    second = boot(tiny_image, folder / "twice", seed)
    try:
        assert second.ssh("wc -l < /root/ran").strip() == "1"
        assert second.ssh("hostname").strip() == "vm1"
    finally:
        end(second)


def test_new_instance_takes_the_seed_in_again(tiny_image: Path, folder: Path, seed: Seed) -> None:
    first = boot(tiny_image, folder / "again", seed)
    first.wait_for(lambda: "tiny: runcmd done" in first.serial_text, "runcmd")
    first.press_power_button()
    second = boot(tiny_image, folder / "again", replace(seed, instance_id="iid-second", hostname="vm2"))
    try:
        second.wait_for(lambda: "tiny: runcmd done" in second.serial_text, "runcmd")
        assert second.ssh("hostname; wc -l < /root/ran").split() == ["vm2", "2"]
    finally:
        end(second)


@pytest.mark.skipif(shutil.which("ssh-keyscan") is None, reason="needs ssh-keyscan")
def test_without_a_seed_it_makes_its_own_host_key_and_lets_nobody_in(tiny_image: Path, folder: Path) -> None:
    guest = boot(tiny_image, folder / "unseeded", None)
    try:
        assert "tiny: no seed" in guest.serial_text
        scan = ["ssh-keyscan", "-T", "30", "-t", "ed25519", "-p", str(guest.port), "127.0.0.1"]
        assert "ssh-ed25519" in subprocess.run(scan, capture_output=True, text=True, timeout=240).stdout
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", *guest.options()]
        refused = subprocess.run(["ssh", *options, "root@127.0.0.1", "true"], capture_output=True, text=True, timeout=240)
        assert "Permission denied" in refused.stderr
    finally:
        end(guest)
