"""Machines that exist without us and are only reached by ssh: nobody starts or stops them, and they have no disks of ours."""
