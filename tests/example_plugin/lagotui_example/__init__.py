"""An example of a distribution that adds to lagotui."""
