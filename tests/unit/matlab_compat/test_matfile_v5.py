"""MAT 5 files byte by byte: every storage form, byte order and kind of damage."""

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.matfile.values import describe
from tests import mat5_bytes as mat5
from tests.mat5_bytes import Builder


def value(path: Path, *elements: bytes, order: str = "<", note: str = "MATLAB 5.0 MAT-file") -> Any:
    return matfile.load(Builder(order).write(path / "a.mat", *elements, note=note))["x"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_both_tag_forms_are_read(order: str, tmp_path: Path) -> None:
    make = Builder(order)
    small = make.matrix(mat5.UINT8, (1, 3), make.small(mat5.U1, b"\1\2\xff"), "x")
    found = value(tmp_path, small, order=order)
    assert (found.dtype, found.tolist()) == (np.uint8, [[1, 2, 255]])
    wide = make.matrix(mat5.DOUBLE, (2, 1), make.element(mat5.F8, make.pack("2d", 1.5, -2.0)), "x")
    found = value(tmp_path, make.packed(wide), order=order)
    assert found.tolist() == [[1.5], [-2.0]]
    assert found.dtype.isnative


def test_a_double_kept_as_small_integers_is_a_double(tmp_path: Path) -> None:
    make = Builder()
    found = value(
        tmp_path, make.matrix(mat5.DOUBLE, (1, 2), make.small(mat5.I2, make.pack("2h", -7, 300)), "x")
    )
    assert (found.dtype, found.tolist()) == (np.float64, [[-7.0, 300.0]])


def test_a_logical_kept_as_double_is_bool(tmp_path: Path) -> None:
    make = Builder()
    data = make.element(mat5.F8, make.pack("2d", 1, 0))
    found = value(tmp_path, make.matrix(mat5.DOUBLE, (1, 2), data, "x", mat5.LOGICAL))
    assert (found.dtype, found.tolist()) == (np.bool_, [[True, False]])


@pytest.mark.parametrize(
    ("kind", "codec"),
    [(mat5.UTF8, "utf-8"), (mat5.UTF16, "utf-16-le"), (mat5.UTF32, "utf-32-le"), (mat5.U2, "utf-16-le")],
)
def test_chars_are_read_from_every_encoding(kind: int, codec: str, tmp_path: Path) -> None:
    text = "Zürich 東京"
    assert value(tmp_path, Builder().text((1, len(text)), kind, text.encode(codec), "x")) == text


def test_chars_beyond_16_bits_are_two_of_matlabs(tmp_path: Path) -> None:
    assert value(tmp_path, Builder().text((1, 3), mat5.UTF16, "a𝔸".encode("utf-16-le"), "x")) == "a𝔸"


def test_octaves_chars_are_utf8_bytes(tmp_path: Path) -> None:
    raw = np.frombuffer("Zürich".encode(), np.uint8).astype("<u2").tobytes()
    element = Builder().text((1, 7), mat5.U2, raw, "x")
    assert value(tmp_path, element, note="MATLAB 5.0 MAT-file, written by Octave 7.3.0") == "Zürich"
    assert value(tmp_path, element) == "ZÃ¼rich"


def test_a_char_matrix_is_kept_by_columns(tmp_path: Path) -> None:
    found = value(tmp_path, Builder().text((2, 3), mat5.UTF8, b"adbec ", "x"))
    assert isinstance(found, matfile.CharMatrix)
    assert found == ["abc", "de "]


@pytest.mark.parametrize(("shape", "want"), [((0, 0), ""), ((1, 0), ""), ((2, 0), ["", ""])])
def test_empty_chars(shape: tuple[int, int], want: object, tmp_path: Path) -> None:
    assert value(tmp_path, Builder().text(shape, mat5.UTF8, b"", "x")) == want


@pytest.mark.parametrize("shape", [(0, 3), (0, 1), (2, 0, 3)])
def test_empty_chars_that_are_not_rows_keep_their_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    found = value(tmp_path, Builder().text(shape, mat5.UTF8, b"", "x"))
    assert isinstance(found, np.ndarray)
    assert (found.dtype.kind, found.shape, matfile.text(found)) == ("U", shape, "")


@pytest.mark.parametrize("order", ["<", ">"])
def test_char_matrices_beyond_16_bits_are_kept_by_columns_of_units(order: str, tmp_path: Path) -> None:
    codec = "utf-16-le" if order == "<" else "utf-16-be"
    rows = [np.frombuffer(row.encode(codec), f"{order}u2") for row in ("a𝔸b", "𝔸cd", "éfgh")]
    stored = np.stack(rows).astype(f"{order}u2").tobytes(order="F")
    for kind in (mat5.UTF16, mat5.U2):
        found = value(tmp_path, Builder(order).text((3, 4), kind, stored, "x"), order=order)
        assert found == ["a𝔸b", "𝔸cd", "éfgh"]


@pytest.mark.parametrize(("kind", "codec"), [(mat5.UTF8, "utf-8"), (mat5.UTF32, "utf-32-le")])
def test_char_matrices_that_count_characters_get_rows_of_one_length(
    kind: int, codec: str, tmp_path: Path
) -> None:
    found = value(tmp_path, Builder().text((2, 2), kind, "ab𝔸c".encode(codec), "x"))
    assert found == ["a𝔸", "bc "]
    with pytest.raises(MatFileError, match=r"'x' .*a char array of shape 2x2 has 7 characters"):
        value(tmp_path, Builder().text((2, 2), kind, "ab𝔸cde".encode(codec), "x"))


def test_rows_of_octaves_char_matrices_are_utf8_bytes(tmp_path: Path) -> None:
    rows = [np.frombuffer(row.encode(), np.uint8) for row in ("Zür", "abcd")]
    stored = np.stack(rows).astype("<u2").tobytes(order="F")
    element = Builder().text((2, 4), mat5.U2, stored, "x")
    assert value(tmp_path, element, note="MATLAB 5.0 MAT-file, written by Octave 7.3.0") == ["Zür ", "abcd"]


@pytest.mark.parametrize("kind", [mat5.I1, mat5.U1])
def test_characters_of_one_byte_are_not_negative(kind: int, tmp_path: Path) -> None:
    assert value(tmp_path, Builder().text((1, 2), kind, b"\xe4b", "x")) == "äb"


def test_numbers_that_are_not_characters_are_refused(tmp_path: Path) -> None:
    make = Builder()
    for kind, stored in ((mat5.F8, make.pack("d", -1)), (mat5.U4, make.pack("I", 0x10000))):
        with pytest.raises(MatFileError, match="not character codes"):
            value(tmp_path, make.text((1, 1), kind, stored, "x"))


def sparse(
    make: Builder, shape: tuple[int, int], rows: list, starts: list, *values: bytes, flags: int = 0
) -> bytes:
    content = make.element(mat5.I4, make.pack(f"{len(rows)}i", *rows))
    content += make.element(mat5.I4, make.pack(f"{len(starts)}i", *starts))
    return make.matrix(mat5.SPARSE, shape, content + b"".join(values), "x", flags)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("count", [2, 4, 5, 8, 9])
@pytest.mark.parametrize("kind", [mat5.F8, mat5.U1, mat5.I1])
def test_a_sparse_logical_has_one_byte_a_value_whatever_its_tag_says(
    kind: int, count: int, packed: bool, tmp_path: Path
) -> None:
    make = Builder()
    data = bytes([1] * count)
    values = make.small(kind, data) if count <= 4 else make.element(kind, data)
    element = sparse(make, (count, count), [*range(count)], [*range(count + 1)], values, flags=mat5.LOGICAL)
    found = value(tmp_path, make.packed(element) if packed else element)
    assert (found.dtype, found.nnz) == (np.bool_, count)
    assert (found.toarray() == np.eye(count, dtype=bool)).all()


@pytest.mark.parametrize(("room", "stored"), [(8, 8), (8, 3), (3, 3)])
def test_a_sparse_logical_may_have_room_for_more(room: int, stored: int, tmp_path: Path) -> None:
    make = Builder()
    values = make.element(mat5.F8, bytes([1, 0, 1]) + bytes(stored - 3))
    element = sparse(make, (3, 1), [0, 1, 2] + [0] * (room - 3), [0, 3], values, flags=mat5.LOGICAL)
    assert value(tmp_path, element).toarray().tolist() == [[True], [False], [True]]


def test_a_sparse_logical_of_doubles_is_read_as_well(tmp_path: Path) -> None:
    make = Builder()
    values = make.element(mat5.F8, make.pack("2d", 1, 1))
    element = sparse(make, (2, 2), [0, 1], [0, 1, 2], values, flags=mat5.LOGICAL)
    assert value(tmp_path, element).toarray().tolist() == [[True, False], [False, True]]


def test_sparse_matrices_in_cells_and_structs(tmp_path: Path) -> None:
    make = Builder()
    inner = sparse(make, (2, 1), [1], [0, 1], make.small(mat5.F8, b"\1"), flags=mat5.LOGICAL)
    found = value(tmp_path, make.matrix(mat5.CELL, (1, 1), struct(make, {"gt": inner}), "x"))
    assert found[0, 0]["gt"].toarray().tolist() == [[False], [True]]


def test_a_sparse_matrix_of_zeros(tmp_path: Path) -> None:
    make = Builder()
    for flags, dtype in ((0, float), (mat5.LOGICAL, bool), (mat5.COMPLEX, complex)):
        values = [make.element(mat5.F8, b"")] * (2 if flags == mat5.COMPLEX else 1)
        found = value(tmp_path, sparse(make, (3, 2), [], [0, 0, 0], *values, flags=flags))
        assert (found.dtype, found.shape, found.nnz) == (dtype, (3, 2), 0)


@pytest.mark.parametrize("starts", [[0, 1 << 20, 0], [0, -1, 0], [5, 0, 0]])
def test_a_sparse_matrix_of_zeros_whose_column_starts_decrease_is_refused(
    starts: list[int], tmp_path: Path
) -> None:
    make = Builder()
    with pytest.raises(MatFileError, match="starts of its columns decrease"):
        value(tmp_path, sparse(make, (3, 2), [], starts, make.element(mat5.F8, b"")))


def test_infinities_of_a_complex_sparse_matrix_stay(tmp_path: Path) -> None:
    make = Builder()
    parts = [make.element(mat5.F8, make.pack("d", number)) for number in (2, np.inf)]
    found = value(tmp_path, sparse(make, (1, 1), [0], [0, 1], *parts, flags=mat5.COMPLEX))
    assert found.data.tolist() == [complex(2, np.inf)]


def test_a_cell_with_empty_matrix_elements_of_no_bytes(tmp_path: Path) -> None:
    make = Builder()
    found = value(tmp_path, make.matrix(mat5.CELL, (1, 2), make.element(14, b"") * 2, "x"))
    assert found.shape == (1, 2)
    assert found[0, 1].shape == (0, 0)


def test_arrays_can_be_written_to_and_small_ones_own_their_memory(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", {"x": {"small": np.ones((1, 3)), "large": np.ones((1000, 500))}})
    loaded = matfile.load(tmp_path / "a.mat")["x"]
    for array in loaded.values():
        array += 1
        assert array.max() == 2
    assert loaded["small"].base is None or loaded["small"].base.nbytes == loaded["small"].nbytes


def test_only_the_wanted_variable_is_decompressed(tmp_path: Path) -> None:
    make = Builder()
    good = make.packed(make.matrix(mat5.DOUBLE, (1, 1), make.element(mat5.F8, make.pack("d", 5)), "x"))
    whole = make.matrix(
        mat5.DOUBLE, (1, 9000), make.element(mat5.F8, np.random.default_rng(0).bytes(72000)), "y"
    )
    damaged = bytearray(make.packed(whole))
    damaged[40000] ^= 255
    path = make.write(tmp_path / "a.mat", bytes(damaged), good)
    assert matfile.load(path, ["x"])["x"] == 5
    assert matfile.who(path)["y"] == ("double", (1, 9000))
    with pytest.raises(MatFileError, match="damaged"):
        matfile.load(path, ["y"])


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """A file with something of everything."""
    content = {
        "net": {
            "layers": ["conv", {"weights": [np.arange(50, dtype=np.float32).reshape(5, 10)]}],
            "meta": {},
        },
        "names": matfile.CharMatrix(["ab", "cd"]),
        "many": matfile.StructArray((1, 2), ("a",), [{"a": 1}, {"a": "x"}]),
    }
    matfile.save(tmp_path / "whole.mat", content)
    return (tmp_path / "whole.mat").read_bytes()


def test_every_truncation_within_a_variable_is_an_error(whole: bytes, tmp_path: Path) -> None:
    ends = [128 + sum(8 + size for size in _element_sizes(whole)[:count]) for count in (1, 2)]
    for length in range(len(whole)):
        (tmp_path / "a.mat").write_bytes(whole[:length])
        if length in ends:  # between two variables nothing tells that there was another
            assert matfile.load(tmp_path / "a.mat")
        elif length == 128:
            assert matfile.load(tmp_path / "a.mat") == {}
        else:
            with pytest.raises(MatFileError):
                matfile.load(tmp_path / "a.mat")


def _element_sizes(whole: bytes) -> list[int]:
    sizes, at = [], 128
    while at < len(whole):
        sizes.append(int.from_bytes(whole[at + 4 : at + 8], "little"))
        at += 8 + sizes[-1]
    return sizes


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_gives_a_value_or_our_error_never_another(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    make = Builder()
    inner = make.matrix(mat5.CELL, (1, 2), make.text((1, 2), mat5.UTF8, b"ab") * 2)
    sparse = make.small(mat5.I4, make.pack("i", 0)) + make.element(mat5.I4, make.pack("2i", 0, 1))
    elements = [
        make.matrix(mat5.CELL, (2, 1), inner + make.text((2, 1), mat5.UTF16, b"a\0b\0"), "x"),
        make.matrix(mat5.SPARSE, (1, 1), sparse + make.element(mat5.F8, make.pack("d", 2)), "y"),
        make.matrix(mat5.SINGLE, (2, 2), make.element(mat5.F4, make.pack("4f", 1, 2, 3, 4)), "z"),
    ]
    whole = make.write(tmp_path / "whole.mat", *elements).read_bytes()
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(128, len(whole))] = rng.integers(256)
        (tmp_path / "a.mat").write_bytes(damaged)
        try:
            matfile.load(tmp_path / "a.mat")
            matfile.who(tmp_path / "a.mat")
        except MatFileError:
            pass


@pytest.mark.parametrize(
    "make_element",
    [
        lambda b: b.matrix(mat5.DOUBLE, (2**30, 2**30), b.element(mat5.F8, bytes(8)), "x"),
        lambda b: b.matrix(mat5.CELL, (2**31 - 1, 1000), b.element(14, b""), "x"),
        lambda b: b.matrix(
            mat5.STRUCT, (2**20, 2**20), b.small(mat5.I4, bytes(4)) + b.small(mat5.I1, b""), "x"
        ),
        lambda b: b.matrix(mat5.CHAR, (2**30, 4), b.element(mat5.UTF8, b"ab"), "x"),
        lambda b: b.pack("II", 14, 2**32 - 8) + bytes(64),
        lambda b: b.packed(b.pack("II", 14, 2**32 - 8) + b.matrix(mat5.DOUBLE, (1, 1), b"", "x")[8:]),
        lambda b: b.matrix(mat5.SPARSE, (2**30, 2**30), b.element(mat5.I4, bytes(8)) * 2, "x"),
        lambda b: b.matrix(mat5.DOUBLE, (-1, -1), b.element(mat5.F8, bytes(8)), "x"),
    ],
)
def test_a_huge_claim_is_refused_at_once_and_costs_no_memory(make_element: object, tmp_path: Path) -> None:
    path = Builder().write(tmp_path / "a.mat", make_element(Builder()))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(MatFileError):
        matfile.load(path)
    assert time.monotonic() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_cells_nested_without_end_are_an_error(tmp_path: Path) -> None:
    make = Builder()
    element = make.matrix(mat5.DOUBLE, (1, 1), make.element(mat5.F8, bytes(8)))
    for _ in range(3000):
        element = make.matrix(mat5.CELL, (1, 1), element, "x")
    with pytest.raises(MatFileError, match="nested"):
        matfile.load(make.write(tmp_path / "a.mat", element))


def test_a_compressed_variable_whose_checksum_is_wrong_is_an_error(tmp_path: Path) -> None:
    make = Builder()
    packed = bytearray(make.packed(make.matrix(mat5.DOUBLE, (1, 1), make.element(mat5.F8, bytes(8)), "x")))
    packed[-1] ^= 1
    with pytest.raises(MatFileError, match="damaged"):
        matfile.load(make.write(tmp_path / "a.mat", bytes(packed)))


def struct(
    make: Builder,
    fields: dict[str, Any],
    name: str = "",
    classnumber: int = mat5.STRUCT,
    shape: tuple[int, int] = (1, 1),
) -> bytes:
    """A struct, or old objects of class Old, of fields that are elements, or lists of them, already."""
    keys = b"".join(key.encode().ljust(32, b"\0") for key in fields)
    head = make.element(mat5.I1, b"Old") if classnumber == mat5.OBJECT else b""
    widths = make.small(mat5.I4, make.pack("i", 32)) + make.element(mat5.I1, keys)
    columns = [each if isinstance(each, list) else [each] for each in fields.values()]
    items = b"".join(b"".join(row) for row in zip(*columns, strict=True))
    return make.matrix(classnumber, shape, head + widths + items, name)


def test_a_function_handle_keeps_its_text(tmp_path: Path) -> None:
    make = Builder()
    inner = struct(make, {"function": make.text((1, 7), mat5.UTF8, b"@(x)x+1")})
    outer = struct(make, {"matlabroot": make.text((0, 0), mat5.UTF8, b""), "function_handle": inner})
    element = make.matrix(mat5.FUNCTION, (1, 1), outer, "x")
    assert value(tmp_path, element) == matfile.FunctionHandle("@(x)x+1")


def test_an_object_of_the_old_kind_keeps_class_and_fields(tmp_path: Path) -> None:
    make = Builder()
    text = make.text((1, 2), mat5.UTF8, b"ab")
    found = value(tmp_path, struct(make, {"name": text}, "x", mat5.OBJECT))
    assert isinstance(found, matfile.MatObject)
    assert (found.classname, found.properties) == ("Old", {"name": "ab"})
    assert matfile.who(tmp_path / "a.mat")["x"] == ("Old", (1, 1))


@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_an_array_of_objects_of_the_old_kind_has_its_shape(shape: tuple[int, int], tmp_path: Path) -> None:
    make = Builder()
    found = value(
        tmp_path,
        struct(make, {"n": [make.text((1, 1), mat5.UTF8, b) for b in (b"a", b"b")]}, "x", mat5.OBJECT, shape),
    )
    assert (found.dtype, found.shape) == (object, shape)
    assert [(item.classname, item.properties) for item in found.flat] == [
        ("Old", {"n": "a"}),
        ("Old", {"n": "b"}),
    ]
    assert describe(found) == f"{shape[0]}x{shape[1]} array of objects of class Old"


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (0, 3)])
@pytest.mark.parametrize("names", [["n"], []])
def test_an_empty_array_of_objects_keeps_its_class_and_shape(
    names: list[str], shape: tuple[int, int], tmp_path: Path
) -> None:
    make = Builder()
    empty = struct(make, {name: [] for name in names}, "x", mat5.OBJECT, shape)
    found = value(tmp_path, empty)
    assert (found.classname, found.properties, found.shape) == ("Old", {}, shape)
    assert matfile.who(tmp_path / "a.mat")["x"] == ("Old", shape)
    assert describe(found) == f"{shape[0]}x{shape[1]} object of class Old"


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (0, 3), (1, 4)])
def test_struct_arrays_without_fields(shape: tuple[int, int], tmp_path: Path) -> None:
    make = Builder()
    found = value(tmp_path, make.packed(struct(make, {}, "x", shape=shape)))
    assert (found.shape, found.fields, found.items) == (shape, (), [{}] * (shape[0] * shape[1]))


