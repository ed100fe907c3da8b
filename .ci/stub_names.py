"""For the reference: what a package's `__init__.pyi` names is public, and examples in docstrings are code."""

import ast
import re
from pathlib import Path
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class StubNames(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        for module in [pkg, *pkg.modules.values()]:
            stub = Path(str(module.filepath)).with_suffix(".pyi")
            if not module.is_alias and stub.is_file():
                body = ast.parse(stub.read_text("utf-8")).body
                imports = [node for node in body if isinstance(node, ast.ImportFrom) and node.module]
                module.exports = [name.name for node in imports for name in node.names]

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            text = re.sub(r" +# doctest: .*", "", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(lambda example: f"```pycon\n{example[0]}\n```", text)
