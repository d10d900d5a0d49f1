"""Broken init files. In each text `»` stands right before the place that the diagnostic must name."""

from __future__ import annotations

from typing import NamedTuple

from engine.initfile.facts import Facts, Processor

FACTS = Facts(
    templates={"tiny": ("v1", "v2"), "el7-base": ("v1",), "fc24-base": ("v1",), "fedora-43": ("v1",)},
    stand_ins={"fc24-base": "fedora-43"},
    exists=frozenset({"/env/here.qcow2", "/env/deploy.sh", "/cwd/other.sh"}).__contains__,
    scripts_base="/cwd",
    cpu_models=("Nehalem", "Snowridge", "Westmere"),
    processor=lambda: Processor("Westmere", "Intel", frozenset({"Nehalem", "Westmere"})),
    vm_providers=("local-libvirt", "ssh"),
    plugged=lambda kind: {"vm_service": ("runit",)}.get(kind, ()),
    bridges=("br0",),
    subnets=("192.168.220.0/24", "10.0.0.0/8"),
    leases={221: "/home/ann/.lago/default"},
    memory_mib=8192,
    cores=8,
    disk_bytes=200 * 1024**3,
)


class Case(NamedTuple):
    name: str
    code: str
    text: str


def vm(keys: str) -> str:
    """A good file but for the keys of its one machine."""
    return f"domains:\n  vm0:\n    nics: [{{net: lan}}]\n    {keys}\nnets:\n  lan: {{}}\n"


def reached(keys: str) -> str:
    return f"domains: {{vm0: {{vm-provider: ssh, ssh: {{{keys}}}}}}}\n"


def nics(items: str, nets: str = "{lan: {management: true}}") -> str:
    return f"domains:\n  vm0:\n    nics: {items}\nnets: {nets}\n"


def disk(keys: str) -> str:
    return vm(f"disks: [{keys}]")


def net(keys: str) -> str:
    return f"domains: {{}}\nnets:\n  lan:\n    {keys}\n"


def two_vms(first_ip: str, second_ip: str, keys: str = "gw: 192.168.210.1") -> str:
    machine = "  {}: {{nics: [{{net: lan, ip: {}}}]}}\n"
    return f"domains:\n{machine.format('a', first_ip)}{machine.format('b', second_ip)}nets:\n  lan: {{{keys}}}\n"


