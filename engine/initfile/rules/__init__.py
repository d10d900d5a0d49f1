"""What the keys of an init file mean together: a module for each kind of thing. Pure; the world comes in as `Facts`."""
