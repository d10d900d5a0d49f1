from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InitFileError, LeaseError, SubnetOutOfRange, SubnetsExhausted, SubnetTaken
from engine.plan.addressing import plan_addresses
from engine.spec import EnvSpec, MachineSpec, NetSpec, NetType, NicSpec

ROOT = str(Path(__file__).parents[3])


def env(nets: list[NetSpec], machines: dict[str, list[NicSpec]]) -> EnvSpec:
    return EnvSpec({name: MachineSpec(name, nics=tuple(nics)) for name, nics in machines.items()}, {net.name: net for net in nets})


def plan(nets: list[NetSpec], leased: dict[int, str] | None = None, used: tuple[str, ...] = (), **machines: list[NicSpec]) -> EnvSpec:
    return plan_addresses(env(nets, machines), leased or {}, used)


def gateways(planned: EnvSpec) -> dict[str, str | None]:
    return {name: net.gw for name, net in planned.nets.items()}


def addresses(planned: EnvSpec) -> list[str | None]:
    return [nic.ip for machine in planned.machines.values() for nic in machine.nics]


# management


def test_without_management_the_first_name_is_it() -> None:
    planned = plan([NetSpec("b"), NetSpec("a")])

    assert [net.management for net in planned.nets.values()] == [False, True]


def test_management_net_has_a_domain_others_have_none() -> None:
    planned = plan([NetSpec("a", management=True), NetSpec("b")])

    assert [net.dns_domain_name for net in planned.nets.values()] == ["lago.local", None]


def test_given_domain_stays() -> None:
    assert plan([NetSpec("a", dns_domain_name="x.org")]).nets["a"].dns_domain_name == "x.org"


def test_machine_knows_its_management_net() -> None:
    planned = plan([NetSpec("a"), NetSpec("m", management=True)], vm=[NicSpec("a"), NicSpec("m")])

    assert (planned.machines["vm"].mgmt_net, planned.machines["vm"].ip) == ("m", planned.machines["vm"].nics[1].ip)


@pytest.mark.parametrize(
    ("nics", "words"),
    [
        ([NicSpec("b")], "no nic on a management net"),
        ([], "no nic on a management net"),
        ([NicSpec("a"), NicSpec("a")], "2 nics on management nets"),
        ([NicSpec("a"), NicSpec("c")], "2 nics on management nets"),
        ([NicSpec("nowhere")], "'nowhere', which is not there"),
    ],
)
def test_machine_is_on_exactly_one_management_net(nics: list[NicSpec], words: str) -> None:
    with pytest.raises(InitFileError, match=f"'vm'.*{words}"):
        plan([NetSpec("a", management=True), NetSpec("b"), NetSpec("c", management=True)], vm=nics)


def test_environment_without_machines_is_fine() -> None:
    assert gateways(plan([NetSpec("a")])) == {"a": "192.168.200.1"}


# subnets


def test_nets_without_gateway_take_free_subnets_in_order() -> None:
    assert gateways(plan([NetSpec("a"), NetSpec("b"), NetSpec("c")], {201: "/other"})) == {
        "a": "192.168.200.1",
        "b": "192.168.202.1",
        "c": "192.168.203.1",
    }


def test_fixed_gateway_is_reserved_before_the_others_choose() -> None:
    assert gateways(plan([NetSpec("y"), NetSpec("z", gw="192.168.200.1")])) == {"y": "192.168.201.1", "z": "192.168.200.1"}


def test_subnets_of_the_host_are_passed_by() -> None:
    assert gateways(plan([NetSpec("a")], used=("192.168.200.7/23", "10.0.0.0/8"))) == {"a": "192.168.202.1"}


def test_gateway_in_a_subnet_of_the_host_is_refused_by_name() -> None:
    with pytest.raises(SubnetTaken, match=r"net 'a': an interface of the host is in 192\.168\.0\.0/16"):
        plan([NetSpec("a", gw="192.168.210.1")], used=("192.168.0.0/16",))


def test_leased_gateway_is_refused_with_its_holder() -> None:
    with pytest.raises(SubnetTaken, match=r"192\.168\.210\.0/24 is leased to '/other'"):
        plan([NetSpec("a", gw="192.168.210.1")], {210: "/other"})


def test_two_gateways_in_one_subnet_are_refused() -> None:
    with pytest.raises(SubnetTaken, match="net 'b' is in the subnet of net 'a'"):
        plan([NetSpec("a", gw="192.168.210.1"), NetSpec("b", gw="192.168.210.4")])


