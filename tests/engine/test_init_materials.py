"""Everything that machines can be made from, through a whole `init` on a host in memory, with real images."""

from __future__ import annotations

import json
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import EngineError, HashMismatch, InitFileError
from engine.images.disks import ImageInfo, probe
from engine.state.prefix import Prefix
from tests.engine.bench import Bench
from tests.engine.images.test_ova import DISK_NAME, OVF_NAME, WHOLE

MIB = 1024 * 1024


def init_file(machine: str) -> str:
    """Return an init file with one machine."""
    return f"domains:\n  vm0: {{nics: [{{net: n0}}], {machine}}}\nnets:\n  n0: {{type: nat}}\n"


def disks(*each: str) -> str:
    return f"disks: [{', '.join('{' + disk + '}' for disk in each)}]"


def look(path: str | Path | None) -> ImageInfo:
    assert path is not None
    with TaskContext.root(Bus(), "look", run_id="r") as ctx:
        return probe(ctx, Path(path))


def make(path: Path, *words: str | Path, size: str = "16M", image_format: str = "qcow2") -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", image_format, *words, path, size], check=True, timeout=30)
    return path


def images(prefix: Prefix) -> list[str]:
    return sorted(path.name for path in prefix.images.iterdir())


def test_a_template_disk_may_be_larger_than_its_template(bench: Bench) -> None:
    prefix = bench.init(init_file(disks("type: template, template_name: small, name: root, size: 1G")))
    assert look(prefix.machine("vm0").disks[0].path).virtual_size == 1024 * MIB


def test_a_disk_smaller_than_what_it_stands_on_is_an_error_at_its_size(bench: Bench) -> None:
    bench.init(init_file(disks("type: template, template_name: small, name: root")))  # brings the template into the store
    with pytest.raises(InitFileError, match=r"LagoInitFile:2:\d+: error E104: disk 'root' cannot be 8M: .* is 16 MiB already"):
        bench.init(init_file(disks("type: template, template_name: small, name: root, size: 8M")), "second")
    assert not (bench.folder / "work" / "second").exists()


def test_an_unfetched_template_that_is_too_large_takes_the_prefix_back(bench: Bench) -> None:
    with pytest.raises(EngineError, match="smaller than its backing image"):
        bench.init(init_file(disks("type: template, template_name: small, name: root, size: 8M")))
    assert not (bench.folder / "work" / "default").exists()


def test_an_image_by_url_is_fetched_below_an_overlay(bench: Bench) -> None:
    base = make(bench.folder / "base.qcow2")
    prefix = bench.init(init_file(disks(f"type: file, url: 'file://{base}', name: root, size: 64M")))
    info = look(prefix.machine("vm0").disks[0].path)
    assert (info.backing, info.virtual_size) == (prefix.images / "base.qcow2", 64 * MIB)
    assert images(prefix) == ["base.qcow2", "vm0_root.qcow2"]


def test_a_wrong_checksum_takes_the_prefix_back(bench: Bench) -> None:
    base = make(bench.folder / "base.qcow2")
    with pytest.raises(HashMismatch):
        bench.init(init_file(disks(f"type: file, url: 'file://{base}', name: root, sha256: {'0' * 64}")))
    assert not (bench.folder / "work" / "default").exists()


def test_a_fetched_image_that_stands_on_a_file_of_this_machine_is_refused(bench: Bench) -> None:
    hostile = make(bench.folder / "x.qcow2", "-u", "-b", "/etc/passwd", "-F", "raw")
    with pytest.raises(EngineError, match="stands on another file"):
        bench.init(init_file(disks(f"type: file, url: 'file://{hostile}', name: root")))
    assert not (bench.folder / "work" / "default").exists()


def test_a_layer_whose_template_is_missing_stands_on_the_store(bench: Bench) -> None:
    layer = make(bench.folder / "layer.qcow2", "-u", "-b", "small:v1", "-F", "raw")
    (bench.folder / "layer.qcow2.metadata").write_text(json.dumps({"distro": "el7"}))
    before = layer.read_bytes()
    prefix = bench.init(init_file(disks(f"type: template, template_type: qcow2, path: '{layer}', name: root")))
    machine = prefix.machine("vm0")
    info = look(machine.disks[0].path)
    assert (info.backing, info.backing_format) == (bench.engine.settings.template_store / "here:small:v1", "qcow2")
    assert (machine.distro, machine.disks[0].metadata["cloud-init"]) == ("el7", True)
    assert layer.read_bytes() == before
    assert not (bench.folder / "small:v1").exists()


