"""Environments on the private host, against the same disks booted by raw qemu."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.measure import Figure, Place, init_file, median_s

SSH_LIMIT_S = 120
TCG = ("-accel", "tcg", "-machine", "pc")


def measure_init(place: Place) -> list[Figure]:
    place.lagotui("--run", "template", "build", "tiny")
    figures = []
    for count, goal in ((1, "≤ 1 s"), (4, "≤ 1.5 s")):
        folder = place.work(f"init{count}", init_file(count))

        def once(folder: Path = folder) -> float:
            seconds = place.lagotui("--run", "init", cwd=folder)
            place.lagotui("--run", "destroy", "-y", cwd=folder)
            return seconds

        figures.append(Figure(f"init of {count} machine(s), template in the store", median_s(once, 5), goal))
    return figures


def measure_many(place: Place) -> list[Figure]:
    """Initialize large environments: what the first twenty machines take, and each one beyond."""
    place.lagotui("--run", "template", "build", "tiny")
    seconds = {}
    for count in (20, 40):
        folder = place.work(f"many{count}", init_file(count))
        rounds = []
        for _ in range(3):
            rounds.append(place.lagotui("--run", "init", cwd=folder))
            place.lagotui("--run", "destroy", "-y", cwd=folder)
        seconds[count] = sorted(rounds)[1]
    return [
        Figure("init of 20 machines", seconds[20], "≤ 3 s"),
        Figure("each machine beyond", (seconds[40] - seconds[20]) / 20, "≤ 0.05 s"),
    ]


def measure_ends(place: Place) -> list[Figure]:
    """Stop and destroy four machines that run."""
    place.lagotui("--run", "template", "build", "tiny")
    folder = place.work("ends", init_file(4))
    stops, destroys = [], []
    for _ in range(3):
        place.lagotui("--run", "up", cwd=folder)
        stops.append(place.lagotui("--run", "stop", cwd=folder))
        place.lagotui("--run", "up", cwd=folder)
        destroys.append(place.lagotui("--run", "destroy", "-y", cwd=folder))
    return [
        Figure("stop of 4 machines", sorted(stops)[1], "≤ 1 s"),
        Figure("destroy of 4 running machines", sorted(destroys)[1], "≤ 1.5 s"),
    ]


def measure_boot(place: Place) -> list[Figure]:
    place.lagotui("--run", "template", "build", "tiny")
    figures = []
    for count in (1, 4):
        folder = place.work(f"boot{count}", init_file(count))
        place.lagotui("--run", "init", cwd=folder)
        place.lagotui("--run", "start", "vm0", cwd=folder)  # the private host is up and has probed qemu
        place.lagotui("--run", "stop", cwd=folder)
        rounds = [(_up(place, folder), _raw(place, folder, count)) for _ in range(3)]
        seconds, raw_s = sorted(rounds, key=lambda pair: pair[0] / pair[1])[1]
        figures.append(Figure(f"start → ssh of {count} machine(s)", seconds, "≤ 1.3 × raw qemu", raw_s))
        place.lagotui("--run", "destroy", "-y", cwd=folder)
    return figures


def measure_status(place: Place) -> list[Figure]:
    place.lagotui("--run", "template", "build", "tiny")
    folder = place.work("status", init_file(2))
    place.lagotui("--run", "up", cwd=folder)
    figures = [
        Figure(
            "--run -f json status, two machines up",
            median_s(lambda: place.lagotui("--run", "-f", "json", "status", cwd=folder), 7),
            "≤ 0.25 s",
        ),
        *_measure_shell(place, folder),
        *_measure_copy(place, folder),
    ]
    place.lagotui("--run", "destroy", "-y", cwd=folder)
    return figures


def _measure_shell(place: Place, folder: Path) -> list[Figure]:
    raw = _openssh(place, folder, "ssh")
    raw_s = median_s(lambda: place.run(*raw, "vm0", "true", cwd=folder), 7)
    seconds = median_s(lambda: place.lagotui("--run", "shell", "vm0", "-c", "true", cwd=folder), 7)
    return [Figure("--run shell vm0 -c true", seconds, "≤ 0.35 s", raw_s)]


def _measure_copy(place: Place, folder: Path) -> list[Figure]:
    """Copy one large file, and many small ones, beside scp."""
    (folder / "large").write_bytes(os.urandom(16_000_000))
    (folder / "small").mkdir()
    for number in range(1000):
        (folder / "small" / f"f{number}").write_text(f"{number}\n")
    raw = (*_openssh(place, folder, "scp"), "-r", "-p", "-q")
    figures = []
    for what, name in (("16 MB", "large"), ("1000 files", "small")):
        raw_s = median_s(lambda name=name: place.run(*raw, name, "vm0:/root/raw", cwd=folder), 3)  # type: ignore[misc]
        seconds = median_s(lambda name=name: place.lagotui("--run", "copy-to-vm", "vm0", name, "/root/", cwd=folder), 3)  # type: ignore[misc]
        figures.append(Figure(f"copy-to-vm of {what}", seconds, "≤ 2 × scp", raw_s))
        raw_s = median_s(lambda name=name: place.run(*raw, f"vm0:/root/{name}", "raw", cwd=folder), 3)  # type: ignore[misc]
        seconds = median_s(lambda name=name: place.lagotui("--run", "copy-from-vm", "vm0", f"/root/{name}", "got", cwd=folder), 3)  # type: ignore[misc]
        figures.append(Figure(f"copy-from-vm of {what}", seconds, "≤ 2 × scp", raw_s))
        place.lagotui("--run", "shell", "vm0", "rm -rf /root/raw", cwd=folder)
        for each in ("raw", "got"):
            subprocess.run(["rm", "-rf", str(folder / each)], check=True)
    return figures


def _openssh(place: Place, folder: Path, program: str) -> tuple[str, ...]:
    """Return OpenSSH's own client, with the configuration that we print for it."""
    config = folder / "ssh_config"
    if not config.exists():
        place.lagotui("--run", "ssh-config", "--output", str(config), cwd=folder)
    return (program, "-F", str(config))


