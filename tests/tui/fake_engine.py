"""An engine in memory behind the same door: what it did is on record, what happens is up to the test."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.bus import Bus
from engine.errors import Cancelled, EngineError, PrefixNotFound
from engine.events import EnvChanged, Event, MachineChanged, NetChanged, Outcome, TaskFinished, TaskLog, TaskProgress, TaskStarted
from engine.providers.base import Accel, HostInfo, MachineStats
from engine.spec import DhcpRange, DiskSpec, DiskType, EnvRef, MachineSpec, MachineStatus, NetSpec, NicSpec
from engine.state.env import EnvState, MachineState, NetState
from engine.state.known import KnownEnv
from engine.state.prefix import Prefix
from engine.tasks.facts import InitRequest

NOW_S = 1_795_178_460.0
"""2026-11-20 12:41 UTC: when it is, in tests."""

WEB = "/home/ada/web-cluster/.lago/default"
CI = "/home/ada/ci/.lago/nightly"


class FakeHandle:
    """A run that ends when the test says so, or at once."""

    def __init__(self, engine: FakeEngine, verb: str, title: str, env: str, machines: tuple[str, ...] = (), name: str = "") -> None:
        self.run_id = f"r{len(engine.handles) + 1}"
        self.title = title
        self.verb = verb
        self.env = env
        self.machines = machines
        self.name = name
        self.cancelled = False
        self._engine = engine
        self._ended = threading.Event()
        self._error: EngineError | None = None

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    def result(self, timeout_s: float | None = None) -> Any:
        if not self._ended.wait(timeout_s):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return None

    def cancel(self) -> None:
        self.cancelled = True
        self.end(Cancelled())

    def end(self, error: EngineError | None = None) -> None:
        """Let the run end."""
        self._error = error
        outcome = Outcome.CANCELLED if isinstance(error, Cancelled) else Outcome.FAILED if error else Outcome.OK
        if error is None:
            self._engine.take_effect(self)
        self._engine.publish(TaskFinished(at_s=NOW_S, task_id=self.run_id, outcome=outcome, duration_s=4.2, error=str(error or "")))
        self._ended.set()


class FakeEngine:
    """The part of `engine.api.Engine` that the UI uses."""

    def __init__(self, states: Sequence[EnvState] = (), *, hold: bool = False) -> None:
        """Know some environments; with `hold`, runs go on until the test ends them."""
        self.bus = Bus()
        self.states = {state.ref.prefix: state for state in states}
        self.hold = hold
        self.handles: list[FakeHandle] = []
        self.problem: EngineError | None = None
        """What every look raises."""
        self.losses_known = threading.Event()
        self.losses_known.set()
        self.watched: list[str] = []
        self.looks_go_on = threading.Event()
        self.looks_go_on.set()
        self.state_looks = 0
        self.stats_calls = 0
        self.readings_left = sys.maxsize
        """How often the machines are still measured before a look has no answer: pictures show so many readings, however long they take."""
        self.closed = False

    def environments(self) -> list[KnownEnv]:
        self._look()
        return [_Known(Path(path), state.ref.uuid, state.name, Path(path).parent, NOW_S - 3600 * (3**index) + 3000)
                for index, (path, state) in enumerate(self.states.items())]  # fmt: skip

    def state(self, env: Prefix) -> EnvState:
        self._look()
        state = self._state(env)
        self.state_looks += 1
        self.looks_go_on.wait(60)
        return state

    def stats(self, env: Prefix) -> Mapping[str, MachineStats]:
        self._look()
        if not self.readings_left:
            threading.Event().wait()
        self.readings_left -= 1
        self.stats_calls += 1
        return readings(self._state(env), self.stats_calls)

    def host_info(self, env: Prefix) -> HostInfo | None:
        self._look()
        return HostInfo("private", "qemu:///session", "libvirt 9.0.0", Accel.TCG) if self._state(env).up_count else None

    def watch(self, env: Prefix) -> None:
        self.watched.append(str(env.path))

    def losses(self, env: Prefix) -> list[str]:
        self.losses_known.wait(60)
        state = self._state(env)
        return [f"{len(state.machines)} machines with their disks: {', '.join(state.machines)}", f"the folder {env.path}"]

    def ssh_command(self, env: Prefix, machine: str, words: Sequence[str] = (), *, tty: bool = False) -> list[str]:
        return ["ssh", "-t", f"root@{machine}"]

    def up(self, request: InitRequest) -> FakeHandle:
        return self._begin("up", "Bring up environment", str(request.prefix))

    def start(self, env: Prefix, machines: Sequence[str] = (), *, wait_ssh: bool = False) -> FakeHandle:
        return self._begin("start", "Start specified VMs" if machines else "Start Prefix", str(env.path), tuple(machines))

    def stop(self, env: Prefix, machines: Sequence[str] = ()) -> FakeHandle:
        return self._begin("stop", "Stop specified VMs" if machines else "Stop prefix", str(env.path), tuple(machines))

    def snapshot(self, env: Prefix, name: str, machines: Sequence[str] = (), *, memory: bool = False, force: bool = False) -> FakeHandle:
        return self._begin("snapshot", f"Create snapshot {name}", str(env.path), tuple(machines), name)

    def revert(self, env: Prefix, name: str, machines: Sequence[str] = ()) -> FakeHandle:
        return self._begin("revert", f"Revert to snapshot {name}", str(env.path), tuple(machines), name)

    def destroy(self, env: Prefix) -> FakeHandle:
        return self._begin("destroy", "Destroy prefix", str(env.path))

    def recover(self, env: Prefix) -> FakeHandle:
        return self._begin("recover", "Recover", str(env.path))

    def close(self) -> None:
        self.closed = True

    # What tests do -------------------------------------------------------------------------------------------------

    def publish(self, *events: Event) -> None:
        for event in events:
            self.bus.publish(event)

    def befall(self, env: str, name: str, change: MachineStatus | bool) -> None:
        """Have a machine get a status, or a network go up or down; as on a real host it is so before anybody is told."""
        state = self.states[env]
        if isinstance(change, MachineStatus):
            machines = {**state.machines, name: replace(state.machines[name], status=change)}
            self.states[env] = replace(state, machines=machines)
            self.publish(MachineChanged(env=env, machine=name, status=change.value))
        else:
            self.states[env] = replace(state, nets={**state.nets, name: replace(state.nets[name], up=change)})
            self.publish(NetChanged(env=env, net=name, up=change))

    def take_effect(self, handle: FakeHandle) -> None:
        """Do to the environment what the verb does."""
        state = self.states.get(handle.env)
        if handle.verb == "up":
            self.states = {handle.env: an_env(handle.env, "00aa"), **self.states}
        elif handle.verb == "destroy":
            self.states.pop(handle.env)
        elif state is not None and handle.verb in ("start", "stop"):
            self._switch(state, handle)
        elif state is not None and handle.verb == "snapshot":
            self.states[handle.env] = with_snapshot(state, handle.name, handle.machines)
        self.publish(EnvChanged(at_s=NOW_S, env=handle.env, exists=handle.verb != "destroy"))

    def _switch(self, state: EnvState, handle: FakeHandle) -> None:
        status = MachineStatus.RUNNING if handle.verb == "start" else MachineStatus.DOWN
        names = handle.machines or tuple(state.machines)
        machines = {n: replace(m, status=status) if n in names else m for n, m in state.machines.items()}
        self.states[handle.env] = replace(state, machines=machines)
        self.publish(*(MachineChanged(at_s=NOW_S, env=handle.env, machine=name, status=status.value) for name in names))
        if not handle.machines:
            self.publish(*(NetChanged(at_s=NOW_S, env=handle.env, net=net, up=status.is_up) for net in state.nets))

    def _begin(self, verb: str, title: str, env: str, machines: tuple[str, ...] = (), name: str = "") -> FakeHandle:
        handle = FakeHandle(self, verb, title, env, machines, name)
        self.handles.append(handle)
        self.publish(TaskStarted(at_s=NOW_S, task_id=handle.run_id, parent_id=None, name=title, run_id=handle.run_id, env=env))
        if not self.hold:
            handle.end()
        return handle

    def _state(self, env: Prefix) -> EnvState:
        """A look may begin before an environment is destroyed and go on after: the engine says then what this says."""
        try:
            return self.states[str(env.path)]
        except KeyError:
            raise PrefixNotFound(f"'{env.path}' is no environment") from None

    def _look(self) -> None:
        if self.problem is not None:
            raise self.problem


class _Known(KnownEnv):
    """Its folder is there, as far as tests go."""

    __slots__ = ()

    @property
    def is_there(self) -> bool:
        return True


def a_machine(name: str, octet: int, *, memory_mib: int = 1024, snapshots: Sequence[str] = (), groups: Sequence[str] = ()) -> MachineSpec:
    disk = DiskSpec("root", DiskType.TEMPLATE, "vda", template_name="debian12", template_version="v2", path=f"/i/{name}.qcow2", size="8G")
    data = DiskSpec("data", DiskType.EMPTY, "vdb", path=f"/i/{name}-data.qcow2", size="20G")
    nics = [NicSpec("lago", f"192.168.200.{octet}")]
    if name.startswith("db"):
        nics.append(NicSpec("storage", f"192.168.201.{octet}"))
    return MachineSpec(
        name,
        memory_mib=memory_mib,
        nics=tuple(nics),
        disks=(disk, data) if name.startswith("db") else (disk,),
        groups=tuple(groups),
        mgmt_net="lago",
        snapshots=dict.fromkeys(snapshots, (disk,)),
    )


def an_env(path: str = WEB, uuid: str = "763e40cc", *, down: Sequence[str] = ("cache01",), host: str = "private") -> EnvState:
    """Return the environment of the pictures: a database, two web servers, a cache."""
    specs = (
        a_machine("db01", 2, memory_mib=2048, snapshots=("fresh", "schema-v1"), groups=("databases",)),
        a_machine("web01", 3, snapshots=("fresh",), groups=("web",)),
        a_machine("web02", 4, snapshots=("fresh",), groups=("web",)),
        a_machine("cache01", 5, memory_mib=512, groups=("cache",)),
    )
    machines = {spec.name: MachineState(spec, MachineStatus.DOWN if spec.name in down else MachineStatus.RUNNING) for spec in specs}
    nets = (
        NetSpec("lago", gw="192.168.200.1", dhcp=DhcpRange(100, 254), management=True, dns_domain_name="lago.local"),
        NetSpec("storage", gw="192.168.201.1", dhcp=DhcpRange(100, 254)),
    )
    up = len(down) < len(specs)
    ref = EnvRef(path, uuid.ljust(32, "0"))
    return EnvState(ref, Path(path).name, host, machines, {net.name: NetState(net, up) for net in nets}, workdir=str(Path(path).parent))


def with_snapshot(state: EnvState, name: str, machines: Sequence[str] = ()) -> EnvState:
    def changed(machine: MachineState) -> MachineState:
        if machines and machine.spec.name not in machines:
            return machine
        return replace(machine, spec=replace(machine.spec, snapshots={**machine.spec.snapshots, name: machine.spec.disks}))

    return replace(state, machines={each: changed(machine) for each, machine in state.machines.items()})


LOADS = {
    "db01": (12, 9, 14, 22, 35, 30, 18, 12, 9, 11, 13, 24, 41, 38, 20, 12),
    "web01": (3, 2, 3, 4, 3, 2, 5, 9, 4, 3, 2, 3, 3, 4, 2, 3),
    "web02": (99, 98, 97, 96, 90, 95, 99, 98, 88, 92, 96, 97, 99, 98, 97, 98),
    "cache01": (1,) * 16,
}


def readings(state: EnvState, number: int) -> dict[str, MachineStats]:
    """Return the readings of the `number`th time, two seconds after the ones before."""
    stats = {}
    for name, machine in state.machines.items():
        if machine.status.is_up:
            loads = [LOADS.get(name, (5,))[index % 16 if name in LOADS else 0] for index in range(number)]
            cpu_s = sum(load / 100 * 2 * machine.spec.vcpu for load in loads)
            used = machine.spec.memory_mib * {"db01": 40, "web01": 38, "web02": 12}.get(name, 20) // 100
            stats[name] = MachineStats(
                number * 2.0, cpu_s, machine.spec.vcpu, used, machine.spec.memory_mib,
                number * 180_000, number * 52_000, number * 9_000, number * 4_200,
            )  # fmt: skip
    return stats


def a_busy_run(env: str = WEB) -> list[Event]:
    """Return the events of a run in its middle, after one that went well and one that failed."""
    at = NOW_S - 62

    def started(task: str, parent: str | None, name: str, seconds: float) -> TaskStarted:
        return TaskStarted(at_s=at + seconds, task_id=task, parent_id=parent, name=name, run_id=task[:2], env=env)

    def ended(task: str, seconds: float, took_s: float, outcome: Outcome = Outcome.OK, error: str = "") -> TaskFinished:
        return TaskFinished(at_s=at + seconds, task_id=task, outcome=outcome, duration_s=took_s, error=error)

    no_room = "there is no room left on '/home' (free some space and run the same command again)"
    return [
        started("a1", None, "Create snapshot fresh", 0),
        started("a1.1", "a1", "Snapshot VM db01", 0),
        ended("a1.1", 0.8, 0.8),
        ended("a1", 0.9, 0.9),
        started("b1", None, "Create snapshot schema-v1", 20),
        started("b1.1", "b1", "Snapshot VM web01", 20),
        ended("b1.1", 20.4, 0.4, Outcome.FAILED, no_room),
        ended("b1", 20.5, 0.5, Outcome.FAILED, no_room),
        started("c1", None, "Start Prefix", 53),
        started("c1.1", "c1", "Start nets", 53.1),
        started("c1.2", "c1.1", "Create network lago", 53.1),
        started("c1.3", "c1.1", "Create network storage", 53.1),
        ended("c1.2", 53.5, 0.4),
        ended("c1.3", 53.6, 0.5),
        ended("c1.1", 53.6, 0.5),
        started("c1.4", "c1", "Start vms", 53.6),
        started("c1.5", "c1.4", "Starting VM web02", 53.7),
        ended("c1.5", 55.1, 1.4),
        ended("c1.4", 55.1, 1.5),
        started("c1.6", "c1", "Fetch template debian12:v2", 55.2),
        TaskProgress(task_id="c1.6", done=19_400_000, total=29_900_000, unit="B"),
        started("c1.7", "c1", "Wait for ssh connectivity on web02", 55.2),
        TaskLog(task_id="c1.7", level=20, logger="engine", message="192.168.200.4 has its lease"),
        TaskProgress(task_id="c1.7", done=6.8, unit="s", note="[    2.104] systemd[1]: Reached target Network"),
    ]
