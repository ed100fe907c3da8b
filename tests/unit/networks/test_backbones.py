"""Any torch backbone as an extractor: preprocessing, heads, identity, NetVLAD from images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deepibl.features.extraction import extract
from deepibl.networks.backbones import CAFFE, IMAGENET, Preprocessing, from_torch, with_netvlad
from deepibl.networks.identity import network_id
from matlab_compat.errors import ArgumentError, NetworkFormatError
from tests.tolerances import assert_close


def backbone(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 6, 3))


def images(count: int = 3, height: int = 30, width: int = 41) -> torch.Tensor:
    return 255 * torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2))


def run(net: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return net(net.prepare(batch)).flatten(1)


def test_preprocessing_is_torchvisions() -> None:
    from torchvision.transforms.functional import normalize

    want = normalize(images() / 255, list(IMAGENET.mean), list(IMAGENET.std))
    assert_close(IMAGENET(images()), want, "op")


def test_caffe_preprocessing_turns_to_bgr_before_it_subtracts() -> None:
    red = torch.zeros(1, 3, 1, 1)
    red[:, 0] = 255
    assert_close(CAFFE(red).ravel(), [-103.939, -116.779, 255 - 123.68], "op")


@pytest.mark.parametrize(("head", "power"), [("mean", 1), ("gem", 3)])
def test_heads_are_unit_power_means(head: str, power: int) -> None:
    net = from_torch(backbone(), head=head)
    maps = net.backbone(net.prepare(images())).detach().double()
    want = (maps.clamp(min=1e-6) ** power).mean((2, 3)) ** (1 / power) if power > 1 else maps.mean((2, 3))
    assert_close(run(net, images()), want / want.norm(dim=1, keepdim=True), "op")


def test_a_head_of_ones_own_is_taken() -> None:
    net = from_torch(backbone(), head=nn.AdaptiveMaxPool2d(2))
    assert run(net, images()).shape == (3, 24)


def test_leaving_out_the_last_layers_takes_the_classifier_off() -> None:
    classifier = nn.Sequential(*backbone(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert torch.equal(
        run(from_torch(classifier, layer="2"), images()), run(from_torch(backbone()), images())
    )


def test_what_gives_no_maps_is_refused() -> None:
    with pytest.raises(NetworkFormatError, match=r"maps .* or descriptors .* not shape \(3, 6, 216\)"):
        run(from_torch(nn.Sequential(*backbone(), nn.Flatten(2))), images())


def test_an_unknown_head_names_the_known() -> None:
    with pytest.raises(ArgumentError, match="mean, max, gem"):
        from_torch(backbone(), head="vlad")


def test_identity_depends_on_weights_head_and_preprocessing_and_on_nothing_else() -> None:
    same = {network_id(from_torch(backbone())) for _ in range(2)}
    others = {
        network_id(net)
        for net in (
            from_torch(backbone(seed=1)),
            from_torch(backbone(), head="gem"),
            from_torch(backbone(), **vars(CAFFE)),
            from_torch(backbone(), bgr=True),
        )
    }
    assert len(same) == 1
    assert len(others - same) == 4


def test_netvlad_from_images_is_the_naive_sum() -> None:
    batch = images(5)
    net = with_netvlad(
        from_torch(backbone()), batch.__getitem__, len(batch), clusters=4, per_image=50, total=250
    )
    vlad = net.head[1]
    maps = net.backbone(net.prepare(batch)).detach().double()
    unit = maps / (maps.square().sum(1, keepdim=True) + 1e-12).sqrt()
    assign, offset = vlad.assign.detach().double(), vlad.offset.detach().double()
    shares = torch.softmax(torch.einsum("dk,ndhw->nkhw", assign, unit), 1)
    blocks = torch.stack(
        [(shares[:, k, None] * (unit + offset[:, k, None, None])).sum((2, 3)) for k in range(4)], 2
    )  # (N, D, K)
    blocks = blocks / (blocks.square().sum(1, keepdim=True) + 1e-12).sqrt()
    want = blocks.flatten(1) / blocks.flatten(1).norm(dim=1, keepdim=True)
    assert_close(run(net, batch), want, "net")


def test_netvlad_starts_from_clusters_of_the_images_descriptors() -> None:
    batch = images(5)
    made = [
        with_netvlad(from_torch(backbone()), batch.__getitem__, 5, clusters=4, per_image=50, total=250)
        for _ in range(2)
    ]
    assert network_id(made[0]) == network_id(made[1])
    centres = -made[0].head[1].offset.detach().T.numpy()
    assert (np.linalg.norm(centres, axis=1) < 1).all()  # means of unit vectors
    assert len(np.unique(centres.round(4), axis=0)) == 4


def test_preprocessing_is_data() -> None:
    assert Preprocessing() == IMAGENET
    assert hash(IMAGENET) != hash(CAFFE)


def lund(real: Path) -> tuple[list[str], np.ndarray]:
    """The street photos and their positions (N, 2) in metres."""
    rows = [line.split(",") for line in (real / "images/lund_gps_utm33N.csv").read_text().splitlines()[1:]]
    rows = [row for row in rows if row[0].startswith("opensfm_lund/")]
    names = [row[0].removeprefix("opensfm_lund/") for row in rows]
    return names, np.array([[float(row[3]), float(row[4])] for row in rows])


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("head", "least"), [("gem", 0.92), ("mean", 0.7), ("vlad", 0.85)])
def test_squeezenet_recognises_streets(real: Path, head: str, least: float) -> None:
    """Even numbers are the database, odd ones queries; within 25 m counts. Chance is 0.24."""
    from deepibl.images import read_image
    from tests.squeezenet_keras import squeezenet

    names, where = lund(real)
    root = real / "images/lund"
    net = squeezenet(real, "mean" if head == "vlad" else head)
    if head == "vlad":
        net = with_netvlad(
            net, lambda i: read_image(root / names[2 * i + 1], 320), len(names) // 2, clusters=16
        )
    features = extract(net, names, root=root, resize=480, progress=False)
    numbers = np.array([int(Path(name).stem) for name in names])
    database, queries = np.flatnonzero(numbers % 2 == 0), np.flatnonzero(numbers % 2 == 1)
    best = database[(features[queries] @ features[database].T).argmax(axis=1)]
    recall = np.mean(np.linalg.norm(where[best] - where[queries], axis=1) <= 25)
    print(f"SqueezeNet, {head}: Recall@1 {recall:.2f}")
    assert recall >= least
