"""The help of every command: groups, defaults, no types of flags, -h; and --version, completion."""

import re
from importlib import metadata

import numpy as np
import pytest
from typer.main import get_command

from deepibl.cli.main import COMMANDS, GROUPS, app
from deepibl.training.options import OPTIONS
from matlab_compat import matfile

NAMES = [
    *([each] for each in get_command(app).commands if each not in GROUPS),
    *([group, each] for group in GROUPS for each in get_command(app).commands[group].commands),
]


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_every_command_and_option_has_a_help(run, name: list[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    short, long = run(*name, "-h"), run(*name, "--help")
    assert short == long and short[0] == 0
    assert "Show this message" in short[1]
    command = get_command(app)
    for part in name:
        command = command.commands[part]
    for param in command.params:
        assert param.help, (name, param.name)


def test_commands_are_in_groups(run) -> None:
    out = run("-h")[1]
    for panel in COMMANDS:
        assert f"─ {panel} ─" in out
    assert "─ Commands ─" not in out


def test_version_is_that_of_the_package(run) -> None:
    assert run("--version")[:2] == (0, f"deepibl {metadata.version('deepibl')}\n")


def test_completion_is_offered_for_a_shell(run, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DEEPIBL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "deepibl index-")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setattr("sys.argv", ["deepibl"])
    command = get_command(app)
    with pytest.raises(SystemExit):
        command.main(args=[], prog_name="deepibl")
    assert capsys.readouterr().out.split() == ["index-check", "index-edit"]
    monkeypatch.delenv("_DEEPIBL_COMPLETE")
    assert "--install-completion" in run("-h")[1]


def test_the_defaults_that_train_shows_are_the_trainers() -> None:
    shown = {
        "net": "netID",
        "layer": "layerName",
        "method": "method",
        "backprop_to": "backPropToLayer",
        "epochs": "nEpoch",
        "lr": "learningRate",
        "batch_size": "batchSize",
    }
    defaults = {each.matlab: each.default for each in OPTIONS.values()}
    params = {param.name: param for param in get_command(app).commands["train"].params}
    for name, matlab in shown.items():
        assert params[name].show_default == str(defaults[matlab]), name


def test_no_file_name_holds_a_colon() -> None:
    from deepibl.networks.build import clusters_stem
    from matlab_compat.files import file_name

    assert file_name("timm:vit_vlad:core") == "timm-vit_vlad-core"
    assert ":" not in clusters_stem("", "set", "torchvision:resnet18", "vlad:core")


def test_convert_warns_of_weights_that_are_not_numbers(run, net, tmp_path) -> None:
    stored = matfile.load(net)
    layers = stored["net"]["layers"] if "net" in stored else stored["layers"]
    filters = next(layer["weights"] for layer in np.ravel(layers) if "weights" in layer)
    np.ravel(filters)[0][0, 0, 0, 0] = np.nan
    matfile.save(tmp_path / "broken.mat", stored)
    code, out, err = run("convert", tmp_path / "broken.mat", tmp_path / "copy.safetensors")
    assert code == 0 and "wrote" in out
    assert re.search(r"warning: it cannot be run: .*1 of \d+ numbers .* NaN", err)
    assert run("convert", net, tmp_path / "copy2.safetensors")[2] == ""
