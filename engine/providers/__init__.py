"""Hosts that carry machines: one folder a kind, behind the Protocols of `base`."""