@pytest.mark.parametrize("gw", ["127.0.0.1", "10.10.10.1", "192.168.199.1", "192.168.255.1", "192.168.200.0", "192.168.200.255"])
def test_gateway_out_of_range(gw: str) -> None:
    with pytest.raises(SubnetOutOfRange):
        plan([NetSpec("a", gw=gw)])


@pytest.mark.parametrize("gw", ["256.256.256.56", "192.168.200", "", "x", "192.168.200.1/24"])
def test_gateway_that_is_no_address(gw: str) -> None:
    with pytest.raises(LeaseError, match="is not an IPv4 address"):
        plan([NetSpec("a", gw=gw)])


def test_56_nets_fit_and_57_do_not() -> None:
    nets = [NetSpec(f"n{number:02}") for number in range(57)]

    assert plan(nets[:56]).nets["n55"].gw == "192.168.255.1"
    with pytest.raises(SubnetsExhausted, match="net 'n56'"):
        plan(nets)


def test_gateway_of_a_bridge_is_dropped() -> None:
    assert gateways(plan([NetSpec("a"), NetSpec("b", NetType.BRIDGE, gw="192.168.210.1")])) == {"a": "192.168.200.1", "b": None}


def test_bridges_take_no_subnets() -> None:
    nets = [NetSpec(f"n{number:02}") for number in range(56)]

    assert plan([*nets, NetSpec("wire", NetType.BRIDGE)]).nets["n55"].gw == "192.168.255.1"


def test_machine_managed_over_a_bridge_has_no_address_and_no_name() -> None:
    planned = plan([NetSpec("wire", NetType.BRIDGE, management=True), NetSpec("a")], vm=[NicSpec("wire"), NicSpec("a")])

    assert (planned.machines["vm"].ip, planned.nets["wire"].dns_records) == (None, planned.nets["a"].mapping)
    assert "vm" not in planned.nets["a"].mapping


def test_bridge_has_no_gateway_and_no_addresses() -> None:
    planned = plan([NetSpec("a"), NetSpec("b", NetType.BRIDGE)], vm=[NicSpec("a"), NicSpec("b")])

    assert (planned.nets["b"].gw, planned.machines["vm"].nics[1].ip, planned.nets["b"].mapping) == (None, None, {})


# addresses


def test_addresses_count_up_from_two() -> None:
    assert addresses(plan([NetSpec("a")], x=[NicSpec("a")], y=[NicSpec("a")])) == ["192.168.200.2", "192.168.200.3"]


def test_gateway_is_never_given_out() -> None:
    assert addresses(plan([NetSpec("a", gw="192.168.210.2")], x=[NicSpec("a")])) == ["192.168.210.3"]


def test_fixed_addresses_come_first() -> None:
    assert addresses(plan([NetSpec("a")], x=[NicSpec("a")], y=[NicSpec("a", "192.168.200.2")])) == ["192.168.200.3", "192.168.200.2"]


def test_fixed_address_without_gateway_keeps_its_last_octet() -> None:
    assert addresses(plan([NetSpec("a")], x=[NicSpec("a", "10.0.0.77")])) == ["192.168.200.77"]


def test_fixed_address_outside_a_given_subnet_is_refused() -> None:
    with pytest.raises(LeaseError, match=r"ip 10\.0\.0\.77 of machine 'x' is not in the subnet of net 'a'"):
        plan([NetSpec("a", gw="192.168.200.1")], x=[NicSpec("a", "10.0.0.77")])


@pytest.mark.parametrize(
    ("ip", "words"),
    [
        ("192.168.200.1", "is taken by the gateway"),
        ("192.168.200.9", "is taken by machine 'x'"),
        ("192.168.200.0", "not the address of a host"),
        ("192.168.200.255", "not the address of a host"),
        ("192.168.200", "is not an IPv4 address"),
    ],
)
def test_fixed_address_that_cannot_be(ip: str, words: str) -> None:
    with pytest.raises(LeaseError, match=f"machine 'y' on net 'a'.*{words}"):
        plan([NetSpec("a")], x=[NicSpec("a", "192.168.200.9")], y=[NicSpec("a", ip)])


def test_fixed_address_on_a_bridge_is_refused() -> None:
    with pytest.raises(LeaseError, match="a bridge has no addresses"):
        plan([NetSpec("a"), NetSpec("b", NetType.BRIDGE)], x=[NicSpec("a"), NicSpec("b", "192.168.1.2")])


def test_full_net_is_an_error() -> None:
    machines = {f"m{number}": [NicSpec("a")] for number in range(254)}

    with pytest.raises(LeaseError, match="no address left for machine 'm253'"):
        plan_addresses(env([NetSpec("a")], machines), {})


