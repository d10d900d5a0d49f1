"""The libvirt provider on real daemons with real machines: one environment of two machines and three nets, on both kinds of host."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pycdlib import PyCdlib

from engine.bus import Bus
from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, HostRefused
from engine.events import TaskLog
from engine.guest.seed import Seed, write_seed
from engine.providers.base import DiskOverlay, StatusChange
from engine.providers.libvirt.accel import probe_accel
from engine.providers.libvirt.hosts import SYSTEM_URI, HostChoice, HostKind
from engine.providers.libvirt.provider import LibvirtProvider
from engine.providers.libvirt.session import Session
from engine.providers.libvirt.world_folders import world_paths
from engine.spec import DhcpRange, DiskSpec, DiskType, EnvRef, MachineSpec, MachineStatus, NetSpec, NetType, NicSpec, stable_mac

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

BOOT_S = 240.0
PASSWORD = "a password of this test"


@dataclass
class Site:
    """An environment that runs."""

    provider: LibvirtProvider
    ctx: TaskContext
    env: EnvRef
    nets: dict[str, NetSpec]
    machines: dict[str, MachineSpec]
    seeds: dict[str, Path]
    changes: queue.Queue[StatusChange]

    def up(self) -> None:
        for net in self.nets.values():
            self.provider.start_net(self.ctx, self.env, net, self.nets)
        for machine in self.machines.values():
            self.provider.start_machine(self.ctx, self.env, machine, self.seeds[machine.name])

    def down(self) -> None:
        for name in self.machines:
            self.provider.stop_machine(self.ctx, self.env, name)
        for name in self.nets:
            self.provider.stop_net(self.ctx, self.env, name)

    def overlays(self, machine: str, name: str) -> tuple[DiskOverlay, ...]:
        images = Path(self.env.prefix) / "images"
        disks = [disk for disk in self.machines[machine].disks if disk.format != "iso"]
        return tuple(DiskOverlay(disk.dev, str(disk.path), disk.format, str(images / f"{machine}_{disk.name}.{name}")) for disk in disks)


def until(condition: Callable[[], bool], what: str, timeout_s: float = BOOT_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"no {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def task() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


@pytest.fixture(scope="module", params=["private", "system"])
def provider(request: pytest.FixtureRequest, live_folder: Path, task: TaskContext) -> Iterator[LibvirtProvider]:
    if request.param == "system":
        request.getfixturevalue("system_daemon")
        session, choice = Session(SYSTEM_URI), HostChoice(HostKind.SYSTEM, SYSTEM_URI, "")
    else:
        paths = world_paths(live_folder / "p", tmp=live_folder)
        session, choice = Session(paths.uri, paths), HostChoice(HostKind.PRIVATE, "", "")
    session.connect(task)
    made = LibvirtProvider(session, choice, probe_accel())
    yield made
    made.release(task)
    made.close()


@pytest.fixture(scope="module")
def site(provider: LibvirtProvider, task: TaskContext, live_folder: Path, store: Path) -> Iterator[Site]:
    """Two machines on a management net and on a bridge of their own; the first one has two processors, two NICs on a third net, and CDs."""
    env = EnvRef(str(live_folder / f"env-{provider.info().kind}"), os.urandom(16).hex())
    images = Path(env.prefix) / "images"
    images.mkdir(parents=True)
    used = provider.used_subnets()
    one, two = [octet for octet in range(200, 255) if f"192.168.{octet}.0/24" not in used][:2]
    ips = {"vm0": f"192.168.{one}.2", "vm1": f"192.168.{one}.3"}
    lago = NetSpec(
        "lago", gw=f"192.168.{one}.1", dhcp=DhcpRange(100, 200), management=True, dns_domain_name="lago.local", mapping=ips, ipv6=True
    )
    others = {f"vm0-eth{number}": f"192.168.{two}.{number}" for number in (2, 3)}
    other = NetSpec("storage-net-one", gw=f"192.168.{two}.1", dhcp=DhcpRange(100, 200), mtu=1400, mapping=others)
    wire = NetSpec("wire", NetType.BRIDGE, mtu=1400)
    machines, seeds = {}, {}
    for name, ip in ips.items():
        nics = (NicSpec("lago", ip), NicSpec("wire", mtu=1400))
        machines[name] = _machine(name, nics, images, _tiny(store))
        seeds[name] = images / f"{name}-seed.iso"
        write_seed(seeds[name], Seed(name, f"{env.uuid}-{name}", domain="lago.local", root_password=PASSWORD))
    more_nics = tuple(NicSpec(other.name, address, mtu=1400) for address in others.values())
    cds = tuple(DiskSpec(dev, DiskType.FILE, dev, "iso", path=str(_cd(images / f"{dev}.iso", dev))) for dev in ("hda", "sdb"))
    vm0 = machines["vm0"]
    machines["vm0"] = replace(vm0, vcpu=2, nics=vm0.nics + more_nics, disks=vm0.disks + cds)
    made = Site(provider, task, env, {"lago": lago, other.name: other, "wire": wire}, machines, seeds, queue.Queue())
    end_watch = provider.watch(made.changes.put)
    try:
        made.up()
        yield made
    finally:
        made.down()
        end_watch()


def _tiny(store: Path) -> Path:
    return next(path for path in store.iterdir() if ":tiny:" in path.name and path.suffix not in (".hash", ".metadata", ".lock"))


def _machine(name: str, nics: tuple[NicSpec, ...], images: Path, tiny: Path) -> MachineSpec:
    root, data = images / f"{name}_root.qcow2", images / f"{name}_data.raw"
    backing_format = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", tiny]))["format"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", tiny, "-F", backing_format, root], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", data, "64M"], check=True)
    disks = (DiskSpec("root", DiskType.TEMPLATE, "vda", path=str(root)), DiskSpec("data", DiskType.EMPTY, "sda", "raw", path=str(data)))
    return MachineSpec(name, memory_mib=128, vcpu=1, nics=nics, disks=disks, mgmt_net="lago")


SAY_ON_SERIAL = bytes.fromhex("fa31c08ed8be207cac84c0741050bafd03eca82074fb58baf803eeebebf4ebfd")
"""Machine code at 0x7c00 that writes the text behind it (at 0x7c20, up to a zero) to the first serial port, and halts."""


def _cd(path: Path, says: str) -> Path:
    """Write a CD that boots: its boot sector says `cd SAYS boots` on the serial port, and halts."""
    iso = PyCdlib()
    iso.new()
    sector = (SAY_ON_SERIAL + f"cd {says} boots\r\n".encode()).ljust(2048, b"\0")
    iso.add_fp(BytesIO(sector), len(sector), "/BOOT.;1")
    iso.add_eltorito("/BOOT.;1", bootcatfile="/BOOT.CAT;1")
    iso.write(str(path))
    iso.close()
    return path


class Terminal:
    """Somebody at a machine's console."""

    def __init__(self, site: Site, machine: str) -> None:
        self._context = site.provider.console(site.env, machine)
        self._heard = b""
        self._arrived = threading.Condition()
        self._logged_in = False

    def __enter__(self) -> Terminal:
        self._stream = self._context.__enter__()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._logged_in:
            self.type("exit")
            self.expect("login:", 20)
        self._context.__exit__(None, None, None)

    def _listen(self) -> None:
        while data := self._stream.recv(4096):
            with self._arrived:
                self._heard += data
                self._arrived.notify_all()

    def expect(self, text: str, timeout_s: float = BOOT_S) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: text.encode() in self._heard, timeout_s), f"no '{text}' in {self._heard[-800:]!r}"
            self._heard = self._heard.partition(text.encode())[2]

    def type(self, line: str) -> None:
        data = f"{line}\n".encode()
        while data:
            data = data[self._stream.send(data) :]

    def login(self) -> None:
        self.type("")
        self.expect("login:")
        self.type("root")
        self.expect("assword:")
        self.type(PASSWORD)
        self.type("echo logged''-in")
        self.expect("logged-in")
        self._logged_in = True


