"""Inventories for Ansible."""

from __future__ import annotations

import shlex

import pytest

from lagotui.present.ansible import InventoryHost, inventory_data, inventory_text, value_at

SPEC = {
    "vm-type": "default",
    "vm-provider": "local-libvirt",
    "groups": ["web", "db"],
    "disks": [{"template_name": "first"}, {"template_name": "last"}],
    "bootstrap": False,
}


def host(name: str, **spec: object) -> InventoryHost:
    variables = {"ansible_host": "192.168.200.2", "ansible_ssh_private_key_file": "/p/id_rsa"}
    return InventoryHost(name, {"vm-type": "default", "vm-provider": "local-libvirt", "groups": [], **spec}, variables)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vm-type", "default"),
        ("/vm-type", "default"),
        ("/disks/-1/template_name", "last"),
        ("disks/0/template_name", "first"),
        ("groups", ["web", "db"]),
        ("groups/1/2/3", None),
        ("groups/7", None),
        ("groups/web", None),
        ("nothing", None),
        ("nothing/below", None),
        ("vm-type/below", None),
        ("bootstrap", False),
        ("", SPEC),
        ("/", SPEC),
    ],
)
def test_a_key_is_a_path_into_the_spec(key: str, value: object) -> None:
    assert value_at(SPEC, key) == value


def test_the_text_is_the_predecessors() -> None:
    hosts = [host("vm1", groups=["web"]), host("vm0", groups=["web", "db"])]
    line = "ansible_host=192.168.200.2 ansible_ssh_private_key_file=/p/id_rsa"
    assert inventory_text(hosts).splitlines() == [
        *("[vm-type=default]", f"vm0 {line}", f"vm1 {line}"),
        *("[groups=web]", f"vm0 {line}", f"vm1 {line}"),
        *("[vm-provider=local-libvirt]", f"vm0 {line}", f"vm1 {line}"),
        *("[web]", f"vm0 {line}", f"vm1 {line}"),
        *("[groups=db]", f"vm0 {line}"),
        *("[db]", f"vm0 {line}"),
    ]


def test_a_machine_without_the_key_is_in_no_group_of_it() -> None:
    hosts = [host("vm0"), host("vm1", distro="debian")]
    assert inventory_text(hosts, ["distro"]).splitlines()[0::2] == ["[distro=debian]"]


def test_other_variables_follow_and_are_quoted_for_ansible() -> None:
    proxy = "-o 'ProxyCommand=/a b/python %h %p'"
    line = InventoryHost("vm0", {}, {"ansible_ssh_common_args": proxy, "ansible_host": "::1"}).line
    assert line.startswith("vm0 ansible_host=::1 ansible_ssh_common_args=")
    assert shlex.split(line)[2] == f"ansible_ssh_common_args={proxy}"


def test_the_data_answers_list_with_every_machine_and_its_variables() -> None:
    data = inventory_data([host("vm1"), host("vm0", groups=["web"])])
    assert data["all"] == {"hosts": ["vm0", "vm1"], "children": ["groups=web", "vm-provider=local-libvirt", "vm-type=default", "web"]}
    assert data["web"] == {"hosts": ["vm0"]}
    assert data["_meta"]["hostvars"]["vm0"]["ansible_host"] == "192.168.200.2"


def test_an_empty_environment_has_an_inventory() -> None:
    assert inventory_text([]) == "" and inventory_data([])["all"] == {"hosts": [], "children": []}
