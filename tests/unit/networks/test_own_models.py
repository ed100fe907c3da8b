"""Models of one's own: descriptors or maps in, kept in a file without pickles, used by every command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from typer.testing import CliRunner

import deepibl
from deepibl.cli.main import app
from deepibl.errors import ConfigurationError
from deepibl.layers import GeM, NetVLAD, WholeL2Normalize
from deepibl.losses import SARELoss
from deepibl.networks import from_torch, load_network, network_id, save_network, with_netvlad
from deepibl.networks.build import add_pooling, channels
from deepibl.networks.conversion import difference
from deepibl.networks.export import traced_scale
from deepibl.networks.libraries import library_model
from deepibl.networks.weights import DEFAULT_NETWORK, find_network, list_networks
from deepibl.runtime.files import map_tensors
from matlab_compat.errors import ArgumentError, NetworkFormatError
from tests.tolerances import assert_close

timm = pytest.importorskip("timm")
ARGS = {"depth": 1, "embed_dim": 16, "num_heads": 2, "num_classes": 0}


class Describer(nn.Module):
    """A model that gives descriptors, and its attention beside them, as published ones do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.conv(x)
        return 3 * maps.mean((2, 3)), maps


def images(number: int = 2) -> torch.Tensor:
    return torch.rand(number, 3, 70, 90, generator=torch.Generator().manual_seed(1)) * 255


