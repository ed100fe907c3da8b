"""MATLAB scripts to Python: what is translated, what it computes, what is marked instead."""

import ast
import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tree_sitter_matlab", reason="needs the extra `migrate`")

from deepibl.cli.main import main
from deepibl.errors import ConfigurationError
from deepibl.migrate.translate import migrate, migrate_file, parse_overrides
from matlab_compat.errors import ArgumentError, NotMigratedError
from tests.small_datasets import saved

SCRIPTS = Path(__file__).parent / "matlab_scripts"


def body(source: str, **options: Any) -> str:
    """The translated lines without docstring and imports."""
    text = migrate(source, "a.m", **options).text
    tree = ast.parse(text)
    heads = (ast.Import, ast.ImportFrom)
    first = next(
        (
            node.lineno
            for node in tree.body
            if not isinstance(node, heads) and not (isinstance(node, ast.Expr) and node.lineno == 1)
        ),
        len(text.splitlines()) + 1,
    )
    lines = text.splitlines()
    while first > 2 and lines[first - 2].startswith("#"):
        first -= 1
    return "\n".join(lines[first - 1 :]).strip()


def run(source: str) -> str:
    """What the translated script prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(migrate(source, "a.m").text, "a.py", "exec"), {"__name__": "script"})
    return out.getvalue()


LINES = [
    ("db= dbPitts(false, 'train');", "db = dbPitts(False, 'train')"),
    ("setup;", "setup()"),
    (
        "serialAllFeats(1, 'p', {'a'}, 'o', 'batchSize', 5);",
        "serialAllFeats(1, 'p', Cell('a'), 'o', batchSize=5)",
    ),
    ("[r, ~, ~, o]= testFromFn(1, 'a', 'b');", "r, _, _, o = testFromFn(1, 'a', 'b', nargout=4)"),
    ("r= testFromFn(1, 'a', 'b', [], 'cropToDim', 8);", "r = testFromFn(1, 'a', 'b', Array(), cropToDim=8)"),
    ("p= localPaths(); q= [p.outPrefix, 'x.bin'];", "p = localPaths()\nq = p.outPrefix + 'x.bin'"),
    ("db= dbTokyo247(); i= db.getPosIDs(3);", "db = dbTokyo247()\ni = db.getPosIDs(3)"),
    ("db= dbTokyo247(); u= db.utmDb(:, 5);", "db = dbTokyo247()\nu = at(db.utmDb, ALL, 5)"),
    ("s= 'it''s';", 's = "it\'s"'),
    ("print= 1; lambda= 2; sum= 3;", "print_ = 1\nlambda_ = 2\nsum_ = 3"),
    ("x= 3 % three", "x = 3  # three\nshow('x', x)"),
    ("%% a cell\n% a line", "# %% a cell\n# a line"),
    ("%{\nmany\nlines\n%}\nx= 1;", "# many\n# lines\nx = 1"),
    ("run('lib/setup.m');", "# (only MATLAB needs this) run('lib/setup.m')"),
    ("hold on; x= [1 2]; bar(x);", "hold('on')\nx = Array([1, 2])\nbar(x)\n\nshow_figures()"),
    ("x= 1e-3; y= -x;", "x = 0.001\ny = -x"),
    ("s= struct('a', 1);", "s = Struct(a=1)"),
    ("s= struct('if', 1); x= s.if;", "s = struct('if', 1)\nx = field(s, 'if')"),
    (
        "figure; plot(1, 2, 'r-', 'LineWidth', 2);",
        "figure()\nplot(1, 2, 'r-', 'LineWidth', 2)\n\nshow_figures()",
    ),
    ("x= [1 2; 3 4]; y= x'*x;", "x = Array([[1, 2], [3, 4]])\ny = x.T @ x"),
    ("a= 7; b= 2; c= a/b; d= a/2;", "a = 7\nb = 2\nc = divide(a, b)\nd = a / 2"),
    ("x= zeros(1,3); x(5)= 1; n= x(end) + 1;", "x = zeros(1, 3)\nx[5] = 1\nn = x[numel(x)] + 1"),
    ("c= {'a', [1 2]}; d= c{2}; e= c(1);", "c = Cell('a', Array([1, 2]))\nd = c[2]\ne = at(c, 1)"),
    ("s.a= 1; s.b(3)= 2;", "s = Struct()\ns.a = 1\ns = put(s, 2, 'b', (3,))"),
    ("for v= [1 2; 3 4], x= v; end", "for v in columns(Array([[1, 2], [3, 4]])):\n    x = v"),
    ("x= 3; y= x>2 & x<5; z= ~y;", "x = 3\ny = x > 2 and x < 5\nz = not y"),
    ("f= @(x) x.^2; y= f(2);", "f = lambda x: power(x, 2)\ny = f(2)"),
    ("n= 1; n= 2; f= @(x) [x n];", "n = 1\nn = 2\nf = lambda x, *, n=n: horzcat(x, n)"),
    ("x= [1 2]; x(2)= [];", "x = Array([1, 2])\ndel x[2]"),
    ("c= {1,2}; x= max(c{:});", "c = Cell(1, 2)\nx = max_(*c)"),
]


@pytest.mark.parametrize(("source", "want"), LINES, ids=[source for source, _ in LINES])
def test_a_line_is_translated(source: str, want: str) -> None:
    result = migrate(source, "a.m")
    assert not result.marks
    assert body(source) == want


MARKED = [
    ("y= foo(3);", "neither a variable"),
    ("run('other.m');", "translate that script too"),
    ("x= randn(5);", "randn is neither"),
    ("x.y += 1;", "the grammar"),
    ("c= {1, 2}; x= c{:};", "list of values"),
    ("x= 3i;", "the number 3i"),
    ("[a, b]= serialAllFeats(1, 'p', {}, 'o');", "gives 0 outputs"),
    ("x= serialAllFeats(1, 'p', {}, 'o');", "gives 0 outputs"),
    ("if unknown(3), x= 1; end", "neither a variable"),
    ("relja_display();", "takes a string"),
    ("x= a@b;", "a@b is neither a variable"),
    ("a@b= 3;", "a@b is not a variable"),
    ("x= 2^-1^2;", "write parentheses"),
    ('x= ["a" "b"];', "array of strings"),
    ('x= "a" + "b";', "no row of characters"),
    ("eval('x= 1;');", "code in strings"),
    ("global g", "global"),
    ("format long", "format long"),
    ("clear x*", "pattern of names"),
    ("x= a.b;", "neither a variable"),
    ("x= interp1([1 2], [3 4], 1.5);", "interp1 is neither"),
    ("classdef A\nend", "not a handle class"),
    ("[a, b]= numel(3);", "2 outputs"),
]


@pytest.mark.parametrize(("source", "reason"), MARKED, ids=[source for source, _ in MARKED])
def test_what_cannot_be_known_is_marked_and_stops(source: str, reason: str) -> None:
    result = migrate(source, "a.m")
    assert [mark for mark in result.stops if reason in mark.reason], result.text
    assert "# MIGRATE: a.m:" in result.text and "not_migrated('a.m:" in result.text
    ast.parse(result.text)


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("-2^2", -4),
        ("2^3^2", 64),
        ("2^-1", 0.5),
        ("-2^-2", -0.25),
        ("~0 == 1", 1),
        ("~(0 == 1)", 1),
        ("3 > 2 > 1", 0),
        ("1:3 + 1", "1 2 3 4"),
        ("1 | 0 & 0", 1),
        ("1 || 0 && 0", 1),
        ("4 > 3 & 4 < 6", 1),
        ("5 | 0", 1),
        ("2 * 3 .^ 2", 18),
        ("-[1 2]'", "-1 -2"),
        ("[1 2]'.^2", "1 4"),
        ("2 + 3:4 + 3", "5 6 7"),
        ("1 - 2 - 3", -4),
        ("8 / 4 * 2", 4),
        ("2 \\ 8 / 4", 1),
        ("~1 + 1", 1),
        ("-1 == -1", 1),
        ("1 < 2 == 1", 1),
        ("0 * -1", "-0"),
        ("1 / -(3 - 3)", "-Inf"),
        ("~~5", 1),
        ("[1 -2]", "1 -2"),
        ("[1 - 2]", -1),
        ("[1 -2 + 3]", "1 1"),
        ("3 == 3 & ~0", 1),
    ],
)
def test_operators_bind_as_in_matlab(source: str, want: object) -> None:
    assert run(f"fprintf('%g ', {source});").strip() == str(want)


def test_logic_gives_logicals() -> None:
    assert run("a= 5; b= 0; x= a | b; fprintf('%s %d', class(x), x);") == "logical 1"
    assert (
        run("a= 5; x= a && 3; fprintf('%s %d', class(x), x); y= ~[2 0]; fprintf('%s', class(y));")
        == "logical 1logical"
    )


def test_a_division_by_zero_is_infinite() -> None:
    assert run("x= 0; fprintf('%g %g %g', 1/x, -1/x, x/x);") == "Inf -Inf NaN"


def test_functions_of_the_file_are_translated() -> None:
    source = """function [m, n]= both(x, varargin)
    % the size
    if nargin > 1, fprintf('%s ', varargin{1}); end
    m= size(x, 1); n= size(x, 2);
    x(1)= 99;
