"""The address plan: management net, subnets, addresses, DNS names. Pure; the facts come in, a whole new spec goes out.

Subnets are 192.168.200–255.0/24 as in the predecessor. Fixed gateways come first; other nets follow by name, each on the lowest free one.
Addresses go to machines in the order of the file and to their NICs in theirs, fixed ones first. Nothing else has a say: neither the order
of nets and records, nor the process. Bridge nets have neither gateway nor addresses; IPv6 addresses follow from the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from ..errors import InitFileError, LeaseError, SubnetOutOfRange, SubnetsExhausted, SubnetTaken
from ..spec import DEFAULT_DNS_DOMAIN, DEFAULT_MTU, EnvSpec, MachineSpec, NetSpec, NetType, NicSpec

AUTO_OCTETS = range(200, 256)
FIXED_OCTETS = range(200, 255)
"""The predecessor leases 192.168.255.0/24 but takes no gateway in it."""
HOSTS = range(2, 255)
"""Last octets that are given out; a fixed address may also be 1."""


def plan_addresses(spec: EnvSpec, leased: Mapping[int, str], used_subnets: Collection[str] = ()) -> EnvSpec:
    """Return the spec with everything chosen that the init file left open.

    Args:
        spec: as the init file has it.
        leased: third octet → who holds it, for subnets that are not ours.
        used_subnets: networks of the host's interfaces, e.g. `10.0.0.0/8`; our nets stay clear of them.

    Raises:
        SubnetTaken: a `gw` is in a subnet that somebody else has.
        SubnetOutOfRange: a `gw` is in no subnet that can be leased.
        SubnetsExhausted: there are fewer free subnets than nets.
        LeaseError: an address cannot be given out.
        InitFileError: a machine is not on exactly one management net.
    """
    _check_fixed_addresses(spec)
    nets = _choose_management(spec.nets)
    machines = {name: _on_management(machine, nets) for name, machine in spec.machines.items()}
    nets = _choose_subnets(nets, leased, [IPv4Network(used, strict=False) for used in used_subnets])
    machines = _choose_addresses(machines, nets)
    return EnvSpec(machines, _choose_names(machines, nets))


def _choose_management(nets: Mapping[str, NetSpec]) -> dict[str, NetSpec]:
    managers = {name for name, net in nets.items() if net.management} or set(sorted(nets)[:1])
    return {
        name: replace(net, management=True, dns_domain_name=net.dns_domain_name or DEFAULT_DNS_DOMAIN) if name in managers else net
        for name, net in nets.items()
    }


def _check_fixed_addresses(spec: EnvSpec) -> None:
    """Refuse an address outside the subnet of a given gateway. Without one only its last octet is meant: nobody knows the subnet before."""
    for machine in spec.machines.values():
        for nic in machine.nics:
            gw = spec.nets[nic.net].gw if nic.net in spec.nets else None
            if nic.ip and gw and nic.ip.rpartition(".")[0] != gw.rpartition(".")[0]:
                raise LeaseError(f"ip {nic.ip} of machine '{machine.name}' is not in the subnet of net '{nic.net}', whose gw is {gw}")


def _on_management(machine: MachineSpec, nets: Mapping[str, NetSpec]) -> MachineSpec:
    if machine.is_external:
        return machine
    for nic in machine.nics:
        if nic.net not in nets:
            raise InitFileError(f"machine '{machine.name}' has a nic on net '{nic.net}', which is not there; there are: {', '.join(nets)}")
    managers = [nic.net for nic in machine.nics if nets[nic.net].management]
    if not managers:
        on_file = ", ".join(name for name, net in nets.items() if net.management)
        raise InitFileError(f"machine '{machine.name}' has no nic on a management net", hint=f"give it one on: {on_file}")
    if len(managers) > 1:
        raise InitFileError(f"machine '{machine.name}' has {len(managers)} nics on management nets ({', '.join(managers)}), not one")
    return replace(machine, mgmt_net=managers[0])


def _choose_subnets(nets: Mapping[str, NetSpec], leased: Mapping[int, str], used: list[IPv4Network]) -> dict[str, NetSpec]:
    natted = [nets[name] for name in sorted(nets) if nets[name].type is NetType.NAT]
    gateways: dict[str, str] = {}
    owners: dict[int, str] = {}
    for net in natted:
        if net.gw is not None:
            octet = _check_gateway(net.name, net.gw, leased, used, owners)
            gateways[net.name], owners[octet] = net.gw, net.name
    free = (octet for octet in AUTO_OCTETS if octet not in leased and octet not in owners and _user_of(octet, used) is None)
    for net in natted:
        if net.gw is None:
            chosen = next(free, None)
            if chosen is None:
                raise SubnetsExhausted(f"no subnet of 192.168.{AUTO_OCTETS.start}–{AUTO_OCTETS.stop - 1}.0/24 is left for net '{net.name}'")
            gateways[net.name] = f"192.168.{chosen}.1"
    return {name: replace(net, gw=gateways.get(name)) for name, net in nets.items()}


def _check_gateway(name: str, gw: str, leased: Mapping[int, str], used: list[IPv4Network], owners: Mapping[int, str]) -> int:
    """Return the third octet of a fixed gateway that can be had."""
    what = f"gw {gw} of net '{name}'"
    first, second, octet, last = _octets(gw, what)
    if (first, second) != (192, 168) or octet not in FIXED_OCTETS or last in (0, 255):
        raise SubnetOutOfRange(f"{what} cannot be used")
    if octet in owners:
        raise SubnetTaken(f"{what} is in the subnet of net '{owners[octet]}'")
    if octet in leased:
        raise SubnetTaken(f"{what}: subnet 192.168.{octet}.0/24 is leased to '{leased[octet]}'")
    user = _user_of(octet, used)
    if user is not None:
        raise SubnetTaken(f"{what}: an interface of the host is in {user}")
    return octet


def _user_of(octet: int, used: Iterable[IPv4Network]) -> IPv4Network | None:
    subnet = IPv4Network((f"192.168.{octet}.0", 24))
    return next((network for network in used if network.overlaps(subnet)), None)


def _choose_addresses(machines: Mapping[str, MachineSpec], nets: Mapping[str, NetSpec]) -> dict[str, MachineSpec]:
    owners = {name: {int(net.gw.split(".")[3]): "the gateway"} for name, net in nets.items() if net.gw}
    fixed = {
        name: [_fixed(machine.name, nic, nets[nic.net], owners) if nic.ip else nic for nic in machine.nics]
        for name, machine in machines.items()
    }
    return {
        name: replace(machine, nics=tuple(_dressed(_dynamic(machine.name, nic, nets[nic.net], owners), nets) for nic in fixed[name]))
        for name, machine in machines.items()
    }


def _fixed(machine: str, nic: NicSpec, net: NetSpec, owners: Mapping[str, dict[int, str]]) -> NicSpec:
    """Return a NIC whose address was given: its last octet is kept, and taken from those of the net."""
    what = f"ip {nic.ip} of machine '{machine}' on net '{net.name}'"
    if net.gw is None:
        raise LeaseError(f"{what} cannot be given: a bridge has no addresses of ours", hint="leave ip out")
    last = _octets(nic.ip or "", what)[3]
    if last in (0, 255):
        raise LeaseError(f"{what} cannot be used: it is not the address of a host")
    if last in owners[net.name]:
        raise LeaseError(f"{what} is taken by {owners[net.name][last]}", hint="choose another, or leave ip out")
    owners[net.name][last] = f"machine '{machine}'"
    return replace(nic, ip=_host(net.gw, last))


def _dynamic(machine: str, nic: NicSpec, net: NetSpec, owners: Mapping[str, dict[int, str]]) -> NicSpec:
    if nic.ip or net.gw is None:
        return nic
    last = next((host for host in HOSTS if host not in owners[net.name]), None)
    if last is None:
        raise LeaseError(f"net '{net.name}' has no address left for machine '{machine}'", hint="spread the machines over more nets")
    owners[net.name][last] = f"machine '{machine}'"
    return replace(nic, ip=_host(net.gw, last))


def _dressed(nic: NicSpec, nets: Mapping[str, NetSpec]) -> NicSpec:
    mtu = nets[nic.net].mtu
    return nic if mtu == DEFAULT_MTU else replace(nic, mtu=mtu)


def _choose_names(machines: Mapping[str, MachineSpec], nets: Mapping[str, NetSpec]) -> dict[str, NetSpec]:
    mappings = _mappings(machines, nets)
    everything = {host: ip for mapping in mappings.values() for host, ip in mapping.items()}
    everything |= {machine.name: machine.ip for machine in machines.values() if machine.ip and _is_ipv4(machine.ip)}
    forwarders = [nets[name].gw for name in sorted(nets) if nets[name].management and nets[name].gw]
    named = {}
    for name, net in nets.items():
        net = replace(net, mapping=mappings[name])
        if net.management:
            net = replace(net, dns_records={**net.dns_records, **everything})
        elif net.type is NetType.NAT and forwarders:
            net = replace(net, dns_forward=forwarders[-1])
        named[name] = net
    return named


def _is_ipv4(address: str) -> bool:
    try:
        IPv4Address(address)
    except AddressValueError:  # a name, or IPv6: the machine exists without us
        return False
    return True


def _mappings(machines: Mapping[str, MachineSpec], nets: Mapping[str, NetSpec]) -> dict[str, dict[str, str]]:
    """Return DNS name → address for each net. A machine's own name beats another's longer one: `a-eth0` may be a machine."""
    mappings: dict[str, dict[str, str]] = {name: {} for name in nets}
    for machine in machines.values():
        if machine.ip and not machine.is_external:
            mappings[machine.mgmt_net][machine.name] = machine.ip
    for machine in machines.values():
        for host, net, ip in _aliases(machine):
            mappings[net].setdefault(host, ip)
    return mappings


def _aliases(machine: MachineSpec) -> Iterable[tuple[str, str, str]]:
    """Yield name, net and address: `vm-eth0`, `vm-lan`, `vm-lan-0` …"""
    counts: dict[str, int] = {}
    for index, nic in enumerate(machine.nics):
        count = counts.get(nic.net, 0)
        counts[nic.net] = count + 1
        if nic.ip is None:
            continue
        yield f"{machine.name}-eth{index}", nic.net, nic.ip
        if count == 0:
            yield f"{machine.name}-{nic.net}", nic.net, nic.ip
        yield f"{machine.name}-{nic.net}-{count}", nic.net, nic.ip


def _octets(address: str, what: str) -> tuple[int, int, int, int]:
    try:
        first, second, third, last = IPv4Address(address).packed
    except AddressValueError as wrong:
        raise LeaseError(f"{what} is not an IPv4 address", hint="write it as 192.168.200.1") from wrong
    return first, second, third, last


def _host(gw: str, last: int) -> str:
    return f"{gw.rpartition('.')[0]}.{last}"
