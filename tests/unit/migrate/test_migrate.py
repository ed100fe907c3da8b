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
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, NotMigratedError

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
    ("db= dbTokyo247();", "db = dbTokyo247()"),
    ("setup;", "setup()"),
    ("n= loadNet('vd16', 'conv5_3');", "n = loadNet('vd16', 'conv5_3')"),
    ("serialAllFeats(1, 'p', {'a'}, 'o', 'batchSize', 5);",
     "serialAllFeats(1, 'p', ['a'], 'o', batchSize=5)"),
    ("[r, ~, ~, o]= testFromFn(1, 'a', 'b');", "r, _, _, o = testFromFn(1, 'a', 'b')"),
    ("r= testFromFn(1, 'a', 'b', [], 'cropToDim', 8);", "r = testFromFn(1, 'a', 'b', None, cropToDim=8)[0]"),
    ("[r, l]= testFromFn(1, 'a', 'b');", "r, l, *_ = testFromFn(1, 'a', 'b')"),
    ("[~, l]= testFromFn(1, 'a', 'b');", "_, l, *_ = testFromFn(1, 'a', 'b')"),
    ("p= localPaths(); q= [p.outPrefix, 'x.bin'];", "p = localPaths()\nq = p.outPrefix + 'x.bin'"),
    ("db= dbTokyo247(); i= db.getPosIDs(3);", "db = dbTokyo247()\ni = db.getPosIDs(2)"),
    ("db= dbTokyo247(); u= db.utmDb(:, 5);", "db = dbTokyo247()\nu = db.utmDb[4]"),
    ("db= dbTokyo247(); u= db.utmDb(1, :);", "db = dbTokyo247()\nu = db.utmDb[:, 0]"),
    ("r= testFromFn(1, 'a', 'b'); s= testFromFn(1, 'c', 'd'); t= [r, s];",
     "r = testFromFn(1, 'a', 'b')[0]\ns = testFromFn(1, 'c', 'd')[0]\nt = np.column_stack([r, s])"),
    ("[~, ~, a]= testFromFn(1, 'a', 'b'); m= mean(a(1:3:end, :), 1)';",
     "_, _, a, _ = testFromFn(1, 'a', 'b')\nm = np.mean(a[colon(1, 3, len(a)) - 1], axis=0)"),
    ("s= 'it''s'; t= \"say \"\"hi\"\"\";", "s = \"it's\"\nt = 'say \"hi\"'"),
    ("print= 1; lambda= 2; np= 3;", "print_ = 1\nlambda_ = 2\nnp_ = 3"),
    ("x= 3 % three", "x = 3  # three\nprint('x =', x)"),
    ("%% a cell\n% a line", "# %% a cell\n# a line"),
    ("%{\nmany\nlines\n%}\nx= 1;", "# many\n# lines\nx = 1"),
    ("addpath('lib');", "# (only MATLAB needs this) addpath('lib')"),
    ("run('lib/setup.m');", "# (only MATLAB needs this) run('lib/setup.m')"),
    ("hold on; x= [1 2]; bar(x);",
     "x = np.array([1, 2])\nplt.bar(np.arange(1, np.size(x) + 1), x)\n\nplt.show()"),
    ("x= 1e-3; y= -x;", "x = 0.001\ny = -x"),
    ("s= struct('a', 1);", "s = Struct(a=1)"),
    ("s= struct('if', 1); x= s.if;", "s = Struct(**{'if': 1})\nx = getattr(s, 'if')"),
    ("n= netPrepareForTrain(1, 5);", "n = netPrepareForTrain(1, 5)"),
    ("n= netPrepareForTrain(1, 'conv5_1');", "n = netPrepareForTrain(1, 'conv5_1')"),
    ("figure; plot(1, 2, 'r-', 'LineWidth', 2);",
     "plt.figure()\nplt.cla()\nplt.plot(1, 2, 'r-', linewidth=2)\n\nplt.show()"),
    ("hold on; plot([1 2], [3 4]);", "plt.plot(np.array([1, 2]), np.array([3, 4]))\n\nplt.show()"),
    ("legend('a', 'b', 'Location', 'SouthEast'); axis tight;",
     "plt.legend(['a', 'b'], loc='lower right')\nplt.axis('tight')\n\nplt.show()"),
    ("set(gca, 'XTick', [1 2], 'FontSize', 9);",
     "plt.gca().set_xticks(np.array([1, 2]))\nplt.gca().tick_params(labelsize=9)\n\nplt.show()"),
    ("title('a_b', 'Interpreter', 'none'); ylim([0 1]);",
     "plt.title('a_b')\nplt.ylim(np.array([0, 1]))\n\nplt.show()"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "want"), LINES, ids=[source for source, _ in LINES])