def test_machines_get_the_addresses_that_were_planned(site: Site) -> None:
    def leases() -> list[str | None]:
        return [site.provider.lease_of(site.env, machine) for machine in site.machines.values()]

    until(lambda: None not in leases(), "lease")
    assert leases() == [machine.ip for machine in site.machines.values()]


def test_start_of_what_is_up_changes_nothing(site: Site) -> None:
    site.up()
    assert site.provider.machine_states(site.env) == {"vm0": MachineStatus.RUNNING, "vm1": MachineStatus.RUNNING}


def test_template_below_a_running_machine_keeps_its_owner(site: Site, store: Path) -> None:
    assert _tiny(store).stat().st_uid == store.stat().st_uid


def test_nets_are_up_under_their_own_names(site: Site) -> None:
    assert site.provider.active_nets(site.env) == set(site.nets)


def test_starts_were_pushed(site: Site) -> None:
    heard: set[tuple[str, str, bool]] = set()
    wanted = {("vm0", "running", False), ("vm1", "running", False), ("", "unknown", True)}
    until(lambda: bool(heard.update(_drained(site.changes)) or wanted <= heard), "event of each start", 20)


def _drained(changes: queue.Queue[StatusChange]) -> set[tuple[str, str, bool]]:
    found = set()
    while not changes.empty():
        change = changes.get()
        found.add((change.machine, change.status.value, change.net_up))
    return found


