"""What will be done, as data: `(EnvSpec, EnvState) → Plan`. Nothing here touches a disk, a host or the network."""
