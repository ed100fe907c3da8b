"""Packages and where they lie; everything else about the project stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["matlab_compat", "deepibl", "deepibl.*"]), "deepibl._weights"],
    # The shipped networks live in weights/ at the top of the repository and are installed as package data.
    package_dir={"deepibl._weights": "weights"},
    package_data={
        "deepibl._weights": ["*.mat", "README.md"],
        "deepibl.serve.app": ["static/*"],
        "deepibl.report": ["templates/*"],
    },
)