def test_names_of_machines_resolve_and_answer_between_guests(site: Site) -> None:
    with Terminal(site, "vm0") as terminal:
        terminal.login()
        terminal.type("ping -c 3 vm1.lago.local && echo ping''-ok")
        terminal.expect("ping-ok", 30)


def test_processors_are_spread_over_numa_cells(site: Site) -> None:
    with Terminal(site, "vm0") as terminal:
        terminal.login()
        terminal.type("echo $(nproc) processors, $(ls -d /sys/devices/system/node/node* | wc -l) cells")
        terminal.expect("2 processors, 2 cells", 20)


def test_each_nic_has_its_address_and_mtu_also_twice_on_a_net(site: Site) -> None:
    wanted = [(index, nic.ip, nic.mtu) for index, nic in enumerate(site.machines["vm0"].nics) if nic.mtu and nic.ip]
    with Terminal(site, "vm0") as terminal:
        terminal.login()
        for index, ip, mtu in wanted:
            terminal.type(
                f"until ip a show eth{index} | grep -q '{ip}/'; do sleep 1; done; echo {ip} $(cat /sys/class/net/eth{index}/mtu)'!'"
            )
            terminal.expect(f"{ip} {mtu}!", 30)


def test_guests_meet_on_a_bridge_of_their_own(site: Site) -> None:
    with Terminal(site, "vm0") as one, Terminal(site, "vm1") as other:
        for number, terminal in enumerate((one, other), start=1):
            terminal.login()
            terminal.type(f"ip addr add 10.9.9.{number}/24 dev eth1 && cat /sys/class/net/eth1/address")
            terminal.expect(stable_mac(site.env.uuid, f"vm{number - 1}", 1), 20)
        one.type("ping -c 1 -W 5 10.9.9.2 && echo ping''-ok")
        one.expect("ping-ok", 30)


def test_management_net_speaks_ipv6(site: Site) -> None:
    lago, (ours, theirs) = site.nets["lago"], [str(machine.ip) for machine in site.machines.values()]
    with Terminal(site, "vm0") as one, Terminal(site, "vm1") as other:
        for ip, terminal in ((theirs, other), (ours, one)):
            terminal.login()
            terminal.type(f"until ip a show eth0 | grep -q '{ip}/'; do sleep 0.2; done")
            terminal.type("cd /proc/sys/net/ipv6/conf/eth0; echo 1 >disable_ipv6; echo 0 >disable_ipv6")  # anew, as a guest begins
            terminal.type(f"ip addr add {lago.ipv6_of(ip)}/64 dev eth0; echo ad''ded")
            terminal.expect("added", 20)
        for wanted in (f"{lago.ipv6_prefix}1", lago.ipv6_of(theirs)):
            one.type(f"until ping6 -c 1 -W 1 {wanted}; do sleep 0.2; done; echo answer''-of {wanted}")
            one.expect(f"answer-of {wanted}", 30)
        one.type("nslookup -type=AAAA vm1.lago.local")
        one.expect(f"Address: {lago.ipv6_of(theirs)}", 20)