def _up(place: Place, folder: Path) -> float:
    seconds = place.lagotui("--run", "up", cwd=folder)
    place.lagotui("--run", "stop", cwd=folder)
    return seconds


def _raw(place: Place, folder: Path, count: int) -> float:
    """Boot copies of the machines' disks with qemu alone, all at once; return the seconds until ssh has run `true` on the last."""
    prefix = folder / ".lago" / "default"
    started_s = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        ended = list(pool.map(lambda number: _raw_one(prefix, number), range(count)))
    return max(ended) - started_s


def _raw_one(prefix: Path, number: int) -> float:
    port = _free_port()
    disk, seed = prefix / "images" / f"vm{number}_root.qcow2", prefix / "seeds" / f"vm{number}.iso"
    command = [
        *("qemu-system-x86_64", *TCG, "-m", "128", "-smp", "1", "-display", "none", "-serial", "none", "-snapshot", "-no-user-config"),
        *("-drive", f"file={disk},if=virtio,format=qcow2,cache=writeback", "-drive", f"file={seed},if=virtio,format=raw,readonly=on"),
        *("-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=n", "-device", "virtio-rng-pci"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_ssh(prefix, number, port)
        return time.perf_counter()
    finally:
        process.kill()
        process.wait()


def _wait_ssh(prefix: Path, number: int, port: int) -> None:
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=QUIET", "-o", "ConnectTimeout=2", "-o", f"HostKeyAlias=vm{number}"]
    files = ["-o", f"UserKnownHostsFile={prefix / 'known_hosts'}", "-i", str(prefix / "id_rsa"), "-o", "IdentitiesOnly=yes"]
    command = ["ssh", *options, *files, "-p", str(port), "root@127.0.0.1", "true"]
    deadline_s = time.monotonic() + SSH_LIMIT_S
    while time.monotonic() < deadline_s:
        if _has_banner(port) and subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise TimeoutError(f"raw qemu: vm{number} did not answer")


def _has_banner(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.settimeout(1)
            return client.recv(4) == b"SSH-"
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
