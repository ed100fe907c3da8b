"""Maps of any library's model without tracing: convolutions, tokens, channels that come last."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from deepibl.networks.feature_maps import FeatureMaps, layout_of, scaled
from deepibl.networks.libraries import library_model
from matlab_compat.errors import ArgumentError

timm = pytest.importorskip("timm")
TINY = {"depth": 2, "embed_dim": 32, "num_heads": 2}


def images(height: int = 100, width: int = 150) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def run(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return net.eval()(x)


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ((1, 512, 7, 14), ("maps", 0, 1)),
        ((1, 7, 14, 512), ("last", 0, 1)),
        ((1, 512, 7, 7), None),  # adaptive pooling: not the image's proportions
        ((1, 512, 1, 1), None),
        ((1, 392, 96), ("tokens", 0, 16)),
        ((1, 393, 96), ("tokens", 1, 16)),
        ((1, 16 * 32 + 5, 96), ("tokens", 5, 14)),
        ((1, 1000), None),
    ],
)
def test_the_layout_of_an_output_follows_from_its_shape(shape: tuple[int, ...], want: tuple | None) -> None:
    assert layout_of(shape, (224, 448)) == want


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("vit_tiny_patch16_224", 1),
        ("deit_tiny_distilled_patch16_224", 2),
        ("vit_small_patch14_reg4_dinov2", 5),
        ("vit_small_patch14_dinov2", 1),
    ],
)
def test_tokens_become_maps_without_class_and_register_tokens(model: str, prefix: int) -> None:
    vit = library_model("timm", model, **TINY).eval()
    patch = vit.patch_embed.patch_size[0]
    x = images(4 * patch, 6 * patch)
    with torch.inference_mode():
        tokens = vit.forward_features(x)
    want = tokens[:, prefix:].reshape(2, 4, 6, 32).permute(0, 3, 1, 2)
    assert torch.equal(run(FeatureMaps(vit), x), want)
    (own,) = vit.forward_intermediates(x, indices=[0], intermediates_only=True, norm=False)
    torch.testing.assert_close(run(FeatureMaps(vit, "blocks.0"), x), own)


def test_images_are_scaled_to_the_nearest_multiple_of_the_patch() -> None:
    net = FeatureMaps(library_model("timm", "vit_small_patch14_dinov2", **TINY))
    assert torch.equal(run(net, images()), run(net, scaled(images(), (98, 154))))
    assert run(net, images(5, 5)).shape[2:] == (1, 1)


def test_a_model_of_one_size_gets_images_of_that_size() -> None:
    net = FeatureMaps(torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64))
    assert net.size == (64, 64) and net.layer == "encoder"
    assert torch.equal(run(net, images()), run(net, scaled(images(), (64, 64))))


def torchvisions_swin() -> nn.Module:
    return torchvision.models.swin_transformer.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [7, 7])


def timms_swin() -> nn.Module:
    sizes = {"embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2)}
    return library_model("timm", "swin_tiny_patch4_window7_224", **sizes)


@pytest.mark.parametrize(
    ("build", "layer", "maps"), [(torchvisions_swin, "features.1", 16), (timms_swin, "layers.0", 12)]
)
def test_channels_that_come_last_are_moved(build, layer: str, maps: int) -> None:
    found = run(FeatureMaps(build(), layer), images())
    assert found.shape[:2] == (2, maps) and abs(found.shape[2] - 25) <= 1 and abs(found.shape[3] - 37) <= 1


@pytest.mark.parametrize("layer", ["layer2", "layer3.1.conv1", "layer1.0.relu"])
def test_hooks_give_what_a_traced_extractor_gives(layer: str) -> None:
    model = torchvision.models.resnet18().eval()
    last = "layer1.0.relu_1" if layer == "layer1.0.relu" else layer
    assert torch.equal(
        run(FeatureMaps(model, layer), images()),
        run(create_feature_extractor(model, {last: "x"}), images())["x"],
    )


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("test_resnet", "layer4"),
        ("test_convnext", "norm_pre"),
        ("test_vit", "norm"),
        ("test_efficientnet", "bn2"),
    ],
)
def test_the_last_maps_are_found_below_the_classifier(model: str, layer: str) -> None:
    net = FeatureMaps(library_model("timm", model))
    assert net.layer == layer and run(net, images()).ndim == 4


def test_the_model_is_not_changed_and_its_weights_are_shared() -> None:
    model = torchvision.models.resnet18().train()
    before = [name for name, _ in model.named_modules()]
    net = FeatureMaps(model, "layer1")
    names = {name for name, _ in net.named_parameters()}
    assert not any("layer2" in name or ".fc" in name for name in names) and model.training
    assert [name for name, _ in model.named_modules()] == before and not model.layer1._forward_hooks
    assert net.model.conv1.weight is model.conv1.weight
    net(images()).sum().backward()
    assert model.layer1[0].conv1.weight.grad is not None
    assert torch.equal(run(copy.deepcopy(net), images()), run(net, images()))


def test_a_model_that_needs_what_comes_later_still_runs() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.heads = (
                nn.Conv2d(3, 4, 3),
                nn.ModuleList([nn.Conv2d(4, 5, 1), nn.Conv2d(5, 6, 1)]),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            for head in self.heads:
                x = head(x) * head.weight.mean()
            return x

    net = FeatureMaps(Counting(), "first")
    assert run(net, images()).shape == (2, 4, 98, 148)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("layer9", "no layer 'layer9'; at the top it has conv1"),
        ("fc", r"must be maps .* or tokens, not \(1, 1000\)"),
    ],
)
def test_what_gives_no_maps_is_refused(layer: str, reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        FeatureMaps(torchvision.models.resnet18(), layer)


def test_a_model_that_takes_no_image_says_why() -> None:
    with pytest.raises(ArgumentError, match="takes no image of 224x448 or 224x224"):
        FeatureMaps(nn.Sequential(nn.Linear(5, 5)))


@pytest.mark.slow
def test_a_transformer_compiles_into_one_graph() -> None:
    net = FeatureMaps(library_model("timm", "test_vit")).eval()
    found = torch._dynamo.explain(net)(images())
    assert (found.graph_count, found.graph_break_count) == (1, 0)