def test_disks_of_each_bus_are_seen(site: Site) -> None:
    with Terminal(site, "vm0") as terminal:
        terminal.login()
        terminal.type("cd /sys/block; echo disks: $(ls -d vd* sd* sr*)'!'")
        terminal.expect("disks: sda sr0 vda vdb!", 20)  # the kernel of the tiny guest has no IDE


@pytest.mark.parametrize(
    ("dev", "cpu"),
    [
        ("hda", {"cpu_model": "Westmere"}),
        ("sda", {"cpu_custom": {"@mode": "custom", "@match": "exact", "model": {"@fallback": "allow", "#text": "Nehalem"}}}),
    ],
)
def test_machine_boots_from_a_cd(dev: str, cpu: dict[str, Any], site: Site) -> None:
    iso = _cd(Path(site.env.prefix) / "images" / f"boot-{dev}.iso", dev)
    machine = MachineSpec(f"cd-{dev}", 32, 1, disks=(DiskSpec("cd", DiskType.FILE, dev, "iso", path=str(iso)),), **cpu)
    site.provider.start_machine(site.ctx, site.env, machine, None)
    try:
        until(lambda: f"cd {dev} boots" in "".join(site.provider.console_tail(site.env, machine.name, 20)), "boot from the CD", 30)
    finally:
        site.provider.stop_machine(site.ctx, site.env, machine.name)


def test_unknown_cpu_model_is_refused_with_its_neighbours(site: Site) -> None:
    machine = MachineSpec("vm9", 32, 1, cpu_model="Westmeer")
    with pytest.raises(HostRefused, match="no cpu_model 'Westmeer'") as refusal:
        site.provider.start_machine(site.ctx, site.env, machine, None)
    assert "'Westmere'" in refusal.value.hint


@pytest.fixture
def host_bridge(site: Site) -> Iterator[str]:
    if site.provider.info().kind != "system" or os.geteuid() != 0:
        pytest.skip("bridges of the host are for the system's libvirt, and for root to make")
    name = f"ltbr{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


def test_machine_joins_a_bridge_of_the_host_and_leaves_it_there(site: Site, host_bridge: str) -> None:
    lan = NetSpec("lan", NetType.BRIDGE, bridge=host_bridge, mtu=1400)
    iso = _cd(Path(site.env.prefix) / "images" / "lan.iso", "lan")
    machine = MachineSpec(
        "on-lan", 32, 1, nics=(NicSpec("lan", mtu=1400),), disks=(DiskSpec("cd", DiskType.FILE, "hda", "iso", path=str(iso)),)
    )
    ports = Path("/sys/class/net") / host_bridge / "brif"
    assert host_bridge in (site.provider.bridges() or ())
    try:
        site.provider.start_net(site.ctx, site.env, lan, site.nets)
        site.provider.start_machine(site.ctx, site.env, machine, None)
        assert [(Path("/sys/class/net") / port.name / "mtu").read_text().strip() for port in ports.iterdir()] == ["1400"]
    finally:
        site.provider.stop_machine(site.ctx, site.env, machine.name)
        site.provider.stop_net(site.ctx, site.env, "lan")
    assert list(ports.iterdir()) == []


def test_bridge_that_is_not_there_is_refused(site: Site) -> None:
    with pytest.raises(HostRefused, match="the bridge 'br-nowhere' is"):
        site.provider.start_net(site.ctx, site.env, NetSpec("lan", NetType.BRIDGE, bridge="br-nowhere"), site.nets)


def test_console_tail_is_what_was_printed_since_start(site: Site) -> None:
    until(lambda: any("login" in line for line in site.provider.console_tail(site.env, "vm1", 500)), "login prompt in the log")
    assert not any("\x1b" in line for line in site.provider.console_tail(site.env, "vm1", 500))


def test_second_console_takes_over(site: Site) -> None:
    with site.provider.console(site.env, "vm1") as first, Terminal(site, "vm1") as second:
        second.type("")
        second.expect("login:", 30)
        until(lambda: first.recv(65536) == b"", "end of the first session", 20)


