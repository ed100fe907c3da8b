"""The packages and their data; everything else about the project is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["matlab_compat", "matlab_compat.*", "deepibl", "deepibl.*"]),
        "deepibl._weights",
        "deepibl._docs",
    ],
    # The shipped networks and the pages are at the top of the repository and are installed as package data.
    package_dir={"deepibl._weights": "weights", "deepibl._docs": "docs"},
    package_data={
        "": ["*.pyi", "py.typed"],
        "deepibl._weights": ["*.mat", "README.md"],
        "deepibl._docs": ["*.md"],
        "deepibl.demo": ["lund/*"],
        "deepibl.migrate": ["matlab/*.m"],
        "deepibl.report": ["templates/*"],
        "deepibl.serve": ["static/*"],
    },
)