def test_mtu_of_a_net_is_that_of_its_nics() -> None:
    planned = plan([NetSpec("a"), NetSpec("j", mtu=9000)], x=[NicSpec("a"), NicSpec("j")])

    assert [nic.mtu for nic in planned.machines["x"].nics] == [None, 9000]


# names


def test_names_of_a_machine_on_two_nets() -> None:
    planned = plan([NetSpec("a"), NetSpec("b")], vm=[NicSpec("b"), NicSpec("a"), NicSpec("b")])

    assert planned.nets["a"].mapping == dict.fromkeys(("vm", "vm-eth1", "vm-a", "vm-a-0"), "192.168.200.2")
    assert planned.nets["b"].mapping == {
        "vm-eth0": "192.168.201.2",
        "vm-b": "192.168.201.2",
        "vm-b-0": "192.168.201.2",
        "vm-eth2": "192.168.201.3",
        "vm-b-1": "192.168.201.3",
    }


def test_records_of_management_nets_are_those_of_the_user_and_all_names() -> None:
    records = {"web.x.org": "192.168.200.9", "vm": "127.0.0.1"}
    planned = plan([NetSpec("a", dns_records=records), NetSpec("b")], vm=[NicSpec("a"), NicSpec("b")])

    mapped = {**planned.nets["b"].mapping, **planned.nets["a"].mapping}
    assert planned.nets["a"].dns_records == {"web.x.org": "192.168.200.9", **mapped}


def test_other_nets_forward_to_the_last_management_net() -> None:
    planned = plan([NetSpec("m1", management=True), NetSpec("m2", management=True), NetSpec("a"), NetSpec("b", NetType.BRIDGE)])

    assert [net.dns_forward for net in planned.nets.values()] == [None, None, planned.nets["m2"].gw, None]


def test_name_of_a_machine_beats_the_longer_name_of_another() -> None:
    planned = plan_addresses(env([NetSpec("a")], {"x": [NicSpec("a")], "x-eth0": [NicSpec("a")]}), {})

    assert planned.nets["a"].mapping["x-eth0"] == planned.machines["x-eth0"].ip


# properties


@st.composite
def environments(draw: st.DrawFn) -> tuple[EnvSpec, dict[int, str], tuple[str, ...]]:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True))
    fixed = draw(st.dictionaries(st.sampled_from(names), st.integers(200, 254), max_size=3))
    leased = draw(st.sets(st.integers(200, 255), max_size=20)) - set(fixed.values())
    used = draw(st.sets(st.integers(200, 255), max_size=5)) - set(fixed.values())
    gateway = st.integers(1, 254)
    nets = {}
    for name in names:
        gw = f"192.168.{fixed[name]}.{draw(gateway)}" if name in fixed and list(fixed.values()).count(fixed[name]) == 1 else None
        nets[name] = NetSpec(name, draw(st.sampled_from(NetType)) if gw is None and name != names[0] else NetType.NAT, gw=gw)
    nets[names[0]] = replace(nets[names[0]], management=True)
    machines = {}
    for number in range(draw(st.integers(0, 6))):
        nics = [NicSpec(names[0]), *(NicSpec(net) for net in draw(st.lists(st.sampled_from(names), max_size=4)) if net != names[0])]
        machines[f"m{number}"] = MachineSpec(f"m{number}", nics=tuple(nics))
    return (
        _with_fixed_addresses(draw, EnvSpec(machines, nets)),
        dict.fromkeys(leased, "/other"),
        tuple(f"192.168.{o}.0/24" for o in used),
    )


def _with_fixed_addresses(draw: st.DrawFn, spec: EnvSpec) -> EnvSpec:
    given_out = {(name, int(net.gw.split(".")[3]) if net.gw else 1) for name, net in spec.nets.items()}
    machines = {}
    for name, machine in spec.machines.items():
        nics = []
        for nic in machine.nics:
            net = spec.nets[nic.net]
            last = draw(st.none() | st.integers(1, 254)) if net.type is NetType.NAT else None
            if last is not None and (nic.net, last) not in given_out:
                given_out.add((nic.net, last))
                nic = replace(nic, ip=f"{(net.gw or '10.0.0.1').rpartition('.')[0]}.{last}")
            nics.append(nic)
        machines[name] = replace(machine, nics=tuple(nics))
    return EnvSpec(machines, spec.nets)


ENVIRONMENTS = given(environments())
REPEATABLE = settings(derandomize=True, database=None, deadline=None, max_examples=80)


