"""The package as it is imported, built and installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

import mull

ROOT = Path(__file__).parents[1]
HEAVY = ("langgraph", "langchain_core", "openai", "pydantic", "aiohttp", "rich", "xllamacpp")


def python(code: str, *, executable: str = sys.executable, cwd: Path | None = None) -> str:
    """What a program prints in an interpreter of its own."""
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=bare, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOADED = f"print(*sorted(set({HEAVY}) & set(sys.modules)))"


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert python(f"import sys, mull; {LOADED}") == ""


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_commands_help_imports_nothing_heavy(option: str) -> None:
    code = f"""
import sys
from mull.cli import main
try:
    main([{option!r}])
except SystemExit:
    print("END")
{LOADED}
"""
    assert python(code).endswith("END")


@pytest.mark.parametrize("name", mull.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mull, name) is not None


def test_every_public_name_is_listed() -> None:
    assert dir(mull) == sorted(mull.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Agnet'"):
        _ = mull.Agnet


def test_the_package_says_that_it_is_typed() -> None:
    assert files("mull").joinpath("py.typed").is_file()


# --- the wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the checkout."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(
        ROOT,
        copy / "mull",
        ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info"),
    )
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={out}"]
    done = subprocess.run([*pip, str(copy / "mull")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("mull-*.whl")
    return built


def test_the_wheel_has_every_module_and_the_model_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    rooms = (
        "accounts",
        "agents",
        "batches",
        "budgets",
        "cli",
        "graphs",
        "models",
        "scripts",
        "tools",
    )
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    expected = {f"mull/{path.relative_to(ROOT)}" for path in [*sources, *ROOT.glob("*.py")]}
    assert names == expected | {"mull/py.typed", "mull/models/demo/model.gguf"}


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel, and with our own dependencies."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    executable = home / "bin" / "python"
    site = Path(
        python("import sysconfig; print(sysconfig.get_path('purelib'))", executable=str(executable))
    )
    pip = [sys.executable, "-m", "pip", f"--python={executable}", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    # A .pth adds at the end: the wheel comes before the editable install of this checkout.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return executable


def test_the_installed_package_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = python("import mull; print(mull.__file__)", executable=str(installed), cwd=tmp_path)
    assert Path(where).is_relative_to(installed.parents[1])


def test_the_installed_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    command = [str(installed.parent / "mull"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == f"mull {mull.__version__}\n"


def test_the_installed_package_answers_with_its_embedded_model(
    installed: Path, tmp_path: Path
) -> None:
    question = "Tom has 3 pens. Tom gets another 4. How many pens does Tom have?"
    code = f"import mull; print(mull.Agent('demo', budget='tokens=500').run({question!r}).final)"
    assert python(code, executable=str(installed), cwd=tmp_path) == "7"
