"""Class objects (MCOS): from the references that variables hold to MatObject.

MATLAB keeps all objects' properties in one place, the subsystem: a cell array named FileWrapper__ whose
first element is a table of 32-bit words (names, classes, objects, lists of properties), whose last holds each
class's default values, and whose others are property values. A variable only holds a uint32 column: a mark,
the object array's shape, its objects' ids and a class id. MathWorks documents none of this; it was found out
by others (mat-io has the fullest account) and is tested here on files that MATLAB wrote.

An object with a saveobj method keeps what that returned as one property `any`; a struct there is unwrapped.
Unknown: the third and fourth word of a class, the second and third of an object (always 0 so far)."""

import itertools
from typing import Any, Protocol

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.matfile.classes import cells, is_object_reference
from matlab_compat.matfile.values import MatObject

VERSIONS = (2, 3, 4)

FIRST_VALUE = 2

NAMES_AT = 40

ENUMERATION, VALUE, INTEGER = 0, 1, 2

ENUMERATION_TAG = "EnumerationInstanceTag"

CONVERTED = ("gpuArray", "string")

MISSING = 2**64 - 1

DAMAGE = (IndexError, ValueError, TypeError, AttributeError, KeyError, OverflowError)


class LazyCell(Protocol):
    """A cell array of the subsystem, read element by element."""

    def __len__(self) -> int: ...

    def value(self, index: int) -> Any:
        """The plain value of an element; references in it are resolved."""

    def cell(self, index: int) -> "LazyCell":
        """An element that is a cell array itself."""


class Subsystem:
    """The objects of one file; each is made once, so two references to a handle give one MatObject."""

    def __init__(self, content: LazyCell, order: str) -> None:
        self.content = content
        self.made: dict[int, Any] = {}
        self.pending: list[int] = []
        self.filling = False
        table = content.value(0).astype(np.uint8, copy=False).tobytes(order="F")
        words = np.frombuffer(table, f"{order}u4", 10)
        if int(words[0]) not in VERSIONS:
            raise MatFileError(
                f"its class objects are stored in version {int(words[0])}; known are {VERSIONS}"
            )
        ends = [int(word) for word in words[2:8]]
        if not ends[0] >= NAMES_AT or ends != sorted(ends) or ends[-1] > len(table):
            raise MatFileError("the table of its class objects makes no sense: the file is corrupted")
        self.names = [name.decode("utf-8") for name in table[NAMES_AT : ends[0]].split(b"\0") if name]
        regions = [np.frombuffer(table[a:b], f"{order}i4") for a, b in itertools.pairwise(ends)]
        self.classes = regions[0].reshape(-1, 4)
        self.saved_by_saveobj = _records(regions[1], 3)
        self.objects = regions[2].reshape(-1, 6)
        self.saved = _records(regions[3], 3)
        self.dynamic = _records(regions[4], 1)
        self.defaults = content.cell(len(content) - 1)
        self.defaults_read: dict[int, Any] = {}

    def resolve(self, reference: Any, classname: str) -> Any:
        """The object, or array of objects, that a variable's content stands for.

        Returns MatObject, an object array of them (MATLAB's shape), or the plain value where one is better:
        gpuArray -> numeric array, string -> str or object array of str.
        """
        try:
            if isinstance(reference, dict):
                return self._enumeration(reference)
            made = self._array(reference.ravel().astype(np.int64))
            self._fill_pending()
            return made
        except DAMAGE as error:
            raise MatFileError(
                f"its objects of class {classname or '?'} point nowhere ({error}): the file is corrupted"
            ) from error

    def _array(self, words: np.ndarray) -> Any:
        ndims = int(words[1])
        shape = tuple(int(side) for side in words[2 : 2 + ndims])
        count = int(np.prod(shape))
        if ndims < 2 or words.size != 3 + ndims + count:
            raise ValueError(f"{words.size} words for objects of shape {shape}")
        made = [self._object(int(number), int(words[-1])) for number in words[2 + ndims : -1]]
        return made[0] if count == 1 else cells(shape, made)

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

    def _fill_pending(self) -> None:
        if self.filling:
            return
        self.filling = True
        while self.pending:
            self._fill(self.pending.pop())
        self.filling = False

    def _fill(self, number: int) -> None:
        class_id, _, _, saveobj, saved, dynamic = (int(word) for word in self._record(number))
        if class_id not in self.defaults_read:
            self.defaults_read[class_id] = self.defaults.value(class_id)
        defaults = self.defaults_read[class_id]
        properties = self.made[number].properties
        properties.update(defaults if isinstance(defaults, dict) else {})
        own = {}
        for name, kind, value in self.saved_by_saveobj[saveobj] if saveobj else self.saved[saved]:
            own[self._name(name)] = self._property(kind, value)
        if saveobj and isinstance(own.get("any"), dict):
            properties.pop("any", None)
            own = own["any"]
        properties.update(own)
        if dynamic < len(self.dynamic):
            for (described,) in self.dynamic[dynamic]:
                properties.update(self._dynamic_property(described))

    def _dynamic_property(self, number: int) -> dict[str, Any]:
        """A property added to one object at run time, from the object that describes it."""
        described = self._object(number, 0)
        if number in self.pending:
            self.pending.remove(number)
            self._fill(number)
        name, value = (described.properties.get(key) for key in ("DynamicName_", "DynamicValue_"))
        return {name: value} if isinstance(name, str) else {}

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
        classname = self._classname(int(reference["ClassName"].item()))
        names = [self._name(int(number)) for number in reference["ValueNames"].ravel()]
        which = reference["ValueIndices"]
        made = [MatObject(classname, {"name": names[int(index)]}) for index in which.ravel(order="F")]
        return made[0] if len(made) == 1 else cells(which.shape, made)

    def _record(self, number: int) -> np.ndarray:
        if number <= 0:
            raise IndexError(f"object {number}")
        return self.objects[number]

    def _classname(self, class_id: int) -> str:
        if class_id <= 0:
            raise IndexError(f"class {class_id}")
        package, name = (int(word) for word in self.classes[class_id][:2])
        return (f"{self._name(package)}." if package else "") + self._name(name)

    def _name(self, number: int) -> str:
        if number <= 0:
            raise IndexError(f"name {number}")
        return self.names[number - 1]


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
            raise MatFileError("a list in the table of its class objects is too long: the file is corrupted")
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
    ndims = int(words[1])
    shape = tuple(int(side) for side in words[2 : 2 + ndims])
    count = int(np.prod(shape))
    units = words[2 + ndims + count :].astype("<u8").tobytes()
    texts: list[str | None] = []
    at = 0
    for length in words[2 + ndims : 2 + ndims + count].tolist():
        if length == MISSING:
            texts.append(None)
            continue
        if at + 2 * length > len(units):
            raise ValueError(f"a string of {length} characters")
        texts.append(units[at : at + 2 * length].decode("utf-16-le", errors="surrogatepass"))
        at += 2 * length
    return texts[0] if texts and count == 1 and texts[0] is not None else cells(shape, texts)