def run(net: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return net(net.prepare(images())).flatten(1)


def vit(**more: object) -> nn.Module:
    torch.manual_seed(0)
    return library_model("timm", "vit_tiny_patch16_224", **ARGS, **more)


def test_descriptors_of_a_model_get_length_one_and_its_own_preparation() -> None:
    model = Describer()
    net = from_torch(model, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 32)
    x = torch.nn.functional.interpolate(images(), (32, 32), mode="bilinear", antialias=True)
    want = model((x / 255 - 0.5) / 0.25)[0]
    assert_close(run(net), (want / want.norm(dim=1, keepdim=True)).detach(), "net")


@pytest.mark.parametrize(
    "options",
    [
        {"size": 64},
        {"layer": "", "head": "gem"},
        {"layer": "blocks.0", "head": "max", "size": (64, 96), "bgr": True},
    ],
)
def test_a_trained_model_of_a_library_comes_back_from_its_file(options: dict, tmp_path: Path) -> None:
    net = from_torch(vit(), args=ARGS, **options)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(1.1)
    save_network(net, tmp_path / "mine.safetensors")
    again = load_network(tmp_path / "mine.safetensors")
    assert network_id(again) == network_id(net) and torch.equal(run(again), run(net))
    recipe = json.loads(map_tensors(tmp_path / "mine.safetensors")[1]["build"])
    assert recipe["model"] == "timm:vit_tiny_patch16_224" and recipe["args"] == ARGS
    save_network(again, tmp_path / "twice.safetensors")
    assert network_id(load_network(tmp_path / "twice.safetensors")) == network_id(net)


def test_a_netvlad_head_comes_back_too(tmp_path: Path) -> None:
    batch = images(4)
    resnet = from_torch(library_model("timm", "test_resnet"), layer="layer2")
    net = with_netvlad(resnet, lambda i: batch[i], 4, clusters=3, total=200)
    save_network(net, tmp_path / "mine.safetensors")
    assert torch.equal(run(load_network(tmp_path / "mine.safetensors")), run(net))


def test_a_model_that_only_its_author_can_build_is_given_when_it_is_read(tmp_path: Path) -> None:
    net = from_torch(Describer())
    save_network(net, tmp_path / "mine.safetensors")
    with pytest.raises(NetworkFormatError, match=r"only its author's code can build .*Describer.*model=…"):
        load_network(tmp_path / "mine.safetensors")
    again = load_network(tmp_path / "mine.safetensors", model=from_torch(Describer()))
    assert network_id(again) == network_id(net) and torch.equal(run(again), run(net))
    with pytest.raises(NetworkFormatError, match=r"cannot be built.*Missing key"):
        load_network(tmp_path / "mine.safetensors", model=from_torch(nn.Conv2d(3, 8, 4, 4)))


def test_a_model_given_for_a_file_must_prepare_images_as_the_saved_one(tmp_path: Path) -> None:
    save_network(from_torch(Describer(), size=32), tmp_path / "mine.safetensors")
    with pytest.raises(NetworkFormatError, match=r"prepares images by .*size=None.*saved one by .*size=\(32"):
        load_network(tmp_path / "mine.safetensors", model=from_torch(Describer()))


def test_images_are_scaled_to_the_only_size_that_a_transformer_takes() -> None:
    small = timm.create_model("vit_tiny_patch16_224", img_size=(48, 64), **ARGS)  # not as its pretrained_cfg
    net = from_torch(small)
    assert net.preprocessing.size == (48, 64) and run(net).shape == (2, 16)
    assert run(from_torch(small, layer="blocks.0")).shape == (2, 16)
    assert from_torch(vit()).preprocessing.size is None  # takes any
    theirs = torchvision.models.VisionTransformer(64, 16, 1, 2, 8, 16)
    assert from_torch(theirs).preprocessing.size == (64, 64) and run(from_torch(theirs)).shape == (2, 1000)


@pytest.mark.parametrize("size", [None, (64, 96)])
def test_a_transformer_of_one_size_comes_back_as_one(size: tuple[int, int] | None, tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", **ARGS)  # load_network builds it for images of any size
    net = from_torch(model, size=size, layer="blocks.0", args=ARGS)
    for _ in range(2):
        save_network(net, tmp_path / "mine.safetensors")
        again = load_network(tmp_path / "mine.safetensors")
        assert network_id(again) == network_id(net)
        assert_close(run(again), run(net), "net")
        net = again
    assert network_id(from_torch(vit(), size=size, layer="blocks.0")) != network_id(net)


def test_a_network_is_saved_as_training_left_it(tmp_path: Path) -> None:
    """In bfloat16, compiled, or in DistributedDataParallel's wrapper (DataParallel's here)."""
    file = tmp_path / "mine.safetensors"
    net = from_torch(library_model("timm", "test_resnet"), layer="layer2")
    compiled = torch.compile(net, backend="eager")
    for wrapped in (compiled, nn.DataParallel(compiled)):
        save_network(wrapped, file)
        assert network_id(load_network(file)) == network_id(net)
    save_network(net.bfloat16(), file)
    again = load_network(file)
    assert network_id(again) == network_id(net) and next(again.parameters()).dtype == torch.float32


@pytest.mark.parametrize("wrap", [lambda model: torch.compile(model, backend="eager"), nn.DataParallel])
def test_a_compiled_or_wrapped_model_gives_the_network_of_the_model_itself(wrap, tmp_path: Path) -> None:
    resnet = torchvision.models.resnet18(num_classes=16)
    about = {"name": "torchvision:resnet18", "args": {"num_classes": 16}}
    for model, how in (
        (resnet, about),
        (resnet, {**about, "layer": "layer2"}),
        (vit(), {"args": ARGS, "size": 32}),
    ):
        net, plain = from_torch(wrap(model), **how), from_torch(model, **how)
        assert network_id(net) == network_id(plain) and net.recipe == plain.recipe
        save_network(net, tmp_path / "mine.safetensors")
        again = load_network(tmp_path / "mine.safetensors")
        assert network_id(again) == network_id(plain) and torch.equal(run(again), run(net))


def test_a_name_that_the_weights_do_not_fit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(NetworkFormatError, match="name and args"):
        save_network(from_torch(vit()), tmp_path / "mine.safetensors")
    with pytest.raises(NetworkFormatError, match=r"torchvision:resnet34 .* no such weights"):
        net = from_torch(torchvision.models.resnet18(), name="torchvision:resnet34", layer="layer1")
        net.backbone.model.conv1 = nn.Conv2d(3, 5, 7)
        save_network(net, tmp_path / "mine.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layer", [None, "layer4"])
@pytest.mark.parametrize(
    ("given", "found"), [({"output_stride": 8}, r"stride=\(1, 1\)"), ({"act_layer": nn.SiLU}, "SiLU")]
)
def test_arguments_that_change_no_weights_shape_are_not_lost(
    given: dict, found: str, layer: str | None, tmp_path: Path
) -> None:
    model = timm.create_model("test_resnet", num_classes=0, **given)
    with pytest.raises(NetworkFormatError, match=f"where this network has .*{found}.*name and args"):
        save_network(from_torch(model, layer=layer, args={"num_classes": 0}), tmp_path / "mine.safetensors")
    assert not list(tmp_path.iterdir())


def test_dropout_does_not_matter_to_a_file_and_saving_draws_no_random_numbers(tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", proj_drop_rate=0.1, drop_path_rate=0.2, **ARGS)
    net, before = from_torch(model, args=ARGS, layer=""), torch.get_rng_state()
    save_network(net, tmp_path / "mine.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(run(load_network(tmp_path / "mine.safetensors")), run(net))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"mean": 0.5}, r"3 numbers.*got .*mean=\(0.5,\)"),
        ({"mean": (123.68, 116.779, 103.939)}, r"pixels 0..1 \(times scale\)"),
        ({"std": (0.2, 0.0, 0.2)}, "3 numbers"),
        ({"size": 0}, r"from 1 on; got \(0, 0\)"),
        ({"size": (3, 224, 224)}, "side or"),
        ({"name": "torchvison:resnet18"}, "expected torchvision or timm"),
        ({"model": "resnet18"}, "must be a torch module, not a str"),
    ],
)
def test_what_images_cannot_be_prepared_by_is_refused(given: dict, reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        from_torch(**{"model": Describer(), **given})


def test_numbers_may_be_tensors() -> None:
    net = from_torch(Describer(), mean=torch.full((3,), 0.5), std=np.full(3, 0.25), size=[32, 48])
    assert net.preprocessing == from_torch(Describer(), (0.5,) * 3, (0.25,) * 3, (32, 48)).preprocessing


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("options", [{}, {"layer": "conv", "head": "gem"}, {"layer": "", "size": (20, 24)}])
def test_networks_of_another_precision_compute(dtype: torch.dtype, options: dict) -> None:
    model = Describer()
    want = run(from_torch(model, **options))
    found = run(from_torch(model.to(dtype), **options))
    assert float((found - want).abs().max()) < 0.02 and found.isfinite().all()


def test_a_network_without_values_is_refused_and_its_outputs_kind_is_found_where_it_is(
    tmp_path: Path,
) -> None:
    photos(tmp_path, 1)
    net = from_torch(Describer().to("meta"))
    assert traced_scale(net)[1]
    with pytest.raises(ArgumentError, match="has no values"):
        deepibl.extract(net, [str(tmp_path / "0.png")])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"args": {"checkpoint_path": "/etc/passwd"}}, "checkpoint_path cannot be given"),
        ({"args": {**ARGS, "embed_dim": 10**7}}, "has no weights as"),
        ({"model": "timm:hf-hub:someone"}, "has no model"),
        ({"model": "os:system"}, "only its author's code"),
        ({"head": "exec"}, "only its author's code"),
        ({"preprocessing": None}, "cannot be built"),
        ([], "cannot be built"),
    ],
)
def test_a_crafted_recipe_builds_nothing(change: dict, reason: str, tmp_path: Path) -> None:
    from deepibl.networks.backbones import built_from, recipe_of

    net = from_torch(vit(), args=ARGS)
    recipe = json.loads(recipe_of(net))
    text = json.dumps({**recipe, **change} if change else change)
    with pytest.raises(NetworkFormatError, match=reason):
        built_from(text, net.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("options", [{"size": (64, 64)}, {"layer": "", "head": "gem"}])
def test_programs_of_a_transformer_take_images_of_any_size(
    suffix: str, options: dict, tmp_path: Path
) -> None:
    net = from_torch(vit(), args=ARGS, **options)
    save_network(net, tmp_path / f"net{suffix}")
    assert difference(net, tmp_path / f"net{suffix}", ((1, 96, 128), (3, 67, 83), (2, 120, 70))).ok


def test_the_commands_take_such_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    save_network(from_torch(vit(), args=ARGS, layer="", head="gem"), "mine.safetensors")
    Path("program.py").write_text(
        "from torch import nn\nfrom deepibl.networks import from_torch\nimport torch\n\n\ndef network():\n"
        "    torch.manual_seed(0)\n    return from_torch(nn.Conv2d(3, 6, 8, 8), head='gem')\n"
    )
    names = [f"@{5e5 + 40 * i:.2f}@4e6@33@N@.jpg" for i in range(4)]
    for folder in ("database", "queries"):
        Path("images", folder).mkdir(parents=True)
        for i, name in enumerate(names):
            pixels = np.random.default_rng(i).integers(0, 255, (6, 8, 3), np.uint8)
            Image.fromarray(pixels).resize((128, 96)).save(Path("images", folder, name))
    command = CliRunner()
    for net in ("mine.safetensors", "program.py"):
        made = command.invoke(app, ["index", net, "--images", "images/database", "-o", "city.idx"])
        assert made.exit_code == 0, made.output
        given = ["evaluate", net, "--db", "images/database", "--queries", "images/queries", "--json"]
        found = command.invoke(app, given)
        assert found.exit_code == 0 and json.loads(found.stdout)["recall"]["1"] == 1.0, found.output
        photo = f"images/queries/{names[2]}"
        named = ["--net", net] if net.endswith(".py") else []
        found = command.invoke(app, ["localize", photo, "--index", "city.idx", "--json", *named])
        assert names[2] in json.dumps(json.loads(found.stdout)[photo]), found.output
    unnamed = command.invoke(app, ["localize", photo, "--index", "city.idx"])
    assert isinstance(unnamed.exception, ArgumentError) and "a program" in str(unnamed.exception)
    asked = command.invoke(app, ["evaluate", "--index", "city.idx", "--queries", "images/queries"])
    assert "of evaluate, first" in str(asked.exception)


def test_a_model_of_descriptors_is_verified(tmp_path: Path) -> None:
    from deepibl.migrate import verify_features

    (tmp_path / "net.py").write_text(
        "from torch import nn\nfrom deepibl.networks import from_torch\nimport torch\n\n\ndef network():\n"
        "    torch.manual_seed(0)\n    model = nn.Sequential(nn.Conv2d(3, 6, 8, 8), nn.AdaptiveAvgPool2d(1), "
        "nn.Flatten())\n    return from_torch(model)\n"
    )
    photos(tmp_path)
    names, net = ["0.png", "1.png"], load_network(tmp_path / "net.py")
    rows = deepibl.extract(net, [str(tmp_path / name) for name in names])
    assert verify_features(net, names, rows, root=str(tmp_path)).verdict == "same"
    rows.astype("<f4").tofile(tmp_path / "f.bin")
    (rows[::-1]).astype("<f4").tofile(tmp_path / "wrong.bin")
    (tmp_path / "list.txt").write_text("\n".join(names))
    given = [
        "verify",
        str(tmp_path / "net.py"),
        "--images",
        str(tmp_path / "list.txt"),
        "--root",
        str(tmp_path),
    ]
    for file, verdict, status in (("f.bin", "same", 0), ("wrong.bin", "different", 4)):
        found = CliRunner().invoke(app, [*given, "--features", str(tmp_path / file), "--json"])
        assert (found.exit_code, json.loads(found.stdout)["verdict"]) == (status, verdict), found.output


def photos(folder: Path, count: int = 2, size: tuple[int, int] = (64, 48)) -> None:
    from PIL import Image

    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize(size).save(folder / f"{i}.png")


def test_commands_take_weights_of_ones_own_for_a_librarys_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    torch.save(library_model("timm", "test_resnet").state_dict(), "mine.pth")
    photos(tmp_path)
    Path("places.csv").write_text("name,utm_east,utm_north\n0.png,500000,4000000\n1.png,500100,4000000\n")
    name, command = "timm:test_resnet", CliRunner()
    for arguments in (
        ["convert", name, "net.safetensors"],
        ["index", name, "--csv", "places.csv", "-o", "city.idx"],
        ["evaluate", name, "--db", "places.csv", "--queries", "places.csv"],
        ["evaluate", "--index", "city.idx", "--queries", "places.csv"],
        ["localize", "0.png", "--index", "city.idx"],
        ["extract", name, "0.png", "-o", "f.npy"],
    ):
        found = command.invoke(app, [*arguments, "--weights", "mine.pth"])
        assert found.exit_code == 0, (arguments, found.output)
    wanted = network_id(load_network(name, weights="mine.pth"))
    assert network_id(load_network("net.safetensors")) == wanted
    assert deepibl.PlaceIndex.load("city.idx").network_id == wanted
    with pytest.raises(ArgumentError, match=r"has its own weights.*torchvision:NAME"):
        load_network("net.safetensors", weights="mine.pth")


def test_names_are_listed_and_resolved_by_one_function(tmp_path: Path) -> None:
    names = deepibl.list_networks()
    wanted = {DEFAULT_NETWORK, "sare", "torchvision:vit_b_16", "timm:vit_small_patch14_dinov2"}
    assert wanted <= {*names}
    assert list_networks("torchvision:resnet5*") == ["torchvision:resnet50"]
    assert str(find_network("timm:test_vit:blocks.0:max")) == "timm:test_vit:blocks.0:max"
    with pytest.raises(ConfigurationError, match=r"torchvision:NAME and timm:NAME"):
        find_network("resnet50")


def test_a_librarys_model_by_name_is_pooled_and_can_be_written(tmp_path: Path) -> None:
    net = load_network("timm:test_vit", weights="random")
    assert net.names == ["norm", "gem:core", "postL2"]
    other = load_network("timm:test_vit:blocks.1:max", weights="random")
    assert other.names == ["blocks.1", "max:core", "postL2"]
    for suffix in (".mat", ".safetensors"):
        save_network(net, tmp_path / f"net{suffix}")
        again = load_network(tmp_path / f"net{suffix}")
        assert network_id(again) == network_id(net)
        assert_close(run(again), run(net), "op")
    assert list(net.state_dict())[-1] == "gem:core.p" and "norm.body.model.cls_token" in net.state_dict()


def test_a_transformer_is_trained_from_one_of_its_blocks_on() -> None:
    from deepibl.networks.torch_backbones import load_torch_network

    net = load_torch_network("timm:test_vit", weights="random", split="blocks.3")
    trained = {name for name, _ in net.named_parameters()}
    assert net.names == ["blocks.3"]
    assert {name.split("model.")[1].split(".")[0] for name in trained} == {"blocks", "norm"}
    assert not any(".blocks.2." in name for name in trained) and any(".blocks.3." in name for name in trained)


@pytest.mark.parametrize("method", ["gem", "max", "vlad_preL2_intra", "vladv2_preL2_intra"])
def test_sare_steps_every_head(method: str) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = load_network("timm:test_resnet:layer4", weights="random")[:1]
    rows = rng.standard_normal((50, channels(net))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    net = add_pooling(net, method, centres=rows[:3], descriptors=rows)
    assert _step(net)


@pytest.mark.parametrize("head", [GeM(), NetVLAD(3, 16), NetVLAD(3, 16, v2=True, normalize=True)])
def test_sare_steps_modules_too(head: nn.Module) -> None:
    assert _step(from_torch(vit(), layer="", head=nn.Sequential(head, WholeL2Normalize())))


def _step(net: nn.Module) -> bool:
    """Whether a step of SARE changes every trained weight that has a gradient, the head's among them."""
    found = net.train()(net.prepare(images(6))).flatten(1)
    SARELoss("gauss", "joint")(found[:1], found[1:2], found[None, 2:]).backward()
    before = {name: x.clone() for name, x in net.named_parameters()}
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    moved = {name for name, x in net.named_parameters() if not torch.equal(x, before[name])}
    heads = {n for n in before if "body" not in n and "backbone" not in n and n.split(".")[-1] != "bias"}
    return heads <= moved and len(moved) > len(heads)
