"""What a good init file becomes."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import FrameType

import pytest

from engine.initfile import Severity, load_init_file, require_spec
from engine.initfile.facts import Facts
from engine.initfile.values import disk_size, memory_mib
from engine.spec import DhcpRange, DiskSpec, DiskType, EnvSpec, MachineSpec

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = sorted((ROOT / "sample_initfiles").glob("*.yaml"))


def spec_of(text: str, facts: Facts | None = None) -> EnvSpec:
    return require_spec("/env/LagoInitFile", text, facts or Facts())[0]


def machine(keys: str) -> MachineSpec:
    return spec_of(f"domains:\n  vm0:\n    nics: [{{net: lan}}]\n    {keys}\nnets:\n  lan: {{}}\n").machines["vm0"]


def disk(keys: str, facts: Facts | None = None) -> DiskSpec:
    text = f"domains: {{vm0: {{nics: [{{net: lan}}], disks: [{{name: d, {keys}}}]}}}}\nnets: {{lan: {{}}}}\n"
    return spec_of(text, facts).machines["vm0"].disks[0]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_has_nothing_to_complain_about(sample: Path) -> None:
    loaded = load_init_file(sample, facts=Facts(templates={"tiny": ("1",)}))
    assert loaded.diagnostics == ()
    assert loaded.spec is not None


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_survives_a_prefix(sample: Path) -> None:
    spec = require_spec(sample)[0]
    for each in spec.machines.values():
        assert MachineSpec.from_json(json.loads(json.dumps(each.to_json()))) == each


def test_hello_has_two_machines_on_one_net() -> None:
    spec = require_spec(ROOT / "sample_initfiles/hello.yaml")[0]
    assert list(spec.machines) == ["alice", "bob"]
    assert spec.machines["bob"].groups == ("hello",)
    assert spec.nets["lan"].dhcp == DhcpRange(100, 254)


@pytest.mark.parametrize(
    ("written", "mib"),
    [(1024, 1024), ("1024", 1024), ("2G", 2048), ("2GiB", 2048), ("512m", 512), ("1.5G", 1536), ("1 T", 1048576), ("3K", None), ("", None)],
)
def test_memory(written: int | str, mib: int | None) -> None:
    assert memory_mib(written) == mib


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (10, "10G"),
        ("10", "10G"),
        (1.5, "1.5G"),
        ("512MiB", "512M"),
        ("2t", "2T"),
        ("4096B", "4096"),
        ("ten", None),
        (0, None),
        ("-1G", None),
    ],
)
def test_size(written: float | str, size: str | None) -> None:
    assert disk_size(written) == size


def test_numbers_as_text_and_passwords_as_numbers() -> None:
    found = machine('{memory: "1024", vcpu: "2", root-password: 123456}'.strip("{}").replace(", ", "\n    "))
    assert (found.memory_mib, found.vcpu, found.root_password) == (1024, 2, "123456")


def test_leading_zeros_of_a_password_stay() -> None:
    assert machine("root-password: 0123").root_password == "0123"


def test_no_password_by_default() -> None:
    assert (machine("vcpu: 1").root_password, machine("vcpu: 1").ssh_password) == (None, None)


def test_unknown_and_later_keys_are_kept() -> None:
    found = machine("artifacts: /var/log\n    colour: red")
    assert found.extra == {"artifacts": ["/var/log"], "colour": "red"}


def test_keys_of_later_verbs_are_kept() -> None:
    keys = {"service_provider": "systemd", "service_class": "x", "guest-agent": "qemu-ga", "skip-export": True, "artifacts": ["/a"]}
    machine_keys = {"nics": [{"net": "l"}], "ssh-user": "me", **keys}
    spec, remarks = require_spec("x", json.dumps({"domains": {"a": machine_keys}, "nets": {"l": {}}}))
    assert (spec.machines["a"].extra, spec.machines["a"].ssh_user) == (keys, "me")
    assert [each.code for each in remarks] == ["W103"]


def test_generated_keys_are_left_out() -> None:
    assert machine("name: other\n    snapshots: {}\n    mgmt_net: x").extra == {}


def test_devices_are_filled_in_around_named_ones() -> None:
    disks = "[{name: a, type: empty, size: 1}, {name: b, type: empty, size: 1, dev: vda}, {name: c, type: empty, size: 1, device: sda}]"
    assert [each.dev for each in machine(f"disks: {disks}").disks] == ["vdb", "vda", "sda"]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("a.qcow2", "/env/a.qcow2"),
        ("../a.qcow2", "/a.qcow2"),
        ("/x/a.qcow2", "/x/a.qcow2"),
        ("$LAGO_INITFILE_PATH/a.qcow2", "/env/a.qcow2"),
        ("'${IMAGES}/a.qcow2'", "/images/a.qcow2"),
        ("~/a.qcow2", "/home/me/a.qcow2"),
    ],
)
def test_path_of_a_file_disk(written: str, path: str) -> None:
    facts = Facts(variables={"IMAGES": "/images", "HOME": "/home/me"})
    assert disk(f"type: file, path: {written}", facts).path == path


def test_variables_mean_nothing_outside_of_paths() -> None:
    assert machine("distro: $HOME").distro == "$HOME"


def test_first_net_is_for_management_when_none_is_marked() -> None:
    nets = spec_of("domains: {}\nnets: {b: {}, a: {}}\n").nets
    assert {name: (net.management, net.dns_domain_name) for name, net in nets.items()} == {"b": (False, None), "a": (True, "lago.local")}


def test_machines_keep_the_order_of_the_file() -> None:
    text = "domains:\n  z: {nics: [{net: l}]}\n  a: {nics: [{net: l}]}\nnets: {l: }\n"
    assert list(spec_of(text).machines) == ["z", "a"]


@pytest.mark.parametrize("base", ["*base", "base"], ids=["by alias", "by name"])
def test_based_on_fills_in_what_is_missing(base: str) -> None:
    machine = f"{{based-on: {base}, vcpu: 1, nics: [{{net: l}}]}}"
    text = f"prototypes:\n  base: &base {{vcpu: 4, memory: 2G}}\ndomains:\n  a: {machine}\nnets: {{l: {{}}}}\n"
    found = spec_of(text).machines["a"]
    assert (found.vcpu, found.memory_mib) == (1, 2048)


def test_anchors_share_nothing_after_loading() -> None:
    text = "x: &x {a: [1]}\ndomains:\n  a: {nics: [{net: l}], metadata: *x}\n  b: {nics: [{net: l}], metadata: *x}\nnets: {l: {}}\n"
    machines = spec_of(text).machines
    assert machines["a"].metadata == machines["b"].metadata
    assert machines["a"].metadata["a"] is not machines["b"].metadata["a"]


MERGES = """
settings: &nat {type: nat, mtu: 1400, dhcp: {start: 2, end: 9}}
more: &more {mtu: 1300, dns_domain_name: more.local}
domains: {}
nets:
  own:
    <<: *nat
    mtu: 9000
  both: {<<: [*nat, *more], management: true}
