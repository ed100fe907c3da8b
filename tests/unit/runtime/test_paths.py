"""localPaths: the order in which it looks, TOML, and the user's localPaths.m, parsed and never run."""

import os
from pathlib import Path

import pytest

from deepibl.errors import ConfigurationError
from deepibl.matlab.datasets import setup
from deepibl.runtime.matlab_paths import parse_local_paths
from deepibl.runtime.paths import DEFAULTS, LocalPaths, localPaths

MATLAB = """function paths= localPaths()
    % --- a comment
    paths.dsetSpecDir= '~/Data/datasets/';
    paths.dsetRootPitts= '/db/Pittsburgh'; % should contain images/ and queries/
    paths.outPrefix= '/out/run1_';
end
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working folder, with config and data folders of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEEPIBL_LOCALPATHS", raising=False)
    for name in ("config", "data"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    return tmp_path


def toml(path: Path, value: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'dsetRootPitts = "{value}"\n')
    return path


def test_without_any_file_the_users_data_folder_is_used(place):
    paths = localPaths()
    assert paths.source == "defaults"
    assert paths.dsetSpecDir == f"{place}/data/deepibl/datasets/"
    assert set(paths.as_dict()) == set(DEFAULTS)


def test_places_are_looked_at_in_their_order(place, monkeypatch):
    config = toml(place / "config/deepibl/localPaths.toml", "/from/config")
    assert localPaths().source == str(config)
    (place / "localPaths.m").write_text(MATLAB)
    assert localPaths().dsetRootPitts == "/db/Pittsburgh/"
    toml(place / "localPaths.toml", "/from/toml")
    assert localPaths().dsetRootPitts == "/from/toml/"
    monkeypatch.setenv("DEEPIBL_LOCALPATHS", str(toml(place / "else/mine.toml", "/from/variable")))
    assert localPaths().dsetRootPitts == "/from/variable/"
    assert localPaths(toml(place / "x.toml", "/from/argument")).dsetRootPitts == "/from/argument/"
    assert localPaths({"dsetRootPitts": "/from/mapping"}).dsetRootPitts == "/from/mapping/"


def test_a_folder_may_be_named_instead_of_its_file(place, monkeypatch):
    toml(place / "conf/localPaths.toml", "/a")
    assert localPaths(place / "conf").dsetRootPitts == "/a/"
    monkeypatch.setenv("DEEPIBL_LOCALPATHS", str(place / "conf"))
    assert localPaths().dsetRootPitts == "/a/"


def test_what_a_file_does_not_set_keeps_its_default(place):
    toml(place / "localPaths.toml", "/a")
    assert localPaths().ourCNNs == f"{place}/data/deepibl/models/"


def test_folders_end_in_a_slash_and_home_is_expanded(place):
    (place / "localPaths.m").write_text(MATLAB)
    paths = localPaths()
    assert paths.dsetSpecDir == os.path.expanduser("~/Data/datasets/")
    assert paths.dsetRootPitts == "/db/Pittsburgh/"
    assert paths.outPrefix == "/out/run1_"  # goes before file names: kept as it is


def test_paths_of_ones_own_are_kept_and_unknown_ones_named(place):
    paths = localPaths({"myData": "/mine"})
    assert paths.myData == "/mine/"
    with pytest.raises(AttributeError, match=r"localPaths has no 'dsetRoot'.*dsetRootPitts"):
        _ = paths.dsetRoot


def test_a_toml_table_called_paths_is_read_too(place):
    (place / "localPaths.toml").write_text('[paths]\ninitData = "/i"\n')
    assert localPaths().initData == "/i/"


@pytest.mark.parametrize("given", ["nowhere.toml", "."])
def test_a_named_file_that_is_not_there_is_an_error(place, monkeypatch, given):
    with pytest.raises(
        ConfigurationError, match=r"the argument names .*not a localPaths\.toml or localPaths\.m"
    ):
        localPaths(given)
    monkeypatch.setenv("DEEPIBL_LOCALPATHS", given)
    with pytest.raises(ConfigurationError, match=r"\$DEEPIBL_LOCALPATHS names"):
        localPaths()


@pytest.mark.parametrize("content", ["dsetRootPitts = 5\n", "dsetRootPitts = \n", '[other]\nx = "y"\n'])
def test_invalid_toml_is_an_error_naming_the_file(place, content):
    (place / "localPaths.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=r"localPaths\.toml"):
        localPaths()


def test_a_file_of_another_kind_is_refused(place):
    (place / "paths.txt").write_text("")
    with pytest.raises(ConfigurationError, match=r"\.toml or a \.m"):
        localPaths(place / "paths.txt")


def test_setup_names_missing_folders(place, capsys):
    paths = localPaths({"dsetSpecDir": str(place), "outPrefix": f"{place}/run_", "ourCNNs": "/not/there"})
    assert isinstance(setup(paths), LocalPaths)
    shown = capsys.readouterr().out
    assert "ourCNNs: /not/there/ does not exist" in shown
    assert "dsetSpecDir" not in shown and "outPrefix" not in shown
    assert "libMatConvNet" not in shown


CASES = {
    "paths.a= '~/x/';": "~/x/",
    "paths.a= 'it''s';": "it's",
    'paths.a= "two ""words""";': 'two "words"',
    "paths.a= 'no % comment'; % a comment": "no % comment",
    "paths.a= 'x' # Octave's comment": "x",
    "paths.a= ['/r/', 'x'];": "/r/x",
    "paths.a= ['/r/' 'x' \"y\"];": "/r/xy",
    "root= '/r/'; paths.a= [root, 'x/'];": "/r/x/",
    "paths.r= '/r/';\npaths.a= [paths.r, 'x/'];": "/r/x/",
    "paths.a= [ '/r/', ... why\n  'x' ];": "/r/x",
    'paths.a= "/r/" + "x";': "/r/x",
    "paths.a= ('x');": "x",
    "paths.a= fullfile('/r', 'b/', 'c');": "/r/b/c",
    "paths.a= fullfile('/r', 'b', '');": "/r/b",
    "paths.a= strcat('/r/', 'x');": "/r/x",
    "paths.a= relja_expandUser('~/x');": "~/x",
    "paths.a= [getenv('E_ROOT') filesep 'x'];": "/env/x",
    "paths.a= fullfile(fileparts(mfilename('fullpath')), 'data');": "/conf/data",
    "paths= struct();\npaths.a= 'x';": "x",
    "%{\npaths.a= broken(\n%}\npaths.a= 'x';": "x",
    "paths.a= 'x'; addpath('/lib'); disp('done');": "x",
    "a= [1 2]'; paths.a= 'x';": "x",
    "n= 5; m= n.'; paths.a= ['x', 'y']; k= {n'}';": "xy",
    "if n'\ndisp('it''s');\nend; paths.a= 'x';": "x",
    "paths.a= 'x'; %{ no block comment\nb= 1; %}": "x",
    "paths.a= ... where it's\n   'x';": "x",
    "root= '/r/';\nif ispc\n  root= 'E:\\';\nend\npaths.a= [root 'x'];": "/r/x",
    "if ispc, r= 'C:/'; else, r= '/r/'; end, paths.a= [r 'x'];": "/r/x",
    "if ispc r= 'C:/'; else r= '/r/'; end, paths.a= [r 'x'];": "/r/x",
    "if (isunix()) paths.a= 'x'; else paths.a= 'y'; end": "x",
    "if ~isunix, paths.a= 'y'; elseif ismac || ispc, paths.a= 'z'; else, paths.a= 'x'; end": "x",
    "if ispc, if ispc, paths.a= 'y'; end, elseif true, paths.a= 'x'; end": "x",
    "paths.a= 'x'; if exist('/nowhere', 'dir') == 7, paths.a= 'y'; end": "x",
    "if exist('/', 'dir') && isfolder('/') && ~isfile('/'), paths.a= 'x'; end": "x",
    "paths.a= 'x'; if exist('E:\\data', 'dir'), paths.a= 'E:\\data'; end": "x",
    "if isempty(getenv('E_ROOT')), paths.a= 'y'; else, paths.a= getenv('E_ROOT'); end": "/env",
    "if strncmp(computer, 'PC', 2), paths.a= 'y'; else, paths.a= 'x'; end": "x",
    "switch computer\ncase {'PCWIN','PCWIN64'}\nr='y';\ncase 'GLNXA64'\nr='x';\nend, paths.a=r;": "x",
    "switch computer('arch')\ncase 'win64'\nr='y';\notherwise\nr='x';\nend, paths.a=r;": "x",
    "if rand > 1, n= 2; end, paths.a= 'x';": "x",
    "r= '/r/'; r= [r 'x']; paths.a= r; paths.a= [paths.a '/y'];": "/r/x/y",
    "if rand > 1, r= 'y'; end, r= 'x'; paths.a= r;": "x",
    "if isunix, paths.a= 'x'; return, end, paths.a= 'y';": "x",
    "if ispc, error('no Windows'); eval('paths.a= 1'); end, paths.a= 'x';": "x",
    "n= 5;\nif ispc, disp('Windows'); end\npaths.a= 'x';": "x",
    "paths.a= 'old';\npaths.a= 'x';": "x",
    "paths.a= 'x';\nassert(exist(paths.a)==7);\nif paths.a ~= 'y', disp(1); end": "x",
}


