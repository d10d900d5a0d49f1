"""What this machine is asked for before an init file is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Settings
from engine.initfile.facts import Processor
from engine.providers.fake import FakeHost, FakeProvider
from engine.providers.hosts import OneHost
from engine.tasks import checking
from engine.tasks.checking import check_file, local_facts


def settings(tmp_path: Path, **changes: object) -> Settings:
    values: dict[str, object] = {"lease_dir": tmp_path / "subnets", "workdir_path": tmp_path / "work", "libvirt_url": "private"}
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


def test_facts_of_this_machine(tmp_path: Path) -> None:
    facts = local_facts(settings(tmp_path))
    assert facts.templates is not None
    assert "tiny" in facts.templates
    assert facts.vm_providers == ("local-libvirt", "ssh")
    assert (facts.cores or 0) > 0
    assert (facts.memory_mib or 0) > 0
    assert (facts.disk_bytes or 0) > 0


def test_another_machine_is_not_mistaken_for_this_one(tmp_path: Path) -> None:
    facts = local_facts(settings(tmp_path, libvirt_url="qemu+ssh://far/system"))
    assert (facts.cpu_models, facts.memory_mib, facts.cores, facts.disk_bytes, facts.bridges, facts.subnets) == (None,) * 6


def test_the_private_world_has_no_bridges_of_the_host(tmp_path: Path) -> None:
    assert local_facts(settings(tmp_path)).bridges == ()


def test_the_processor_is_that_of_the_host_of_the_machines(tmp_path: Path) -> None:
    facts = local_facts(settings(tmp_path), hosts=OneHost(FakeProvider(FakeHost(cpu_models=("EPYC",)))))
    assert facts.processor is not None
    assert facts.processor() == Processor("EPYC", "AMD", frozenset({"EPYC"}))


def test_a_private_host_that_does_not_run_is_not_started_for_its_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    facts = local_facts(settings(tmp_path))
    assert facts.processor is not None
    assert facts.processor() is None


def test_an_unreadable_repository_leaves_the_templates_unknown(tmp_path: Path) -> None:
    assert local_facts(settings(tmp_path, template_repo_path=str(tmp_path / "gone.json"))).templates is None


def test_names_of_the_predecessor_mean_where_the_environment_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAGO_PREFIX_PATH", raising=False)
    assert local_facts(settings(tmp_path)).variables["LAGO_PREFIX_PATH"] == str(tmp_path / "work/default")


def test_check_names_the_file_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (found,) = check_file(settings(tmp_path), "gone.yaml")
    assert (found.code, found.file) == ("E001", "gone.yaml")


def test_a_folder_is_no_image_and_no_script(tmp_path: Path) -> None:
    machine = "    nics: [{net: l}]\n    metadata: {deploy-scripts: [.]}\n    disks: [{name: d, type: file, path: .}]\n"
    found = check_file(settings(tmp_path), tmp_path / "LagoInitFile", f"domains:\n  a:\n{machine}nets: {{l: {{}}}}\n")
    assert [(each.code, each.line) for each in found if each.severity == "error"] == [("E216", 4), ("E216", 5)]


def test_cpu_models_come_from_the_map_of_libvirt(tmp_path: Path) -> None:
    index = tmp_path / "index.xml"
    index.write_text("<include filename='x86_vendors.xml'/><include filename='x86_Westmere.xml'/><include filename=\"arm_x.xml\"/>")
    assert checking._cpu_models(index) == ("Westmere",)
    assert checking._cpu_models(tmp_path / "gone") is None