TEXT = [
    Case("empty file", "E010", "»"),
    Case("only a comment", "E010", "»# nothing\n"),
    Case("a list at the top", "E010", "»[1, 2]\n"),
    Case("a block list at the top", "E010", "»- 1\n- 2\n"),
    Case("one word", "E010", "»hello\n"),
    Case("NUL", "E002", "domains:\n  v»\0m: 1\n"),
    Case("escape character", "E002", "a: »\x1b[31m\n"),
    Case("lone surrogate", "E002", "a: »\ud800\n"),
    Case("tab as indentation", "E004", "domains:\n»\tvm0: {}\n"),
    Case("tab deeper down", "E004", "domains:\n  vm0:\n    nics: []\n»\tmemory: 1\n"),
    Case("unclosed bracket", "E003", "domains: {vm0: {}\n»nets: {}\n"),
    Case("unclosed quote", "E003", 'domains: "abc\n»'),
    Case("colon in a value", "E003", "domains:\n  vm0: a»: b\n"),
    Case("bad indentation", "E003", "domains:\n  a: 1\n »b: 2\n"),
    Case("value starts with @", "E003", "a: »@b\n"),
    Case("value starts with a backtick", "E003", "a: »`b\n"),
    Case("second document", "E003", "a: 1\n»---\nb: 2\n"),
    Case("unknown escape", "E003", 'a: "»\\q"\n'),
    Case("anchor that is not there", "E008", "domains: »*nothing\n"),
    Case("anchor in itself", "E008", "domains: &a\n  b: »*a\n"),
    Case("merge into itself", "E008", "domains: &a\n  <<: »*a\n"),
    Case("merge of a list of words", "E008", "domains: {}\nnets:\n  lan:\n    <<: [»a]\n"),
    Case("merge of a word", "E008", "domains: {}\nnets:\n  lan:\n    <<: »word\n"),
    Case("duplicate machine", "E005", "domains:\n  a: {nics: [{net: l}]}\n  »a: {nics: [{net: l}]}\nnets: {l: {}}\n"),
    Case("duplicate top key", "E005", "domains: {}\nnets: {l: {}}\n»domains: {}\n"),
    Case("duplicate key in flow", "E005", "domains: {}\nnets: {l: {mtu: 1500, »mtu: 1400}}\n"),
    Case("duplicate key, one quoted", "E005", 'domains: {}\nnets: {l: {}}\nx: {1: a, »"1": b}\n'),
    Case("list as a key", "E009", "»[a, b]: 1\n"),
    Case("mapping as a key", "E009", "domains:\n  ? »{a: b}\n  : 1\n"),
    Case("python object", "E006", "domains: {}\nnets: {lan: {}}\nx: »!!python/object/apply:os.system ['true']\n"),
    Case("python name", "E006", "domains: {}\nnets: {lan: {}}\nx: »!!python/name:os.system ''\n"),
    Case("own tag", "E006", "domains: {}\nnets: {lan: {}}\nx: »!secret abc\n"),
    Case("binary", "E006", "domains: {}\nnets: {lan: {}}\nx: »!!binary aGVsbG8=\n"),
    Case("integer tag on a word", "E006", "domains: {}\nnets: {lan: {}}\nx: »!!int abc\n"),
    Case("endless number", "E006", "domains: {}\nnets: {lan: {}}\nx: »" + "9" * 5000 + "\n"),
    Case("deep brackets", "E007", "[" * 64 + "»" + "[" * 100_000),
    Case("deep dashes", "E007", "- " * 64 + "»" + "- " * 50_000),
    Case("deep question marks", "E007", "? " * 64 + "»" + "? " * 50_000),
    Case("deep JSON", "E007", '{"a": ' * 64 + "»" + '{"a": ' * 50_000),
    Case("deep through anchors", "E007", "a: &a " + "[" * 40 + "1" + "]" * 40 + "\nb: " + "[" * 40 + "»*a" + "]" * 40),
    Case(
        "billion laughs",
        "E007",
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in ["ab", "bc", "cd", "de"])
        + "f: [»*e,*e,*e,*e,*e,*e]\n",
    ),
    Case("too many values", "E007", "domains: {}\nx:\n" + "- a\n" * 199_995 + "- »a\n" + "- a\n" * 100_000),
    Case("JSON: too many values", "E007", '{"domains": {}, "x": [' + "1," * 199_997 + "»1," + "1," * 100_000 + "1]}"),
    Case("JSON: comma before the end", "E003", '{"domains": {}, "nets": {"a" »1}}'),
    Case("JSON: no value", "E003", '{"domains": {}, "nets": »'),
    Case("JSON: more after the end", "E003", '{"domains": {}}\n»{"nets": {}}'),
    Case("JSON: duplicate key", "E005", '{"domains": {},\n\t"nets": {"l": {}},\n\t»"domains": {}}'),
    Case("JSON: endless number", "E006", '{"domains": »' + "9" * 5000 + ', "nets": {"l": {}}}'),
    Case("JSON: tabs and a wrong type", "E101", '{\t"domains": {},\n\t"nets":\t{"lan":\t{"mtu":\t»[]}}}'),
]

