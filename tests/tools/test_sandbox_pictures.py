"""Pictures that code draws behind the sandlock boundary come back, bounded and from inside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from boundaries import boundary

from mull.tools.sandbox import Sandbox
from mull.tools.sandbox.workdir import PICTURES


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with boundary("sandlock") as opened:
        yield opened


PNG = b"\x89PNG\r\n\x1a\n"
ASIDE = "import os\naside = os.path.join(os.path.dirname(os.getcwd()), 'aside')\n"


async def test_open_figures_come_back_as_pictures_and_are_closed(sandbox: Sandbox) -> None:
    code = (
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nplt.figure()\n"
        "plt.plot([3])\nplt.savefig('own.png')\nNone"
    )
    done = await sandbox.run_code(code, 30)
    assert done.error is None
    assert done.stderr == ""
    assert [(r.png or b"")[:4] for r in done.results] == [b"\x89PNG"] * 2
    assert done.files == ("own.png",)
    assert not (await sandbox.run_code("plt.get_fignums() or None", 5)).results


async def test_figures_of_a_cell_that_failed_are_forgotten(sandbox: Sandbox) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1])\n1 / 0"
    await sandbox.run_code(code, 30)
    assert not (await sandbox.run_code("None", 5)).results


async def test_a_figure_that_cannot_be_drawn_is_the_cells_error(sandbox: Sandbox) -> None:
    code = "import matplotlib.pyplot as plt\nplt.title('$')\nplt.title(r'$\\nonsense$')"
    done = await sandbox.run_code(code, 30)
    assert done.error is not None
    assert not (await sandbox.run_code("None", 5)).results


async def test_a_value_that_is_a_picture_comes_as_one(sandbox: Sandbox) -> None:
    code = f"class P:\n    def _repr_png_(self):\n        return {PNG + b'x'!r}\nP()"
    done = await sandbox.run_code(code, 5)
    assert [r.png for r in done.results if r.png] == [PNG + b"x"]
    assert done.files == ()


@pytest.mark.parametrize(
    "leave",
    [
        "for n in range(300):\n    open(aside + f'/{n}.png', 'wb').write(png)",
        "open(aside + '/0.png', 'wb').write(png + bytes(5 << 20))",
        "os.symlink('/etc/passwd', aside + '/0.png')",
        "os.mkdir(aside + '/0.png')",
        "open(aside + '/0.png', 'w').write('no picture')",
    ],
    ids=["many", "large", "link", "directory", "text"],
)
async def test_forged_pictures_are_bounded_and_never_lead_outside(
    sandbox: Sandbox, leave: str
) -> None:
    done = await sandbox.run_code(f"{ASIDE}png = {PNG!r}\n{leave}\nNone", 5)
    assert done.error is None
    assert len(done.results) in (0, PICTURES)
    assert sum(len(r.png or b"") for r in done.results) < 100
    assert not (await sandbox.run_code("None", 5)).results


@pytest.mark.parametrize("attack", ["os.rmdir(aside)", "os.rename(aside, 'x')"])
async def test_the_place_for_pictures_cannot_be_removed(sandbox: Sandbox, attack: str) -> None:
    assert (await sandbox.run_code(f"{ASIDE}{attack}", 5)).error is not None
    assert (await sandbox.run_code("40 + 2", 5)).results[0].text == "42"


async def test_what_is_left_aside_counts_as_disk(sandbox: Sandbox) -> None:
    code = f"{ASIDE}for i in range(9):\n    open(f'{{aside}}/{{i}}', 'wb').write(b'x' * (32 << 20))"
    done = await sandbox.run_code(code, 10)
    assert done.error is not None
    assert "MiB of files" in done.error.value
    assert (await sandbox.run_code("40 + 2", 5)).results[0].text == "42"