def test_a_line_is_translated(source: str, want: str) -> None:
    result = migrate(source, "a.m")
    assert not result.marks
    assert body(source) == want


MARKED = [
    ("y= foo(3);", "neither a variable"),
    ("run('other.m');", "translate that script too"),
    ("x= foo; y= x';", "neither a variable"),
    ("db= dbTokyo247(); x= db.utmDb';", "transposed"),
    ("x= [1 2]; y= x + x';", "may be a row and one a column"),
    ("r= testFromFn(1, 'a', 'b'); s= r + [1 2];", "may be a row and one a column"),
    ("r= testFromFn(1, 'a', 'b'); for v= r, x= v; end", "may be a column"),
    ("db= dbTokyo247(); for i= db.getPosIDs(3), x= i; end", "may be a column"),
    ("x= [1 2]; y= [x; x'];", "rows or columns"),
    ("x= [1 2]; y= x * x;", "matrix product"),
    ("db= dbTokyo247(); i= db.getPosIDs(1); j= i * 2;", "ids of the library"),
    ("db= dbTokyo247(); i= db.getPosIDs(1); if i(1) == 3, x= 1; end", "ids of the library"),
    ("db= dbTokyo247(); i= db.getPosIDs(1); c= {i};", "ids of the library"),
    ("db= dbTokyo247(); i= db.getPosIDs(1); s.i= i;", "ids of the library"),
    ("db= dbTokyo247(); x= db.sampleNegsQ(1, 3);", "method sampleNegsQ"),
    ("a= {1, 2}; k= rawNnSearch(1, 2); b= a{k};", "cannot be known"),
    ("k= rawNnSearch(1, 2); b= k(:, 1);", "cannot be known"),
    ("x= randperm(5);", "random numbers"),
    ("load('x.mat');", "cannot be known"),
    ("x= {1, 2; 3, 4};", "rows and columns"),
    ("x.y += 1;", "the grammar"),
    ("c= {1, 2}; x= c{:};", "list of values"),
    ("x= 'a' == 'b';", "strcmp"),
    ("x= 3i;", "the number 3i"),
    ("fid= fopen('x'); fprintf(fid, 'x');", "fopen"),
    ("[a, b]= serialAllFeats(1, 'p', {}, 'o');", "gives 0 outputs"),
    ("if unknown(3), x= 1; end", "neither a variable"),
    ("if true, hold on; end; plot([1 2]);", "hold"),
    ("s(2).a= 3;", "not assigned before"),
    ("x= loadNet('a', 'b', 'c', 'd');", "arguments"),
    ("relja_display();", "takes a string"),
    ("x= a@b;", "a@b is neither a variable"),
    ("a@b", "a@b is neither a variable"),
    ("a@b= 3;", "a@b is not a variable"),
    ("function r= f(a)\n r= a;\nend", "functions of a script"),
    ("x= [1 2; 3 4]; y= relja_l2normalize_col(x);", "D x N in MATLAB"),
    ("x= foo2; n= netPrepareForTrain(1, x);", "neither a variable"),
    ("c= {{1}, {2}}; for q= c, q{1}= 3; end", "whose variable is changed"),
    ("x= 1;\nwhile true\n x= 'a';\n break;\n x= 2;\nend\nv= [1 2]; y= v(x);", "cannot be known"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "reason"), MARKED, ids=[source for source, _ in MARKED])
