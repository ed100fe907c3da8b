"""Reads MAT 7.3 files: HDF5 with MATLAB's attributes.

A variable is a dataset (numeric; a cell's dataset holds references to others, in the group #refs#) or a group
(struct, sparse). MATLAB_class names the class, MATLAB_empty marks a dataset that holds a shape in place of data.
Arrays are stored transposed: HDF5's first axis is MATLAB's last. Nothing is read but what was asked for.
h5py is imported on first use.
"""

from typing import Any

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.mat_classes import (
    MAX_DEPTH,
    NUMERIC_CLASSES,
    cells,
    chars,
    function_handle,
    is_object_reference,
    structs,
)
from matlab_compat.mat_objects import Subsystem
from matlab_compat.mat_v5_elements import sparse
from matlab_compat.mat_values import MatObject, VariableInfo

REFERENCES, SUBSYSTEM = "#refs#", "#subsystem#"
OLD_OBJECT, OPAQUE = 2, 3


class Mat73File:
    """An open MAT 7.3 file (an h5py.File): its variables on demand."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.names = [name for name in root if name not in (REFERENCES, SUBSYSTEM)]
        self._subsystem: Subsystem | None = None
        self._inside_subsystem = False
        self._depth = 0

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable; reads no data."""
        node = self.root[name]
        classname = _class(node)
        attributes = node.attrs
        if "MATLAB_sparse" in attributes:
            return VariableInfo("sparse", (int(attributes["MATLAB_sparse"]), node["jc"].size - 1))
        if attributes.get("MATLAB_empty"):
            return VariableInfo(classname, tuple(int(side) for side in node[()]))
        if attributes.get("MATLAB_object_decode", 0) == OPAQUE:
            words = node[()].ravel() if hasattr(node, "dtype") else np.zeros(0)
            shape = tuple(int(side) for side in words[2 : 2 + int(words[1])]) if words.size > 2 else None
            return VariableInfo(classname, shape)
        if hasattr(node, "dtype"):
            return VariableInfo(classname, node.shape[::-1])
        return VariableInfo(classname, _struct_shape(node))

    def value(self, name: str) -> Any:
        """The plain value of a variable."""
        return self._read(self.root[name])

    def _read(self, node: Any) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise MatFileError(f"values are nested more than {MAX_DEPTH} deep: the file is corrupted")
        try:
            return self._dispatch(node)
        finally:
            self._depth -= 1

    def _dispatch(self, node: Any) -> Any:
        classname, attributes = _class(node), node.attrs
        if "MATLAB_sparse" in attributes:
            return self._sparse(node, int(attributes["MATLAB_sparse"]))
        empty = bool(attributes.get("MATLAB_empty", 0))
        decode = int(attributes.get("MATLAB_object_decode", 0))
        if empty:
            return _empty(classname, tuple(int(side) for side in node[()]), node)
        if decode == OPAQUE:
            return self._opaque(node, classname)
        if classname == "char":
            stored = node[()]
            return chars(stored.reshape(-1), stored.shape[::-1])
        if classname in NUMERIC_CLASSES:
            return self._numeric(node, classname)
        if classname == "cell":
            return self._cell(node)
        if classname == "function_handle":
            return function_handle(self._struct(node))
        if classname == "struct" or decode == OLD_OBJECT:
            made = self._struct(node)
            return made if classname == "struct" else MatObject(classname, made)
        raise MatFileError(f"{node.name} is of class {classname or '(none)'}, which is not known")

    def _numeric(self, node: Any, classname: str) -> Any:
        stored = node[()]
        if stored.dtype.names:
            kind = "c8" if classname == "single" else "c16"
            array = np.empty(stored.shape, kind)
            array.real, array.imag = stored["real"], stored["imag"]
        else:
            array = stored.astype(NUMERIC_CLASSES[classname], copy=False)
        array = array.T
        if self._inside_subsystem and is_object_reference(array):
            return self._resolve(array, "")
        return array

    def _cell(self, node: Any) -> np.ndarray:
        references = node[()]
        return cells(references.shape[::-1], [self._read(self.root[ref]) for ref in references.reshape(-1)])

    def _struct(self, node: Any) -> Any:
        fields = _fields(node)
        shape = _struct_shape(node)
        if shape == (1, 1) and not any(_is_references(node[field]) for field in fields):
            return {field: self._read(node[field]) for field in fields}
        columns = [node[field][()].reshape(-1) for field in fields]
        items = [
            {field: self._read(self.root[reference]) for field, reference in zip(fields, row, strict=True)}
            for row in zip(*columns, strict=True)
        ]
        return structs(shape, fields, items)

    def _sparse(self, node: Any, rows: int) -> Any:
        starts = node["jc"][()]
        data, ir = (
            (node["data"][()], node["ir"][()]) if "data" in node else (np.zeros(0), np.zeros(0, np.int64))
        )
        if data.dtype.names:
            data = data["real"] + 1j * data["imag"]
        data = data.astype(bool) if _class(node) == "logical" else data
        return sparse(data, ir, starts, (rows, starts.size - 1))

    def _opaque(self, node: Any, classname: str) -> Any:
        content = node[()].T if hasattr(node, "dtype") else self._struct(node)
        return self._resolve(content, classname)

    def _resolve(self, reference: Any, classname: str) -> Any:
        if self._subsystem is None:
            if SUBSYSTEM not in self.root or "MCOS" not in self.root[SUBSYSTEM]:
                raise MatFileError(
                    "it holds class objects but not the subsystem with their properties: it is corrupted"
                )
            self._subsystem = Subsystem(_LazyCell(self, self.root[SUBSYSTEM]["MCOS"]), "<")
        return self._subsystem.resolve(reference, classname)


