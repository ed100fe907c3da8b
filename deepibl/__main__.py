"""`python -m deepibl` is the command `deepibl`."""

from deepibl.cli import main

main()
