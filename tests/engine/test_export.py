"""Export of environments, and making them anew beside the original."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.api import ExportRequest
from engine.context import TaskContext
from engine.errors import ConfigError, EngineError, MachineStateError, SnapshotError, UnknownMachine
from engine.plan.export import ChainFacts, ExportFacts, chosen, exported
from engine.plan.exporting import plan_export
from engine.plan.model import Plan
from engine.state.prefix import Prefix
from engine.tasks.export_facts import PreparedExport, prepare_export
from engine.tasks.export_verbs import as_yaml
from tests.engine.bench import Bench
from tests.engine.test_recovery import die_in

FULL = """
nets:
  n0: {type: nat, management: true, gw: 192.168.222.1, dns_records: {www: 192.168.222.9}}
domains:
  vm0:
    memory: 128
    vcpu: 1
    groups: [web]
    ssh-password: secret
    root-password: secret too
    metadata: {deploy-scripts: [$LAGO_INITFILE_PATH/setup.sh]}
    nics: [{net: n0, ip: 192.168.222.40}]
    disks:
      - {template_name: small, type: template, name: root, dev: vda}
      - {type: empty, name: data, dev: vdb, size: 1M, format: raw}
      - {type: empty, name: scratch, dev: vdc, size: 1M, skip-export: true}
      - {type: file, name: cd, dev: hdc, format: iso, path: $LAGO_INITFILE_PATH/my.iso}
  vm1:
    memory: 64
    vcpu: 1
    depends_on: [vm0, vm2]
    nics: [{net: n0}]
    disks:
      - {template_name: small, type: template, name: root}
      - {type: file, name: cd, dev: hdc, format: iso, path: $LAGO_INITFILE_PATH/my.iso}
  vm2: {memory: 64, vcpu: 1, skip-export: true, nics: [{net: n0}], disks: [{template_name: small, type: template, name: root}]}
