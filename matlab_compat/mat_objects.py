"""Class objects (MCOS): from the references that variables hold to MatObject.

MATLAB keeps all objects' properties in one place, the subsystem: a cell array named FileWrapper__ whose first
element is a table of 32-bit words (names, classes, objects, lists of properties) and whose other elements are
property values; the last one holds each class's default values. A variable only holds a uint32 column: a mark,
the object array's shape, its objects' ids and a class id. MathWorks documents none of this; it was found out by
others (mat-io has the fullest account) and is tested here on files that MATLAB wrote.

An object with a saveobj method keeps what that returned as one property `any`; a struct there is unwrapped.
Unknown: what the third and fourth word of a class and the second and third of an object mean (always 0 so far).
"""

from typing import Any, Protocol

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.mat_classes import cells, is_object_reference
from matlab_compat.mat_values import MatObject

VERSIONS = (2, 3, 4)
FIRST_VALUE = 2
NAMES_AT = 40
ENUMERATION, VALUE, INTEGER = 0, 1, 2
ENUMERATION_TAG = "EnumerationInstanceTag"


class LazyCell(Protocol):
    """A cell array of the subsystem, read element by element."""

    def __len__(self) -> int: ...

    def value(self, index: int) -> Any:
        """The plain value of an element; references in it are resolved."""

    def cell(self, index: int) -> "LazyCell":
        """An element that is a cell array itself."""


