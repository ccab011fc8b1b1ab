"""Which model is used: arguments, then the environment, then mull.toml."""

from decimal import Decimal
from pathlib import Path

import pytest

from mull.budgets import Price
from mull.errors import WrongUsage
from mull.models import NoBackend, resolve_model
from mull.models.demo import DEMO_PROFILE

ENVIRON = {
    "MULL_MODEL": "env-model",
    "OPENAI_BASE_URL": "http://env/v1",
    "OPENAI_API_KEY": "env-key",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mull.toml"
    path.write_text(
        'model = "file-model"\nbase_url = "http://file/v1"\napi_key = "file-key"\n'
        "[price]\ninput = 1.5\noutput = 6\n"
    )
    return path


async def test_arguments_win_over_the_environment(file: Path) -> None:
    model = resolve_model(
        "arg-model", base_url="http://arg/v1", api_key="arg-key", environ=ENVIRON, file=file
    )
    assert await model.name() == "arg-model"
    assert model.backend.base_url == "http://arg/v1"
    assert model.backend.api_key == "arg-key"


async def test_the_environment_wins_over_the_file(file: Path) -> None:
    model = resolve_model(environ=ENVIRON, file=file)
    assert await model.name() == "env-model"
    assert model.backend.base_url == "http://env/v1"
    assert model.backend.api_key == "env-key"


async def test_the_file_speaks_where_nothing_else_does(file: Path) -> None:
    model = resolve_model(environ={}, file=file)
    assert await model.name() == "file-model"
    assert model.backend.base_url == "http://file/v1"
    assert model.price == Price(input=Decimal("1.5"), output=Decimal(6))


async def test_the_name_is_found_on_its_own(file: Path) -> None:
    model = resolve_model("arg-model", environ={"OPENAI_BASE_URL": "http://env/v1"}, file=file)
    assert await model.name() == "arg-model"


def test_the_files_key_goes_to_no_other_address(file: Path) -> None:
    model = resolve_model(environ={"OPENAI_BASE_URL": "http://env/v1"}, file=file)
    assert (model.backend.base_url, model.backend.api_key) == ("http://env/v1", "")


def test_the_environments_key_never_goes_to_the_files_address(file: Path) -> None:
    model = resolve_model(environ={"OPENAI_API_KEY": "env-key"}, file=file)
    assert model.backend.api_key == "file-key"


def test_a_price_given_wins_over_the_files(file: Path) -> None:
    assert resolve_model(price=Price(input=Decimal(9)), environ={}, file=file).price.input == 9


def test_without_any_setting_the_error_names_the_three_ways(tmp_path: Path) -> None:
    with pytest.raises(NoBackend) as caught:
        resolve_model(environ={}, file=tmp_path / "none.toml")
    for way in ("--base-url", "OPENAI_BASE_URL", "mull.toml", "mull doctor", "demo"):
        assert way in str(caught.value)


def test_a_name_alone_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(NoBackend):
        resolve_model("gpt-x", environ={}, file=tmp_path / "none.toml")


def test_a_key_without_an_address_means_openai(tmp_path: Path) -> None:
    model = resolve_model("gpt-x", api_key="k", environ={}, file=tmp_path / "none.toml")
    assert model.backend.base_url == "https://api.openai.com/v1"


def test_demo_is_the_embedded_model(tmp_path: Path, demo_url: str) -> None:
    model = resolve_model("demo", environ=ENVIRON, file=tmp_path / "none.toml")
    assert model.backend.base_url == demo_url
    assert model.profile == DEMO_PROFILE


def test_models_at_one_address_share_their_backend(tmp_path: Path) -> None:
    one, two = (
        resolve_model(name, base_url="http://shared/v1", environ={}, file=tmp_path / "none.toml")
        for name in ("one", "two")
    )
    assert one.backend is two.backend


@pytest.mark.parametrize("address", ["localhost:8000/v1", "ftp://host/v1", "unix:/run/x"])
def test_an_address_that_is_not_http_is_wrong_usage(address: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="http://"):
        resolve_model("m", base_url=address, environ={}, file=tmp_path / "none.toml")


@pytest.mark.parametrize(
    "text",
    [
        "model = ",
        "= 3",
        "model = 3",
        'base_url = ["http://x/v1"]',
        "api_key = 5",
        "price = 3",
        "[price]\ninput = 'dear'",
        "[price]\nper_word = 3",
        "\x00",
    ],
)
def test_a_file_that_makes_no_sense_is_wrong_usage_that_names_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mull.toml"
    path.write_text(text)
    with pytest.raises(WrongUsage, match=r"mull\.toml"):
        resolve_model(base_url="http://x/v1", name="m", environ={}, file=path)


def test_a_file_that_is_not_text_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "mull.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WrongUsage, match=r"mull\.toml"):
        resolve_model(environ={}, file=path)
