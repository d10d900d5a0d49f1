"""libvirt as a host of machines: the private world, the system's daemon, or any URI."""