class _LazyCell:
    """A cell array of the subsystem, whose elements are read one by one."""

    def __init__(self, file: Mat73File, node: Any) -> None:
        self.file = file
        self.references = node[()].reshape(-1)

    def __len__(self) -> int:
        return len(self.references)

    def value(self, index: int) -> Any:
        outside, self.file._inside_subsystem = self.file._inside_subsystem, True
        try:
            return self.file._read(self.file.root[self.references[index]])
        finally:
            self.file._inside_subsystem = outside

    def cell(self, index: int) -> "_LazyCell":
        return _LazyCell(self.file, self.file.root[self.references[index]])


def _class(node: Any) -> str:
    classname = node.attrs.get("MATLAB_class", b"")
    return classname.decode("utf-8") if isinstance(classname, bytes) else str(classname)


def _empty(classname: str, shape: tuple[int, ...], node: Any) -> Any:
    if classname == "char":
        return chars(np.zeros(0, np.uint16), shape)
    if classname == "cell":
        return np.empty(shape, dtype=object)
    if classname == "struct":
        fields = _fields(node)
        count = int(np.prod(shape))
        return structs(shape, fields, [{} for _ in range(count)] if not fields else [])
    if classname == "function_handle":
        return function_handle(None)
    return np.zeros(shape, NUMERIC_CLASSES.get(classname, np.dtype("f8")))


def _fields(node: Any) -> list[str]:
    """The fields of a struct in MATLAB's order; where the file does not say, in the order of the file."""
    listed = node.attrs.get("MATLAB_fields")
    present = list(node) if not hasattr(node, "dtype") else []
    if listed is None:
        return present
    names = [b"".join(letters.tolist()).decode("latin-1") for letters in listed]
    return names if not present or set(names) == set(present) else present


def _is_references(node: Any) -> bool:
    return hasattr(node, "dtype") and node.dtype == object and "MATLAB_class" not in node.attrs


def _struct_shape(node: Any) -> tuple[int, ...]:
    for field in _fields(node):
        return node[field].shape[::-1] if _is_references(node[field]) else (1, 1)
    return (1, 1)
