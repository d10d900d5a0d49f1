"""What each key of the language becomes; the examples of the predecessor's manual among them."""

from __future__ import annotations

import json

import pytest

from engine.initfile import Severity, load_init_file, require_spec
from engine.initfile.facts import Facts
from engine.spec import CloudInit, DiskSpec, DiskType, MachineSpec, NetSpec, NetType, Readiness, SshAccess

VARIABLES = {"IMAGES": "/images", "HOME": "/home/me"}


def machine(keys: str, facts: Facts | None = None) -> MachineSpec:
    text = f"domains:\n  vm1: {{nics: [{{net: lan}}]}}\n  vm0:\n    nics: [{{net: lan}}]\n    {keys}\nnets:\n  lan: {{}}\n"
    return require_spec("/env/LagoInitFile", text, facts or Facts(variables=VARIABLES))[0].machines["vm0"]


def disk(keys: str) -> DiskSpec:
    return machine(f"disks: [{{name: d, {keys}}}]").disks[0]


def net(keys: str) -> NetSpec:
    return require_spec("/env/LagoInitFile", f"domains: {{}}\nnets:\n  a: {{management: true}}\n  lan: {{{keys}}}\n")[0].nets["lan"]


# nets


def test_bridge_of_our_own() -> None:
    found = net("type: bridge, mtu: 9000")
    assert (found.type, found.bridge, found.mtu) == (NetType.BRIDGE, None, 9000)


def test_bridge_of_the_host() -> None:
    assert net("type: bridge, bridge: br0").bridge == "br0"


@pytest.mark.parametrize(("written", "ipv6"), [("", None), ("ipv6: true", True), ("ipv6: no", False)])
def test_ipv6(written: str, ipv6: bool | None) -> None:
    assert net(written).ipv6 is ipv6


@pytest.mark.parametrize(("written", "isolated"), [("", False), ("isolated: true", True), ("isolated: no", False)])
def test_isolated(written: str, isolated: bool) -> None:
    assert net(written).isolated is isolated


def test_dns_records() -> None:
    assert net("management: true, dns_records: {foreman.example.com: 192.168.200.2}").dns_records == {
        "foreman.example.com": "192.168.200.2"
    }


# machines


def reached(keys: str) -> MachineSpec:
    text = f"domains:\n  vm0: {{vm-provider: ssh, {keys}}}\n"
    return require_spec("/env/LagoInitFile", text, Facts(variables=VARIABLES))[0].machines["vm0"]


def test_a_machine_that_exists_already() -> None:
    found = reached("ssh: {address: build.test, port: 2222, keys: [~/.ssh/id_lab, lab/key]}, ssh-user: me")
    assert found.ssh == SshAccess("build.test", 2222, ("/home/me/.ssh/id_lab", "/env/lab/key"))
    assert (found.is_external, found.ip, found.ssh_user) == (True, "build.test", "me")


def test_a_machine_that_exists_already_by_its_address_only() -> None:
    assert reached("ssh: {address: 10.0.0.7}").ssh == SshAccess("10.0.0.7", 22, ())


def test_a_machine_that_exists_already_beside_others_is_on_no_net() -> None:
    text = "domains:\n  a: {nics: [{net: lan}]}\n  b: {vm-provider: ssh, ssh: {address: b.test}}\nnets: {lan: {}}\n"
    spec = require_spec("/env/LagoInitFile", text, Facts())[0]
    assert [machine.is_external for machine in spec.machines.values()] == [False, True]


def test_an_environment_of_machines_that_exist_already_remembers_them() -> None:
    found = reached("ssh: {address: 10.0.0.7, keys: /k}")
    assert MachineSpec.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_cpu_model() -> None:
    assert machine("cpu_model: Westmere").cpu_model == "Westmere"


def test_cpu_custom() -> None:
    assert machine("cpu_custom: {'@mode': custom, model: {'#text': Westmere}}").cpu_custom == {
        "@mode": "custom",
        "model": {"#text": "Westmere"},
    }


@pytest.mark.parametrize("written", ["vm1", "[vm1]", "[vm1, vm1]"])
def test_depends_on(written: str) -> None:
    assert machine(f"depends_on: {written}").depends_on == ("vm1",)


def test_ready() -> None:
    found = machine("ready: {tcp: '80', command: 'true', log: 'login:', timeout_sec: 30}").ready
    assert found == Readiness(80, "true", "login:", 30)


@pytest.mark.parametrize("written", ["{packages: [jq]}", '"#cloud-config\\npackages: [jq]\\n"'], ids=["mapping", "text"])
def test_user_data(written: str) -> None:
    assert machine(f"cloud-init: {{user-data: {written}}}").cloud_init == CloudInit({"packages": ["jq"]})


@pytest.mark.parametrize(
    "written", ["{version: 2, ethernets: {}}", "{network: {version: 2, ethernets: {}}}", '"version: 2\\nethernets: {}"']
)
def test_network_config(written: str) -> None:
    assert machine(f"cloud-init: {{network-config: {written}}}").cloud_init == CloudInit({}, {"version": 2, "ethernets": {}})


@pytest.mark.parametrize("written", ["{}", "{user-data: }", '{user-data: "#cloud-config\\n"}'])
def test_cloud_init_that_says_nothing_is_none(written: str) -> None:
    assert machine(f"cloud-init: {written}").cloud_init is None


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://h/m.ova", "http://h/m.ova"),
        ("m o.ova", "file:///env/m%20o.ova"),
        ("$IMAGES/m.ova", "file:///images/m.ova"),
        ("file://$IMAGES/m.ova", "file:///images/m.ova"),
    ],
)
def test_ova(written: str, url: str) -> None:
    assert machine(f"type: ova\n    url: {written}").ova_url == url