@pytest.mark.parametrize(("code", "want"), CASES.items())
def test_matlab_strings_are_understood(code, want, monkeypatch):
    monkeypatch.setenv("E_ROOT", "/env")
    source = f"function paths= localPaths()\n{code}\nend\n"
    assert parse_local_paths(source, "/conf/localPaths.m")["a"] == want


def test_the_struct_may_have_another_name_and_helpers_may_follow():
    source = "function p = localPaths()\np.a= 'x';\nend\nfunction r = helper()\np.a= 'y';\nend\n"
    assert parse_local_paths(source) == {"a": "x"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("paths.a= lookup(3);", "'lookup' is not known"),
        ("paths.a= 5;", "not a string"),
        ("paths.a= ['x'", "missing"),
        ("paths.a= sprintf('%d', 5);", "'sprintf' is not known"),
        ("paths.a= [unknown 'x'];", "'unknown' is not known"),
        ("paths.a= ['x', 5];", "only strings"),
        ("paths.a= 'x", "does not end"),
        ("r= 'x'; paths.a= r(1);", "'r' is not known"),
        ("r= 'x'; [~, r]= system('hostname'); paths.a= r;", "'r' is not known (line 4"),
        ("r= 'x'; r(1)= 'y'; paths.a= r;", "'r' is not known (line 4"),
        ("s.r= 'x'; s= load_it(); paths.a= s.r;", "'s.r' is not known (line 4: 'load_it'"),
        ("if rand > 1, paths.a= 'x'; end", "condition of line 4 is not run: 'rand' is not known"),
        ("if rand > 1 paths.a= 'x'; end", "condition of line 4 is not run"),
        ("if rand > 1, r= 'y'; else, r= 'x'; end, paths.a= r;", "condition of line 4 is not run: 'rand'"),
        ("if rand > 1, r= 'y'; elseif isunix, paths.a= 'x'; end", "condition of line 4 is not run: 'rand'"),
        ("r= 'x'; if rand > 1, r= 'y'; end, paths.a= r;", "'r' is not known (line 4: the condition"),
        ("if exist('sub', 'dir'), paths.a= 'x'; end", "depends on MATLAB's folder"),
        ("if 'a' == 'b', paths.a= 'x'; end", "strcmp compares strings"),
        ("switch hostname, case 'a', paths.a= 'x'; end", "'hostname' is not known"),
        ("for k= 1:2, paths.a= 'x'; end", "loops and for blocks are not run"),
        ("try, r= 'x'; catch, r= 'y'; end, paths.a= r;", "loops and try blocks are not run"),
        ("if rand > 1, return, end, paths.a= 'x';", "whether the function ends here"),
        ("if isunix, error('Windows only'); end", "would end here"),
        (
            "r= 'xxxxxxxx';" + "r= [r r];" * 14 + "paths.a= r;",
            "'r' is not known (line 4: the string is too long",
        ),
        ("strcmp('a'); paths.a= strcmp('a');", "arguments of strcmp"),
        ("paths.('a')= 'x';", "no assignment of the form"),
        ("eval('paths.a= 1');", "eval is not run"),
        ("[paths.a, b]= deal('x', 'y');", "no assignment of the form"),
        ("paths= other();", "only the fields of paths"),
    ],
)
def test_lines_that_are_not_understood_are_named(line, why):
    source = f"function paths= localPaths()\n\npaths.ok= 'x';\n{line}\nend\n"
    with pytest.raises(ConfigurationError) as caught:
        parse_local_paths(source, "my/localPaths.m")
    text = str(caught.value)
    assert "my/localPaths.m" in text and "line 4" in text and line in text and why in text
    assert "line 3" not in text