"""


def test_merge_keys_yield_to_the_mappings_own_and_the_first_wins() -> None:
    nets = spec_of(MERGES).nets
    assert (nets["own"].mtu, nets["own"].dhcp) == (9000, DhcpRange(2, 9))
    assert (nets["both"].mtu, nets["both"].dns_domain_name) == (1400, "more.local")


JSON = (
    '{\n\t"domains":\t{"vm0": {"memory": "1024", "nics": [{"net": "lan"}],\n'
    '\t\t"metadata": {"smile": "\\ud83d\\ude00\\/"}}},\n\t"nets"\n:\t{"lan": {}}\n}\n'
)


def test_json_with_tabs_and_its_own_escapes() -> None:
    found = spec_of(JSON).machines["vm0"]
    assert (found.memory_mib, found.metadata) == (1024, {"smile": "😀/"})


def test_nearly_json_is_read_as_yaml() -> None:
    assert list(spec_of("{'domains': {}, 'nets': {'lan': {},},}").nets) == ["lan"]


def test_byte_order_mark_is_no_key() -> None:
    assert list(spec_of("\ufeffdomains: {}\nnets: {lan: {}}\n").nets) == ["lan"]


def test_windows_line_ends() -> None:
    (found,) = load_init_file("x", "domains: {}\r\nnets:\r\n  lan:\r\n    mtu: x\r\n").diagnostics[1:]
    assert (found.line, found.column, found.end_column) == (4, 10, 11)


def test_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    (found,) = load_init_file(tmp_path / "LagoInitFile").diagnostics
    assert (found.code, found.severity, found.line) == ("E001", Severity.ERROR, 1)
    assert str(tmp_path / "LagoInitFile") in found.message


def test_folder_is_an_error(tmp_path: Path) -> None:
    assert [each.code for each in load_init_file(tmp_path).diagnostics] == ["E001"]


def test_bytes_that_are_no_utf8_have_a_place(tmp_path: Path) -> None:
    path = tmp_path / "LagoInitFile"
    path.write_bytes("domains:\n  é".encode() + b"\xff: {}\n")
    (found,) = load_init_file(path).diagnostics
    assert (found.code, found.line, found.column) == ("E002", 2, 4)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "E010"),
        (b"\xff\xfed\x00o\x00", "E002"),
        (b"domains: {}\nnets: {a\x00: {}}\n", "E002"),
        (b"\x80", "E002"),
        (b"domains: \xc3(\n", "E002"),
        (b"\xed\xa0\x80", "E002"),
        (b"\x7fELF\x02\x01\x01", "E002"),
        (b" " * 9_000_000, "E007"),
        (b"#" * 4_500_000, "E007"),
    ],
    ids=["empty", "UTF-16", "NUL", "half a character", "broken character", "surrogate", "a program", "too long", "too long a line"],
)
def test_bytes_that_are_no_init_file(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "LagoInitFile"
    path.write_bytes(content)
    assert [each.code for each in load_init_file(path).diagnostics] == [code]


@pytest.mark.parametrize(
    "text",
    [
        "domains:\n  a:\n    nics: [{net: l}]\n" + "".join(f"    memor{n:x}: 1\n" for n in range(30_000)) + "nets: {l: {}}\n",
        "domains:\n"
        + "".join(f"  v{n}: {{nics: [{{net: lam{n}}}]}}\n" for n in range(2000))
        + "nets:\n"
        + "".join(f"  l{n}x: {{}}\n" for n in range(500)),
        "domains:\n" + "".join(f"  v{n}: {{nics: [{{net: l}}], depends_on: v{n + 1}}}\n" for n in range(5000)) + "nets: {l: {}}\n",
        "domains: {a: {nics: [{net: l}], ready: {log: '" + "(a+)+" * 90 + "'}}}\nnets: {l: {}}\n",
    ],
    ids=["unknown keys", "unknown nets", "long chain", "expression"],
)
def test_much_of_the_same_mistake_does_not_take_long(text: str) -> None:
    started_s = time.process_time()
    load_init_file("x", text, Facts(templates={}))
    assert time.process_time() - started_s < 10.0


def test_relative_path_starts_at_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "LagoInitFile"
    path.write_text("domains: {a: {nics: [{net: l}], disks: [{name: d, type: file, path: d.img}]}}\nnets: {l: {}}\n")
    assert require_spec(path)[0].machines["a"].disks[0].path == str(tmp_path / "d.img")


def test_published_shapes_load() -> None:
    text = """
