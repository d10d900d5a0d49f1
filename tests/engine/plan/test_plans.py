"""Plans as data: which steps, in which order, and how each is taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.plan.destroy import losses, plan_destroy
from engine.plan.init import ImageFacts, InitFacts, ResolvedTemplate, plan_init
from engine.plan.model import Plan, Recovery, Step
from engine.plan.running import plan_start, plan_stop, plan_up, plan_wait
from engine.spec import DiskSpec, DiskType, EnvRef, EnvSpec, MachineSpec, MachineStatus, NetSpec, NicSpec
from engine.state.env import EnvState, MachineState, NetState

PREFIX = "/w/default"
TINY = ResolvedTemplate("lagotui", "tiny", "1", "/store/lagotui:tiny:1", {"cloud-init": True, "distro": "debian"})


def machine(name: str, *nets: str, ip: str = "192.168.200.2") -> MachineSpec:
    disk = DiskSpec("root", DiskType.TEMPLATE, "vda", template_name="tiny", path=f"{PREFIX}/images/{name}_root.qcow2")
    return MachineSpec(name, nics=tuple(NicSpec(net, ip) for net in nets), disks=(disk,), mgmt_net=nets[0] if nets else "")


def state(*up: str, **machines: MachineSpec) -> EnvState:
    """Return an environment in which the machines and nets named are up."""
    nets = {nic.net for spec in machines.values() for nic in spec.nics}
    return EnvState(
        EnvRef(PREFIX, "763e40cc" * 4),
        "default",
        "private",
        {n: MachineState(m, MachineStatus.RUNNING if n in up else MachineStatus.DOWN) for n, m in machines.items()},
        {n: NetState(NetSpec(n, gw="192.168.200.1"), n in up) for n in sorted(nets)},
        "/w",
    )


def facts(**changes: object) -> InitFacts:
    templates = {("tiny", None): TINY, ("plain", None): replace(TINY, name="plain", metadata={})}
    made = InitFacts(PREFIX, "/w", "default", "763e40cc" * 4, "private", templates, {"/images/data.raw": ImageFacts("raw")})
    return replace(made, **changes)  # type: ignore[arg-type]


def order(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {step.id: step.after for step in plan.steps}


def step_of(plan: Plan, step_id: str) -> Step:
    return next(step for step in plan.steps if step.id == step_id)


def with_disks(*disks: DiskSpec) -> EnvSpec:
    return EnvSpec({"m": MachineSpec("m", nics=(NicSpec("n", "192.168.200.2"),), disks=disks, mgmt_net="n")}, {"n": NetSpec("n")})


def test_a_paused_machine_goes_on_with_the_time_of_now() -> None:
    env = state("a", "n", a=machine("a", "n"))
    held = replace(env, machines={"a": replace(env.machines["a"], status=MachineStatus.PAUSED)})
    assert order(plan_start(held)) == {"resume-machine:a": (), "set-clock:a": ("resume-machine:a",)}
    assert [order(plan) for plan in plan_up(held, wait=False)] == [order(plan_start(held))]


def test_starting_everything_starts_nets_before_the_machines_on_them() -> None:
    plan = plan_start(state(a=machine("a", "n1"), b=machine("b", "n1", "n2")))
    assert order(plan) == {
        "start-net:n1": (),
        "start-net:n2": (),
        "start-machine:a": ("start-net:n1",),
        "start-machine:b": ("start-net:n1", "start-net:n2"),
    }


def test_starting_one_machine_starts_only_its_nets() -> None:
    assert list(order(plan_start(state(a=machine("a", "n1"), b=machine("b", "n2")), ["b"]))) == ["start-net:n2", "start-machine:b"]


def test_what_is_up_is_not_started_again() -> None:
    assert order(plan_start(state("a", "n1", a=machine("a", "n1")))) == {}


def test_every_start_can_be_taken_back() -> None:
    plan = plan_start(state(a=machine("a", "n1")))
    assert plan.recovery is Recovery.UNDO
    assert [step.inverse.kind.value if step.inverse else None for step in plan.steps] == ["stop-net", "stop-machine"]


def test_stopping_one_machine_keeps_nets_that_others_use() -> None:
    both = {"a": machine("a", "n1"), "b": machine("b", "n1", "n2")}
    assert order(plan_stop(state("a", "b", "n1", "n2", **both), ["b"])) == {
        "stop-machine:b": (),
        "stop-net:n2": ("stop-machine:b",),
    }


def test_waiting_leaves_out_machines_without_an_address() -> None:
    silent = replace(machine("b"), nics=(NicSpec("n1"),))
    assert list(order(plan_wait(state(a=machine("a", "n1"), b=silent)))) == ["wait-ssh:a"]


def test_waiting_touches_nothing_and_is_not_journaled() -> None:
    assert not any(step.journaled for step in plan_wait(state(a=machine("a", "n1"))).steps)


def test_destroying_removes_the_prefix_after_everything_else() -> None:
    plan = plan_destroy(state("a", "n1", a=machine("a", "n1")))
    assert order(plan) == {
        "stop-machine:a": (),
        "stop-net:n1": ("stop-machine:a",),
        "release-subnets": ("stop-machine:a", "stop-net:n1"),
        "remove-prefix": ("release-subnets",),
    }


def test_what_destroy_loses_is_said() -> None:
    spec = machine("a", "n1")
    said = "\n".join(losses(state("a", a=replace(spec, snapshots={"s": spec.disks}), b=machine("b", "n1"))))
    assert "2 machine(s) with their disks: a, b" in said
    assert "1 of them running: a" in said
    assert "1 snapshot(s): s" in said


def test_init_saves_only_after_everything_is_made() -> None:
    spec = EnvSpec({"a": machine("a", "n1")}, {"n1": NetSpec("n1", gw="192.168.200.1")})
    plan = plan_init(spec, facts())
    save = step_of(plan, "save-env")
    assert set(save.after) == {step.id for step in plan.steps} - {"save-env", "finish-prefix"}
    assert step_of(plan, "finish-prefix").after == ("save-env",)


def test_a_template_of_many_machines_is_fetched_once() -> None:
    spec = EnvSpec({name: machine(name, "n1") for name in "abc"}, {"n1": NetSpec("n1", gw="192.168.200.1")})
    assert sum(step.id.startswith("fetch-template") for step in plan_init(spec, facts()).steps) == 1


@pytest.mark.parametrize(
    ("disk", "path", "image_format"),
    [
        (DiskSpec("d", DiskType.EMPTY, "vda", "raw", size="1G"), f"{PREFIX}/images/m_d.raw", "raw"),
        (DiskSpec("d", DiskType.FILE, "vda", path="/images/data.raw"), f"{PREFIX}/images/m_d.qcow2", "qcow2"),
        (DiskSpec("d", DiskType.FILE, "vda", path="/images/data.raw", make_a_copy=True), f"{PREFIX}/images/data.raw", "raw"),
        (DiskSpec("d", DiskType.FILE, "vda", path="/images/data.raw", in_place=True), "/images/data.raw", "raw"),
        (DiskSpec("d", DiskType.FILE, "vda", "iso", path="/images/cd.iso"), "/images/cd.iso", "iso"),
    ],
)
def test_disks_end_where_their_kind_says(disk: DiskSpec, path: str, image_format: str) -> None:
    saved = MachineSpec.from_json(step_of(plan_init(with_disks(disk), facts()), "save-env").args["machines"][0])
    assert (saved.disks[0].path, saved.disks[0].format) == (path, image_format)


def test_images_used_where_they_are_are_not_made() -> None:
    disk = DiskSpec("d", DiskType.FILE, "vda", path="/images/data.raw", in_place=True)
    assert not any(step.id.startswith("make-disk") for step in plan_init(with_disks(disk), facts()).steps)
