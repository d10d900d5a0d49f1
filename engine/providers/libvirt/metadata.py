"""What tells our domains and networks from others': a metadata element for whoever looks, and a UUID that follows from the names."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from lxml import etree

from ...spec import EnvRef

NAMESPACE = "urn:lagotui:env:1"
NAMESPACES = {"lagotui": NAMESPACE}
_ENV = f"{{{NAMESPACE}}}env"


@dataclass(frozen=True, slots=True)
class Tag:
    """Whose a domain or network is."""

    uuid: str
    """Of the environment."""
    prefix: str
    name: str
    """Of the machine or net, as in the init file."""


def metadata_element(env: EnvRef, name: str) -> etree._Element:
    """Return the `<metadata>` that says whose the domain or network is."""
    metadata = etree.Element("metadata")
    etree.SubElement(metadata, _ENV, {"uuid": env.uuid, "prefix": env.prefix, "name": name}, nsmap=NAMESPACES)
    return metadata


def read_tag(xml: str) -> Tag | None:
    """Return the tag in a domain or network XML; None in those of others."""
    element = etree.fromstring(xml.encode(), parser()).find(f"metadata/{_ENV}")
    if element is None:
        return None
    return Tag(uuid=element.get("uuid", ""), prefix=element.get("prefix", ""), name=element.get("name", ""))


def domain_uuid(env: EnvRef, machine: str) -> str:
    """Return the UUID that libvirt is given for a machine.

    It follows from the environment and the name: a machine stays the same computer (SMBIOS, cloud-init's instance) across starts,
    and one bulk call tells which domains are ours.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:lagotui:machine:{env.uuid}:{machine}"))


def network_uuid(env: EnvRef, net: str) -> str:
    """Return the UUID that libvirt is given for a net."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:lagotui:net:{env.uuid}:{net}"))


def parser() -> etree.XMLParser:
    """Return a parser that fetches and expands nothing."""
    return etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
