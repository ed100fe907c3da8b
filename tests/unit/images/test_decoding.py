"""deepibl.images: who decodes JPEG files. The device's decoder is replaced by one that runs here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.features.extraction import extract
from deepibl.images import DeviceDecoder, Encoded, HostDecoder, Reading, choose_decoder, load_pixels
from matlab_compat import jpeg
from matlab_compat.errors import ArgumentError, ImageReadError
from tests.extractors import make_photos, simplenn

CPU = torch.device("cpu")


class Decoder:
    """Stands in for nvJPEG: libjpeg's pixels, a batch at a time; refuses what contains `poison`."""

    def __init__(self, poison: bytes = b"") -> None:
        self.calls: list[int] = []
        self.poison = poison

    def __call__(self, data: list[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
        self.calls.append(len(data))
        files = [each.numpy().tobytes() for each in data]
        if self.poison and any(self.poison in file for file in files):
            raise RuntimeError("Error while decoding JPEG images: 5")
        return [jpeg.decode(file, "here").expand(3, -1, -1) for file in files]


def described(names: list[str], decoder: HostDecoder, batch_size: int = 3) -> tuple[list, np.ndarray, list]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepibl.features.groups.choose_decoder", lambda name, device: decoder)
        rows, kept, failures = extract(
            simplenn(), names, batch_size=batch_size, engine="torch", num_threads=2, on_error="skip"
        )
    return kept.tolist(), rows, failures


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Colour, grey, CMYK and progressive JPEGs, and a PNG."""
    names = [str(tmp_path / name) for name in make_photos(tmp_path)[:3]]
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8))
    kinds = {
        "grey.jpg": ("L", {}),
        "cmyk.jpg": ("CMYK", {}),
        "progressive.jpg": ("RGB", {"progressive": True}),
    }
    for name, (mode, options) in kinds.items():
        picture.convert(mode).save(tmp_path / name, **options)
    picture.save(tmp_path / "picture.png")
    return [*names, *(str(tmp_path / name) for name in (*kinds, "picture.png"))]


def test_a_batch_is_decoded_together_and_comes_out_in_order(files: list[str]) -> None:
    fake = Decoder()
    ids, rows, failures = described(files, DeviceDecoder(CPU, fake))
    wanted_ids, wanted, _ = described(files, HostDecoder(CPU))
    assert (ids, failures) == (wanted_ids, []) and np.array_equal(rows, wanted)
    assert max(fake.calls) > 1


@pytest.mark.parametrize(("name", "device"), [("grey", True), ("cmyk", False), ("progressive", True)])
def test_the_device_gets_what_it_can_decode(files: list[str], name: str, device: bool) -> None:
    path = next(file for file in files if name in file)
    loaded = DeviceDecoder(CPU, Decoder()).load(path)
    assert isinstance(loaded, Encoded) == device
    if isinstance(loaded, Encoded):
        assert loaded.shape == (3, 40, 48) and loaded.data.numpy().tobytes() == Path(path).read_bytes()


def test_what_is_resized_is_decoded_by_the_processor(files: list[str]) -> None:
    pixels = DeviceDecoder(CPU, Decoder()).load(files[0], Reading(20))
    assert isinstance(pixels, torch.Tensor) and torch.equal(pixels, load_pixels(files[0], Reading(20)))


def test_a_truncated_file_is_left_to_libjpeg(files: list[str], tmp_path: Path) -> None:
    short = tmp_path / "short.jpg"
    short.write_bytes(Path(files[0]).read_bytes()[:-40])
    loaded = DeviceDecoder(CPU, Decoder()).load(str(short))
    assert isinstance(loaded, torch.Tensor) and torch.equal(loaded, load_pixels(short))


def test_one_file_that_the_device_refuses_does_not_spoil_its_batch(files: list[str]) -> None:
    progressive = next(file for file in files if "progressive" in file)
    fake = Decoder(poison=Path(progressive).read_bytes()[-60:])
    ids, rows, failures = described(files, DeviceDecoder(CPU, fake))
    assert not failures and np.array_equal(rows, described(files, HostDecoder(CPU))[1])
    assert ids == list(range(len(files)))


def test_a_file_that_nobody_can_decode_fails_alone_and_by_name(files: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    whole = Path(files[0]).read_bytes()
    scan = whole.index(b"\xff\xda")
    broken = whole[:scan] + b"\xff\xda\x00\x04" + whole[scan + 4 :]  # a scan of a length that cannot be
    bad.write_bytes(broken)
    with pytest.raises(ImageReadError):
        load_pixels(bad)
    decoder = DeviceDecoder(CPU, Decoder(poison=b"\xff\xda\x00\x04"))
    ids, _, failures = described([files[1], str(bad), files[2]], decoder)
    assert ids == [0, 2] and [(f.index, "bad.jpg" in f.reason) for f in failures] == [(1, True)]


def test_a_decoder_that_gives_another_size_is_not_believed(files: list[str]) -> None:
    decoder = DeviceDecoder(CPU, lambda data, device: [torch.zeros(3, 8, 8, dtype=torch.uint8) for _ in data])
    assert np.array_equal(described(files[:3], decoder)[1], described(files[:3], HostDecoder(CPU))[1])


def test_auto_decodes_on_the_processor_and_gpu_needs_a_gpu(files: list[str]) -> None:
    assert type(choose_decoder("auto", torch.device("cuda"))) is HostDecoder
    with pytest.raises(ArgumentError, match="needs a CUDA device"):
        extract(simplenn(), files, decode="gpu", device="cpu")
    with pytest.raises(ArgumentError, match="auto, cpu, gpu"):
        extract(simplenn(), files, decode="nvjpeg")


@pytest.mark.gpu
def test_nvjpegs_pixels_are_close_to_libjpegs_and_in_order(files: list[str]) -> None:
    usable = [file for file in files if "cmyk" not in file and "png" not in file]
    decoder = choose_decoder("gpu", torch.device("cuda", torch.cuda.current_device()))
    for _ in range(3):  # again, while the last batch is being used
        found = decoder.finish([decoder.load(file) for file in usable])
        for pixels, file in zip(found, usable, strict=True):
            assert isinstance(pixels, torch.Tensor) and pixels.is_cuda
            difference = pixels.cpu().float() - load_pixels(file).expand(3, -1, -1).float()
            assert difference.abs().mean() < 2
