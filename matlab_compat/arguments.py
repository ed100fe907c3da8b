"""Options as MATLAB functions take them: 'name', value pairs, structs and keywords; names in any case."""

import ast
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar

from matlab_compat.errors import ArgumentError, did_you_mean

FLAGS = ("merge", "nonrecursive")


def options(
    defaults: Mapping[str, Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> SimpleNamespace:
    """A function's options: its defaults, changed by the caller's arguments.

    defaults: name -> value; args: the caller's remaining positional arguments ('learningRate', 0.1, … and
    whole dicts); kwargs: the caller's keywords. Names match in any case; a later one wins; a dict given for a
    dict option changes only the fields it has. Raises ArgumentError, with the closest known name for an
    unknown one.

    >>> options({"learningRate": 0.1, "batchSize": 4}, ("LearningRate", 0.5), {"batchsize": 8})
    namespace(learningRate=0.5, batchSize=8)
    """
    pairs = [word for pair in (kwargs or {}).items() for word in pair]
    return SimpleNamespace(**vl_argparse(defaults, [*args, *pairs]))


def vl_argparse(defaults: Any, args: Any, *flags: str, nargout: int = 1) -> Any:
    """MATLAB's vl_argparse: a copy of defaults, updated by name, value pairs and dicts.

    defaults: dict; args: a list of pairs and dicts, or one dict; flags: 'merge' adds unknown names instead of
    refusing them, 'nonrecursive' replaces dicts instead of merging them (and then takes pairs only).
    nargout: 1 returns the options and refuses unknown names; 2 returns (options, rest), where rest lists the
    unknown pairs in order and, for each dict of args, a dict of its unknown fields, even an empty one.
    As in the original, with nargout 2 an unknown field of a nested dict is dropped; a dict given for an
    option that holds no dict is refused, and so is a dict merged under a new name.
    Raises ArgumentError.  Ported from: matconvnet/vl_argparse.m
    """
    if not isinstance(defaults, Mapping):
        raise ArgumentError(f"options must be a dict; got {defaults!r:.80}")
    names = {flag.lower() for flag in flags}
    if len(flags) > len(FLAGS) or not names <= set(FLAGS):
        raise ArgumentError(f"flags must be 'merge' or 'nonrecursive', at most two; got {flags!r}")
    if isinstance(args, str | Mapping) or not isinstance(args, Sequence):
        args = [args]
    parser = _Parser(dict(defaults), "merge" in names, "nonrecursive" not in names, nargout > 1)
    parser.read(list(args))
    return (parser.opts, parser.rest) if nargout > 1 else parser.opts


class _Parser:
    """The state of one call: the options so far, and the unknown ones."""

    def __init__(self, opts: dict[str, Any], merge: bool, recursive: bool, keep_unknown: bool) -> None:
        self.opts = opts
        self.original = dict(opts)
        self.merge = merge
        self.recursive = recursive
        self.keep_unknown = keep_unknown
        self.rest: list[Any] = []
        self.flags = [name for name, on in zip(FLAGS, (merge, not recursive), strict=True) if on]

    def read(self, args: list[Any]) -> None:
        position = 0
        while position < len(args):
            item = args[position]
            if self.recursive and isinstance(item, Mapping):
                self.read_struct(item)
                position += 1
                continue
            if not isinstance(item, str):
                raise ArgumentError(
                    f"argument {position + 1} must be an option's name"
                    f"{' or a dict' if self.recursive else ''}, not {item!r:.80}"
                )
            if position + 1 == len(args):
                raise ArgumentError(f"option {item!r} has no value: options come as name, value pairs")
            self.read_pair(item, args[position + 1])
            position += 2

    def read_struct(self, struct: Mapping[str, Any]) -> None:
        pairs = [word for pair in struct.items() for word in pair]
        if self.keep_unknown:
            self.opts, rest = vl_argparse(self.opts, pairs, *self.flags, nargout=2)
            self.rest.append(dict(zip(rest[::2], rest[1::2], strict=True)))
        else:
            self.opts = vl_argparse(self.opts, pairs, *self.flags)

    def read_pair(self, name: str, value: Any) -> None:
        top, *below = name.split(".")
        nested = value
        for part in reversed(below):
            if not part:
                raise ArgumentError(f"option {name!r} has an empty name between its dots")
            nested = {part: nested}
        matches = [known for known in self.original if known.lower() == top.lower()]
        if len(matches) == 1:
            self.assign(matches[0], nested)
        elif self.merge and top:
            self.assign(top, nested)
        elif self.keep_unknown:
            self.rest += [name, value]
        else:
            raise ArgumentError(unknown_option(top, list(self.original)))

    def assign(self, field: str, value: Any) -> None:
        holds_struct = isinstance(self.original.get(field), Mapping) and len(self.original[field]) > 0
        if not self.recursive or not (holds_struct or isinstance(value, Mapping)):
            self.opts[field] = value
        elif not holds_struct:
            if not isinstance(self.opts.get(field), Mapping):
                raise ArgumentError(f"option {field!r} takes no dict: its default is not a dict")
            self.opts[field] = vl_argparse(self.opts[field], value, "merge")
        elif not isinstance(value, Mapping):
            raise ArgumentError(
                f"option {field!r} takes a dict of {', '.join(self.original[field])}, not {value!r:.80}"
            )
        else:
            parsed = vl_argparse(self.opts[field], value, *self.flags, nargout=2 if self.keep_unknown else 1)
            self.opts[field] = parsed[0] if self.keep_unknown else parsed


def unknown_option(name: str, known: list[str]) -> str:
    """The message for an unknown name: the closest known one, and all of them."""
    if name.lower() in map(str.lower, known):
        hint = "several options have this name but for its case"
    else:
        hint = did_you_mean(name, known).removeprefix("; ") or "no similar one exists"
    return f"unknown option {name!r}: {hint} (options: {', '.join(known) or 'none'})"


def typed_options(texts: Sequence[str]) -> dict[str, Any]:
    """Options from the command line, each 'name=value'; values as `typed_value` reads them.

    Raises ArgumentError for a string of another form.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ArgumentError(f"an option must be name=value, e.g. nNegCap=10; got {text!r}")
        found[name] = typed_value(value)
    return found


def typed_value(text: str) -> Any:
    """An option's value from the command line: a number, a list, true or false, or a string.

    >>> [typed_value(text) for text in ("0.001", "[1, 5]", "true", "conv5_1")]
    [0.001, [1, 5], True, 'conv5_1']
    """
    if text.lower() in ("inf", "-inf", "nan"):
        return float(text)
    try:
        return ast.literal_eval(text.capitalize() if text.lower() in ("true", "false") else text)
    except (ValueError, SyntaxError):
        return text


P = ParamSpec("P")
R = TypeVar("R")


def name_value(struct: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: keyword-only arguments may also be given as 'name', value pairs, and in any case.

    The pairs (or dicts) follow the positional arguments. struct: the name of a positional argument that may
    hold a struct whose fields replace the defaults. Raises ArgumentError for an unknown name.

    >>> @name_value()
    ... def scaled(x, *, scale=2, offset=0):
    ...     return x * scale + offset
    >>> scaled(5), scaled(5, "Scale", 3), scaled(5, SCALE=3, offset=1)
    (10, 15, 16)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters.values()
        positional = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        defaults = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            bound = {**dict(zip(positional, args, strict=False)), **kwargs}
            exact = {name: value for name, value in kwargs.items() if name in defaults or name in positional}
            others = {name: value for name, value in kwargs.items() if name not in exact}
            given = bound.get(struct) or {}
            fields = given if isinstance(given, Mapping) else vars(given)
            used = {name: fields.get(name, default) for name, default in defaults.items()}
            parsed = vars(options(used, args[len(positional) :], others))
            return function(*args[: len(positional)], **{**parsed, **exact})  # type: ignore[arg-type]

        return call

    return decorate
