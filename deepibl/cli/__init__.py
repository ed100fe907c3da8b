"""The command `deepibl`: each command is a thin tail on a function of the library."""
