"""What is installed is what is here, and what is named can be imported, in whatever order."""

import ast
import importlib
import pickle
import pkgutil
import pydoc
import subprocess
import sys
import tomllib
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import gai_rx
import gai_rx.operators

ROOT = Path(__file__).parents[1]
PACKAGES: list[ModuleType] = [gai_rx, gai_rx.operators]


def fresh(program: str) -> str:
    """What a new interpreter prints."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def declared(package: ModuleType) -> dict[str, str]:
    """The module of each name, as a type checker reads it."""
    assert package.__file__
    tree = ast.parse(Path(package.__file__).read_text("utf-8"))
    (for_checkers,) = (node for node in tree.body if ast.unparse(node).startswith("if TYPE_CH"))
    assert isinstance(for_checkers, ast.If)
    return {
        alias.name: str(line.module)
        for line in for_checkers.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }


def test_every_package_is_named_for_a_wheel() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(folder.relative_to(ROOT).parts)
        for folder in [ROOT / "gai_rx", *(ROOT / "gai_rx").rglob("*")]
        if (folder / "__init__.py").exists()
    }
    assert set(told) == found | {"gai_rx.operators"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_what_type_checkers_take_it_for(package: ModuleType) -> None:
    modules = declared(package)
    assert sorted(modules) == sorted(package.__all__)
    for name, module in modules.items():
        assert getattr(package, name) is getattr(importlib.import_module(module), name), name


@pytest.mark.parametrize("package", PACKAGES)
def test_names_that_are_not_imported_yet_are_listed_and_shown(package: ModuleType) -> None:
    name = package.__name__
    assert fresh(f"import {name} as p; print(set(p.__all__) - set(dir(p)))") == "set()"
    shown = pydoc.plain(pydoc.render_doc(package))
    assert [public for public in package.__all__ if f" {public}" not in shown] == []


def test_all_names_can_be_imported_at_once() -> None:
    program = "from gai_rx import *; from gai_rx.operators import *; print(connect, objects, batch)"
    assert fresh(program).count("<function") == 3


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_is_none_is_told_as_of_any_module(package: ModuleType) -> None:
    for unknown in ("nothing", "_nothing", "Stream_"):
        with pytest.raises(AttributeError, match=f"{package.__name__!r} has no .* '{unknown}'"):
            getattr(package, unknown)
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {package.__name__} import nothing")


def test_modules_are_attributes_of_their_package() -> None:
    program = "import gai_rx; print(gai_rx.flow.Pressure, gai_rx.operators.batching.batch)"
    assert fresh(program).startswith("<class 'gai_rx.flow.Pressure'> <function batch")


@pytest.mark.parametrize("what", ["gai_rx.connect", "gai_rx.http"])
def test_what_is_missing_below_is_told_as_missing(what: str) -> None:
    program = (
        "import sys, gai_rx; sys.modules['aiohttp'] = None\n"
        f"try: {what}\nexcept ModuleNotFoundError as error: print(error.name)"
    )
    assert fresh(program) == "aiohttp"


def test_importing_the_packages_imports_nothing_of_others() -> None:
    program = (
        "import sys, gai_rx, gai_rx.operators\n"
        "print({'pydantic', 'aiohttp', 'reactivex', 'asyncio'} & sys.modules.keys())"
    )
    assert fresh(program) == "set()"


def test_only_who_asks_a_provider_pays_for_a_client() -> None:
    program = (
        "import sys; from gai_rx import Stream, TextDelta, StreamMonitor, tool\n"
        "from gai_rx.operators import batch, fan_out, monitor, objects, retry_on, text_only\n"
        "print('aiohttp' in sys.modules)"
    )
    assert fresh(program) == "False"


def test_no_model_of_ours_is_built_by_an_import() -> None:
    program = (
        "from gai_rx import *; from pydantic import BaseModel\n"
        "def below(one): return {one}.union(*map(below, one.__subclasses__()))\n"
        "print([c for c in below(BaseModel) if c.__module__.startswith('gai_rx')"
        " and not c.model_config.get('defer_build')])"
    )
    assert fresh(program) == "[]"


# A file that is called like its operator; importing a module binds it in its package.
CALLED_ALIKE = sorted(
    {module.name for module in pkgutil.iter_modules(gai_rx.operators.__path__)}
    & set(gai_rx.operators.__all__)
)
WAYS = (
    "from gai_rx.operators import {0} as one",
    "import gai_rx.operators; one = gai_rx.operators.{0}",
    "from gai_rx import operators; one = operators.{0}",
    "import gai_rx.operators.{0}; one = gai_rx.operators.{0}",
    "from gai_rx.operators.{0} import __all__; from gai_rx.operators import {0} as one",
    "import importlib, gai_rx.operators; importlib.import_module('gai_rx.operators.{0}')\n"
    "one = gai_rx.operators.{0}",
    "from gai_rx import multiplex, connect, Chat; from gai_rx.operators import {0} as one",
    "from gai_rx.operators import *; one = {0}",
)


def test_some_files_are_called_like_their_operator() -> None:
    assert CALLED_ALIKE == ["fan_out", "objects"]


@pytest.mark.parametrize("way", WAYS)
def test_the_operator_wins_against_the_file_whatever_is_imported_first(way: str) -> None:
    ways = (way, *(other for other in WAYS if other != way))
    program = "\n".join(
        f"{each.format(name)}\nassert callable(one), {each.format(name)!r}"
        for name in CALLED_ALIKE
        for each in ways
    )
    assert fresh(f"{program}\nprint('well')") == "well"


def test_the_operator_wins_after_a_reload_too() -> None:
    program = (
        "import importlib, sys, gai_rx.operators as ops\n"
        "ops.objects; importlib.reload(ops)\n"
        "importlib.reload(sys.modules['gai_rx.operators.objects'])\n"
        "print(callable(ops.objects), callable(ops.fan_out))"
    )
    assert fresh(program) == "True True"


def test_an_operator_can_be_replaced_for_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gai_rx.operators.objects", len)
    assert gai_rx.operators.objects is len  # type: ignore[comparison-overlap]
    monkeypatch.undo()
    assert isinstance(gai_rx.operators.objects, FunctionType)


def test_threads_may_use_the_names_for_the_first_time_at_once() -> None:
    program = (
        "import random, sys, threading, gai_rx, gai_rx.operators\n"
        "sys.setswitchinterval(1e-5)\n"
        "names = [(p, n) for p in (gai_rx, gai_rx.operators) for n in p.__all__]\n"
        "start, got = threading.Barrier(8), []\n"
        "def use(seed):\n"
        "    mine = random.Random(seed).sample(names, len(names)); start.wait()\n"
        "    got.append({(p.__name__, n): getattr(p, n) for p, n in mine})\n"
        "threads = [threading.Thread(target=use, args=(n,)) for n in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert len(got) == 8 and all(one == got[0] for one in got)\n"
        "print(callable(gai_rx.operators.objects), callable(gai_rx.operators.fan_out))"
    )
    assert fresh(program) == "True True"


def test_public_things_can_be_pickled_by_their_name() -> None:
    for one in (gai_rx.connect, gai_rx.Stream, gai_rx.operators.objects, gai_rx.operators.Tagged):
        assert pickle.loads(pickle.dumps(one)) is one