def test_stats_are_of_both_machines(site: Site) -> None:
    stats = site.provider.stats(site.env)
    assert {name: (reading.vcpu, reading.memory_mib) for name, reading in stats.items()} == {"vm0": (2, 128), "vm1": (1, 128)}
    assert all(0 < reading.memory_used_mib <= 128 and reading.cpu_time_s > 0 and reading.disk_read_bytes > 0 for reading in stats.values())


def test_own_subnets_are_not_counted_as_used(site: Site) -> None:
    ours = {f"{net.gw.rpartition('.')[0]}.0/24" for net in site.nets.values() if net.gw}
    assert not ours & site.provider.used_subnets(site.env)
    assert ours <= site.provider.used_subnets()


def test_snapshot_of_a_running_machine_freezes_its_disks_and_may_be_repeated(site: Site) -> None:
    overlays = site.overlays("vm0", "s1")
    for _ in range(2):
        site.provider.snapshot(site.ctx, site.env, "vm0", overlays, lambda: False)
    frozen_before = [Path(overlay.frozen).stat().st_mtime_ns for overlay in overlays]
    with Terminal(site, "vm0") as terminal:
        terminal.login()
        terminal.type("echo written-after > /root/mark; sync; echo syn''ced")
        terminal.expect("synced", 30)
    assert [Path(overlay.frozen).stat().st_mtime_ns for overlay in overlays] == frozen_before


def test_unsnapshot_merges_and_leaves_the_overlays_unused(site: Site) -> None:
    overlays = site.overlays("vm0", "s1")
    for _ in range(2):
        site.provider.unsnapshot(site.ctx, site.env, "vm0", overlays)
    for overlay in overlays:
        Path(overlay.overlay).unlink()
    with Terminal(site, "vm0") as terminal:
        terminal.login()
        terminal.type("echo 3 > /proc/sys/vm/drop_caches; cat /root/mark")
        terminal.expect("written-after", 30)


def test_snapshot_is_quiesced_by_the_agent(site: Site) -> None:
    with closing(site.ctx.bus.subscribe()) as events:
        site.provider.snapshot(site.ctx, site.env, "vm1", site.overlays("vm1", "q"), lambda: False)
        said = [event.message for event in events.take() if isinstance(event, TaskLog)]
    site.provider.unsnapshot(site.ctx, site.env, "vm1", site.overlays("vm1", "q"))
    assert not [message for message in said if "power cut" in message]


def test_hung_agent_costs_seconds_and_not_the_snapshot(site: Site) -> None:
    with Terminal(site, "vm1") as terminal:
        terminal.login()
        terminal.type("kill -STOP $(pidof qemu-ga); echo stop''ped")
        terminal.expect("stopped", 20)
        site.provider.snapshot(site.ctx, site.env, "vm1", site.overlays("vm1", "hung"), lambda: False)
        terminal.type("kill -CONT $(pidof qemu-ga); sleep 3; echo still > /root/writes; sync; echo writ''ten")
        terminal.expect("written", 30)
    site.provider.unsnapshot(site.ctx, site.env, "vm1", site.overlays("vm1", "hung"))


def test_machine_whose_disk_is_missing_is_refused_in_libvirts_words(site: Site) -> None:
    lost = replace(site.machines["vm1"], name="vm9", nics=(), disks=(replace(site.machines["vm1"].disks[0], path="/nowhere/lost.qcow2"),))
    with pytest.raises(HostRefused, match=r"cannot start machine 'vm9': libvirt says '.*lost\.qcow2"):
        site.provider.start_machine(site.ctx, site.env, lost, None)


def test_cancelled_start_starts_nothing(site: Site) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        site.provider.start_machine(replace(site.ctx, token=token), site.env, replace(site.machines["vm1"], name="vm9"), None)
    assert "vm9" not in site.provider.machine_states(site.env)


def test_stop_leaves_nothing_on_the_host(site: Site) -> None:
    _drained(site.changes)
    site.down()
    assert list(site.provider.iter_tagged(site.env.uuid)) == []
    heard: set[tuple[str, str, bool]] = set()
    until(lambda: bool(heard.update(_drained(site.changes)) or {("vm0", "down", False), ("vm1", "down", False)} <= heard), "end", 20)


def test_stop_of_what_is_down_changes_nothing(site: Site) -> None:
    site.down()
    assert site.provider.machine_states(site.env) == {}