domains:
  server:
    memory: 1024
    root-password: 123456
    groups: web
    artifacts: [/var/log]
    metadata: {deploy-scripts: [$LAGO_INITFILE_PATH/deps.sh]}
    nics:
      - {net: storage, ip: 192.168.210.5}
      - {net: storage}
      - {net: lagoon}
    disks:
      - {template_name: el7-base, type: template, name: root, dev: sda, format: qcow2}
      - {comment: big one, size: 100G, type: empty, name: data, dev: sdb, format: raw}
nets:
  storage: {management: False, gw: 192.168.210.4}
  lagoon: {type: nat, dhcp: {start: 100, end: 254}, management: true, dns_records: {foreman.example.com: 192.168.200.2}}
"""
    spec, diagnostics = require_spec("/env/LagoInitFile", text)
    assert [each.code for each in diagnostics] == ["W101"]
    assert spec.machines["server"].disks[1].type is DiskType.EMPTY
    assert spec.machines["server"].metadata == {"deploy-scripts": ["/env/deps.sh"]}


def big_file(machines: int) -> str:
    keys = "  vm{0}:\n    memory: 1024\n    vcpu: 2\n    groups: [web, db]\n"
    nics = "    nics:\n      - net: lan\n      - net: n{1}\n        ip: 192.168.{2}.{3}\n"
    disks = "    disks:\n      - template_name: tiny\n        type: template\n        name: root\n        dev: vda\n        format: qcow2\n"
    domains = "".join((keys + nics).format(n, n % 10, 210 + n % 10, 2 + n // 10) + disks for n in range(machines))
    nets = "".join(f"  n{n}: {{gw: 192.168.{210 + n}.1}}\n" for n in range(10))
    return f"domains:\n{domains}nets:\n  lan: {{management: true}}\n{nets}"


@pytest.mark.parametrize(("machines", "at_most_s"), [(36, 0.015), (1000, 0.25)], ids=["500 lines", "1,000 machines"])
def test_check_is_quick(machines: int, at_most_s: float) -> None:
    text, facts = big_file(machines), Facts(templates={"tiny": ()})
    spent_s = []
    for _ in range(6):
        started_s = time.process_time()
        load_init_file("x", text, facts)
        spent_s.append(time.process_time() - started_s)
    assert min(spent_s) <= at_most_s


def calls_to_load(text: str) -> int:
    """Count what the interpreter does, which does not depend on how busy the machine is."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        loaded = load_init_file("x", text, Facts(templates={"tiny": ()}))
    finally:
        sys.setprofile(None)
    assert loaded.spec is not None
    return calls


def test_work_grows_with_the_file_and_not_with_its_square() -> None:
    load_init_file("x", big_file(1))
    assert calls_to_load(big_file(800)) < 9 * calls_to_load(big_file(100))
