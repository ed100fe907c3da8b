"""The .m files for MATLAB: under Octave they run what is written here, and what they write is read here.

MatConvNet's compiled functions have stand-ins in tests/octave/mex. Its m-code, NetVLAD and relja_matlab have
some in tests/octave/mcode; where $DEEPIBL_ORIGINALS names a folder that holds the originals, these run,
too (tests/octave/originals has what Octave lacks for them).
"""

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.cli.main import main
from deepibl.errors import FeatureFileError
from deepibl.features.extraction import extract
from deepibl.migrate.toolbox import Reference, copy_toolbox, read_reference_file
from deepibl.migrate.verify import verify_reference
from deepibl.networks.build import add_pooling, append_pca, prepare_for_testing
from deepibl.networks.io import load_network, save_network
from matlab_compat import matfile
from matlab_compat.dagnn.network import DagNN
from matlab_compat.matfile.values import StructArray
from matlab_compat.numeric import maps_to_matlab
from matlab_compat.relja import PCA
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row
from tests.tiny_training import OPTIONS, Workplace

STANDINS = Path(__file__).parents[2] / "octave"
ORIGINALS = os.environ.get("DEEPIBL_ORIGINALS", "")
NAMES = ["one.png", "two.jpg", "grey.png"]
Octave = Callable[[str], str]


def dagnn_for_octave(folder: Path) -> Path:
    """MatConvNet's package dagnn with `[s.field] = tolist(...)`, which Octave refuses, as a loop."""
    source = next(Path(ORIGINALS).rglob("+dagnn"))
    shutil.copytree(source, folder / "dagnn" / "+dagnn")
    rebuild = folder / "dagnn" / "+dagnn" / "@DagNN" / "rebuild.m"
    several = r"\[obj\.(\w+)\.(\w+)\] = tolist\(num2cell\((\w+)\)\) ;"
    loop = r"for k= 1:numel(obj.\1), obj.\1(k).\2= \3(k); end"
    rebuild.write_text(re.sub(several, loop, rebuild.read_text()))
    return folder / "dagnn"