def test_a_java_object_stays_opaque_and_needs_no_subsystem(tmp_path: Path) -> None:
    make = Builder()
    names = b"".join(make.element(mat5.I1, part) for part in (b"x", b"java", b"java.lang.String"))
    content = make.matrix(mat5.UINT8, (1, 2), make.small(mat5.U1, b"\1\2"))
    element = make.element(14, make.element(mat5.U4, make.pack("II", mat5.OPAQUE, 0)) + names + content)
    found = value(tmp_path, element)
    assert found.classname == "java.lang.String"
    assert matfile.who(tmp_path / "a.mat")["x"] == ("java.lang.String", None)


def test_an_object_without_its_properties_is_an_error(tmp_path: Path) -> None:
    make = Builder()
    names = b"".join(make.element(mat5.I1, part) for part in (b"x", b"MCOS", b"layerVLAD"))
    words = make.pack("6I", 0xDD000000, 2, 1, 1, 1, 1)
    content = make.matrix(mat5.UINT32, (6, 1), make.element(mat5.U4, words))
    element = make.element(14, make.element(mat5.U4, make.pack("II", mat5.OPAQUE, 0)) + names + content)
    with pytest.raises(MatFileError, match="not the subsystem"):
        value(tmp_path, element)
    assert matfile.who(tmp_path / "a.mat")["x"] == ("layerVLAD", (1, 1))