end
function r= early(x)
    r= 0;
    if x > 1, r= 1; return; end
    r= 2;
end
a= [1 2 3]; [m, n]= both(a, 'more'); k= both(a);
fprintf('%d %d %d %d %d %d', m, n, k, a(1), early(0), early(5));
"""
    assert run(source) == "more 1 3 1 1 2 1"


def test_a_function_gives_as_many_outputs_as_it_is_asked_for() -> None:
    source = """function varargout= all_of(varargin)
    for i= 1:nargout, varargout{i}= 2*varargin{i}; end
end
function [n, varargout]= counted(varargin)
    n= numel(varargin); varargout= varargin;
end
[a, b]= all_of(1, 2); [n, x, y]= counted('p', 'q'); k= counted(7);
fprintf('%d %d %d %s %s %d', a, b, n, x, y, k);
"""
    assert run(source) == "2 4 2 p q 1"
    with pytest.raises(ArgumentError, match="gives 1 outputs; 2 are asked for"):
        run("function varargout= f(x)\nvarargout{1}= x;\nend\n[a, b]= f(1);")


def test_a_function_without_a_name_gives_what_its_call_gives() -> None:
    source = """x= [3 9 4]; f= @(n) max(x(1:n)); [m, i]= f(3); g= @(n) f(n); h= @(k) both(k, x);