KEYS = [
    Case("no domains", "E217", "»nets: {lan: {}}\n"),
    Case("no nets", "E218", "»domains: {}\n"),
    Case("empty nets", "E218", "domains: {}\n»nets: {}\n"),
    Case("domains is a list", "E101", "domains: »[]\nnets: {lan: {}}\n"),
    Case("domains is nothing", "E101", "»domains:\nnets: {lan: {}}\n"),
    Case("machine is nothing", "E101", "domains:\n  »vm0:\nnets: {lan: {}}\n"),
    Case("machine is a word", "E101", "domains:\n  vm0: »small\nnets: {lan: {}}\n"),
    Case("net is a word", "E101", "domains: {}\nnets:\n  lan: »nat\n"),
    Case("slip in a machine's key", "E103", vm("»memroy: 1024")),
    Case("slip in a nic's key", "E103", nics("[{net: lan, »ips: 192.168.1.2}]")),
    Case("slip in a disk's key", "E103", disk("{name: root, type: empty, size: 1G, »fromat: raw}")),
    Case("slip in a net's key", "E103", net("»managment: true")),
    Case("slip in a dhcp key", "E103", net("dhcp: {start: 2, end: 9, »strat: 3}")),
    Case("underscore for a dash", "E103", vm("»ssh_user: me")),
    Case("memory is a word", "E215", vm("memory: »lots")),
    Case("memory is a list", "E101", vm("memory: »[1]")),
    Case("memory is a yes", "E101", vm("memory: »yes")),
    Case("memory is a fraction", "E101", vm("memory: »1.5")),
    Case("memory is not whole", "E215", vm("memory: »1K")),
    Case("memory is too small", "E104", vm("memory: »1")),
    Case("memory is negative", "E104", vm("memory: »-5")),
    Case("memory is huge", "E104", vm("memory: »99999999999999999999")),
    Case("memory is huge text", "E104", vm("memory: »9999P")),
    Case("memory is nothing", "E101", vm("»memory:")),
    Case("vcpu is zero", "E104", vm("vcpu: »0")),
    Case("vcpu is too many", "E104", vm("vcpu: »4096")),
    Case("vcpu is a word", "E101", vm("vcpu: »two")),
    Case("nics is a mapping", "E101", nics("»{net: lan}")),
    Case("nic is a word", "E101", nics("[»lan]")),
    Case("nic without a net", "E102", nics("[»{ip: 192.168.1.2}]")),
    Case("nic in a block without a net", "E102", "domains:\n  vm0:\n    nics:\n      - »ip: 192.168.1.2\nnets: {lan: {}}\n"),
    Case("disks is a word", "E101", vm("disks: »tiny")),
    Case("disk without a type", "E102", disk("»{name: root, template_name: tiny}")),
    Case("disk without a name", "E102", disk("»{type: template, template_name: tiny}")),
    Case("slip in a disk type", "E104", disk("{name: root, type: »tempalte, template_name: tiny}")),
    Case("unknown disk format", "E104", disk("{name: root, type: empty, size: 1G, format: »vmdk}")),
    Case("unknown template type", "E104", disk("{name: root, type: template, template_name: tiny, template_type: »ova}")),
    Case("no device", "E104", disk("{name: root, type: empty, size: 1G, dev: »disk1}")),
    Case("device for CD-ROMs", "E104", disk("{name: root, type: empty, size: 1G, dev: »hda}")),
    Case("dev and device differ", "E106", disk("{name: root, type: empty, size: 1G, dev: vda, »device: vdb}")),
    Case("size is a word", "E215", disk("{name: root, type: empty, size: »big}")),
    Case("size is zero", "E215", disk("{name: root, type: empty, size: »0}")),
    Case("size is in bytes", "E215", disk("{name: root, type: empty, size: »10737418240}")),
    Case("size is a yes", "E101", disk("{name: root, type: empty, size: »yes}")),
    Case("empty disk without a size", "E102", disk("»{name: root, type: empty}")),
    Case("template disk without a template", "E102", disk("»{name: root, type: template}")),
    Case("qcow2 template without a path", "E102", disk("»{name: root, type: template, template_type: qcow2, template_name: tiny}")),
    Case("qcow2 template that is not there", "E216", disk("{name: root, type: template, template_type: qcow2, path: »gone.qcow2}")),
    Case("empty CD-ROM", "E106", disk("{name: root, type: empty, size: 1G, format: »iso}")),
    Case("file disk without a path", "E102", disk("»{name: root, type: file}")),
    Case("CD-ROM of a template", "E106", disk("{name: r, type: template, template_name: tiny, format: »iso}")),
    Case("CD-ROM with a size", "E106", disk("{name: r, type: file, path: here.qcow2, format: iso, »size: 1G}")),
    Case("CD-ROM without a path", "E102", disk("»{name: r, type: file, format: iso}")),
    Case("device before dev", "E106", disk("{name: root, type: empty, size: 1G, device: vda, »dev: vdb}")),
    Case("in place and copied", "E106", disk("{name: r, type: file, path: here.qcow2, in_place: true, »make_a_copy: true}")),
    Case("size of a template is a word", "E215", disk("{name: r, type: template, template_name: tiny, size: »huge}")),
    Case("size is huge", "E215", disk("{name: r, type: empty, size: »2000T}")),
    Case("size is not a number", "E215", disk("{name: r, type: empty, size: ».nan}")),
    Case("size is without end", "E215", disk("{name: r, type: empty, size: ».inf}")),
    Case("copy in place", "E106", disk("{name: r, type: file, path: here.qcow2, make_a_copy: true, »in_place: true}")),
    Case("flag is a word", "E101", disk("{name: r, type: file, path: here.qcow2, make_a_copy: »maybe}")),
    Case("url of another scheme", "E104", disk("{name: r, type: file, url: »'ftp://x/y'}")),
    Case("url is a number", "E101", disk("{name: r, type: file, url: »1.5}")),
    Case("url of a file that is not there", "E216", disk("{name: r, type: file, url: »'file:///gone.qcow2'}")),
    Case("url with a variable that is not set", "E220", disk("{name: r, type: file, url: »'http://$NOWHERE/y'}")),
    Case("checksum is too short", "E104", disk("{name: r, type: file, url: 'http://x/y', sha256: »abc}")),
    Case("checksum is a number", "E104", disk("{name: r, type: file, url: 'http://x/y', sha1: »1234}")),
    Case("OVA machine without a url", "E102", vm("»type: ova")),
    Case("OVA archive that is not there", "E216", vm("type: ova\n    url: »gone.ova")),
    Case("unknown machine type", "E104", vm("type: »vmx")),
    Case("provider of a later version", "E105", vm("vm-provider: »lxd")),
    Case("machine that exists already, but nobody says where", "E102", "domains: {vm0: {»vm-provider: ssh}}\n"),
    Case("machine that exists already, at an option", "E208", reached("address: »'-oProxyCommand=x'")),
    Case("machine that exists already, without an address", "E102", "domains: {vm0: {vm-provider: ssh, »ssh: {port: 22}}}\n"),
    Case("machine that exists already, with a key that is not there", "E216", reached("address: a.test, keys: [here.qcow2, »gone]")),
    Case("machine that exists already, with one key that is not there", "E216", reached("address: a.test, keys: »gone")),
    Case("ssh port too large", "E104", reached("address: a.test, port: »65536")),
    Case("ssh is an address", "E101", "domains: {vm0: {vm-provider: ssh, ssh: »10.0.0.7}}\n"),
    Case("unknown provider", "E221", vm("vm-provider: »local-libvrt")),
    Case("unknown machine type", "E221", vm("vm-type: »ost")),
    Case("unknown service provider", "E221", vm("service_provider: »upstart")),
    Case("artifacts is a mapping", "E101", vm("artifacts: »{a: b}")),
    Case("skip-export is a number", "E101", vm("skip-export: »2")),
    Case("guest agent is a list", "E101", vm("guest-agent: »[a]")),
    Case("two CPUs", "E106", vm("cpu_custom: {model: Westmere}\n    »cpu_model: Westmere")),
    Case("two CPUs, the other way round", "E106", vm("cpu_model: Westmere\n    »cpu_custom: {model: Westmere}")),
    Case("CPU is a word", "E101", vm("cpu_custom: »host")),
    Case("CPU model is a list", "E101", vm("cpu_model: »[a]")),
    Case("CPU element with a space", "E228", vm("cpu_custom: {»a b: 1}")),
    Case("CPU attribute is a mapping", "E228", vm("cpu_custom: {»'@mode': {a: b}}")),
    Case("CPU element deep down", "E228", vm("cpu_custom: {numa: {cell: [{'@id': 0}, {»'<cell>': 1}]}}")),
    Case("CPU list in a list", "E228", vm("cpu_custom: {feature: [»[a]]}")),
    Case("depends_on is a number", "E101", vm("depends_on: »7")),
    Case("depends_on holds a mapping", "E101", vm("depends_on: [»{a: b}]")),
    Case("ready is a word", "E101", vm("ready: »ssh")),
    Case("ready says nothing", "E102", vm("»ready: {}")),
    Case("ready says only how long", "E102", vm("»ready: {timeout_sec: 5}")),
    Case("slip in a readiness key", "E103", vm("ready: {tcp: 22, »timeout: 5}")),
    Case("port zero", "E104", vm("ready: {tcp: »0}")),
    Case("port too large", "E104", vm("ready: {tcp: »65536}")),
    Case("port is a name", "E101", vm("ready: {tcp: »http}")),
    Case("log is no expression", "E104", vm("ready: {log: »'(login'}")),
    Case("log is a number", "E101", vm("ready: {log: »1.5}")),
    Case("log is endless", "E104", vm("ready: {log: »" + "x" * 501 + "}")),
    Case("cloud-init is text", "E101", vm("cloud-init: »'#cloud-config'")),
    Case("slip in a cloud-init key", "E103", vm("cloud-init: {»userdata: {}}")),
    Case("user-data is a script", "E101", vm("cloud-init: {user-data: »'#!/bin/sh'}")),
    Case("user-data is a list", "E101", vm("cloud-init: {user-data: »[a]}")),
    Case("user-data cannot be read", "E226", vm('cloud-init: {user-data: »"#cloud-config\\na: [b\\n"}')),
    Case("user-data is a list in text", "E226", vm('cloud-init: {user-data: »"#cloud-config\\n- a\\n"}')),
    Case("user-data with a python object", "E226", vm('cloud-init: {user-data: »"#cloud-config\\na: !!python/name:os.system x\\n"}')),
    Case("network-config of version 1", "E104", vm("cloud-init: {network-config: »{version: 1}}")),
    Case("network-config without a version", "E104", vm("cloud-init: {network-config: »{ethernets: {}}}")),
    Case("network-config is a word", "E101", vm("cloud-init: {network-config: »[dhcp]}")),
    Case("build is a mapping", "E101", disk("{name: a, type: empty, size: 1, build: »{virt-customize: {}}}")),
    Case("unknown builder", "E104", disk("{name: a, type: empty, size: 1, build: »[{packer: {}}]}")),
    Case("builder is a word", "E101", disk("{name: a, type: empty, size: 1, build: »[virt-customize]}")),
    Case("builder's options are a list", "E101", disk("{name: a, type: empty, size: 1, build: »[{virt-customize: [a]}]}")),
    Case("builder's option is a mapping", "E101", disk("{name: a, type: empty, size: 1, build: »[{virt-customize: {a: {b: c}}}]}")),
    Case("deploy scripts are a word", "E101", vm("metadata: {deploy-scripts: »deploy.sh}")),
    Case("deploy script is a number", "E101", vm("metadata: {deploy-scripts: »[7]}")),
    Case("deploy script that is not there", "E216", vm("metadata: {deploy-scripts: [deploy.sh, »gone.sh]}")),
    Case("deploy script with an unset variable", "E220", vm("metadata: {deploy-scripts: [»$NOWHERE/a.sh]}")),
    Case("deploy scripts under both names", "E106", vm("metadata: {deploy-scripts: [deploy.sh], »ovirt-scripts: [deploy.sh]}")),
    Case("version is read as a number", "E101", disk("{name: r, type: template, template_name: tiny, template_version: »1.10}")),
    Case("password is read as a yes", "E101", vm("ssh-password: »yes")),
    Case("groups is a number", "E101", vm("groups: »7")),
    Case("group is a list", "E101", vm("groups: [»[a]]")),
    Case("metadata is a list", "E101", vm("metadata: »[a]")),
    Case("bootstrap is a number", "E101", vm("bootstrap: »7")),
    Case("boot time is zero", "E104", vm("boot_time_sec: »0")),
    Case("unknown prototype", "E107", vm("based-on: »small")),
    Case("prototype of itself", "E107", "prototypes: {a: {based-on: »a}}\n" + vm("based-on: a")),
    Case("prototype is a word", "E101", "prototypes: {a: »b}\n" + vm("based-on: a")),
    Case("based on a list", "E101", vm("based-on: »[a]")),
    Case("prototype of itself that nothing is based on", "E107", "prototypes: {a: {based-on: »a}}\n" + vm("vcpu: 1")),
    Case(
        "prototypes of each other",
        "E107",
        "prototypes: {a: {based-on: b}, b: {based-on: »a}}\n" + vm("based-on: b").replace("b\n", "a\n", 1),
    ),
    Case(
        "prototypes of each other that nothing is based on", "E107", "prototypes: {a: {based-on: b}, b: {based-on: »a}}\n" + vm("vcpu: 1")
    ),
    Case("prototypes are a list", "E101", "prototypes: »[a]\n" + vm("vcpu: 1")),
    Case("unused prototype is nothing", "E101", "prototypes:\n  »a:\n" + vm("vcpu: 1")),
    Case("fault in an unused prototype", "E101", "prototypes: {a: {vcpu: »many}}\n" + vm("vcpu: 1")),
    Case("slip in an unused prototype", "E103", "prototypes: {a: {»memori: 512}}\n" + vm("vcpu: 1")),
    Case(
        "slip in a disk of an unused prototype",
        "E103",
        "prototypes: {a: {disks: [{type: empty, name: a, size: 1G, »divice: vda}]}}\n" + vm("vcpu: 1"),
    ),
    Case("unknown prototype of an unused one", "E107", "prototypes: {a: {based-on: »c}}\n" + vm("vcpu: 1")),
    Case(
        "prototypes more than deep",
        "E107",
        "prototypes:\n  p0: {}\n"
        + "".join(f"  p{n}: {{based-on: p{n - 1}}}\n" for n in range(1, 65)).replace("p0}", "»p0}")
        + vm("based-on: p64"),
    ),
    Case(
        "prototypes that multiply",
        "E007",
        "prototypes:\n  p: {groups: ["
        + "a, " * 1000
        + "a]}\ndomains:\n"
        + "".join(f"  v{n}: {{nics: [{{net: l}}], based-on: {'»' if n == 199 else ''}p}}\n" for n in range(200))
        + "nets: {l: {}}\n",
    ),
    Case("too many disks", "E230", disk(", ".join(f"{'»' if n == 200 else ''}{{type: empty, size: 1, name: d{n}}}" for n in range(201)))),
    Case("fault in a prototype", "E101", "prototypes: {a: {vcpu: »many}}\n" + vm("based-on: a")),
    Case("fault in a merged mapping", "E101", "x: &x {vcpu: »many}\n" + vm("<<: *x")),
    Case("bridge net with a gateway", "E106", net("type: bridge\n    gw: »192.168.210.1")),
    Case("gateway, then a bridge net", "E106", net("gw: 192.168.210.1\n    type: »bridge")),
    Case("bridge net with dhcp", "E106", net("type: bridge\n    dhcp: »{start: 2, end: 9}")),
    Case("bridge on a nat net", "E106", net("type: nat\n    »bridge: br0")),
    Case("bridge without a type", "E106", net("»bridge: br0")),
    Case("bridge that is not there", "E223", net("type: bridge\n    bridge: »br1")),
    Case("bridge with a long name", "E214", net("type: bridge\n    bridge: »a-very-long-bridge-name")),
    Case("bridge with a slash", "E214", net("type: bridge\n    bridge: »a/b")),
    Case("IPv6 is a number", "E101", net("ipv6: »6")),
    Case("isolated is a word", "E101", net("isolated: »wholly")),
    Case("IPv6 with a small mtu", "E106", net("mtu: 1000\n    »ipv6: true")),
    Case("unknown net type", "E104", net("type: »router")),
    Case("dhcp is a yes", "E101", net("dhcp: »true")),
    Case("dhcp without an end", "E102", net("»dhcp: {start: 2}")),
    Case("dhcp end too large", "E104", net("dhcp: {start: 2, end: »300}")),
    Case("mtu too small", "E104", net("mtu: »1")),
    Case("dns records is a list", "E101", net("dns_records: »[a]")),
]

