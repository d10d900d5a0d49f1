"""Networks → rows of the table."""

from __future__ import annotations

from engine.spec import NetSpec
from engine.state.env import EnvState, NetState

from .cells import Column, Line, Row, Span, count_text

COLUMNS = (
    Column("  Name", 12, 0, 24),
    Column("Type", 6, 2),
    Column("Subnet", 18, 0),
    Column("Gateway", 7, 3),
    Column("DHCP", 14, 4),
    Column("Role", 10, 5),
    Column("Domain", 10, 6, 24),
    Column("Machines", 11, 7, right=True),
)


def rows(state: EnvState) -> tuple[Row, ...]:
    """Return one row a network, in the order of the init file."""
    return tuple(_row(net, _machines_on(state, name)) for name, net in state.nets.items())


def _row(net: NetState, machines: int) -> Row:
    spec = net.spec
    colour = "net-up" if net.up else "net-down"
    subnet = _subnet(spec)
    cells: tuple[Line, ...] = (
        (Span("●" if net.up else "○", colour), Span(f" {spec.name}", bold=net.up)),
        (Span(spec.type.value, "dim"),),
        (Span(subnet or "no addresses", "" if subnet else "dim"),),
        (Span("gw ", "dim"), Span(_last_octet(spec.gw))) if spec.gw else (),
        (Span("dhcp ", "dim"), Span(f".{spec.dhcp.start}–.{spec.dhcp.end}")) if spec.dhcp else (),
        (Span("management" if spec.management else "", "title"),),
        (Span(spec.dns_domain_name or "", "dim"),),
        (Span(count_text(machines, "machine"), "dim"),),
    )
    return Row(spec.name, cells, f"{spec.name} {spec.type.value} {subnet} {'up' if net.up else 'down'}")


def _machines_on(state: EnvState, net: str) -> int:
    return sum(any(nic.net == net for nic in machine.spec.nics) for machine in state.machines.values())


def _subnet(spec: NetSpec) -> str:
    return f"{spec.gw.rpartition('.')[0]}.0/24" if spec.gw else ""


def _last_octet(address: str) -> str:
    return "." + address.rpartition(".")[2]
