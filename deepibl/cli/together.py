"""Commands under torchrun: those that share their work run in all processes, the others in process 0."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

import typer

SHARED = ("extract", "index", "evaluate", "train")  # they need all processes, with the same arguments


@contextmanager
def processes_of(arguments: Sequence[str]) -> Iterator[bool]:
    """Whether this process is to run the command, within; only process 0 prints.

    At the end the processes wait for one another, so that torchrun, which ends all when one ends with an
    error, cuts no words off. An error in one is told by process 0.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield True
        return
    from deepibl import processes

    if not arguments or arguments[0] not in SHARED:
        with processes.alone():
            yield os.environ.get("RANK", "0") == "0"
        return
    team = processes.team()
    last_words, failed = "", False
    try:
        with ExitStack() as stack:
            if not team.leads:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            yield True
    except (Exception, SystemExit) as problem:
        told = problem.__cause__ if isinstance(problem, SystemExit) else problem
        last_words = "" if told is None else str(told) or type(told).__name__
        failed = not (isinstance(problem, SystemExit) and problem.code in (0, None))
        raise
    finally:
        for rank, words in enumerate(team.end(last_words, failed)):
            if team.leads and words not in last_words:
                typer.echo(f"deepibl: process {rank}: {words}", err=True)
        sys.stdout.flush()