@pytest.mark.parametrize("key", ["deploy-scripts", "ovirt-scripts"])
def test_deploy_scripts_have_absolute_paths(key: str) -> None:
    assert machine(f"metadata: {{{key}: [$IMAGES/a.sh, b.sh], x: 1}}").metadata == {"deploy-scripts": ["/images/a.sh", "/env/b.sh"], "x": 1}


def test_deploy_script_may_be_in_the_current_folder_as_with_the_predecessor() -> None:
    facts = Facts(scripts_base="/here", exists={"/here/a.sh"}.__contains__)
    assert machine("metadata: {deploy-scripts: [a.sh]}", facts).metadata == {"deploy-scripts": ["/here/a.sh"]}


# disks


def test_size_of_a_template_disk() -> None:
    assert disk("type: template, template_name: tiny, size: 20").size == "20G"


def test_qcow2_template_keeps_its_path() -> None:
    found = disk("type: template, template_type: qcow2, path: layer.qcow2")
    assert (found.type, found.template_type, found.path) == (DiskType.TEMPLATE, "qcow2", "/env/layer.qcow2")


def test_disk_by_url() -> None:
    sha256 = "0" * 64
    found = disk(f"type: file, url: 'https://h/d.qcow2', sha256: '{sha256}'")
    assert (found.url, found.sha256, found.path) == ("https://h/d.qcow2", sha256, None)


def test_file_disk_with_only_a_size_is_empty() -> None:
    assert (disk("type: file, size: 10G").type, disk("type: file, size: 10G").size) == (DiskType.EMPTY, "10G")


def test_cd_rom() -> None:
    found = disk("type: file, path: a.iso, format: iso, dev: hda")
    assert (found.format, found.dev) == ("iso", "hda")


@pytest.mark.parametrize(
    "written",
    ["[{virt-customize: {ssh-inject: '', touch: [/a, /b]}}]", "[{virt-customize: , ssh-inject: '', touch: [/a, /b]}]"],
    ids=["below its builder", "beside its builder"],
)
def test_build_is_a_list_of_builders_with_their_options(written: str) -> None:
    commands = disk(f"type: empty, size: 1, build: {written}").build
    assert commands == ({"virt-customize": {"ssh-inject": "", "touch": ["/a", "/b"]}},)


def test_machine_with_every_key_survives_a_prefix() -> None:
    keys = "cpu_model: x\n    depends_on: vm1\n    ready: {tcp: 1}\n    cloud-init: {user-data: {a: 1}}\n    type: ova\n    url: http://x/y"
    found = machine(keys)
    assert MachineSpec.from_json(json.loads(json.dumps(found.to_json()))) == found


# the manual

FIRST = """
domains:
  vm-el73:
    memory: 2048
    service_provider: systemd
    nics:
      - net: lagoon
    disks:
      - template_name: el7.3-base
        type: template
        name: root
        dev: vda
        format: qcow2
    artifacts:
      - /var/log
nets:
  lagoon:
    type: nat
    dhcp:
      start: 100
      end: 254
    management: true
    dns_domain_name: lagoon.local
"""
STATIC = """
domains:
  vm0:
    nics:
      - net: net-01
        ip: 192.168.220.2
nets:
  net-01: {gw: 192.168.220.1}
"""
BESIDE = """
domains:
  vm0:
    nics: [{net: net-01}]
    disks:
      - template_name: el7.3-base
        build:
          - virt-customize:
            ssh-inject: ''
            touch: [/root/file1, /root/file2]
        type: template
        name: root
nets: {net-01: {}}
"""
BUILD = """
domains:
  vm01:
    artifacts: [/var/log]
    bootstrap: false
    nics: [{net: net-01}]
    disks:
      - build:
          - virt-customize:
              ssh-inject: ''
              copy: dummy_file:/root
              touch: [/root/file1, /root/file2]
              selinux-relabel: ''
        dev: vda
        format: qcow2
        name: root
        path: $LAGO_INITFILE_PATH/lago-basic-suite-4-1-engine_root.qcow2
        template_name: el7.3-base
        template_type: qcow2
        type: template
nets: {net-01: {}}
"""
CPU = """
domains:
  vm-el73:
    vcpu: 2
    nics: [{net: net-01}]
    cpu_custom:
      '@mode': custom
      '@match': exact
      model:
        '@fallback': allow
        '#text': Westmere
      feature:
        '@policy': optional
        '@name': 'vmx'
      numa:
        cell:
          -
            '@id': 0
            '@cpus': 0
            '@memory': 2048
            '@unit': 'MiB'
          -
            '@id': 1
            '@cpus': 1
            '@memory': 2048
            '@unit': 'MiB'
nets: {net-01: {}}
"""


@pytest.mark.parametrize("text", [FIRST, STATIC, BESIDE, BUILD, CPU], ids=["first", "static ip", "build beside", "build", "cpu"])
def test_example_of_the_manual_has_neither_errors_nor_warnings(text: str) -> None:
    loaded = load_init_file("/env/LagoInitFile", text, Facts(templates={"el7.3-base": ("1",)}))
    assert [str(each) for each in loaded.diagnostics if each.severity is not Severity.INFO] == []
    assert loaded.spec is not None