def test_a_layer_on_a_template_that_nobody_has_is_an_error_at_its_path(bench: Bench) -> None:
    layer = make(bench.folder / "layer.qcow2", "-u", "-b", "smal:v1", "-F", "raw")
    with pytest.raises(InitFileError, match=r"LagoInitFile:2:\d+: error E202: .*did you mean 'small'"):
        bench.init(init_file(disks(f"type: template, template_type: qcow2, path: '{layer}', name: root")))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    image = make(tmp_path / "disk.qcow2").read_bytes()
    with tarfile.open(tmp_path / "el7.ova", "w") as tar:
        for name, content in ((OVF_NAME, WHOLE), (DISK_NAME, image)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return tmp_path / "el7.ova"


def test_a_machine_comes_out_of_an_archive(bench: Bench, archive: Path) -> None:
    prefix = bench.init(init_file(f"type: ova, url: '{archive}'"))
    machine = prefix.machine("vm0")
    assert (machine.memory_mib, machine.vcpu, [(disk.name, disk.dev) for disk in machine.disks]) == (1024, 6, [("volume-1", "vda")])
    assert look(machine.disks[0].path).backing == prefix.images / "el7_volume-1"
    assert images(prefix) == ["el7_volume-1", "vm0_volume-1.qcow2"]
    assert archive.exists()


def test_an_archive_that_cannot_be_used_is_an_error_at_its_url(bench: Bench, archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:700])
    with pytest.raises(InitFileError, match=r"LagoInitFile:2:\d+: error E229: .*el7.ova"):
        bench.init(init_file(f"type: ova, url: '{archive}'"))
    assert not (bench.folder / "work" / "default").exists()


def test_deploy_scripts_move_with_the_prefix(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTS", str(bench.folder))
    script = bench.folder / "deps.sh"
    script.write_text("echo $HOME")
    prefix = bench.init(init_file("disks: [], metadata: {ovirt-scripts: [$SCRIPTS/deps.sh, $LAGO_INITFILE_PATH/deps.sh]}"))
    name = str(script).replace("/", "_")
    written: dict[str, Any] = json.loads((prefix.virt / "vm-vm0").read_text())
    assert written["metadata"] == {"deploy-scripts": [f"$LAGO_PREFIX_PATH/scripts/{name}"] * 2}
    assert prefix.machine("vm0").metadata["deploy-scripts"] == [str(prefix.scripts / name)] * 2
    assert (prefix.scripts / name).read_text() == "echo $HOME"


def test_equal_names_of_copies_do_not_meet(bench: Bench) -> None:
    for folder in ("a", "b"):
        (bench.folder / folder).mkdir()
        make(bench.folder / folder / "data.raw", size="8M" if folder == "a" else "24M", image_format="raw")
    copies = [f"type: file, path: '{bench.folder}/{folder}/data.raw', name: {folder}, make_a_copy: true" for folder in "ab"]
    prefix = bench.init(init_file(disks(*copies)))
    assert [(look(disk.path).format, look(disk.path).virtual_size // MIB) for disk in prefix.machine("vm0").disks] == [
        ("raw", 8),
        ("raw", 24),
    ]


def test_a_cdrom_is_used_where_it_is(bench: Bench) -> None:
    (bench.folder / "my.iso").write_bytes(bytes(MIB))
    prefix = bench.init(init_file(disks(f"type: file, path: '{bench.folder}/my.iso', name: cd, format: iso")))
    assert prefix.machine("vm0").disks[0].path == str(bench.folder / "my.iso")
    assert images(prefix) == []


@pytest.mark.parametrize("machine", ["disks: []", "bootstrap: false, " + disks("type: template, template_name: small, name: root")])
def test_machines_without_disks_or_bootstrap_are_made_without_a_seed(bench: Bench, machine: str) -> None:
    prefix = bench.up(init_file(machine))
    assert list(prefix.seeds.iterdir()) == []
    assert bench.waited == ["vm0"]


def test_what_the_init_file_says_to_cloud_init_is_in_the_seed(bench: Bench) -> None:
    said = "cloud-init: {user-data: {write_files: [{path: /etc/motd, content: told}]}}"
    prefix = bench.init(init_file(f"{said}, {disks('type: template, template_name: small, name: root')}"))
    assert b"/etc/motd" in (prefix.seeds / "vm0.iso").read_bytes()
