"""What is kept on disk: workdirs, prefixes, leases, locks, known environments."""