def test_what_cannot_be_known_is_marked_and_stops(source: str, reason: str) -> None:
    result = migrate(source, "a.m")
    assert [mark for mark in result.stops if reason in mark.reason], result.text
    assert "# MIGRATE: a.m:" in result.text and "not_migrated('a.m:" in result.text
    ast.parse(result.text)


def test_a_marked_line_raises_when_it_is_reached_and_only_then() -> None:
    assert run("if false\n y= foo(3);\nend\nfprintf('on\\n');") == "on\n"
    with pytest.raises(NotMigratedError, match=r"a\.m:2: foo is neither"):
        run("fprintf('on');\ny= foo(3);")


def test_the_matlab_text_stands_beside_the_mark() -> None:
    text = body("y= foo(1, ...\n    2); % why")
    assert "# MIGRATE:   y= foo(1, ..." in text and "# MIGRATE:       2)" in text and "# why" in text


def test_comments_inside_a_call_stand_before_it() -> None:
    assert body("x= [1, ... the first\n 2];") == "# the first\nx = np.array([1, 2])"


def test_ids_are_printed_as_matlab_counts_them() -> None:
    text = body("db= dbTokyo247(); i= db.getPosIDs(1); fprintf('%d\\n', i(1));")
    assert text.endswith("print(sprintf('%d', i[0] + 1))")


def test_a_variable_of_several_kinds_is_marked() -> None:
    source = "x= 1;\nfor k= 1:3\n  y= z(x);\n  x= 'text';\nend"
    assert migrate("z= [1 2];\n" + source, "a.m").stops


def test_a_loop_variable_of_one_kind_is_not() -> None:
    assert not migrate("z= [1 2 3]; x= 1;\nfor k= 1:3\n  y= z(x);\n  x= x + 1;\nend", "a.m").marks


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
    assert "raise RuntimeError('never run this')" in kept.text and not kept.marks


def test_an_error_at_the_end_or_in_a_branch_stays() -> None:
    assert "raise RuntimeError('x')" in body("y= 1;\nerror('x');")
    assert "raise RuntimeError('x')" in body("if true\n  error('x');\nend\ny= 1;")


def test_options_and_variables_can_be_set() -> None:
    chosen = parse_overrides(["addPCA.pcaDim=16", "addPCA.useGPU=false", "dims=[1, 2]"])
    result = migrate("dims= [64 128];\nn= addPCA(1, 2, 'PCADim', 4096);", "a.m", overrides=chosen)
    assert "dims = np.array([1, 2])" in result.text
    assert "n = addPCA(1, 2, PCADim=16, useGPU=False)" in result.text
    assert len(result.notes) == 3 and all(f"# MIGRATE: {note}" in result.text for note in result.notes)
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
    ours = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
                          env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""})  # fmt: skip
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


def test_a_loaded_matrix_is_not_given_to_the_library_as_it_is(tmp_path: Path) -> None:
    matfile.save(tmp_path / "f.mat", {"f": np.ones((4, 2)), "names": ["a", "b"]})
    source = f"load('{tmp_path / 'f.mat'}', 'f'); g= f; x= relja_l2normalize_col(g);"
    with pytest.raises(ArgumentError, match="MATLAB's orientation"):
        run(source)
    assert run(f"s= load('{tmp_path / 'f.mat'}'); fprintf('%s', s.names{{2}});") == "b"


def test_features_read_by_fread_are_one_row_an_image(tmp_path: Path) -> None:
    features = np.arange(6, dtype=np.float32).reshape(2, 3)
    file = tmp_path / "f.bin"
    features.tofile(file)
    source = (
        f"f= fread(fopen('{file}', 'rb'), inf, 'float32=>single'); f= reshape(f, [], 2);\n"
        f"g= fread(fopen('{file}'), [3, 2], 'float32=>single');\n"
        "fprintf('%d %d|', size(f, 1), size(f, 2)); fprintf('%g ', f(:, 2), g(1:2, 1), f(3, 2));"
    )
    assert run(source) == "3 2|3 4 5 0 1 5 "
