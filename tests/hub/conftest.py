import pytest
from huggingface_hub import constants

from gr1_core import cli
from gr1_core.data.convert import conversion
from gr1_core.data.dataset import Dataset
from gr1_core.hub import reference
from tests.data.synthetic import Synthetic
from tests.hub.stand_in import TOKEN, HubStandIn


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in, as the hub of this process. huggingface_hub reads the settings of its cache once."""
    with HubStandIn() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.chdir(tmp_path)
        reference._fetched.cache_clear()
        yield made
        assert not made.unknown, made.unknown


@pytest.fixture
def gr1(hub, capfd):
    """gr1(*words) -> exit code, output."""

    def run(*words) -> tuple[int, str]:
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        said = capfd.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "set"
    conversion.convert(Synthetic(2), root, workers=1, progress=False)
    return Dataset(root)
