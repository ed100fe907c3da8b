"""The command `deepibl`: each command is a thin layer over a function of the library."""