MEANING = [
    Case("unknown net", "E201", nics("[{net: lan}, {net: »lam}]")),
    Case("unknown template", "E202", disk("{name: r, type: template, template_name: »tinny}")),
    Case("unknown version", "E203", disk("{name: r, type: template, template_name: tiny, template_version: »v3}")),
    Case("machine without nics", "E204", "domains:\n  »vm0: {}\nnets: {lan: {}}\n"),
    Case("machine off the management net", "E204", "domains:\n  »vm0: {nics: [{net: b}]}\nnets: {a: {}, b: {}}\n"),
    Case(
        "machine on two management nets",
        "E204",
        "domains:\n  »vm0: {nics: [{net: a}, {net: b}]}\nnets: {a: {management: true}, b: {management: yes}}\n",
    ),
    Case("machine twice on the management net", "E204", "domains:\n  »vm0: {nics: [{net: a}, {net: a}]}\nnets: {a: {}}\n"),
    Case("two machines with one address", "E205", two_vms("192.168.210.7", "»192.168.210.7")),
    Case("two machines with one last octet", "E205", two_vms("192.168.210.7", "»10.0.0.7", "")),
    Case(
        "one machine with one address twice",
        "E205",
        nics(
            "[{net: lan}, {net: b, ip: 192.168.210.7}, {net: b, ip: »192.168.210.7}]", "{lan: {management: true}, b: {gw: 192.168.210.1}}"
        ),
    ),
    Case("the gateway's address", "E206", two_vms("192.168.210.7", "»192.168.210.1")),
    Case("the address of an odd gateway", "E206", two_vms("192.168.210.1", "»192.168.210.9", "gw: 192.168.210.9")),
    Case("the gateway's octet without gw", "E206", two_vms("10.0.0.2", "»10.0.0.1", "")),
    Case("outside of the net", "E207", two_vms("192.168.210.7", "»192.168.211.8")),
    Case("no address", "E208", two_vms("192.168.210.7", "»192.168.210")),
    Case("octet too large", "E208", two_vms("192.168.210.7", "»192.168.210.256")),
    Case("leading zero", "E208", two_vms("192.168.210.7", "»192.168.210.010")),
    Case("the broadcast address", "E208", two_vms("192.168.210.7", "»192.168.210.255")),
    Case("an IPv6 address", "E208", two_vms("192.168.210.7", "»'fd8f::1'")),
    Case("gateway is a word", "E208", net("gw: »here")),
    Case("gateway out of range", "E209", net("gw: »10.0.0.1")),
    Case("gateway below the range", "E209", net("gw: »192.168.199.1")),
    Case("gateway above the range", "E209", net("gw: »192.168.255.1")),
    Case("gateway is the net", "E209", net("gw: »192.168.210.0")),
    Case("two nets in one subnet", "E210", "domains: {}\nnets:\n  a: {gw: 192.168.210.1}\n  b: {gw: »192.168.210.2}\n"),
    Case("dhcp range backwards", "E211", net("dhcp: {start: 9, end: »2}")),
    Case("dhcp range backwards, the end first", "E211", net("dhcp: {end: 2, start: »9}")),
    Case("two disks at one device", "E212", disk("{name: a, type: empty, size: 1, dev: vda}, {name: b, type: empty, size: 1, dev: »vda}")),
    Case("two disks with one name", "E213", disk("{name: a, type: empty, size: 1}, {name: »a, type: empty, size: 1}")),
    Case("machine with a space", "E214", "domains:\n  »my vm: {nics: [{net: lan}]}\nnets: {lan: {}}\n"),
    Case("machine with a slash", "E214", "domains:\n  »../vm: {nics: [{net: lan}]}\nnets: {lan: {}}\n"),
    Case("machine without a name", "E214", 'domains:\n  »"": {nics: [{net: lan}]}\nnets: {lan: {}}\n'),
    Case("machine with a long name", "E214", "domains:\n  »" + "v" * 64 + ": {nics: [{net: lan}]}\nnets: {lan: {}}\n"),
    Case("net with a space", "E214", "domains: {}\nnets:\n  »my net: {}\n"),
    Case("disk with a slash", "E214", disk("{name: »a/b, type: empty, size: 1}")),
    Case("DNS domain with a space", "E214", net("dns_domain_name: »my domain")),
    Case("file that is not there", "E216", disk("{name: a, type: file, path: »gone.qcow2}")),
    Case("DNS without management", "E219", "domains: {}\nnets:\n  a: {}\n  b: {dns_domain_name: »b.local}\n"),
    Case("variable that is not set", "E220", disk("{name: a, type: file, path: »$NOWHERE/here.qcow2}")),
    Case(
        "address on a bridge net", "E227", nics("[{net: lan}, {net: b, ip: »192.168.210.7}]", "{lan: {management: yes}, b: {type: bridge}}")
    ),
    Case("CPU with a control character", "E228", vm("cpu_custom: {'@mode': »\"a\\x01b\"}")),
    Case("half of an address", "E104", disk("{name: a, type: file, url: »'http://[::1'}")),
    Case("address without a host", "E104", disk("{name: a, type: file, url: »'https:///x.qcow2'}")),
    Case("address with an impossible port", "E104", disk("{name: a, type: file, url: »'http://x:99999/y'}")),
    Case("half a byte", "E215", disk("{name: a, type: empty, size: »1.5B}")),
    Case("half a CPU", "E101", vm("vcpu: »2.5")),
    Case("unknown CPU model", "E222", vm("cpu_model: »Westmare")),
    Case("unknown CPU model in a CPU", "E222", vm("cpu_custom: {model: {'#text': »Westmare}}")),
    Case("depends on a stranger", "E225", vm("depends_on: »vm1")),
    Case("depends on itself", "E224", vm("depends_on: [»vm0]")),
    Case(
        "circle of three",
        "E224",
        "domains:\n"
        + "".join(
            f"  {name}: {{nics: [{{net: l}}], depends_on: [{mark}{other}]}}\n"
            for name, mark, other in [("a", "", "b"), ("b", "", "c"), ("c", "»", "a")]
        )
        + "nets: {l: {}}\n",
    ),
    Case("machine that ends in a dash", "E214", "domains:\n  »vm-: {nics: [{net: lan}]}\nnets: {lan: {}}\n"),
    Case("machine that ends in a dot", "E214", "domains:\n  »vm.: {nics: [{net: lan}]}\nnets: {lan: {}}\n"),
    Case("machine with two dots", "E214", "domains:\n  »v..m: {nics: [{net: lan}]}\nnets: {lan: {}}\n"),
    Case("DNS record with a bad name", "E214", net("dns_records: {»a_/b: 192.168.1.1}")),
    Case("DNS record without an address", "E208", net("dns_records: {www: »here}")),
]

