"""The work behind lagotui: init file → plan → steps → providers. Outsiders import `lagotui.sdk`, never this package."""
