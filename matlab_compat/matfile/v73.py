"""Reads MAT 7.3 files: HDF5 with MATLAB's attributes. Only what is asked for is read.

A variable is a dataset (a cell's holds references to others in the group #refs#) or a group (struct, sparse).
MATLAB_class names the class; MATLAB_empty marks a dataset that holds a shape. Arrays are stored transposed.
"""

import math
from functools import cached_property
from typing import Any

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.matfile import classes
from matlab_compat.matfile.classes import corrupted, function_handle
from matlab_compat.matfile.hdf5 import Budget, Node
from matlab_compat.matfile.objects import LazyCell, Subsystem, WithObjects
from matlab_compat.matfile.values import UNREADABLE, MatObject, VariableInfo

REFERENCES, SUBSYSTEM = "#refs#", "#subsystem#"
OLD_OBJECT, OPAQUE = 2, 3
MAX_FIELDLESS = 1 << 20


class Mat73File(WithObjects):
    """An open MAT 7.3 file, given by its root group's low-level id and its size: its variables on demand."""

    def __init__(self, root: Any, size: int) -> None:
        self.root = Node(root, Budget(size))
        self.names = [name for name in self.root if name not in (REFERENCES, SUBSYSTEM)]
        self.problems: dict[str, MatFileError] = {}  # the names of all are known
        self._inside_subsystem = False
        self._depth = 0

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable; reads no data."""
        node = self.root[name]
        classname = node.text("MATLAB_class")
        if not classname:
            return VariableInfo(UNREADABLE, None)
        if node.has("MATLAB_sparse"):
            return VariableInfo("sparse", (node.integer("MATLAB_sparse"), math.prod(node["jc"].shape) - 1))
        if node.integer("MATLAB_empty"):
            return VariableInfo(classname, _stored_shape(node, classname))
        if node.integer("MATLAB_object_decode") == OPAQUE:
            words: Any = node.stored().T if node.is_dataset else None
            if not classes.is_object_reference(words):
                return VariableInfo(classname, None)
            return VariableInfo(classname, tuple(words[2 : 2 + int(words[1, 0]), 0].tolist()))
        if node.is_dataset:
            return VariableInfo(classname, node.shape[::-1])
        columns = [node[field] for field in _fields(node)]
        shape = next((column.shape[::-1] for column in columns if _is_column(column)), (1, 1))
        return VariableInfo(classname, shape)

    def value(self, name: str) -> Any:
        """The plain value of a variable."""
        return self._read(self.root[name])

    def _in_subsystem(self, reference: Any) -> Any:
        """The value behind a reference in the subsystem, where a uint32 column may stand for objects."""
        outside, self._inside_subsystem = self._inside_subsystem, True
        value = self._read(self.root.at(reference))
        self._inside_subsystem = outside
        return value

    def _read(self, node: Node) -> Any:
        self._depth += 1
        if self._depth > classes.MAX_DEPTH:
            raise corrupted(f"values are nested more than {classes.MAX_DEPTH} deep")
        if not node.is_dataset:  # a dataset is counted where it is read
            node.budget.take(0)
        value = self._dispatch(node, node.text("MATLAB_class"))
        self._depth -= 1
        return value

    def _dispatch(self, node: Node, classname: str) -> Any:
        if not classname:
            raise MatFileError(f"the HDF5 data at {node.path()} lacks MATLAB's attributes: not MATLAB's")
        if node.integer("MATLAB_empty"):
            return _empty(node, classname)
        if classname == "char":
            return classes.chars(node.numbers(np.dtype(np.uint16)).reshape(-1), node.shape[::-1])
        if node.has("MATLAB_sparse"):
            starts, rows = node["jc"].stored(), node["ir"].stored() if "ir" in node else np.zeros(0)
            data = node["data"].complex_numbers() if "data" in node else np.zeros(0)
            shape = (node.integer("MATLAB_sparse"), starts.size - 1)
            return classes.sparse(data, rows, starts, shape, logical=classname == "logical")
        decode = node.integer("MATLAB_object_decode")
        if decode == OPAQUE:
            content: Any = self._struct(node) if not node.is_dataset else None
            if content is None:
                content = self._cell(node) if node.holds_references else node.stored().T
            return self.resolved(content, classname)
        if classname in classes.NUMERIC_CLASSES and node.holds_complex:
            return node.complex_numbers(np.complex64 if classname == "single" else np.complex128).T
        if classname == "logical":
            return (node.numbers(np.dtype(np.uint8)) != 0).T
        if classname in classes.NUMERIC_CLASSES:
            array = node.numbers(classes.NUMERIC_CLASSES[classname]).T
            reference = self._inside_subsystem and classes.is_object_reference(array)
            return self.resolved(array, "") if reference else array
        if classname == "cell":
            return self._cell(node)
        if classname == "function_handle":
            return function_handle(self._struct(node))
        if decode == OLD_OBJECT:
            return classes.old_objects(classname, self._struct(node))
        if classname == "struct":
            return self._struct(node)
        raise MatFileError(f"it holds a value of the unknown class {classname!r}")

    def _cell(self, node: Node) -> np.ndarray:
        references = node.stored()
        items = [self._read(self.root.at(reference)) for reference in references.reshape(-1)]
        return classes.cells(references.shape[::-1], items)

    def _struct(self, node: Node) -> Any:
        fields = _fields(node)
        columns = [node[field] for field in fields]
        if not any(_is_column(column) for column in columns):
            return {field: self._read(column) for field, column in zip(fields, columns, strict=True)}
        shape = columns[0].shape
        if any(column.shape != shape for column in columns):
            raise corrupted("the fields of a struct array have different shapes")
        references = [column.stored().reshape(-1) for column in columns]
        items = [
            {field: self._read(self.root.at(each)) for field, each in zip(fields, row, strict=True)}
            for row in zip(*references, strict=True)
        ]
        return classes.structs(shape[::-1], fields, items)

    @cached_property
    def subsystem(self) -> Subsystem:  # type: ignore[override]
        """The properties of all class objects."""
        if SUBSYSTEM not in self.root or "MCOS" not in self.root[SUBSYSTEM]:
            raise MatFileError("it holds class objects but not the subsystem of their properties: corrupted")
        return Subsystem(self._lazy_cell(self.root[SUBSYSTEM]["MCOS"]), "<")

    def _lazy_cell(self, node: Node) -> LazyCell:
        references = node.stored().reshape(-1)
        return LazyCell(references, self._in_subsystem, lambda each: self._lazy_cell(self.root.at(each)))


def _stored_shape(node: Node, classname: str) -> tuple[int, ...]:
    """The shape that a dataset marked MATLAB_empty holds."""
    sides = node.stored().ravel()
    if sides.dtype.kind not in "iu":
        raise corrupted(f"an empty {classname} has no shape")
    return classes.checked_shape(sides.tolist(), f"an empty {classname}")


def _empty(node: Node, classname: str) -> Any:
    shape = _stored_shape(node, classname)
    count = math.prod(shape)
    if classname == "struct":
        if count > MAX_FIELDLESS:
            raise MatFileError(f"a struct array without fields declares {count:,} elements: it is corrupted")
        return classes.structs(shape, _fields(node), [{} for _ in range(count)])
    if count:
        raise corrupted(f"an empty {classname} declares the shape {shape}")
    if classname == "char":
        return classes.chars(np.zeros(0, np.uint16), shape)
    if classname == "function_handle":
        return function_handle(None)
    kinds = classes.NUMERIC_CLASSES | {"cell": object, "canonical empty": float}
    return np.empty(shape, kinds[classname]) if classname in kinds else MatObject(classname, shape=shape)


def _fields(node: Node) -> list[str]:
    """The fields of a struct in MATLAB's order; where the file does not say, in the order of the file."""
    listed, present = node.words("MATLAB_fields"), list(node)
    return listed if listed is not None and (node.is_dataset or set(listed) == set(present)) else present


def _is_column(node: Node) -> bool:
    """Whether a struct's field is the column of a struct array: references without a class of their own."""
    return node.holds_references and not node.has("MATLAB_class")
