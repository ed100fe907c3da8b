"""The command line: each command is a thin layer over a function that can be imported.

Results go to standard output, progress and what went wrong to standard error. Exit codes: 0 done, 1 an error
(one line says what was found and what to do), 2 an invalid command line, 3 done, but some images could not be
read (they are listed), 4 checked, and it is not as it should be (verify, data check, migrate,
convert --check).
"""

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from deepibl.cli import data, manual, networks, options as opt, search, seeing, training
from deepibl.cli.options import option
from deepibl.cli.process import prepare_process
from matlab_compat.errors import MatlabCompatError


def _without_types_of_flags(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""  # the help shows no <bool>
    return params


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types_of_flags(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        opt.check_together(ctx)
        opt.check_outputs(ctx)
        return super().invoke(ctx)


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types_of_flags(super().get_params(ctx))


app = typer.Typer(
    name="deepibl",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"deepibl {metadata.version('deepibl')}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, option("Print the version.", "--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Visual place recognition: deepIBL (SARE) and NetVLAD from MATLAB, in PyTorch."""


def demo(
    folder: Annotated[Path | None, option("Folder to write to (default: deepibl-demo, or toycity).")] = None,
    city: Annotated[bool, option("A generated city instead of real photos.", "--city")] = False,
    train: Annotated[bool, option("Train a small network in such a city.", "--train")] = False,
    images: Annotated[int, option("With --city: database images.", min=40, max=20000)] = 200,
    seed: Annotated[int, option("With --city, --train: which city.")] = 0,
) -> None:
    """Index real street photos, localize others, print Recall@N and write a page; nothing is downloaded."""
    if train or city:
        from deepibl.demo import run_city_demo, run_training_demo

        place = folder or Path("toycity")
        if train:
            run_training_demo(place, seed=seed, say=typer.echo)
        else:
            run_city_demo(place, images=images, seed=seed, say=typer.echo)
        return
    from deepibl.demo import run_demo

    run_demo(folder or Path("deepibl-demo"), say=typer.echo)


COMMANDS = {
    "Find places": (
        search.index,
        search.localize,
        search.serve,
        search.pairs,
        search.index_check,
        search.index_edit,
    ),
    "Measure and look": (networks.evaluate, seeing.heatmap),
    "Networks": (networks.info, networks.convert, networks.fetch, networks.extract, networks.calibrate),
    "Train": (training.train, training.pick, training.pca),
    "Move from MATLAB": (data.migrate, data.verify, data.toolbox, data.convert_png),
    "Try out, and data": (demo, manual.help),
}
GROUPS = {
    "report": ("Measure and look", "Reports of evaluations.", (seeing.compare,)),
    "data": (
        "Try out, and data",
        "Data sets and feature files: check, make, convert.",
        (data.check, data.make, data.features, data.toy),
    ),
}

for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(command.__name__.replace("_", "-"), cls=_Command, rich_help_panel=panel)(command)
for name, (panel, about, commands) in GROUPS.items():
    group = typer.Typer(name=name, help=about, cls=_Group, no_args_is_help=True)
    for command in commands:
        group.command(cls=_Command)(command)
    app.add_typer(group, rich_help_panel=panel)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; see the module for the exit codes.

    arguments: None: the command's own. Only then is the process prepared for computing (`prepare_process`): a
    program that runs a command by giving its arguments keeps its process as it is.
    """
    if arguments is None:
        prepare_process()
    given = sys.argv[1:] if arguments is None else list(arguments)
    with opt.processes_of(given) as runs_here, opt.logged():
        try:
            if runs_here:
                app(args=given)
        except (MatlabCompatError, OSError) as problem:
            said = str(problem)
            if isinstance(problem, OSError) and problem.filename is not None:
                said = f"{os.fspath(problem.filename)}: {problem.strerror}"
            typer.echo(f"deepibl: {said}", err=True)
            raise SystemExit(1) from problem


if __name__ == "__main__":
    main()