@pytest.fixture(
    params=[
        "standins",
        pytest.param(
            "originals",
            marks=pytest.mark.skipif(
                not ORIGINALS, reason="needs $DEEPIBL_ORIGINALS, the m-code of the originals"
            ),
        ),
    ]
)
def octave(request: pytest.FixtureRequest, tmp_path: Path) -> Octave:
    """Runs code in Octave with the toolbox on the path; returns what it prints, and its errors."""
    copy_toolbox(tmp_path / "toolbox")
    folders = [f"'{STANDINS / 'mcode'}'"]
    if request.param == "originals":
        folders = [
            f"genpath('{ORIGINALS}')",
            f"'{STANDINS / 'originals'}'",
            f"'{dagnn_for_octave(tmp_path)}'",
        ]
    folders += [f"'{STANDINS / 'mex'}'", f"'{tmp_path / 'toolbox'}'", f"'{tmp_path}'"]
    path = " ".join(f"addpath({folder});" for folder in folders)

    def run(script: str) -> str:
        text = f"warning('off', 'all'); {path} cd('{tmp_path}');\n{script}"
        command = ["octave-cli", "--no-init-file", "--quiet", "--eval", text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        return done.stdout + done.stderr

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    sizes = [(40, 48, 3), (33, 40, 3), (40, 48)]
    for name, size in zip(NAMES, sizes, strict=True):
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


def conv(name: str, channels: int, filters: int, seed: int, **fields: Any) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    weight = random.normal(0, 0.1, (3, 3, channels, filters)).astype(np.float32)
    bias = random.normal(0, 0.1, (1, filters)).astype(np.float32)
    return {"type": "conv", "name": name, "weights": [weight, bias], **fields}


def network(method: str = "vlad_preL2_intra") -> SimpleNN:
    """Two convolutions, pooling between, NetVLAD's layers and PCA; fields with defaults are left out."""
    pool = {"type": "pool", "name": "pool1", "method": "max", "pool": np.full((1, 2), 2.0), "stride": 2.0}
    layers = [
        conv("conv1", 3, 6, 1, stride=2.0, pad=np.array([[1.0, 1, 0, 1]])),
        {"type": "relu", "name": "relu1"},
        pool,
        conv("conv2", 6, 8, 2),
    ]
    mean = np.array([120, 110, 100], np.float32).reshape(1, 1, 3)
    net = SimpleNN.from_matlab({"layers": layers, "meta": {"normalization": {"averageImage": mean}}})
    random = np.random.default_rng(3)
    points = random.standard_normal((60, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    net = add_pooling(net, method, centres=points[:4], descriptors=points)
    dim = 32 if method.startswith("vlad") else 8
    axes = np.linalg.qr(random.standard_normal((dim, 5)))[0].astype(np.float32)
    return append_pca(net, PCA(axes, np.linspace(0.2, 0.1, 5), np.zeros(dim, np.float32), np.zeros(5)))


def deepibl(*arguments: Any) -> Any:
    """Runs a command; returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return ended.value.code


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def test_the_files_are_copied_over_older_ones_and_have_help_texts(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "deepibl_load.m").write_text("old")
    assert deepibl("toolbox", tmp_path / "m") == 0
    written = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert written == [f"deepibl_{name}.m" for name in ("check", "load", "reference", "session")]
    assert "deepibl_check" in capsys.readouterr().out
    for name in written:
        first, second = (tmp_path / "m" / name).read_text(encoding="ascii").split("\n")[:2]
        assert first.startswith("function ") and second.startswith(f"%{name[:-2].upper()}  ")


def test_the_python_functions_that_the_page_calls_from_matlab_exist() -> None:
    page = (Path(__file__).parents[3] / "docs" / "matlab_side.md").read_text(encoding="utf-8")
    called = set(re.findall(r"\bpy\.([\w.]+)\.(\w+)\(", page))
    assert len(called) >= 4
    for module, name in called:
        assert callable(getattr(importlib.import_module(module), name)), name


@pytest.mark.octave
@pytest.mark.parametrize("method", ["vlad_preL2_intra", "vladv2_preL2_intra", "max", "avg_preL2"])
def test_a_network_runs_and_gives_the_ports_features(method: str, octave: Octave, photos: Path) -> None:
    net = network(method)
    save_network(net, photos / "net.mat")
    said = octave(
        f"""net= deepibl_load('net.mat'); names= {{{", ".join(map(repr, NAMES))}}};
        for i= 1:3
            im= vl_imreadjpeg(names(i));
            feats(:,i)= computeRepresentation(net, im{{1}}, 'useGPU', false);
        end
        save('-v7', 'out.mat', 'feats');"""
    )
    if "layerVLADv2 is not on the path" in said:
        pytest.skip("the stand-ins have no layerVLADv2")
    assert (photos / "out.mat").is_file(), said
    assert relative(extract(net, NAMES, root=photos), matfile.load(photos / "out.mat")["feats"].T) < 2e-5


@pytest.mark.octave
def test_a_dagnn_runs_and_gives_the_ports_features(octave: Octave, photos: Path) -> None:
    random = np.random.default_rng(4)
    filters = {f"f{i}": random.normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32) for i in (1, 2)}
    block = {
        "size": np.array([[3.0, 3, 3, 3]]),
        "hasBias": False,
        "pad": np.ones((1, 4)),
        "stride": np.ones((1, 2)),
    }

    def layer(name: str, kind: str, inputs: list[str], params: list[str], block: dict) -> dict[str, Any]:
        lists = {"inputs": inputs, "outputs": [name], "params": params}
        return {"name": name, "type": kind, **{k: cell_row(v) for k, v in lists.items()}, "block": block}

    rows = [
        layer("a", "dagnn.Conv", ["x"], ["f1"], block),
        layer("r", "dagnn.ReLU", ["a"], [], {}),
        layer("b", "dagnn.Conv", ["r"], ["f2"], block),
        layer("y", "dagnn.Sum", ["b", "x"], [], {}),
    ]
    params = [
        {"name": n, "value": v, "learningRate": np.ones((1, 1)), "weightDecay": np.ones((1, 1))}
        for n, v in filters.items()
    ]
    variables = [{"name": n, "precious": False} for n in ("x", "a", "r", "b", "y")]
    struct = {
        part: StructArray((1, len(each)), tuple(each[0]), each)
        for part, each in (("vars", variables), ("params", params), ("layers", rows))
    }
    net = DagNN.from_matlab({**struct, "meta": {}})
    save_network(net, photos / "dag.mat")
    x = random.standard_normal((9, 7, 3)).astype(np.float32)
    matfile.save(photos / "x.mat", {"x": x})
    said = octave(
        """net= deepibl_load('dag.mat'); load('x.mat'); disp(class(net)); net.mode= 'test';
        net.eval({'x', x}); y= net.vars(net.getVarIndex('y')).value; save('-v7', 'out.mat', 'y');"""
    )
    assert "dagnn.DagNN" in said and (photos / "out.mat").is_file(), said
    with torch.no_grad():
        ours = net(torch.from_numpy(x).permute(2, 0, 1)[None])
    theirs = matfile.load(photos / "out.mat")["y"]
    assert relative(maps_to_matlab(ours).reshape(theirs.shape), theirs) < 1e-5


@pytest.fixture
def reference(octave: Octave, photos: Path) -> Path:
    """What deepibl_reference writes of a network and photos, with the outputs of two layers."""
    save_network(network(), photos / "net.mat")
    said = octave(
        f"""names= {{{", ".join(map(repr, NAMES))}}};
        deepibl_reference(deepibl_load('net.mat'), '{photos}/', names, 'ref.mat', ...
            'layers', {{'vlad:core', 'conv2'}});"""
    )
    assert "3 images, 5 features each" in said
    return photos / "ref.mat"


@pytest.mark.octave
def test_verify_reads_what_matlab_wrote_of_images_and_layers(reference: Path, capsys: Any) -> None:
    folder = reference.parent
    found = read_reference_file(reference)
    assert found.names == NAMES and found.root == f"{folder}/" and found.resize is None
    assert found.sizes.tolist() == [[40, 48], [33, 40], [40, 48]]
    assert [name for name, _ in found.outputs] == ["vlad:core", "conv2"]
    assert deepibl("verify", folder / "net.mat", "--features", reference) == 0
    said = capsys.readouterr().out
    assert "SAME: largest" in said and "all 2 outputs are the same" in said
    listed = folder / "list.txt"
    listed.write_text("\n".join(NAMES))
    arguments = ("verify", folder / "net.mat", "--features", reference, "--images", listed)
    assert deepibl(*arguments) == 1 and "leave out --images" in capsys.readouterr().err


@pytest.mark.octave
def test_verify_names_images_of_other_sizes_and_the_layer_that_differs(reference: Path, capsys: Any) -> None:
    folder = reference.parent
    Image.open(folder / "one.png").resize((36, 30)).save(folder / "one.png")
    net = network()
    with torch.no_grad():
        net["conv2"].weights[1].add_(0.5)
    save_network(net, folder / "other.mat")
    assert deepibl("verify", folder / "other.mat", "--features", reference) == 4
    said = capsys.readouterr().out
    assert "DIFFERENT" in said
    assert "one.png: 40 x 48 in MATLAB, 30 x 36 here" in said and "they part at layer 4 (conv2)" in said


@pytest.mark.octave
def test_a_session_goes_on_with_the_step_of_the_original(octave: Octave, tmp_path: Path) -> None:
    """Forward, backward and update as in trainWeakly.m, on the loaded network, against autograd."""
    place = Workplace(tmp_path)
    session = place.train(**{**OPTIONS, "method": "vlad_preL2_intra", "nEpoch": 1})
    state = place.files(session).epoch(1)
    said = octave(
        f"""[net, obj, opts, auxData]= deepibl_session('{state}', 'there/');
        disp(opts.outPrefix); disp(size(obj.val.recall, 2)); disp(class(net.layers{{5}}));
        for i= 1:3
            im= vl_imreadjpeg({{sprintf('train/db%02d_0.jpg', i)}});
            x(:,:,:,i)= im{{1}} - net.meta.normalization.averageImage(1,1,:);
        end
        res= vl_simplenn(net, x);
        dzdy= res(end).x; dzdy(:,:,:,2)= -dzdy(:,:,:,3);
        res= vl_simplenn(net, x, dzdy, res);
        for i= 1:numel(net.layers)
            for j= 1:numel(res(i).dzdw)
                momentum= -opts.weightDecay * net.layers{{i}}.weights{{j}} - res(i).dzdw{{j}};
                net.layers{{i}}.weights{{j}}= net.layers{{i}}.weights{{j}} + opts.learningRate * momentum;
            end
        end
        after= {{net.layers{{1}}.weights{{:}}, net.layers{{3}}.weights{{:}}, net.layers{{5}}.weights{{:}}}};
        y= res(end).x; save('-v7', 'out.mat', 'x', 'y', 'after');"""
    )
    assert (tmp_path / "out.mat").is_file(), said
    assert said.split() == ["there/", "1", "layerVLAD"]
    out = matfile.load(tmp_path / "out.mat")
    net = prepare_for_testing(load_network(state)).requires_grad_(True)
    features = net(torch.from_numpy(np.ascontiguousarray(out["x"].transpose(3, 2, 0, 1))))
    assert relative(features.detach().flatten(1).numpy(), out["y"].reshape(-1, 3).T) < 1e-5
    upstream = features.detach().clone()
    upstream[1] = -upstream[2]
    features.backward(upstream)
    after = iter(matfile.cell_list(out["after"]))
    for name in ("conv1", "conv2", "vlad:core"):
        layer = net[name]
        weights = [w.detach() - 0.01 * (0.001 * w.detach() + w.grad) for w in layer.weights]
        for ours in layer.weights_to_matlab(weights):
            theirs = next(after)
            assert relative(ours.ravel("F"), theirs.ravel("F")) < 1e-5, name


@pytest.mark.octave
@pytest.mark.parametrize("octave", ["originals"], indirect=True)
@pytest.mark.skipif(not ORIGINALS, reason="needs $DEEPIBL_ORIGINALS, the m-code of the originals")
@pytest.mark.parametrize("trainer", ["trainWeakly", "trainCauchyKernelInd"])
def test_the_original_trainer_goes_on_as_ours_does(trainer: str, octave: Octave, tmp_path: Path) -> None:
    """The second epoch, from one state: losses, recalls and weights. The order of the queries is given."""
    place = Workplace(tmp_path)
    every = {"nNegChoice": 1000, "nTestSample": 1000, "nTestRankSample": 1000}
    options = {**OPTIONS, **every, "method": "vlad_preL2_intra", "sessionID": "53e0", "trainer": trainer}
    files = place.files(place.train(**options))
    begun = tmp_path / "begun" / "53e0_ep000001_latest.mat"
    begun.parent.mkdir()
    shutil.copy(files.epoch(1), begun)
    place.train(**options, startEpoch=2, keep_momentum=False)
    ours = files.load(2)
    nontrivial = [place.sets[0].nontrivial_positives(query) + 1.0 for query in range(9)]
    order = ours["auxData"]["deepibl"]["trainOrder"]
    matfile.save(tmp_path / "order.mat", {"order": order, "nontrivial": cell_row(nontrivial)})
    paths = "function p= localPaths()\np= struct('outPrefix', 'unused');\nend\n"
    (tmp_path / "localPaths.m").write_text(paths)
    said = octave(
        f"""{DATA_SETS}
        {trainer}(dbs.train, dbs.val, 'sessionID', '53e0', 'outPrefix', 'begun/', 'startEpoch', 2, ...
            'useGPU', false);"""
    )
    assert "error: " not in said, said
    theirs = matfile.load(tmp_path / "begun" / "53e0_ep000002_latest.mat")
    for which, name in (("train", "loss"), ("train", "recall"), ("val", "recall"), ("val", "rankloss")):
        np.testing.assert_allclose(
            ours["obj"][which][name], theirs["obj"][which][name], rtol=1e-4, err_msg=name
        )
    for mine, other in zip(ours["net"]["layers"].flat, theirs["net"]["layers"].flat, strict=True):
        for a, b in zip(
            mine.get("weights", np.array([])).flat, other.get("weights", np.array([])).flat, strict=True
        ):
            assert relative(np.asarray(a), np.asarray(b)) < 1e-4, mine["name"]


DATA_SETS = """
nontrivial= load('order.mat').nontrivial;
for set= {'train', 'val'}
    folder= [pwd, '/', set{1}, '/'];
    db= struct('name', set{1}, 'numQueries', 9, 'numImages', 18, 'dbPath', folder, 'qPath', folder);
    all= {'UniformOutput', false};
    db.dbImageFns= arrayfun(@(i) sprintf('db%02d_%d.jpg', floor(i/2), mod(i, 2)), (0:17)', all{:});
    db.qImageFns= arrayfun(@(i) sprintf('q%02d_0.jpg', i), (0:8)', all{:});
    db.nontrivialPosQ= @(q) nontrivial{q}(:);
    db.sampleNegsQ= @(q, n) setdiff((1:18)', 2*q - [1; 0]);
    db.isPosQ= @(q, ids) ismember(ids, 2*q - [1 0]);
    dbs.(set{1})= db;
end"""


@pytest.mark.octave
def test_what_cannot_run_is_refused_with_what_to_do(octave: Octave, tmp_path: Path) -> None:
    save_network(network(), tmp_path / "net.mat")
    struct = matfile.load(tmp_path / "net.mat")["net"]
    layers = struct["layers"]
    place = next(i for i, layer in enumerate(layers.flat) if "class__" in layer)

    def changed(**fields: Any) -> str:
        copies = [dict(layer) for layer in layers.flat]
        copies[place] = {k: v for k, v in {**copies[place], **fields}.items() if v is not None}
        matfile.save(tmp_path / "bad.mat", {"net": {**struct, "layers": cell_row(copies)}})
        return octave("deepibl_load('bad.mat');")

    number = place + 1
    assert f"layerX is not on the path (layer {number} is one)" in changed(class__="layerX")
    assert f"Layer {number} is a custom layer that does not name its class" in changed(class__=None)
    assert f"Layer {number} has a field size, which the class layerVLAD" in changed(size=1.0)
    assert f"Layer {number} is a backbone of torch" in changed(class__="torchBackbone")
    matfile.save(tmp_path / "none.mat", {"a": 1.0})
    assert "holds no network: it needs a variable net, or layers; found a" in octave(
        "deepibl_load('none.mat');"
    )
    assert "There is no file gone.mat" in octave("deepibl_load('gone.mat');")
    assert "is not named as the state after an epoch" in octave("deepibl_session('net.mat', '');")
    auxiliary = {"deepibl": {"epochDone": False, "epoch": 1.0, "batch": 3.0}}
    state = {"net": struct, "obj": {}, "opts": {"sessionID": "a"}, "auxData": auxiliary}
    for content, message in (
        (state, "in the middle of epoch 1, after batch 3"),
        ({"net": struct, "opts": {}}, "is not a state of a session: it lacks auxData, obj"),
        ({**state, "auxData": {}}, "Octave cannot save objects: ask for the outputs"),
    ):
        matfile.save(tmp_path / "a_ep000001_latest.mat", content)
        assert message in octave("deepibl_session('a_ep000001_latest.mat', 'there/');")
    options = "deepibl_load('net.mat'), '', {}, 'r.mat',"
    assert "no layer conv9; it has conv1" in octave(f"deepibl_reference({options} 'layers', 'conv9');")
    assert "Unknown option size; known are layers" in octave(f"deepibl_reference({options} 'size', 3);")


@pytest.mark.octave
def test_the_check_lists_what_is_there_and_what_to_do(octave: Octave) -> None:
    said = octave("ok= deepibl_check(); rmpath(fileparts(which('vl_nnconv'))); deepibl_check();")
    first, second = said.split("missing  Python")[:2]
    assert "ok       vl_nnconv                computes" in first
    assert "ok       layerVLAD " in first and "ok       dagnn.DagNN" in first
    assert "missing  vl_nnconv                run vl_compilenn" in second


def test_images_are_scaled_as_matlab_scaled_them(photos: Path) -> None:
    net = network()
    features = extract(net, NAMES, root=photos, resize=24)
    sizes = np.array([[24, 29], [24, 29], [24, 29]])
    nothing = np.zeros((0, 0), np.float32)
    found = Reference(f"{photos}/", NAMES, sizes, 24, features, nothing, [])
    assert verify_reference(net, found).verdict == "same"
    stored = verify_reference(net, replace(found, resize=None))
    assert stored.verdict == "different"
    assert "one.png: 24 x 29 in MATLAB, 40 x 48 here" in stored.hints[0]


def test_a_reference_of_another_version_or_content_is_refused(tmp_path: Path) -> None:
    whole = {
        "version": 1.0,
        "root": r"C:\photos\set1_",
        "images": ["a.jpg"],
        "sizes": np.array([[4.0, 5.0]]),
        "features": np.ones((3, 1), np.float32),
        "resize": np.zeros((0, 0)),
        "layers": cell_row([]),
        "input": np.zeros((0, 0)),
        "outputs": cell_row([]),
    }
    path = tmp_path / "ref.mat"
    matfile.save(path, {"reference": whole})
    found = read_reference_file(path)
    assert (found.root, found.names) == ("C:/photos/", ["set1_a.jpg"]) and not found.outputs
    for change, message in (
        ({"version": 2.0}, "is of version 2, not 1"),
        ({"features": np.ones((3, 2))}, "do not fit 1 images"),
        ({"sizes": np.ones((2, 2))}, "do not fit 1 images"),
    ):
        matfile.save(path, {"reference": {**whole, **change}})
        with pytest.raises(FeatureFileError, match=message):
            read_reference_file(path)
    matfile.save(path, {"reference": {"version": 1.0}})
    with pytest.raises(FeatureFileError, match="lacks root, images"):
        read_reference_file(path)