class Subsystem:
    """The objects of one file. Each is made once, so that two references to a handle give one MatObject."""

    def __init__(self, content: LazyCell, order: str) -> None:
        self.content = content
        self.made: dict[int, MatObject] = {}
        table = np.ascontiguousarray(content.value(0)).astype(np.uint8, copy=False).tobytes(order="F")
        words = np.frombuffer(table, f"{order}u4", 10)
        if int(words[0]) not in VERSIONS:
            raise MatFileError(
                f"its class objects are stored in version {int(words[0])}; known are {VERSIONS}"
            )
        ends = [int(word) for word in words[2:8]]
        if not ends[0] >= NAMES_AT or ends != sorted(ends) or ends[-1] > len(table):
            raise MatFileError("the table of its class objects makes no sense: the file is corrupted")
        self.names = [name.decode("utf-8") for name in table[NAMES_AT : ends[0]].split(b"\0") if name]
        regions = [np.frombuffer(table[a:b], f"{order}i4") for a, b in zip(ends, ends[1:], strict=False)]
        self.classes = regions[0].reshape(-1, 4)
        self.saved_by_saveobj = _records(regions[1], 3)
        self.objects = regions[2].reshape(-1, 6)
        self.saved = _records(regions[3], 3)
        self.dynamic = _records(regions[4], 1)
        self.defaults = content.cell(len(content) - 1)

    def resolve(self, reference: Any, classname: str) -> Any:
        """The object, or array of objects, that a variable's content stands for.

        Returns MatObject, an object array of them (MATLAB's shape), or the plain value where one is better:
        gpuArray -> numeric array, string -> str or object array of str.
        """
        try:
            if isinstance(reference, dict) and ENUMERATION_TAG in reference:
                return self._enumeration(reference)
            if is_object_reference(reference):
                return self._objects(reference.ravel().astype(np.int64))
        except (IndexError, ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
            raise MatFileError(
                f"its objects of class {classname or '?'} point nowhere ({error}): the file is corrupted"
            ) from error
        return MatObject(classname, reference if isinstance(reference, dict) else {"any": reference})

    def _objects(self, words: np.ndarray) -> Any:
        ndims = int(words[1])
        shape = tuple(int(side) for side in words[2 : 2 + ndims])
        count = int(np.prod(shape))
        if words.size != 3 + ndims + count or ndims < 2:
            raise ValueError(f"{words.size} words for objects of shape {shape}")
        made = [self._object(int(number), int(words[-1])) for number in words[2 + ndims : -1]]
        return made[0] if count == 1 else cells(shape, made)

    def classname(self, class_id: int) -> str:
        """A class's name with its package."""
        if class_id <= 0:
            raise IndexError(f"class {class_id}")
        package, name = (int(word) for word in self.classes[class_id][:2])
        return (f"{self._name(package)}." if package else "") + self._name(name)

    def _name(self, number: int) -> str:
        if number <= 0:
            raise IndexError(f"name {number}")
        return self.names[number - 1]

    def _object(self, number: int, class_id: int) -> Any:
        if number == 0:  # a handle whose object was deleted
            return MatObject(self.classname(class_id))
        if number < 0:
            raise IndexError(f"object {number}")
        if number not in self.made:
            record = [int(word) for word in self.objects[number]]
            made = MatObject(self.classname(record[0]))
            self.made[number] = made  # before its properties, which may refer back to it
            made.properties.update(self._properties(*record))
        return _plain(self.made[number])

    def _properties(
        self, class_id: int, _a: int, _b: int, saveobj: int, plain: int, dynamic: int
    ) -> dict[str, Any]:
        defaults = self.defaults.value(class_id)
        properties = dict(defaults) if isinstance(defaults, dict) else {}
        own = {}
        for name, kind, value in self.saved_by_saveobj[saveobj] if saveobj else self.saved[plain]:
            own[self._name(name)] = self._property(kind, value)
        if saveobj and isinstance(own.get("any"), dict):
            own = own["any"]
            properties.pop("any", None)
        properties.update(own)
        if dynamic < len(self.dynamic):
            for (number,) in self.dynamic[dynamic]:
                properties.update(_dynamic(self._object(number, 0)))
        return properties

    def _property(self, kind: int, value: int) -> Any:
        if kind == VALUE:
            if not 0 <= value < len(self.content) - FIRST_VALUE:
                raise IndexError(f"property value {value}")
            return self.content.value(FIRST_VALUE + value)
        if kind == ENUMERATION:
            return self._name(value)
        if kind == INTEGER:
            return np.array([[value]], dtype=bool if value in (0, 1) else np.int32)
        raise ValueError(f"property of kind {kind}")

    def _enumeration(self, reference: dict[str, Any]) -> Any:
        classname = self.classname(int(reference["ClassName"].item()))
        names = [self._name(int(number)) for number in reference["ValueNames"].ravel()]
        which = reference["ValueIndices"]
        made = [MatObject(classname, {"name": names[int(index)]}) for index in which.ravel(order="F")]
        return made[0] if len(made) == 1 else cells(which.shape, made)


def _records(words: np.ndarray, width: int) -> list[list[tuple[int, ...]]]:
    """The lists of a region: a count, count times `width` words, padding to an even number of words."""
    records, at = [], 0
    while at < words.size:
        count = int(words[at])
        stop = at + 1 + count * width
        if count < 0 or stop > words.size:
            raise MatFileError("a list in the table of its class objects is too long: the file is corrupted")
        records.append([tuple(row) for row in words[at + 1 : stop].reshape(count, width).tolist()])
        at = stop + stop % 2
    return records


def _dynamic(described: MatObject) -> dict[str, Any]:
    """A property added to one object at run time, from the object that describes it."""
    name, value = (described.properties.get(key) for key in ("DynamicName_", "DynamicValue_"))
    return {name: value} if isinstance(name, str) else {}


def _plain(made: MatObject) -> Any:
    content = made.properties.get("any")
    if made.classname == "gpuArray" and isinstance(content, np.ndarray) and content.dtype == object:
        return content.flat[1]  # the first is the version of this form
    if made.classname == "string" and isinstance(content, np.ndarray):
        return _strings(content)
    return made


def _strings(words: np.ndarray) -> Any:
    """MATLAB's string array from its uint64 words: version, ndims, dims, lengths, UTF-16 text."""
    flat = words.ravel(order="F")
    if flat.size == 0:
        return np.empty((0, 0), dtype=object)
    ndims = int(flat[1])
    shape = tuple(int(side) for side in flat[2 : 2 + ndims])
    count = int(np.prod(shape))
    lengths = flat[2 + ndims : 2 + ndims + count]
    units = flat[2 + ndims + count :].astype("<u8").tobytes()
    missing = np.uint64(2**64 - 1)
    texts, at = [], 0
    for length in lengths:
        size = 0 if length == missing else 2 * int(length)
        if at + size > len(units):
            raise ValueError(f"a string of {length} characters")
        texts.append(None if length == missing else units[at : at + size].decode("utf-16-le"))
        at += size
    return texts[0] if count == 1 and texts[0] is not None else cells(shape, texts)
