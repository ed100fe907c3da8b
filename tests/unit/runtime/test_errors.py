"""deepibl.errors: the tree in its docstring is that of the classes; hints for misspelt names."""

import re

import pytest

from deepibl import errors
from matlab_compat.errors import MatlabCompatError, did_you_mean


def test_the_tree_of_errors_is_drawn_as_it_is():
    drawn, path = {}, []
    for prefix, name in re.findall(r"^([ │├└─]*)(\w+Error)\b", errors.__doc__, re.MULTILINE):
        path[len(prefix) // 4 :] = [name]
        drawn[name] = path[-2] if len(path) > 1 else None
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, MatlabCompatError)
    }
    assert set(drawn) == set(classes)
    for name, parent in drawn.items():
        assert parent is None or classes[name].__bases__ == (classes[parent],)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("DBPITTS", "; did you mean 'dbPitts'?"), ("dbTokio", "; did you mean 'dbTokyoTM'?"), ("recall", "")],
)
def test_a_misspelt_name_gets_the_most_similar_one(name, hint):
    assert did_you_mean(name, ["dbPitts", "dbTokyoTM"]) == hint