BROKEN = [*TEXT, *KEYS, *MEANING]

REMARKS = [
    Case("unknown top key", "W101", "domains: {}\nnets: {lan: {}}\n»common: 1\n"),
    Case("near top key", "W101", "domains: {}\nnets: {lan: {}}\n»net: 1\n"),
    Case("comment of a disk", "W101", disk("{name: a, type: empty, size: 1, »comment: big}")),
    Case("old name of a service provider", "W103", vm("»service_class: x")),
    Case("old name of deploy scripts", "W103", vm("metadata: {»ovirt-scripts: [deploy.sh]}")),
    Case("disks of a machine that exists already", "W104", "domains: {a: {vm-provider: ssh, ssh: {address: b}, »disks: []}}\n"),
    Case("ssh of a machine of ours", "W104", vm("»ssh: {address: b}")),
    Case("isolated bridge net", "W104", net("type: bridge\n    »isolated: true")),
    Case("template of an empty disk", "W104", disk("{name: a, type: empty, size: 1, »template_name: tiny}")),
    Case("path beside a url", "W104", disk("{name: a, type: file, »path: here.qcow2, url: 'http://x/y'}")),
    Case("path of a template", "W104", disk("{name: a, type: template, template_name: tiny, »path: here.qcow2}")),
    Case(
        "checksum without a url", "W104", disk("{name: a, type: file, path: here.qcow2, »sha1: 'da39a3ee5e6b4b0d3255bfef95601890afd80709'}")
    ),
    Case("url of a machine", "W104", vm("»url: 'http://x/y'")),
    Case("DNS of a bridge net", "W104", net("type: bridge\n    »dns_records: {a: 192.168.1.1}")),
    Case("DNS records off management", "W104", "domains: {}\nnets:\n  a: {}\n  b: {»dns_records: {a: 192.168.1.1}}\n"),
    Case("no machines", "W201", "»domains: {}\nnets: {lan: {}}\n"),
    Case("more cores than there are", "W202", vm("vcpu: »64")),
    Case("more memory than there is", "W202", vm("memory: »16G")),
    Case("more memory together", "W202", "»domains:\n  a: &a {nics: [{net: l}], memory: 5G}\n  b: *a\nnets: {l: {}}\n"),
    Case("more disk than there is", "W202", "»" + disk("{name: a, type: empty, size: 1T}")),
    Case("subnet of the host", "W203", net("gw: »192.168.220.1")),
    Case("subnet of another environment", "W203", net("gw: »192.168.221.1")),
    Case("bridge for management", "W204", "domains: {}\nnets:\n  »lan: {type: bridge}\n"),
    Case("names that differ in case", "W205", "domains:\n  vm: {nics: [{net: l}]}\n  »VM: {nics: [{net: l}]}\nnets: {l: {}}\n"),
    Case("name of another's nic", "W205", "domains:\n  vm: {nics: [{net: l}]}\n  »vm-eth0: {nics: [{net: l}]}\nnets: {l: {}}\n"),
    Case(
        "more nics than addresses",
        "W206",
        "domains:\n" + "".join(f"  v{n}: {{nics: [{{net: l}}]}}\n" for n in range(254)) + "nets:\n  »l: {}\n",
    ),
    Case("CPU model that the host cannot run", "W207", vm("cpu_model: »Snowridge")),
    Case("CPU model in elements that the host cannot run", "W207", vm("cpu_custom: {model: {'#text': »Snowridge}}")),
    Case(
        "one address too few beside a gateway in the middle",
        "W206",
        "domains:\n" + "".join(f"  v{n}: {{nics: [{{net: l}}]}}\n" for n in range(253)) + "nets:\n  »l: {gw: 192.168.210.7}\n",
    ),
    Case("more nets than subnets", "W206", "domains: {}\n»nets:\n" + "".join(f"  n{n}: {{}}\n" for n in range(57))),
    Case("last octet kept", "I201", two_vms("»10.0.0.7", "10.0.0.8", "")),
    Case("file disk of the manual", "I202", disk("{name: a, type: »file, size: 10G}")),
    Case("template of the manual", "I203", disk("{name: a, type: template, template_name: »fc24-base}")),
]
