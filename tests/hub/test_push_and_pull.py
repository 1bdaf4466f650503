"""Checkpoints and datasets go to the hub and come back bit-equal, also after an interruption."""

import pytest
import yaml

from gr1_core.hub import cards
from gr1_core.hub.reference import DATASET, MODEL, HubError, Reference, folder, is_reference, parse
from gr1_core.pretrained import resolve
from tests.data.synthetic import files
from tests.hub.stand_in import Repository

WEIGHTS = "model.safetensors"


def content(folder) -> dict[str, str]:
    return {name: digest for name, digest in files(folder).items() if name != "README.md"}


def test_a_checkpoint_goes_there_and_back_bit_equal_and_acts_from_the_hub(hub, gr1, tmp_path):
    code, said = gr1("push", "demo", "hf://tester/demo", "--license", "apache-2.0")
    assert code == 0 and f"{hub.url}/tester/demo" in said
    stored = hub.repositories["models", "tester/demo"].files
    head, text = stored["README.md"].decode().removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(head)["license"] == "apache-2.0" and "gr1" in yaml.safe_load(head)["tags"]
    for expected in ("kinova_gen2_small", "gr1 up --robot sim --checkpoint hf://tester/demo", "100 of 100"):
        assert expected in text
    # Interrupted in the middle of the weights, then the same command again.
    hub.breaks[WEIGHTS] = 1_000_000
    code, said = gr1("pull", "hf://tester/demo", "--out", "mine")
    if code:  # the library has not tried again by itself
        assert "the same command continues there" in said and not (tmp_path / "mine").exists()
        code, said = gr1("pull", "hf://tester/demo", "--out", "mine")
    assert code == 0, said
    assert content(tmp_path / "mine") == content(resolve("demo"))
    assert (tmp_path / "mine" / "README.md").read_bytes() == stored["README.md"]
    whole = len(stored[WEIGHTS])
    sent = sum(size for path, size in hub.sent.items() if path.endswith(WEIGHTS))
    assert sent < 1.5 * whole, "the interrupted download began from nothing"
    # In the place of a folder.
    words = "replay nowhere --checkpoint hf://tester/demo"
    code, said = gr1(*words.split())
    assert "nowhere" in said and "hf://" not in said
    code, said = gr1("pull", "hf://tester/demo", "--out", "mine")
    assert code == 1 and "exists already" in said


def test_an_interrupted_upload_continues_with_what_is_missing(hub, gr1, tmp_path):
    digest = files(resolve("demo"))[WEIGHTS]
    hub.blobs.pop(digest, None)
    for _ in range(10):  # the library tries a few times
        hub.breaks[digest] = 500_000
    code, said = gr1("push", "demo", "hf://tester/again")
    if code:
        assert "hf://tester/again" in said and "Traceback" not in said
        hub.breaks.clear()
        assert gr1("push", "demo", "hf://tester/again")[0] == 0
    before = sum(call.startswith("PUT") for call in hub.calls)
    assert gr1("push", "demo", "hf://tester/again")[0] == 0
    assert sum(call.startswith("PUT") for call in hub.calls) == before, "what the hub had was sent again"
    stored = hub.repositories["models", "tester/again"].files
    assert stored[WEIGHTS] == (resolve("demo") / WEIGHTS).read_bytes()


def test_a_dataset_goes_there_and_back_bit_equal_and_is_read_from_the_hub(hub, gr1, dataset, tmp_path):
    code, said = gr1("push", dataset.root, "hf://tester/set", "--private")
    assert code == 0, said
    repository = hub.repositories["datasets", "tester/set"]
    assert repository.private and "v3.0" in repository.tags
    card = repository.files["README.md"].decode()
    assert "- lift the cup" in card and "data/*/*.parquet" in card and "LeRobotDataset v3.0" in card
    code, said = gr1("pull", "hf://tester/set")
    assert code == 0, said
    kept = {
        name: digest for name, digest in content(dataset.root).items() if not name.startswith((".", "report"))
    }
    assert content(tmp_path / "set") == kept
    code, said = gr1("convert", "lerobot", "hf://datasets/tester/set", "--out", "copy")
    assert code == 0, said


def test_what_cannot_be_pushed_or_pulled_is_named(hub, gr1, tmp_path, monkeypatch):
    hub.repositories["models", "tester/empty"] = Repository()
    cases = [
        (("push", tmp_path, "hf://tester/x"), 1, "neither a checkpoint"),
        (("push", "demo", "tester/x"), 1, "expected hf://owner/name"),
        (("push", "demo", "hf://datasets/tester/x"), 1, "push it to hf://tester/x"),
        (("pull", "hf://tester/nothing"), 1, "there is no hf://"),
        (("pull", "hf://tester/empty@v9"), 1, "no revision 'v9'"),
        (("pull", "hf://tester/empty"), 1, "config.json is missing"),
        (("serve", "--checkpoint", "hf://tester/nothing"), 2, "there is no hf://tester/nothing"),
    ]
    for words, expected, said in cases:
        code, text = gr1(*words)
        assert code == expected and said in text and "Traceback" not in text, (words, text)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, text = gr1("push", "demo", "hf://tester/x")
    assert code == 1 and "hf auth login" in text
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    code, text = gr1("pull", "hf://tester/x")
    assert code == 1 and "127.0.0.1:1" in text and "Traceback" not in text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("hf://a/b", Reference("a/b")),
        ("hf:/a/b", Reference("a/b")),
        ("hf://datasets/a/b@v3.0", Reference("a/b", DATASET, "v3.0")),
        ("hf://a/b@refs/pr/1", Reference("a/b", None, "refs/pr/1")),
    ],
)
def test_references(text, expected):
    assert is_reference(text) and parse(text) == expected


@pytest.mark.parametrize("text", ["hf://a", "hf://a/b/c", "hf://datasets/a", "hf://a/b@", "a/b", "hf://a/.."])
def test_what_is_no_reference_is_named(text):
    with pytest.raises(HubError, match="expected hf://owner/name"):
        parse(text)


def test_a_dataset_is_no_checkpoint(tmp_path):
    with pytest.raises(HubError, match="is a dataset, where a checkpoint is expected"):
        folder("hf://datasets/a/b", MODEL)
    assert folder(tmp_path, MODEL) == tmp_path


def test_the_card_of_a_checkpoint_without_records_says_only_what_is_known(tmp_path):
    for name in ("config.json", "rig.yaml"):
        (tmp_path / name).write_bytes((resolve("demo") / name).read_bytes())
    card = cards.checkpoint_card(tmp_path, Reference("a/b", MODEL))
    assert "## Rig" in card and "Training" not in card and "Successes" not in card and "license" not in card
