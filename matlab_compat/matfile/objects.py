"""Class objects (MCOS): from the references that variables hold to MatObject.

MATLAB keeps all objects' properties in the subsystem: a cell array named FileWrapper__ whose first element is
a table of 32-bit words (names, classes, objects, lists of properties), whose last holds each class's defaults
and whose others are values. A variable holds a uint32 column: a mark, the array's shape, its objects' ids and
a class id. MathWorks documents none of this (mat-io has the fullest account); it is tested on files that
MATLAB wrote. Unknown: the third and fourth word of a class, the second and third of an object (always 0).

An object with a saveobj method keeps what that returned as one property `any`; a struct there is unwrapped.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.matfile.classes import cells, checked_shape, corrupted, is_object_reference
from matlab_compat.matfile.values import MatObject

VERSIONS = (2, 3, 4)
FIRST_VALUE = 2
NAMES_AT = 40
ENUMERATION, VALUE, INTEGER = 0, 1, 2
ENUMERATION_TAG = "EnumerationInstanceTag"
CONVERTED = ("gpuArray", "string")
MISSING = 2**64 - 1
Item = TypeVar("Item")


class LazyCell(NamedTuple):
    """A cell array of the subsystem, read element by element.

    places: where its elements are; read: the plain value at a place, with references resolved; opened: the
    element at a place that is a cell array itself.
    """

    places: Sequence[Any] | np.ndarray
    read: Callable[[Any], Any]
    opened: Callable[[Any], "LazyCell"]


class WithObjects:
    """What the readers of files with class objects have in common."""

    subsystem: "Subsystem"

    def resolved(self, reference: Any, classname: str) -> Any:
        """The object of a variable's content, or what stands for one that keeps its properties there."""
        if not has_properties_elsewhere(reference):
            return MatObject(classname, {"any": reference})
        return self.subsystem.resolve(reference)


def _invalid(what: str) -> MatFileError:
    return corrupted(f"the table of its class objects is invalid ({what})")


def _entry(entries: Sequence[Item] | np.ndarray, number: int, what: str) -> Item | Any:
    """An entry of a table by its position from 0, which the file gives."""
    if not 0 <= number < len(entries):
        raise _invalid(f"it refers to {what} {number} of {len(entries)}")
    return entries[number]


class Subsystem:
    """The objects of one file; each is made once, so two references to a handle give one MatObject."""

    def __init__(self, content: LazyCell, order: str) -> None:
        self.content = content
        self.made: dict[int, Any] = {}
        self.pending: list[int] = []
        self.filling = False
        stored = content.read(content.places[0]) if len(content.places) > FIRST_VALUE else None
        if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "iu" or stored.size < NAMES_AT:
            raise _invalid("it is missing")
        table = stored.astype(np.uint8, copy=False).tobytes(order="F")
        version, _, *ends = (int(word) for word in np.frombuffer(table, f"{order}u4", 8))
        if version not in VERSIONS:
            raise MatFileError(f"its class objects are stored in version {version}; known are {VERSIONS}")
        sizes = [after - before for before, after in itertools.pairwise(ends)]
        # classes have 4 words of 4 bytes, objects 6; the other regions are lists of such words
        fits = all(size % unit == 0 for size, unit in zip(sizes, (16, 4, 24, 4, 4), strict=True))
        if ends[0] < NAMES_AT or ends != sorted(ends) or ends[-1] > len(table) or not fits:
            raise _invalid(f"regions that end at {ends} of {len(table)} bytes")
        self.names = [
            name.decode("utf-8", errors="replace") for name in table[NAMES_AT : ends[0]].split(b"\0") if name
        ]
        regions = [np.frombuffer(table[a:b], f"{order}i4") for a, b in itertools.pairwise(ends)]
        self.classes = regions[0].reshape(-1, 4)
        self.saved_by_saveobj = _records(regions[1], 3)
        self.objects = regions[2].reshape(-1, 6)
        self.saved = _records(regions[3], 3)
        self.dynamic = _records(regions[4], 1)
        self.values = content.places[FIRST_VALUE:]
        self.defaults = content.opened(content.places[-1])
        self.defaults_read: dict[int, Any] = {}

    def resolve(self, reference: Any) -> Any:
        """The object, or array of objects, that a variable's content stands for.

        Returns MatObject, an object array of them (MATLAB's shape), or the plain value where one is better:
        gpuArray -> numeric array, string -> str or object array of str.
        """
        if isinstance(reference, dict):
            return self._enumeration(reference)
        made = self._array(reference.ravel().tolist())
        if not self.filling:
            self.filling = True
            while self.pending:
                self._fill(self.pending.pop())
            self.filling = False
        return made

    def _array(self, words: list[int]) -> Any:
        """From the words of a reference: mark, number of dimensions, dimensions, ids of objects, class id."""
        ndims, ids, class_id = words[1], words[2 + words[1] : -1], words[-1]
        shape = checked_shape(words[2 : 2 + ndims], "an array of objects")
        if len(shape) != ndims or len(ids) != math.prod(shape):
            raise _invalid(f"{len(ids)} objects for an array of shape {shape}")
        if not ids and (classname := self._classname(class_id)) not in CONVERTED:
            return MatObject(classname, shape=shape)
        made = [self._object(number, class_id) for number in ids]
        return made[0] if len(made) == 1 else cells(shape, made)

    def _object(self, number: int, class_id: int) -> Any:
        """An object by its id, made on first sight; its properties follow later, unless it is converted.

        Later, because they may refer back to it, and because a chain of objects may be longer than
        Python's stack.
        """
        if number == 0:  # a handle whose object was deleted
            return MatObject(self._classname(class_id))
        if number not in self.made:
            made = MatObject(self._classname(int(self._record(number)[0])))
            self.made[number] = made
            if made.classname in CONVERTED:
                self._fill(number)
                self.made[number] = _converted(made)
            else:
                self.pending.append(number)
        return self.made[number]

    def _fill(self, number: int) -> None:
        class_id, _, _, saveobj, saved, dynamic = (int(word) for word in self._record(number))
        if class_id not in self.defaults_read:
            place = _entry(self.defaults.places, class_id, "the defaults of class")
            self.defaults_read[class_id] = self.defaults.read(place)
        defaults = self.defaults_read[class_id]
        properties = self.made[number].properties
        properties.update(defaults if isinstance(defaults, dict) else {})
        lists, position = (self.saved_by_saveobj, saveobj) if saveobj else (self.saved, saved)
        own = {
            self._name(name): self._property(kind, value)
            for name, kind, value in _entry(lists, position, "list of properties")
        }
        if saveobj and isinstance(own.get("any"), dict):
            properties.pop("any", None)
            own = own["any"]
        properties.update(own)
        for (described,) in self.dynamic[dynamic] if 0 <= dynamic < len(self.dynamic) else ():
            properties.update(self._dynamic_property(described))

    def _dynamic_property(self, number: int) -> dict[str, Any]:
        """A property added to one object at run time, from the object that describes it."""
        described = self._object(number, 0)
        if number in self.pending:
            self.pending.remove(number)
            self._fill(number)
        properties = described.properties if isinstance(described, MatObject) else {}
        name = properties.get("DynamicName_")
        return {name: properties.get("DynamicValue_")} if isinstance(name, str) else {}

    def _property(self, kind: int, value: int) -> Any:
        if kind == VALUE:
            return self.content.read(_entry(self.values, value, "property value"))
        if kind == ENUMERATION:
            return self._name(value)
        if kind == INTEGER:
            return np.array([[value]], dtype=bool if value in (0, 1) else np.int32)
        raise _invalid(f"a property of kind {kind}")

    def _enumeration(self, reference: dict[str, Any]) -> Any:
        parts: list[Any] = [reference.get(name) for name in ("ClassName", "ValueNames", "ValueIndices")]
        if (
            not all(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts)
            or parts[0].size != 1
        ):
            raise _invalid("an enumeration without class, names or indices")
        classname = self._classname(int(parts[0].item()))
        names = [self._name(number) for number in parts[1].ravel().tolist()]
        which = parts[2].ravel(order="F").tolist()
        made = [MatObject(classname, {"name": _entry(names, index, "enumeration value")}) for index in which]
        return made[0] if len(made) == 1 else cells(parts[2].shape, made)

    def _record(self, number: int) -> np.ndarray:
        return _entry(self.objects, number or -1, "object")

    def _classname(self, class_id: int) -> str:
        package, name, _, _ = (int(word) for word in _entry(self.classes, class_id or -1, "class"))
        return (f"{self._name(package)}." if package else "") + self._name(name)

    def _name(self, number: int) -> str:
        return _entry(self.names, number - 1, "name")