[u, v]= h(2); [p, q]= arrayfun(@(k) deal(k, 2*k), 1:2);
fprintf('%d ', m, i, f(1), u, v, p, q);
function [a, b]= both(k, x)
    a= x(k); b= k;
end
"""
    assert run(source).split() == ["9", "2", "3", "9", "2", "1", "2", "2", "4"]


def test_random_numbers_are_matlabs() -> None:
    source = """rng(0); x= randperm(6); s= rng; a= rand; rng(s); b= rand;
rng(43); y= randsample(['a':'f', '0':'9'], 8, true);
rng(1); z= [rand(1, 2), randi(10, 1, 2)]; w= randsample(5, 5);
fprintf('%d ', x, a == b, size(w)); fprintf('%s %.4f %.4f %d %d', y, z);
"""
    assert run(source) == "6 3 5 1 2 4 1 5 1 b3cdf742 0.4170 0.7203 1 4"
    assert "random numbers are MATLAB's" in migrate("x= rand;", "a.m").text


def test_maps() -> None:
    source = """m= containers.Map({'b', 'a'}, {1, [2 3]}); m('c')= 'x'; m('b')= m('b') + 1; n= m;
for k= keys(m), fprintf('%s ', k{1}); end
v= values(m); fprintf('%d %d %d %s ', m.Count, isKey(n, 'z'), v{2}, m('c')); remove(n, 'c');
o= containers.Map('KeyType', 'double', 'ValueType', 'any'); o(2)= 'two';
fprintf('%d %s %d', length(m), o(2), o.isKey(3));
"""
    assert run(source) == "a b c 3 0 2 x 2 two 0"
    with pytest.raises(ArgumentError, match="not present"):
        run("m= containers.Map(); x= m('a');")


def test_a_range_of_letters_is_a_string() -> None:
    assert run("x= ['a':'d', '0':'2']; fprintf('%s %s', x, class('a':'c'));") == "abcd012 char"


def test_a_handle_keeps_the_values_of_its_making() -> None:
    assert run("n= 2; f= @(x) x*n; n= 5; fprintf('%d', f(3));") == "6"


def test_a_property_of_a_data_set_class_has_the_files_value(tmp_path: Path) -> None:
    """The default that the class declares, [], hid it."""
    saved(tmp_path, dbTimeStamp=np.array([[1.0, 2, 1]]), qTimeStamp=np.ones((1, 1)))
    (tmp_path / "localPaths.toml").write_text(f"dsetSpecDir = '{tmp_path}/'\n")
    (tmp_path / "dbMine.m").write_text(
        "classdef dbMine < dbBase\n properties\n  dbTimeStamp, qTimeStamp, mine= 4\n end\n methods\n"
        "  function db= dbMine()\n   db.name= 'mine'; db.dbPath= '/d/'; db.qPath= '/q/';\n   db.dbLoad();\n"
        "  end\n  function ids= nontrivialPosQ(db, i)\n   [ids, dSq]= db.cp.getPosIDs(db.utmQ(:,i));\n"
        "   ids= ids(dSq<=100 & db.qTimeStamp(i)~=db.dbTimeStamp(ids));\n  end\n end\nend\n"
    )
    (tmp_path / "main.m").write_text(
        "db= dbMine(); fprintf('%d ', db.nontrivialPosQ(1), db.mine, db.dbTimeStamp);\n"
        "db.dbTimeStamp= [2 1 1]; fprintf('%d ', db.nontrivialPosQ(1), db.dbTimeStamp);\n"
    )
    for name in ("dbMine", "main"):
        assert not migrate_file(tmp_path / f"{name}.m", tmp_path / f"{name}.py").marks
    env = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""}
    command: Any = [sys.executable, str(tmp_path / "main.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
    assert done.stdout == "2 4 1 2 1 1 2 1 1 "


def test_a_class_and_a_function_beside_the_script_are_imported(tmp_path: Path) -> None:
    (tmp_path / "twice.m").write_text("function r= twice(x)\nr= 2*x;\nend\n")
    (tmp_path / "counter.m").write_text(
        "classdef counter < handle\n properties\n  n= 0;\n end\n methods\n"
        "  function c= counter(start)\n   c.n= start;\n"
        "  end\n  function add(c, k)\n   c.n= c.n + k;\n  end\n"
        "  function r= get(c)\n   r= c.n;\n  end\n end\nend\n"
    )
    (tmp_path / "main.m").write_text(
        "c= counter(3); d= c; d.add(twice(2)); fprintf('%d %d', c.get(), get(d));\n"
    )
    for name in ("twice", "counter", "main"):
        assert not migrate_file(tmp_path / f"{name}.m", tmp_path / f"{name}.py").marks
    command = [sys.executable, str(tmp_path / "main.py")]
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": root, "PATH": ""}
    )
    assert done.stdout == "7 7"


def test_a_marked_line_raises_when_it_is_reached_and_only_then() -> None:
    assert run("if false\n y= foo(3);\nend\nfprintf('on\\n');") == "on\n"
    with pytest.raises(NotMigratedError, match=r"a\.m:2: foo is neither"):
        run("fprintf('on');\ny= foo(3);")


def test_the_matlab_text_stands_beside_the_mark() -> None:
    text = body("y= foo(1, ...\n    2); % why")
    assert "# MIGRATE:   y= foo(1, ..." in text and "# MIGRATE:       2)" in text and "# why" in text


def test_comments_inside_a_call_stand_before_it() -> None:
    assert body("x= [1, ... the first\n 2];") == "# the first\nx = Array([1, 2])"


def test_a_struct_that_grows_in_a_loop_is_made_once() -> None:
    assert (
        run("for k= 1:3\n  s.last= k;\n  if k == 1, s.first= k; end\nend\nfprintf('%d %d', s.first, s.last);")
        == "1 3"
    )


def test_a_copy_is_a_copy() -> None:
    source = "a= {1, 2}; b= a; b{1}= 5; fprintf('%d %d ', a{1}, b{1});"
    source += "v= [1 2]; w= v(1:2); w(1)= 9; fprintf('%d', v(1));"
    assert run(source) == "1 5 1"


def test_an_error_that_stops_the_script_is_passed_by_and_noted(capsys: pytest.CaptureFixture[str]) -> None:
    source = "error('never run this');\nfprintf('run\\n');"
    result = migrate(source, "a.m")
    assert not result.stops and "its own error()" in result.marks[0].reason
    assert run(source) == "run\n"
    assert "going on past" in capsys.readouterr().err
    kept = migrate(source, "a.m", keep_stops=True)
    assert "error('never run this')" in kept.text and not kept.marks


def test_an_error_at_the_end_or_in_a_branch_stays() -> None:
    assert "error('x')" in body("y= 1;\nerror('x');")
    assert "error('x')" in body("if true\n  error('x');\nend\ny= 1;")


def test_options_and_variables_can_be_set() -> None:
    chosen = parse_overrides(["addPCA.pcaDim=16", "addPCA.useGPU=false", "dims=[1, 2]"])
    result = migrate("dims= [64 128];\nn= addPCA(1, 2, 'PCADim', 4096);", "a.m", overrides=chosen)
    assert "dims = Array([1, 2])" in result.text
    assert "n = addPCA(1, 2, pcaDim=16, useGPU=False)" in result.text
    assert len(result.notes) == 3 and all(f"# MIGRATE: {note}" in result.text for note in result.notes)
    session = "s= trainWeakly(1, 2, 'sessionID', 'a', 'nTestSample', 9);"
    chosen = parse_overrides(["trainWeakly.sessionID=53e0", "trainWeakly.nTestSample=inf"])
    made = migrate(session, "a.m", overrides=chosen).text
    assert "sessionID='53e0', nTestSample=1e309" in made
    with pytest.raises(ArgumentError, match=r"FUNCTION\.OPTION=VALUE"):
        parse_overrides(["3=4"])


def test_the_language_script_is_translated_whole() -> None:
    assert not migrate_file(SCRIPTS / "language.m").marks


@pytest.mark.octave
def test_octave_and_the_translation_print_the_same(tmp_path: Path) -> None:
    script = SCRIPTS / "language.m"
    octave = subprocess.run(
        ["octave-cli", "--no-init-file", str(script)], capture_output=True, text=True, check=True
    )
    migrate_file(script, tmp_path / "language.py")
    command = [sys.executable, str(tmp_path / "language.py")]
    ours = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""},
    )
    assert ours.stdout.splitlines() == octave.stdout.splitlines()


def test_the_command_line_writes_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "a.m"
    script.write_bytes("% caf\xe9\nx= 1;\ny= foo(x);\n".encode("latin-1"))
    with pytest.raises(SystemExit) as stop:
        main(["migrate", str(script), "-o", str(tmp_path / "a.py")])
    assert stop.value.code == 4
    assert "a.m:3: foo is neither" in capsys.readouterr().err
    assert "# café" in (tmp_path / "a.py").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["migrate", str(script), "--json"])
    assert json.loads(capsys.readouterr().out)["marks"][0]["line"] == 3
    script.write_text("x= 1;\n")
    with pytest.raises(SystemExit) as stop:
        main(["migrate", str(script)])
    assert stop.value.code == 0
    assert "x = 1" in capsys.readouterr().out


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.m: cannot be read"):
        migrate_file(tmp_path / "gone.m")


def test_without_the_grammar_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter_matlab", None)
    with pytest.raises(ConfigurationError, match=r"deepibl\[migrate\]"):
        migrate("x= 1;")


def test_a_function_file_replaces_one_of_the_originals_once_it_is_translated(tmp_path: Path) -> None:
    (tmp_path / "rawNnSearch.m").write_text("function ids= rawNnSearch(q, db)\nids= q + db;\nend\n")
    (tmp_path / "localPaths.m").write_text("function paths= localPaths()\npaths.outPrefix= 'o/';\nend\n")
    (tmp_path / "main.m").write_text("p= localPaths(); fprintf('%d', rawNnSearch(1, 2));\n")
    before = migrate_file(tmp_path / "main.m")
    assert "from deepibl.migrate.originals import localPaths, rawNnSearch" in before.text
    assert len(before.notes) == 1 and before.notes[0].startswith("rawNnSearch: deepibl's are called")
    migrated = migrate_file(tmp_path / "rawNnSearch.m", tmp_path / "rawNnSearch.py")
    assert "def rawNnSearch(q, db):" in migrated.text and not migrated.marks
    after = migrate_file(tmp_path / "main.m", tmp_path / "main.py")
    assert "from rawNnSearch import rawNnSearch" in after.text and not after.notes