@REPEATABLE
@ENVIRONMENTS
def test_no_two_nics_share_an_address_and_none_is_a_gateways(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    planned = plan_addresses(*case)

    taken = [ip for ip in (*addresses(planned), *gateways(planned).values()) if ip]
    assert len(taken) == len(set(taken))


@REPEATABLE
@ENVIRONMENTS
def test_nat_nets_have_subnets_that_nobody_else_has(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    planned = plan_addresses(*case)

    octets = [int(net.gw.split(".")[2]) for net in planned.nets.values() if net.gw]
    used = {int(subnet.split(".")[2]) for subnet in case[2]}
    assert len(octets) == len(set(octets)) == sum(net.type is NetType.NAT for net in planned.nets.values())
    assert not set(octets) & (set(case[1]) | used)


@REPEATABLE
@ENVIRONMENTS
def test_what_was_fixed_is_kept(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    before, after = case[0], plan_addresses(*case)

    assert all(after.nets[name].gw == net.gw for name, net in before.nets.items() if net.gw)
    for name, machine in before.machines.items():
        for nic, planned in zip(machine.nics, after.machines[name].nics, strict=True):
            assert nic.ip is None or (planned.ip or "").rpartition(".")[2] == nic.ip.rpartition(".")[2]


@REPEATABLE
@ENVIRONMENTS
def test_every_address_is_in_the_subnet_of_its_net_and_has_its_names(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    planned = plan_addresses(*case)

    for machine in planned.machines.values():
        for index, nic in enumerate(machine.nics):
            net = planned.nets[nic.net]
            assert (nic.ip or "").rpartition(".")[0] == (net.gw or "").rpartition(".")[0]
            assert nic.ip is None or net.mapping[f"{machine.name}-eth{index}"] == nic.ip


@REPEATABLE
@ENVIRONMENTS
def test_names_are_complete_and_the_same_everywhere(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    planned = plan_addresses(*case)

    known = {name: ip for net in planned.nets.values() for name, ip in net.mapping.items()}
    assert sum(len(net.mapping) for net in planned.nets.values()) == len(known)
    assert all(net.dns_records == (known if net.management else {}) for net in planned.nets.values())
    assert {machine.name: machine.ip for machine in planned.machines.values()}.items() <= known.items()


@REPEATABLE
@ENVIRONMENTS
def test_ipv6_addresses_are_as_different_as_the_others(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    planned = plan_addresses(*case)

    ips = [(nic.net, nic.ip) for machine in planned.machines.values() for nic in machine.nics if nic.ip]
    sixes = {planned.nets[net].ipv6_of(ip) for net, ip in ips} | {f"{net.ipv6_prefix}1" for net in planned.nets.values() if net.gw}
    assert len(sixes) == len(ips) + sum(net.gw is not None for net in planned.nets.values())


@REPEATABLE
@ENVIRONMENTS
def test_order_of_the_machines_decides_only_who_has_which_free_address(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    spec, leased, used = case
    planned = plan_addresses(spec, leased, used)
    turned = plan_addresses(EnvSpec(dict(reversed(spec.machines.items())), spec.nets), leased, used)

    assert gateways(turned) == gateways(planned)
    assert sorted(map(str, addresses(turned))) == sorted(map(str, addresses(planned)))
    for name, machine in spec.machines.items():
        for nic, one, other in zip(machine.nics, planned.machines[name].nics, turned.machines[name].nics, strict=True):
            assert nic.ip is None or one == other


def test_every_process_plans_the_same() -> None:
    program = (
        "from engine.plan.addressing import plan_addresses as plan\n"
        "from engine.spec import EnvSpec, MachineSpec, NetSpec, NicSpec\n"
        "nets = {name: NetSpec(name) for name in ('lan', 'wan', 'storage', 'a')}\n"
        "machines = {f'm{n}': MachineSpec(f'm{n}', nics=tuple(NicSpec(net) for net in nets)) for n in range(9)}\n"
        "planned = plan(EnvSpec(machines, nets), {201: '/other', 203: '/other'})\n"
        "print([m.to_json() for m in planned.machines.values()], [n.to_json() for n in planned.nets.values()])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ROOT}, capture_output=True, check=True, timeout=60
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert len(outputs) == 1


@REPEATABLE
@ENVIRONMENTS
def test_order_of_the_nets_does_not_matter(case: tuple[EnvSpec, dict[int, str], tuple[str, ...]]) -> None:
    spec, leased, used = case
    names = list(spec.nets)
    random.Random(7).shuffle(names)

    shuffled = plan_addresses(EnvSpec(spec.machines, {name: spec.nets[name] for name in names}), leased, used)

    assert shuffled == plan_addresses(spec, leased, used)
