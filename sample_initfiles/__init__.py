"""Init files to start from; each one is also a test fixture."""
