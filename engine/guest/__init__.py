"""Inside the machines: connections, keys, seeds, readiness."""
