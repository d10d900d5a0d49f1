"""Which machines are told by a seed, which from outside, and where builds come in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.plan.init import ImageFacts, InitFacts, ResolvedTemplate, plan_init
from engine.plan.model import Plan, Step, StepKind
from engine.spec import DiskSpec, DiskType, EnvSpec, MachineSpec, NetSpec, NetType, NicSpec, stable_mac

TEMPLATES = {
    ("speaks", None): ResolvedTemplate("r", "speaks", "1", "/store/r:speaks:1", {"cloud-init": True, "distro": "debian"}),
    ("mute", None): ResolvedTemplate(
        "r", "mute", "1", "/store/r:mute:1", {"cloud-init": False, "distro": "el7", "root-partition": "/dev/sda1"}
    ),
    ("old", None): ResolvedTemplate("r", "old", "1", "/store/r:old:1", {"distro": "el6"}),
}
IMAGES = {"/a/known.qcow2": ImageFacts("qcow2", {"cloud-init": False}), "/a/unknown.qcow2": ImageFacts("qcow2")}
BUILD: tuple[dict[str, Any], ...] = ({"virt-customize": {"touch": "/x"}},)


def template(name: str, **changes: Any) -> DiskSpec:
    return DiskSpec("root", DiskType.TEMPLATE, "vda", template_name=name, **changes)


def image(name: str, **changes: Any) -> DiskSpec:
    return DiskSpec("root", DiskType.FILE, "vda", path=f"/a/{name}.qcow2", **changes)


def machine(name: str, *disks: DiskSpec, **changes: Any) -> MachineSpec:
    return MachineSpec(name, nics=(NicSpec("n", "192.168.200.2"),), disks=disks, mgmt_net="n", **changes)


def planned(*machines: MachineSpec, **known: Any) -> Plan:
    facts = InitFacts("/w/default", "/w", "default", "763e40cc" * 4, "private", TEMPLATES, IMAGES)
    return plan_init(
        EnvSpec({each.name: each for each in machines}, {"n": NetSpec("n"), "bridged": NetSpec("bridged", NetType.BRIDGE)}),
        replace(facts, **known),
    )


def steps_of(plan: Plan, kind: StepKind) -> list[Step]:
    return [step for step in plan.steps if step.kind is kind]


def told(plan: Plan) -> list[str]:
    return [machine["name"] for step in steps_of(plan, StepKind.BOOTSTRAP) for machine in step.args["machines"]]


def test_a_template_that_speaks_cloud_init_needs_no_appliance() -> None:
    plan = planned(machine("a", template("speaks")))
    assert (told(plan), [step.subject for step in steps_of(plan, StepKind.MAKE_SEED)]) == ([], ["a"])


@pytest.mark.parametrize("name", ["mute", "old"], ids=["says so", "says nothing"])
def test_a_template_that_does_not_is_told_from_outside(name: str) -> None:
    assert told(planned(machine("a", template(name)))) == ["a"]


@pytest.mark.parametrize(
    ("disk", "changes", "expected"),
    [
        (image("known"), {}, ["a"]),
        (image("known", in_place=True), {}, ["a"]),
        (image("unknown"), {}, []),
        (image("unknown"), {"bootstrap_asked": True}, ["a"]),
        (image("known"), {"bootstrap": False}, []),
        (DiskSpec("root", DiskType.EMPTY, "vda", size="1G"), {"bootstrap_asked": True}, []),
        (image("known", format="iso"), {"bootstrap_asked": True}, []),
    ],
)
def test_the_users_own_images(disk: DiskSpec, changes: dict[str, Any], expected: list[str]) -> None:
    images = {**IMAGES, "/a/known.qcow2": ImageFacts(disk.format, {"cloud-init": False})}
    assert told(planned(machine("a", disk, **changes), images=images)) == expected


def test_skip_bootstrap_tells_nobody() -> None:
    plan = planned(machine("a", template("mute")), machine("b", template("speaks")), bootstrap=False)
    assert (told(plan), steps_of(plan, StepKind.MAKE_SEED), plan.notes) == ([], [], ())


def test_an_image_of_which_nothing_is_known_is_announced() -> None:
    [note] = planned(machine("a", image("unknown"))).notes
    assert note.startswith("machine 'a': nothing is known of the image of its disk 'root'")


def test_machines_of_one_template_share_its_preparation_and_one_session() -> None:
    plan = planned(*(machine(f"vm{number}", template("mute")) for number in range(10)))
    [shared], [session] = steps_of(plan, StepKind.PREPARE_IMAGE), steps_of(plan, StepKind.BOOTSTRAP)
    assert (shared.id, shared.after) == ("prepare-image:r:mute:1", ("fetch-template:r:mute:1",))
    assert session.title == "Bootstrapping 10 VMs"
    assert set(session.after) == {"make-keys", shared.id, *(f"make-disk:vm{number}:root" for number in range(10))}


def test_another_password_is_another_preparation() -> None:
    plan = planned(machine("a", template("mute")), machine("b", template("mute"), root_password="x"))
    assert [step.args["root_password"] for step in steps_of(plan, StepKind.PREPARE_IMAGE)] == [None, "x"]
    assert len(steps_of(plan, StepKind.BOOTSTRAP)) == 1


def test_a_copy_is_prepared_by_itself() -> None:
    plan = planned(machine("a", image("known", make_a_copy=True)))
    [session] = steps_of(plan, StepKind.BOOTSTRAP)
    [told_machine] = session.args["machines"]
    assert (steps_of(plan, StepKind.PREPARE_IMAGE), session.id) == ([], "bootstrap:a")
    assert told_machine["source"] == told_machine["disk"] == "/w/default/images/known.qcow2"


def test_what_a_machine_is_told() -> None:
    made = machine("a", template("mute", size="20G"), ssh_user="joe")
    [session] = steps_of(planned(replace(made, nics=(*made.nics, NicSpec("bridged")))), StepKind.BOOTSTRAP)
    assert session.args["machines"] == [
        {
            "name": "a",
            "distro": "el7",
            "macs": ["54:52:c0:a8:c8:02", stable_mac("763e40cc" * 4, "a", 1)],
            "ssh_user": "joe",
            "host_key": True,
            "disk": "/w/default/images/a_root.qcow2",
            "format": "qcow2",
            "size": "20G",
            "source": "/store/r:mute:1",
            "root_password": None,
            "root_partition": "/dev/sda1",
        }
    ]


def test_only_machines_that_take_a_host_key_get_one() -> None:
    plan = planned(machine("a", template("mute")), machine("b", template("old")), machine("c", image("unknown")))
    [keys] = steps_of(plan, StepKind.MAKE_KEYS)
    assert list(keys.args["hosts"]) == ["a"]


def test_a_build_comes_after_the_bootstrap_of_its_machine() -> None:
    extra = DiskSpec("data", DiskType.FILE, "vdb", path="/a/unknown.qcow2", build=BUILD)
    plan = planned(machine("a", template("mute", build=BUILD), extra))
    builds = {step.subject: step.after for step in steps_of(plan, StepKind.BUILD)}
    assert builds == {
        "a:root": ("make-keys", "make-disk:a:root", "bootstrap"),
        "a:data": ("make-keys", "make-disk:a:data"),
    }


def test_skip_build_builds_nothing() -> None:
    assert not steps_of(planned(machine("a", template("speaks", build=BUILD)), build=False), StepKind.BUILD)


def test_the_prefix_keeps_what_was_built_and_asked_for() -> None:
    made = machine("a", template("mute", build=BUILD), bootstrap_asked=True)
    assert MachineSpec.from_json(made.to_json()) == made