def test_nothing_of_a_matlab_file_is_run(tmp_path):
    witness = tmp_path / "witness"
    with pytest.raises(ConfigurationError):
        parse_local_paths(f"paths.a= evalc('fopen(''{witness}'', ''w'')');\nsystem('touch {witness}');")
    assert not witness.exists()


def test_a_file_in_another_encoding_is_read_where_one_reading_is_certain(place):
    file = place / "localPaths.m"
    source = f"paths.a= '{place}/学术/'; % 学术"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        file.write_bytes(source.encode(encoding))
        assert localPaths(file).a == f"{place}/学术/"
    for encoding in ("gb18030", "cp932", "cp1252"):
        file.write_bytes("paths.a= '/x/'; % 学术".encode(encoding, "ignore") + "\n% \xfc".encode("cp1252"))
        assert localPaths(file).a == "/x/"
    file.write_bytes(source.encode("gb18030"))
    with pytest.raises(
        ConfigurationError, match=r"localPaths\.m: .* is not UTF-8, and no code page.*save the file as UTF-8"
    ):
        localPaths(file)
    (place / "学术").mkdir()
    assert localPaths(file).a == f"{place}/学术/"
    source = f"r= '/x/'; if exist('{place}/学术', 'dir'), r= '/y/'; end\npaths.a= r;"
    file.write_bytes(source.encode("gb18030"))
    with pytest.raises(ConfigurationError, match=r"line 1: the condition .* is not UTF-8"):
        localPaths(file)
    file.write_bytes(source.encode("utf-8"))
    assert localPaths(file).a == "/y/"
