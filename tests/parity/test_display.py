"""vl_simplenn_display: the same information and the same text as the original, character for character."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.display import vl_simplenn_display
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row, vl_simplenn_tidy
from tests.golden_data import GOLDEN, REAL, golden_files, golden_id

FILES = golden_files("display/*.mat")
# what the original cannot do and we can; 'bad_*' cases are errors here too
REPAIRED = {"dilate_rowvector", "pad_2vector", "tiny_raw", "ext_DCFNet", "ext_DCFNet2"}


def manifest_text(path: Path) -> str:
    rows = json.loads((GOLDEN / "MANIFEST.json").read_text())
    return next(row["what"] for row in rows if row["file"] == f"display/{path.name}")


def layers_without_weights(layers: list[dict[str, Any]]) -> np.ndarray:
    for layer in layers:
        sizes = matfile.cell_list(layer.pop("weightSizes", []))
        layer["weights"] = cell_row([np.zeros(size.ravel().astype(int)) for size in sizes])
        if layer["type"] == "custom":
            layer["getForwardSize"] = lambda size: [size[0] / 2, size[1], 2 * size[2], size[3]]
    return cell_row(layers)


def real_network(path: Path) -> dict[str, Any]:
    """The network that the manifest names, where ../shared/real has it."""
    name = manifest_text(path).split("downloaded network ")[1].split(".mat")[0].split("/")[-1]
    found = list(REAL.glob(f"networks/*/{name}.mat"))
    if not found:
        pytest.skip(f"needs {name}.mat in ../shared/real/networks")
    net = vl_simplenn_tidy(matfile.load(found[0], ["net"])["net"])
    if "scalar_dilate" in path.stem:
        for layer in matfile.cell_list(net["layers"]):
            if "dilate" in layer:
                layer["dilate"] = layer["dilate"][:, :1]
    return net


def network_of(path: Path) -> dict[str, Any]:
    content = matfile.load(path)
    if "layers" in content:
        layers = layers_without_weights(matfile.cell_list(content["layers"]))
        return {"layers": layers, "meta": content["meta"]}
    if path.stem.startswith("ext_"):
        return real_network(path)
    stored = matfile.load(GOLDEN / "nets" / f"{path.stem.removesuffix('_raw')}.mat")
    net = stored.get("net", stored)
    return net if path.stem.endswith("_raw") else vl_simplenn_tidy(net)


def check(path: Path) -> None:
    cases = matfile.cell_list(matfile.load(path, ["cases"])["cases"])
    net = network_of(path)
    for case in cases:
        args = matfile.cell_list(case["args"])
        if case["name"] in ("bad_format", "bad_option"):
            # difference: display-format-refused
            with pytest.raises(ArgumentError):
                vl_simplenn_display(net, *args)
            continue
        if case["err"]:
            # difference: display-more-networks
            info, text = vl_simplenn_display(net, *args, nargout=2)
            assert path.stem in REPAIRED or case["name"] == "inputSize3_only"
            assert text and info["dataSize"].shape[1] == len(net["layers"].ravel()) + 1
            continue
        info, text = vl_simplenn_display(net, *args, nargout=2)
        assert text == case["text"], case["name"]
        assert list(info) == list(case["info"])
        for name, want in case["info"].items():
            np.testing.assert_array_equal(info[name], want, err_msg=f"{case['name']}: {name}")


@pytest.mark.parametrize("path", [p for p in FILES if not p.stem.startswith("ext_")], ids=golden_id)
def test_tables_equal_the_original(path: Path) -> None:
    check(path)


@pytest.mark.real
@pytest.mark.parametrize("path", [p for p in FILES if p.stem.startswith("ext_")], ids=golden_id)
def test_tables_of_real_networks_equal_the_original(path: Path) -> None:
    check(path)


@pytest.mark.parametrize("name", ["tiny", "tinyold", "loadNet_tiny"])
def test_a_loaded_network_prints_as_its_struct_does(name: str, golden: Path) -> None:
    stored = matfile.load(golden / "nets" / f"{name}.mat")
    struct = vl_simplenn_tidy(stored.get("net", stored))
    of_struct = vl_simplenn_display(struct, nargout=2)
    of_module = vl_simplenn_display(SimpleNN.from_matlab(struct), nargout=2)
    assert of_module[1] == of_struct[1]


def test_printing_gives_the_text(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = matfile.load(golden / "nets" / "tiny.mat")
    info, text = vl_simplenn_display(net, nargout=2)
    assert vl_simplenn_display(net) is None
    assert capsys.readouterr().out == text
    np.testing.assert_array_equal(vl_simplenn_display(net, nargout=1)["dataSize"], info["dataSize"])


def test_a_dilation_of_equal_sides_prints_as_the_scalar(golden: Path) -> None:
    # difference: display-more-networks
    net = network_of(golden / "display" / "dilate_column.mat")
    layer = net["layers"][0, 0]
    layer["dilate"] = np.array([[2.0, 1.0]])
    info, text = vl_simplenn_display(net, nargout=2)
    assert "filt dilat|  n/a|  2x1|" in text
    assert info["support"].ravel().tolist() == [5, 3]
    texts = []
    for value in ([[1.0]], [[1.0, 1.0]]):
        layer["dilate"] = np.array(value)
        texts.append(vl_simplenn_display(net, nargout=2)[1])
    assert texts[0] == texts[1]


def test_a_pad_of_two_elements_pads_opposite_sides_alike(golden: Path) -> None:
    # difference: display-more-networks
    net = network_of(golden / "display" / "pad_2vector.mat")
    vertical, horizontal = net["layers"][0, 0]["pad"].ravel()
    info = vl_simplenn_display(net, nargout=1)
    assert info["pad"].ravel().tolist() == [vertical, vertical, horizontal, horizontal]
