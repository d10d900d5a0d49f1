"""PlanSummary and EnvDiff → text for a person, and data for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .cells import count_text, duration_text, size_text

if TYPE_CHECKING:
    from engine.api import DiskSummary, EnvDiff, ItemDiff, MachineSummary, Need, NetSummary, PlanSummary, TemplateSummary

MIB = 1024 * 1024
_SIGNS = {"create": "+", "change": "~", "replace": "±", "remove": "-"}


def plan_text(plan: PlanSummary) -> str:
    """Write a plan for a person."""
    sections = [("Changes", list(_changes(plan.changes)) if plan.exists else [])]
    if not plan.exists:
        sections += [
            ("Networks", _table([_net(net) for net in plan.nets])),
            ("Machines", _table([row for machine in plan.machines for row in _machine(machine)])),
            ("Templates", _table([_template(template) for template in plan.templates])),
        ]
    sections += [
        ("Needs", _table(list(_needs(plan)))),
        ("Steps", list(_steps(plan))),
        ("Notes", list(plan.notes)),
    ]
    lines = [_title(plan)]
    for title, content in sections:
        if content:
            lines += ["", title, *(f"  {line}" for line in content)]
    return "".join(f"{line}\n" for line in lines)


def plan_data(plan: PlanSummary) -> dict[str, Any]:
    """Return a plan as mappings, lists and scalars."""
    return {
        "prefix": plan.prefix,
        "host": plan.host,
        "exists": plan.exists,
        "nets": {net.name: _without_name(net) for net in plan.nets},
        "machines": {
            machine.name: {**_without_name(machine), "disks": {disk.name: _without_name(disk) for disk in machine.disks}}
            for machine in plan.machines
        },
        "templates": {f"{template.name}:{template.version}": _without_name(template) for template in plan.templates},
        "memory_mib": asdict(plan.memory_mib),
        "disk_bytes": asdict(plan.disk_bytes),
        "store_bytes": asdict(plan.store_bytes),
        "steps": {step.kind: {"count": step.count, "seconds": step.seconds} for step in plan.forecast.steps},
        "forecast_s": plan.forecast.seconds,
        "changes": [_item_data(item) for item in plan.changes.items],
        "notes": list(plan.notes),
    }


def diff_lines(changes: EnvDiff) -> list[str]:
    """Write what changes, a line each, in the order of the init file."""
    return list(_changes(changes))


def _title(plan: PlanSummary) -> str:
    if not plan.exists:
        return f"'{plan.prefix}' would be made on host '{plan.host}'."
    if plan.changes.is_empty:
        return f"'{plan.prefix}' on host '{plan.host}' needs no change."
    return f"'{plan.prefix}' on host '{plan.host}' would be changed."


def _changes(changes: EnvDiff) -> Iterator[str]:
    for item in changes.items:
        yield f"{_SIGNS[item.fate.value]} {item.fate.value} {item.kind} {item.name}{f': {item.why}' if item.why else ''}"
        for change in item.changes:
            yield f"    {change.text}{_WHEN[change.when.value]}"
        if item.loses:
            yield f"    lost: {item.loses}"


_WHEN = {"now": "", "down": " (from its next start)", "anew": " (it must be made anew)"}


def _item_data(item: ItemDiff) -> dict[str, Any]:
    changes = [{"what": c.what, "before": c.before, "after": c.after, "when": c.when.value} for c in item.changes]
    return {"kind": item.kind, "name": item.name, "fate": item.fate.value, "why": item.why, "loses": item.loses, "changes": changes}


def _without_name(thing: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(thing).items() if key != "name"}


def _net(net: NetSummary) -> list[str]:
    notes = [
        word for word, said in (("management", net.management), (net.dns_domain_name, True), (f"bridge {net.bridge}", net.bridge)) if said
    ]
    where = [net.subnet, f"gateway {net.gw}"] if net.gw else ["no subnet", ""]
    pool = f"dhcp {net.dhcp}" if net.dhcp else "no pool" if net.gw else "no dhcp"
    return [net.name, net.type, *where, pool, ", ".join(word for word in notes if word)]


def _machine(machine: MachineSummary) -> Iterator[list[str]]:
    """Yield a row for each NIC and disk; the first one says whose they are."""
    head = [machine.name, size_text(machine.memory_mib * MIB), count_text(machine.vcpu, "cpu")]
    nics = [f"eth{number} {nic.net} {nic.ip or 'no address'}" for number, nic in enumerate(machine.nics)]
    disks = [_disk(disk) for disk in machine.disks]
    for index in range(max(1, len(nics), len(disks))):
        yield [*(head if index == 0 else [""] * 3), _at(nics, index), _at(disks, index)]
    if machine.depends_on:
        yield ["", "", "", f"after {', '.join(machine.depends_on)}", ""]


def _disk(disk: DiskSummary) -> str:
    size = f" {size_text(disk.size_bytes)}" if disk.size_bytes is not None else ""
    return f"{disk.dev} {disk.name}: {disk.how}{size}{f' of {disk.source}' if disk.source else ''}"


def _template(template: TemplateSummary) -> list[str]:
    size = "" if template.how == "in store" else "size not known" if template.size_bytes is None else size_text(template.size_bytes)
    return [f"{template.name}:{template.version}", f"of {template.repo}", template.how, size]


def _needs(plan: PlanSummary) -> Iterator[list[str]]:
    yield ["memory", *_need(plan.memory_mib, MIB)]
    yield ["disk", *_need(plan.disk_bytes, 1)]
    if plan.store_bytes.needed:
        yield ["template store", *_need(plan.store_bytes, 1)]


def _need(need: Need, unit: int) -> list[str]:
    grown = "" if need.at_most in (None, need.needed) else f", {size_text((need.at_most or 0) * unit)} when the guests fill it"
    short = "" if need.enough else "  NOT ENOUGH" if need.needed > need.available else "  not enough for all of it"
    return [f"{size_text(need.needed * unit)}{grown}", f"of {size_text(need.available * unit)} available{short}"]


def _steps(plan: PlanSummary) -> Iterator[str]:
    for step in plan.forecast.steps:
        yield f"{step.count:>4} {step.kind}"
    if plan.forecast.seconds is None:
        yield "no forecast: nothing has run here yet"
    else:
        without = f", without {', '.join(plan.forecast.unknown)}, which never ran here" if plan.forecast.unknown else ""
        yield f"about {duration_text(plan.forecast.seconds)}{without}"


def _at(texts: Sequence[str], index: int) -> str:
    return texts[index] if index < len(texts) else ""


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    listed = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*listed, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed]
