"""Lazy: names of a package, whose modules are imported when the first name of them is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["names_on_demand"]


def names_on_demand(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`.

    They know the names of the table, and the package's modules. A name that is both, as where a
    file is called like its operator, is the one of the table, whatever was imported before.

    Args:
        package: The package's full name.
        modules: The public names, with spaces between, by the module that has them, which is named
            from the package on.

    Example:
        >>> import gai_rx
        >>> get, names = names_on_demand("gai_rx", {"events": "TextDelta Finish"})
        >>> get("Finish") is gai_rx.Finish, "TextDelta" in names()
        (True, True)
        >>> get("Nothing")
        Traceback (most recent call last):
            ...
        AttributeError: module 'gai_rx' has no attribute 'Nothing'
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}
    space = sys.modules[package].__dict__
    if homes.keys() & modules.keys():
        sys.modules[package].__class__ = _preferring(homes)

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            return _module(package, name)
        space[name] = value = getattr(import_module(f"{package}.{home}"), name)
        return value

    return get, lambda: sorted({*space, *homes})


def _module(package: str, name: str) -> ModuleType:
    full = f"{package}.{name}"
    if not name.startswith("_"):
        try:
            return import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:
                raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)


def _preferring(homes: Mapping[str, str]) -> type[ModuleType]:
    """A class of packages in which a name is not taken by the module that is called so as well."""

    class Package(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            # The import system sets each module that it has loaded as an attribute of its package.
            if homes.get(name) == name and isinstance(value, ModuleType):
                value = getattr(value, name)
            super().__setattr__(name, value)

    return Package
