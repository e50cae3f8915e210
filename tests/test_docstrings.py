"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil

import pytest

import gai_rx

MODULES = [
    info.name
    for info in pkgutil.walk_packages(gai_rx.__path__, "gai_rx.")
    if not info.name.endswith(("__main__", "pytest_plugin"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