def has_properties_elsewhere(reference: Any) -> bool:
    """Whether an opaque variable's content is a reference into the subsystem (Java objects' is not)."""
    return is_object_reference(reference) or (isinstance(reference, dict) and ENUMERATION_TAG in reference)


def _records(words: np.ndarray, width: int) -> list[list[tuple[int, ...]]]:
    """The lists of a region: a count, count times `width` words, padding to an even number of words."""
    records: list[list[tuple[int, ...]]] = []
    at = 0
    while at < words.size:
        count = int(words[at])
        stop = at + 1 + count * width
        if count < 0 or stop > words.size:
            raise _invalid(f"a list of {count} entries")
        records.append([tuple(row) for row in words[at + 1 : stop].reshape(count, width).tolist()])
        at = stop + stop % 2
    return records


def _converted(made: MatObject) -> Any:
    content = made.properties.get("any")
    if not isinstance(content, np.ndarray):
        return made
    if made.classname == "string":
        return _strings(content.ravel(order="F"))
    if content.dtype == object and content.size == 2:  # the first is the version of this form
        return content.flat[1]
    return made


def _strings(words: np.ndarray) -> Any:
    """MATLAB's string array from its uint64 words (version, ndims, dims, lengths, UTF-16 text)."""
    if words.size == 0:
        return np.empty((0, 0), dtype=object)
    if words.dtype.kind not in "iu" or words.size < 2:
        raise _invalid("a string array that is not stored as integers")
    ndims = int(words[1])
    shape = checked_shape(words[2 : 2 + ndims].tolist(), "a string array")
    count = math.prod(shape)
    lengths = words[2 + ndims : 2 + ndims + count].tolist()
    units = words[2 + ndims + count :].astype("<u8").tobytes()
    if len(shape) != ndims or len(lengths) != count:
        raise _invalid(f"a string array of shape {shape} in {words.size} words")
    texts: list[str | None] = []
    at = 0
    for length in lengths:
        if length == MISSING:
            texts.append(None)
            continue
        if not 0 <= 2 * length <= len(units) - at:
            raise _invalid(f"a string of {length} characters")
        texts.append(units[at : at + 2 * length].decode("utf-16-le", errors="surrogatepass"))
        at += 2 * length
    return texts[0] if texts and count == 1 and texts[0] is not None else cells(shape, texts)
