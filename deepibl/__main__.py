"""`python -m deepibl` is the command `deepibl`."""

from deepibl.cli.main import main

main()
