"""Where the disks and scripts of a new environment come to lie, and what brings them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.init import ImageFacts, InitFacts, OvaDisk, OvaFacts, ResolvedTemplate, plan_init
from engine.plan.model import Plan, Step, StepKind
from engine.plan.names import MAX_NAME_BYTES, Names
from engine.spec import CloudInit, DiskSpec, DiskType, EnvSpec, MachineSpec, NetSpec, NicSpec

PREFIX = "/w/default"
IMAGES = f"{PREFIX}/images"
TINY = ResolvedTemplate("lagotui", "tiny", "1", "/store/lagotui:tiny:1", {"cloud-init": True, "distro": "debian"})
OVA = OvaFacts("el7.ova", "/x/el7.ova", 2048, 4, (OvaDisk("vol1", "images/group/vol1"), OvaDisk("vol2", "images/group2/vol2")))


def template_disk(name: str = "root", **changes: Any) -> DiskSpec:
    return DiskSpec(name, DiskType.TEMPLATE, "vda", template_name="tiny", **changes)


def file_disk(name: str = "d", path: str | None = "/a/data.qcow2", **changes: Any) -> DiskSpec:
    return DiskSpec(name, DiskType.FILE, "vdb", path=path, **changes)


def machine(name: str, *disks: DiskSpec, **changes: Any) -> MachineSpec:
    return MachineSpec(name, nics=(NicSpec("n", "192.168.200.2"),), disks=disks, mgmt_net="n", **changes)


def planned(*machines: MachineSpec, **known: Any) -> Plan:
    facts = InitFacts(PREFIX, "/w", "default", "763e40cc" * 4, "private", {("tiny", None): TINY, ("tiny", "1"): TINY})
    return plan_init(EnvSpec({each.name: each for each in machines}, {"n": NetSpec("n")}), replace(facts, **known))


def step_of(plan: Plan, step_id: str) -> Step:
    return next(step for step in plan.steps if step.id == step_id)


def steps_of(plan: Plan, kind: StepKind) -> list[Step]:
    return [step for step in plan.steps if step.kind is kind]


def saved(plan: Plan) -> dict[str, MachineSpec]:
    return {data["name"]: MachineSpec.from_json(data) for data in step_of(plan, "save-env").args["machines"]}


def all_paths(plan: Plan) -> list[str]:
    """Return every file that the plan makes under images/."""
    made = [step.args["path"] for step in plan.steps if step.kind in (StepKind.MAKE_DISK, StepKind.FETCH_IMAGE)]
    return made + [path for step in steps_of(plan, StepKind.EXTRACT_OVA) for path in step.args["members"].values()]


# names


def test_machines_and_disks_whose_names_run_together_get_images_of_their_own() -> None:
    plan = planned(machine("a_b", template_disk("c")), machine("a", template_disk("b_c")))
    assert all_paths(plan) == [f"{IMAGES}/a_b_c.qcow2", f"{IMAGES}/a_b_c-2.qcow2"]


def test_copies_of_files_with_one_name_do_not_meet() -> None:
    copies = [file_disk(f"d{number}", f"/{number}/data.qcow2", make_a_copy=True) for number in range(3)]
    assert [disk.path for disk in saved(planned(machine("a", *copies)))["a"].disks] == [
        f"{IMAGES}/data.qcow2",
        f"{IMAGES}/data-2.qcow2",
        f"{IMAGES}/data-3.qcow2",
    ]


def test_a_copy_never_takes_the_name_of_a_disks_own_image() -> None:
    plan = planned(machine("a", file_disk("copy", "/x/b_root.qcow2", make_a_copy=True)), machine("b", template_disk()))
    assert saved(plan)["b"].disks[0].path == f"{IMAGES}/b_root.qcow2"
    assert saved(plan)["a"].disks[0].path == f"{IMAGES}/b_root-2.qcow2"


@given(st.lists(st.text(min_size=1, max_size=300).filter(lambda name: "/" not in name and "\0" not in name), max_size=20))
def test_names_are_given_once_and_fit(wanted: list[str]) -> None:
    names = Names()
    claimed = [names.claim(name) for name in wanted]
    assert len(set(claimed)) == len(wanted)
    assert all(len(name.encode()) <= MAX_NAME_BYTES + 4 and "/" not in name for name in claimed)


# what disks stand on


def test_an_image_from_the_web_is_fetched_once_for_all_that_stand_on_it() -> None:
    disk = file_disk(path=None, url="http://host/a/base.qcow2.xz", sha256="ab" * 32)
    plan = planned(machine("a", disk), machine("b", disk))
    (fetch,) = steps_of(plan, StepKind.FETCH_IMAGE)
    assert fetch.args == {"url": disk.url, "path": f"{IMAGES}/base.qcow2", "sha256": "ab" * 32, "sha1": None, "iso": False}
    made = step_of(plan, "make-disk:b:d")
    assert (made.args["source"], made.args["path"], made.after) == (f"{IMAGES}/base.qcow2", f"{IMAGES}/b_d.qcow2", (fetch.id,))


def test_one_name_at_two_places_is_two_images() -> None:
    disks = [file_disk(f"d{host}", None, url=f"http://{host}/base.qcow2") for host in "xy"]
    assert [step.args["path"] for step in steps_of(planned(machine("a", *disks)), StepKind.FETCH_IMAGE)] == [
        f"{IMAGES}/base.qcow2",
        f"{IMAGES}/base-2.qcow2",
    ]


@pytest.mark.parametrize("url", ["http://h/", "http://h", "http://h/a/..", "http://h/%2e%2e", "http://h/.hidden", "file:///"])
def test_a_url_without_a_usable_name_is_named_after_its_disk(url: str) -> None:
    (fetch,) = steps_of(planned(machine("a", file_disk(path=None, url=url))), StepKind.FETCH_IMAGE)
    assert fetch.args["path"] == f"{IMAGES}/d.img"


def test_no_name_in_a_url_leads_out_of_the_prefix() -> None:
    (fetch,) = steps_of(planned(machine("a", file_disk(path=None, url="http://h/x%2F..%2F..%2Fetc%2Fpasswd"))), StepKind.FETCH_IMAGE)
    assert fetch.args["path"] == f"{IMAGES}/passwd"


def test_a_cdrom_is_used_where_it_was_fetched() -> None:
    plan = planned(machine("a", file_disk("cd", None, format="iso", url="http://h/x.iso")))
    assert (saved(plan)["a"].disks[0].path, saved(plan)["a"].disks[0].format) == (f"{IMAGES}/x.iso", "iso")
    assert not steps_of(plan, StepKind.MAKE_DISK)


def test_a_cdrom_may_be_copied() -> None:
    plan = planned(machine("a", file_disk("cd", "/x/my.iso", format="iso", make_a_copy=True)))
    assert (saved(plan)["a"].disks[0].path, saved(plan)["a"].disks[0].format) == (f"{IMAGES}/my.iso", "iso")


def test_size_of_a_template_disk_is_passed_on() -> None:
    assert step_of(planned(machine("a", template_disk(size="10G"))), "make-disk:a:root").args["size"] == "10G"


def test_a_layer_with_all_below_it_is_stood_upon() -> None:
    disk = DiskSpec("root", DiskType.TEMPLATE, "vda", template_type="qcow2", path="/x/layer.qcow2")
    plan = planned(machine("a", disk), images={"/x/layer.qcow2": ImageFacts("qcow2")})
    made = step_of(plan, "make-disk:a:root")
    assert (made.args["source"], made.args["copy"], made.args["parent"]) == ("/x/layer.qcow2", False, None)


def test_a_layer_whose_template_is_missing_is_copied_onto_the_store_once_that_has_it() -> None:
    disk = DiskSpec("root", DiskType.TEMPLATE, "vda", template_type="qcow2", path="/x/layer.qcow2")
    plan = planned(machine("a", disk), images={"/x/layer.qcow2": ImageFacts("qcow2", {}, ("tiny", "1"))})
    made = step_of(plan, "make-disk:a:root")
    assert (made.args["copy"], made.args["parent"], made.after) == (True, TINY.image, ("make-prefix", "fetch-template:lagotui:tiny:1"))


def test_a_template_below_layers_and_disks_is_fetched_once() -> None:
    disk = DiskSpec("root", DiskType.TEMPLATE, "vda", template_type="qcow2", path="/x/layer.qcow2")
    plan = planned(machine("a", disk), machine("b", template_disk()), images={"/x/layer.qcow2": ImageFacts("qcow2", {}, ("tiny", "1"))})
    assert len(steps_of(plan, StepKind.FETCH_TEMPLATE)) == 1


def test_facts_of_the_template_give_way_to_the_sidecar_and_that_to_the_init_file() -> None:
    disk = DiskSpec("root", DiskType.TEMPLATE, "vda", template_type="qcow2", path="/l", metadata={"arch": "init file"})
    facts = ImageFacts("qcow2", {"distro": "sidecar", "arch": "sidecar"}, ("tiny", None))
    metadata = saved(planned(machine("a", disk), images={"/l": facts}))["a"].disks[0].metadata
    assert metadata == {"cloud-init": True, "distro": "sidecar", "arch": "init file"}


def test_a_sidecar_tells_the_distro() -> None:
    facts = {"/a/data.qcow2": ImageFacts("qcow2", {"distro": "el7"})}
    assert saved(planned(machine("a", file_disk()), images=facts))["a"].distro == "el7"


# archives


def test_disks_of_an_archive_come_before_the_machines_own() -> None:
    plan = planned(machine("a", file_disk(), ova_url="file:///x/el7.ova"), archives={"file:///x/el7.ova": OVA})
    disks = saved(plan)["a"].disks
    assert [(disk.name, disk.dev) for disk in disks] == [("vol1", "vda"), ("vol2", "vdc"), ("d", "vdb")]
    assert disks[0].metadata == {"root-partition": "/dev/sda1"}


def test_an_archive_is_unpacked_once_for_all_its_machines() -> None:
    machines = [machine(name, ova_url="file:///x/el7.ova") for name in "ab"]
    plan = planned(*machines, archives={"file:///x/el7.ova": OVA})
    (unpack,) = steps_of(plan, StepKind.EXTRACT_OVA)
    assert unpack.args["members"] == {"images/group/vol1": f"{IMAGES}/el7_vol1", "images/group2/vol2": f"{IMAGES}/el7_vol2"}
    assert step_of(plan, "make-disk:b:vol1").args["source"] == f"{IMAGES}/el7_vol1"
    assert step_of(plan, "make-disk:b:vol1").after == (unpack.id,)


def test_memory_and_cpus_come_from_the_archive_unless_the_init_file_says_otherwise() -> None:
    archives = {"u": OVA}
    found = saved(planned(machine("a", ova_url="u"), machine("b", ova_url="u", memory_mib=512, vcpu=1), archives=archives))
    assert [(each.memory_mib, each.vcpu) for each in found.values()] == [(2048, 4), (512, 1)]


def test_a_disk_of_an_archive_gives_way_to_one_of_its_name() -> None:
    plan = planned(machine("a", file_disk("vol1"), ova_url="u"), archives={"u": OVA})
    assert [disk.name for disk in saved(plan)["a"].disks] == ["ova-vol1", "vol2", "vol1"]


def test_an_archive_that_is_not_here_yet_is_said() -> None:
    plan = planned(machine("a", ova_url="http://h/x.ova"))
    assert plan.notes == ("machine 'a': its disks, memory and CPUs are known once 'http://h/x.ova' has been fetched",)


# scripts


def scripted(name: str, *scripts: str) -> MachineSpec:
    return machine(name, metadata={"deploy-scripts": list(scripts), "kept": 1})


def test_scripts_are_copied_under_their_full_path() -> None:
    plan = planned(scripted("a", "/home/u/deps.sh", "/home/u/more.sh"), scripted("b", "/home/u/deps.sh"))
    (copy,) = steps_of(plan, StepKind.COPY_SCRIPTS)
    assert copy.args["copies"] == {
        "/home/u/deps.sh": f"{PREFIX}/scripts/_home_u_deps.sh",
        "/home/u/more.sh": f"{PREFIX}/scripts/_home_u_more.sh",
    }


def test_scripts_are_named_where_they_will_be_in_their_order() -> None:
    metadata = saved(planned(scripted("a", "/z", "/y")))["a"].metadata
    assert metadata == {"deploy-scripts": [f"{PREFIX}/scripts/_z", f"{PREFIX}/scripts/_y"], "kept": 1}


def test_scripts_whose_paths_run_together_are_kept_apart() -> None:
    (copy,) = steps_of(planned(scripted("a", "/a_b/c.sh", "/a/b_c.sh")), StepKind.COPY_SCRIPTS)
    assert list(copy.args["copies"].values()) == [f"{PREFIX}/scripts/_a_b_c.sh", f"{PREFIX}/scripts/_a_b_c-2.sh"]


def test_without_scripts_nothing_is_copied() -> None:
    assert not steps_of(planned(machine("a", template_disk())), StepKind.COPY_SCRIPTS)


# seeds


def seeds(plan: Plan) -> list[str]:
    return [step.subject for step in steps_of(plan, StepKind.MAKE_SEED)]


def test_machines_without_disks_or_bootstrap_have_no_seed() -> None:
    assert seeds(planned(machine("bare"), machine("alone", template_disk(), bootstrap=False), machine("told", template_disk()))) == ["told"]


def test_a_machine_with_cloud_init_in_the_init_file_has_a_seed_whatever_its_image_says() -> None:
    assert seeds(planned(machine("a", file_disk(), cloud_init=CloudInit()))) == ["a"]


def test_the_seed_carries_what_the_init_file_says() -> None:
    said = CloudInit({"packages": ["vim"]}, {"version": 2})
    args = step_of(planned(machine("a", template_disk(), cloud_init=said)), "make-seed:a").args
    assert (args["user_data"], args["network_config"]) == ({"packages": ["vim"]}, {"version": 2})