"""


@pytest.fixture
def full(bench: Bench) -> Prefix:
    (bench.folder / "setup.sh").write_text("echo hello\n")
    (bench.folder / "my.iso").write_bytes(b"cd" * 1000)
    return bench.init(FULL)


def export(bench: Bench, env: Prefix, folder: str | Path = "out", **changes: Any) -> dict[str, Any]:
    return bench.engine.export(env, ExportRequest(folder=str(bench.folder / folder), **changes)).result(60)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def said(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((folder / "LagoInitFile").read_text())
    return data


def write(image: Path, pattern: int) -> None:
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} 0 1M", image], check=True, capture_output=True, timeout=60)


def holds(image: str | Path, pattern: int) -> bool:
    done = subprocess.run(["qemu-io", "-r", "-c", f"read -P {pattern} 0 1M", image], check=True, capture_output=True, text=True, timeout=60)
    return "Pattern verification failed" not in done.stdout


# what comes out


def test_the_result_names_the_images_of_each_machine_and_the_init_file(bench: Bench, full: Prefix) -> None:
    out = bench.folder / "out"
    assert export(bench, full) == {
        "vm0": [f"{out}/vm0_root.qcow2", f"{out}/vm0_data.raw", f"{out}/my.iso"],
        "vm1": [f"{out}/vm1_root.qcow2", f"{out}/my.iso"],
        "init-file": f"{out}/LagoInitFile",
    }


def test_every_image_has_its_sidecars_and_nothing_else_is_there(bench: Bench, full: Prefix) -> None:
    export(bench, full)
    images = ["my.iso", "vm0_data.raw", "vm0_root.qcow2", "vm1_root.qcow2"]
    sidecars = [f"{image}{suffix}" for image in images for suffix in (".hash", ".metadata")]
    assert names(bench.folder / "out") == sorted(["LagoInitFile", "scripts/setup.sh", *images, *sidecars])


def test_the_init_file_makes_it_anew_beside_the_original(bench: Bench, full: Prefix) -> None:
    export(bench, full)
    data = said(bench.folder / "out")
    assert data["nets"]["n0"] == {"type": "nat", "management": True, "dns_records": {"www": "192.168.222.9"}}
    vm0, vm1 = data["domains"]["vm0"], data["domains"]["vm1"]
    assert not {"ssh-password", "root-password", "mgmt_net", "snapshots"} & vm0.keys()
    assert (vm0["nics"], vm0["groups"], vm1["depends_on"]) == ([{"net": "n0"}], ["web"], ["vm0"])
    assert vm0["metadata"] == {"deploy-scripts": ["$LAGO_INITFILE_PATH/scripts/setup.sh"]}
    root, disk, cd = vm0["disks"]
    assert (root["type"], root["template_type"], root["path"]) == ("template", "qcow2", "$LAGO_INITFILE_PATH/vm0_root.qcow2")
    assert (disk["type"], disk["format"], disk["make_a_copy"], "size" in disk) == ("file", "raw", True, False)
    assert cd == {"name": "cd", "type": "file", "dev": "hdc", "format": "iso", "path": "$LAGO_INITFILE_PATH/my.iso"}


def test_exact_keeps_what_clashes(bench: Bench, full: Prefix) -> None:
    export(bench, full, exact=True)
    data = said(bench.folder / "out")
    assert data["nets"]["n0"]["gw"] == "192.168.222.1"
    assert data["domains"]["vm0"]["nics"] == [{"net": "n0", "ip": "192.168.222.40"}]
    assert data["domains"]["vm0"]["ssh-password"] == "secret"


@pytest.mark.parametrize("standalone", [True, False])
@pytest.mark.parametrize("compress", [True, False])
def test_it_is_made_anew_beside_the_original_with_its_data(bench: Bench, standalone: bool, compress: bool) -> None:
    env = bench.init()
    write(env.images / "vm0_root.qcow2", 5)
    export(bench, env, standalone=standalone, compress=compress)
    made = init_from(bench, bench.folder / "out" / "LagoInitFile")
    machine = made.load_env().machines["vm0"]
    assert holds(made.images / "vm0_root.qcow2", 5)
    assert (machine.distro, machine.disks[0].metadata["cloud-init"]) == ("debian", True)
    assert (made.seeds / "vm0.iso").is_file()
    assert made.load_env().nets["n0"].gw != env.load_env().nets["n0"].gw


def init_from(bench: Bench, init_file: Path) -> Prefix:
    request = replace(bench.request(name="again"), init_file=init_file, text=None)
    bench.engine.init(request).result(60)
    return Prefix.at(request.prefix)


def test_a_layered_export_brings_only_what_is_its_own(bench: Bench) -> None:
    env = bench.init()
    export(bench, env)
    info = probe_of(bench.folder / "out" / "vm0_root.qcow2")
    assert info["backing-filename"] == "./small:v1"
    known = json.loads((bench.folder / "out" / "vm0_root.qcow2.metadata").read_text())
    assert (known["base"], known["distro"]) == ("small:v1", "debian")
    assert known["base_sha1"] == (bench.folder / "store" / "here:small:v1.hash").read_text()


def test_a_template_that_is_gone_from_the_store_is_fetched_for_a_layered_import(bench: Bench) -> None:
    env = bench.init()
    write(env.images / "vm0_root.qcow2", 5)
    export(bench, env)
    bench.engine.destroy(env).result(60)
    shutil.rmtree(bench.folder / "store")
    assert holds(init_from(bench, bench.folder / "out" / "LagoInitFile").images / "vm0_root.qcow2", 5)


def probe_of(image: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(
        subprocess.run(["qemu-img", "info", "--output=json", image], check=True, capture_output=True, timeout=60).stdout
    )
    return data


def test_images_of_the_same_name_are_told_apart(bench: Bench) -> None:
    for folder, text in (("a", b"1" * 512), ("b", b"2" * 512)):
        (bench.folder / folder).mkdir()
        (bench.folder / folder / "disk.raw").write_bytes(text)
    machine = (
        "{memory: 64, vcpu: 1, nics: [{net: n0}], disks: [{type: file, name: d, make_a_copy: true, format: raw, path: %s/%s/disk.raw}]}"
    )
    env = bench.init(
        f"domains: {{vm0: {machine % (bench.folder, 'a')}, vm1: {machine % (bench.folder, 'b')}}}\nnets: {{n0: {{type: nat}}}}"
    )
    disks = [env.load_env().machines[name].disks[0].path for name in ("vm0", "vm1")]
    result = export(bench, env)
    assert [Path(result[name][0]).read_bytes() for name in ("vm0", "vm1")] == [Path(path or "").read_bytes() for path in disks]


def test_some_machines_may_be_exported(bench: Bench) -> None:
    env = bench.init()
    assert export(bench, env, machines=["vm1", "vm1"]).keys() == {"vm1", "init-file"}
    assert list(said(bench.folder / "out")["domains"]) == ["vm1"]


def test_one_after_another_comes_to_the_same(bench: Bench) -> None:
    env = bench.init()
    export(bench, env)
    export(bench, env, "other", side_by_side=False)
    assert names(bench.folder / "out") == names(bench.folder / "other")


def test_a_format_of_ones_own_for_the_init_file(bench: Bench) -> None:
    request = ExportRequest(folder=str(bench.folder / "out"), init_file_name="env.json")
    bench.engine.export(bench.init(), request, json.dumps).result(60)
    assert json.loads((bench.folder / "out" / "env.json").read_text())["domains"].keys() == {"vm0", "vm1"}


# snapshots


def test_a_snapshot_of_a_running_machine_is_exported_as_it_was(bench: Bench) -> None:
    env = bench.init()
    write(env.images / "vm0_root.qcow2", 5)
    bench.engine.snapshot(env, "then").result(60)
    overlay = env.load_env().machines["vm0"].disks[0].path or ""
    write(Path(overlay), 6)
    bench.engine.start(env).result(60)
    out = export(bench, env, snapshot="then")
    assert out["vm0"] == [f"{bench.folder}/out/vm0_root.qcow2"]
    bench.engine.stop(env).result(60)
    now = export(bench, env, "now", standalone=True)
    assert holds(now["vm0"][0], 6)
    (bench.folder / "out" / "small:v1").symlink_to(bench.folder / "store" / "here:small:v1")
    assert holds(out["vm0"][0], 5)


def test_a_layered_export_takes_in_what_snapshots_left_in_between(bench: Bench) -> None:
    env = bench.init()
    write(env.images / "vm0_root.qcow2", 5)
    bench.engine.snapshot(env, "then").result(60)
    export(bench, env)
    assert holds(init_from(bench, bench.folder / "out" / "LagoInitFile").images / "vm0_root.qcow2", 5)


def test_an_unknown_snapshot_is_refused_with_the_nearest(bench: Bench) -> None:
    env = bench.init()
    bench.engine.snapshot(env, "then").result(60)
    with pytest.raises(SnapshotError) as refused:
        export(bench, env, snapshot="them")
    assert "then" in refused.value.hint


# bad days


def test_machines_that_are_up_are_named(bench: Bench) -> None:
    env = bench.up()
    with pytest.raises(MachineStateError, match="'vm0', 'vm1' are up") as refused:
        export(bench, env)
    assert "--snapshot" in refused.value.hint
    assert not (bench.folder / "out").exists()


def test_an_unknown_machine_is_refused_with_the_nearest(bench: Bench) -> None:
    with pytest.raises(UnknownMachine) as refused:
        export(bench, bench.init(), machines=["vm9"])
    assert "vm" in refused.value.hint


def test_files_that_are_there_are_not_replaced(bench: Bench) -> None:
    env = bench.init()
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "LagoInitFile").write_text("mine")
    with pytest.raises(ConfigError, match="LagoInitFile"):
        export(bench, env)
    assert names(bench.folder / "out") == ["LagoInitFile"]
    assert (bench.folder / "out" / "LagoInitFile").read_text() == "mine"


def test_with_force_they_are_replaced(bench: Bench) -> None:
    env = bench.init()
    export(bench, env)
    (bench.folder / "out" / "LagoInitFile").write_text("mine")
    export(bench, env, force=True)
    assert "domains" in said(bench.folder / "out")
    assert not list((bench.folder / "out").glob(".*"))


def test_even_with_force_images_that_an_environment_stands_on_are_kept(bench: Bench) -> None:
    env = bench.init()
    export(bench, env, standalone=True)
    init_from(bench, bench.folder / "out" / "LagoInitFile")
    with pytest.raises(ConfigError, match="stands on it"):
        export(bench, env, standalone=True, force=True)


def test_an_image_that_is_gone_is_named(bench: Bench) -> None:
    env = bench.init()
    (env.images / "vm0_root.qcow2").unlink()
    with pytest.raises(MachineStateError, match=r"vm0_root\.qcow2' of disk 'root' is gone"):
        export(bench, env)
    assert not (bench.folder / "out").exists()


def test_a_template_that_is_gone_is_named(bench: Bench) -> None:
    env = bench.init()
    shutil.rmtree(bench.folder / "store")
    with pytest.raises(MachineStateError, match="here:small:v1' of disk 'root' is gone"):
        export(bench, env)


@pytest.mark.parametrize("name", ["", "a/b", ".."])
def test_the_init_file_is_beside_the_images(bench: Bench, name: str) -> None:
    with pytest.raises(ConfigError, match="name of the init file"):
        export(bench, bench.init(), init_file_name=name)


def test_the_environment_itself_is_no_place_for_an_export(bench: Bench) -> None:
    env = bench.init()
    with pytest.raises(ConfigError, match="in the environment itself"):
        export(bench, env, env.path / "images")


def test_a_file_is_no_place_for_an_export(bench: Bench) -> None:
    (bench.folder / "out").write_text("")
    with pytest.raises(ConfigError, match="is no folder"):
        export(bench, bench.init(), "out/below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_closed_folder_is_no_place_for_an_export(bench: Bench) -> None:
    (bench.folder / "out").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match="cannot be written"):
        export(bench, bench.init())


def test_a_link_to_a_folder_is_followed(bench: Bench) -> None:
    (bench.folder / "real").mkdir()
    (bench.folder / "out").symlink_to("real")
    result = export(bench, bench.init())
    assert result["init-file"] == f"{bench.folder}/real/LagoInitFile"


def test_too_little_room_is_said_before(bench: Bench) -> None:
    env = bench.init()
    state = bench.engine.state(env)
    paths = {name: machine.spec.disks[0].path or "" for name, machine in state.machines.items()}
    facts = ExportFacts("/out", free_bytes=1024, chains={path: ChainFacts((path,), (4096,), 8192) for path in paths.values()}, token="ab")
    request = ExportRequest("/out")
    with pytest.raises(EngineError, match="room for"):
        plan_export(state, request, facts, exported(chosen(state, (), ""), request, facts), "")


def test_a_failure_takes_everything_back(bench: Bench) -> None:
    env = bench.init()
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "mine").write_text("")
    broken = env.images / "vm1_root.qcow2"
    broken.write_bytes(broken.read_bytes()[:72].ljust(100_000, b"\xff"))
    with pytest.raises(EngineError):
        export(bench, env, standalone=True)
    assert names(bench.folder / "out") == ["mine"]


def test_what_came_to_be_meanwhile_is_not_replaced_and_everything_is_taken_back(bench: Bench) -> None:
    env, out = bench.init(), bench.folder / "out"

    def dump(data: object) -> str:
        out.mkdir()
        (out / "vm1_root.qcow2").write_text("mine")
        return "{}"

    with pytest.raises(ConfigError, match="meanwhile"):
        bench.engine.export(env, ExportRequest(folder=str(out)), dump).result(60)
    assert names(out) == ["vm1_root.qcow2"]
    assert (out / "vm1_root.qcow2").read_text() == "mine"


@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_an_export_that_died_leaves_nothing_after_recover(bench: Bench, steps: int) -> None:
    env, out = bench.init(), bench.folder / "deep" / "out"
    die_in(bench, plan_of_export(bench, env, ExportRequest(folder=str(out))), steps)
    assert bench.engine.recover(env).result(60) == ["'export' that had ended in the middle was undone"]
    assert not (bench.folder / "deep").exists()


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_what_an_export_that_died_was_to_replace_is_there_again(bench: Bench, steps: int) -> None:
    env, out = bench.init(), bench.folder / "out"
    export(bench, env, compress=True)
    (out / "LagoInitFile").write_text("mine")
    before = {name: (out / name).read_bytes() for name in names(out)}
    die_in(bench, plan_of_export(bench, env, ExportRequest(folder=str(out), compress=True, force=True)), steps)
    bench.engine.start(env).result(60)
    assert {name: (out / name).read_bytes() for name in names(out)} == before


def test_an_export_that_died_after_its_last_step_is_whole(bench: Bench) -> None:
    env, out = bench.init(), bench.folder / "out"
    tidy = prepared(bench, env, ExportRequest(folder=str(out)))
    bench.engine.export(env, ExportRequest(folder=str(out))).result(60)
    die_in(bench, tidy.tidy, 1)
    assert bench.engine.recover(env).result(60) == ["'export-tidy' that had ended in the middle was finished"]
    assert not list(out.glob(".*"))


def prepared(bench: Bench, env: Prefix, request: ExportRequest) -> PreparedExport:
    with TaskContext.root(bench.engine.bus, "plans", run_id="plan") as ctx:
        return prepare_export(bench.engine.kit, ctx, env, bench.engine.kit.state(env), request, as_yaml)


def plan_of_export(bench: Bench, env: Prefix, request: ExportRequest) -> Plan:
    return prepared(bench, env, request).plan


def test_the_look_names_the_images_of_today(bench: Bench, full: Prefix) -> None:
    images = full.images
    assert bench.engine.export_sources(full) == {
        "vm0": [f"{images}/vm0_root.qcow2", f"{images}/vm0_data.raw", f"{bench.folder}/my.iso"],
        "vm1": [f"{images}/vm1_root.qcow2", f"{bench.folder}/my.iso"],
    }


# taken in again


def test_a_packed_environment_is_made_anew_with_every_kind_of_disk(bench: Bench, full: Prefix) -> None:
    (full.images / "vm0_data.raw").write_bytes(b"data".ljust(1024 * 1024, b"\0"))
    result = export(bench, full, compress=True)
    assert all(path.endswith(".xz") for path in (*result["vm0"], *result["vm1"]))
    machine = init_from(bench, bench.folder / "out" / "LagoInitFile").load_env().machines["vm0"]
    root, data, cd = (Path(disk.path or "") for disk in machine.disks)
    assert [disk.format for disk in machine.disks] == ["qcow2", "qcow2", "iso"]
    assert cd.read_bytes() == b"cd" * 1000
    assert holds_text(data, b"data") and root.is_file()


def holds_text(image: Path, text: bytes) -> bool:
    raw = image.with_suffix(".flat")
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True, timeout=60)
    return raw.read_bytes().startswith(text)


def test_a_packed_image_that_was_changed_is_refused(bench: Bench) -> None:
    export(bench, bench.init(), compress=True)
    (bench.folder / "out" / "vm1_root.qcow2.hash").write_text("0" * 40)
    with pytest.raises(EngineError, match="was promised"):
        init_from(bench, bench.folder / "out" / "LagoInitFile")
    assert not (bench.folder / "work" / "again").exists()


@pytest.mark.parametrize("compress", [True, False])
def test_a_layer_does_not_come_to_stand_on_another_image_of_the_same_name(bench: Bench, compress: bool) -> None:
    export(bench, bench.init(), compress=compress)
    (bench.folder / "store" / "here:small:v1.hash").write_text("0" * 40)
    with pytest.raises(EngineError, match="was made on another 'here:small:v1'"):
        init_from(bench, bench.folder / "out" / "LagoInitFile")
