"""Options as MATLAB functions take them: 'name', value pairs, structs and keywords; names in any case."""

import ast
import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
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
    dict option changes only the fields it has. Raises ArgumentError for an unknown one, with the closest.

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
    recursive = "nonrecursive" not in names
    known, opts, rest = dict(defaults), dict(defaults), list[Any]()

    def nested(into: Any, given: Any) -> tuple[Any, list[Any]]:
        if nargout > 1:
            return vl_argparse(into, given, *flags, nargout=2)
        return vl_argparse(into, given, *flags), []

    def assign(field: str, value: Any) -> None:
        fields: Any = known.get(field)
        holds_dict = isinstance(fields, Mapping) and len(fields) > 0
        if not recursive or not (holds_dict or isinstance(value, Mapping)):
            opts[field] = value
        elif not holds_dict:
            if not isinstance(opts.get(field), Mapping):
                raise ArgumentError(f"option {field!r} takes no dict: its default is not a dict")
            opts[field] = vl_argparse(opts[field], value, "merge")
        elif not isinstance(value, Mapping):
            raise ArgumentError(f"option {field!r} takes a dict of {', '.join(fields)}, not {value!r:.80}")
        else:
            opts[field], _ = nested(opts[field], value)

    words = [args] if isinstance(args, str | Mapping) or not isinstance(args, Sequence) else list(args)
    position = 0
    while position < len(words):
        name = words[position]
        if recursive and isinstance(name, Mapping):
            opts, unknown = nested(opts, [word for pair in name.items() for word in pair])
            if nargout > 1:
                rest.append(dict(zip(unknown[::2], unknown[1::2], strict=True)))
            position += 1
            continue
        if not isinstance(name, str):
            kind = "an option's name or a dict" if recursive else "an option's name"
            raise ArgumentError(f"argument {position + 1} must be {kind}, not {name!r:.80}")
        if position + 1 == len(words):
            raise ArgumentError(f"option {name!r} has no value: options come as name, value pairs")
        value = words[position + 1]
        position += 2
        top, *below = name.split(".")
        if "" in below:
            raise ArgumentError(f"option {name!r} has an empty name between its dots")
        nest = functools.reduce(lambda inner, part: {part: inner}, reversed(below), value)
        matches = [each for each in known if each.lower() == top.lower()]
        if len(matches) == 1 or ("merge" in names and top):
            assign(matches[0] if len(matches) == 1 else top, nest)
        elif nargout > 1:
            rest += [name, value]
        else:
            raise ArgumentError(unknown_option(top, list(known)))
    return (opts, rest) if nargout > 1 else opts


def unknown_option(name: str, known: list[str]) -> str:
    """The message for an unknown name: the closest known one, and all of them."""
    if name.lower() in map(str.lower, known):
        hint = "several options have this name but for its case"
    else:
        hint = did_you_mean(name, known).removeprefix("; ") or "no similar one exists"
    return f"unknown option {name!r}: {hint} (options: {', '.join(known) or 'none'})"


def typed_options(texts: Sequence[str], words: Collection[str] = ()) -> dict[str, Any]:
    """Options from the command line, each 'name=value'; values as `typed_value` reads them.

    words: options, in lower case, whose values are strings. Raises ArgumentError for another form.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ArgumentError(f"an option must be name=value, e.g. nNegCap=10; got {text!r}")
        found[name] = typed_value(value, name.lower() in words)
    return found


def typed_value(text: str, word: bool = False) -> Any:
    """An option's value from the command line: a number, a list, true or false, or a string.

    word: whether it is a string whatever it looks like; a session may be named 53e0.

    >>> [typed_value(text) for text in ("0.001", "[1, 5]", "true", "conv5_1")]
    [0.001, [1, 5], True, 'conv5_1']
    """
    if not word and text.lower() in ("inf", "-inf", "nan"):
        return float(text)
    try:
        value = ast.literal_eval(text.capitalize() if text.lower() in ("true", "false") else text)
    except (ValueError, SyntaxError):
        return text
    return text if word and not isinstance(value, str) else value


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
