"""A run for the Hub: what is written, and what a Hub gets of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_hub import Hub, asked_instead, fake_hub
from made_run import make_run

from presrm.assembly.publishing import check_repository, is_publication, push, write_publication
from presrm.config import load_config
from presrm.errors import DataError, RequestError, RunError
from presrm.files.manifest import hash_manifest
from presrm.files.run import RunDir
from presrm.types import Checkpoint

TOKEN = "hf_canaryCanaryCanaryCanaryCanary0123"


def with_policies(run: Path, *, adapter: bool = False, base: str = "embedded") -> Path:
    """Give every iteration of a made run a policy."""
    config = load_config(run / "config.yaml").model_copy(update={"iterations": 2})
    with RunDir(run, config) as opened:
        for number in (2, 3):
            iteration = opened.iteration(number)

            def make(folder: Path, number: int = number) -> Checkpoint:
                folder.mkdir()
                (folder / "model.safetensors").write_bytes(b"weights of %d" % number)
                (folder / "README.md").write_text("---\ntags: [x]\n---\n\n# A policy\n\n## Figures\n\nloss: 1\n")
                (folder / f"only-{number}.json").write_text("{}")
                return Checkpoint(base, folder) if adapter else Checkpoint(str(folder))

            iteration.policy(make)
    return run


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return with_policies(make_run(tmp_path / "run", with_ledger=False, iterations=2, num_assessed=3))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    with asked_instead(TOKEN, monkeypatch) as served:
        yield served


def test_policies_and_lessons_are_written_with_their_cards(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "published"
    assert write_publication(made, out) == [2, 3]
    manifest = json.loads((made / "manifest.json").read_text())
    for number in (2, 3):
        folder = out / "model" / f"M{number}"
        assert (folder / "model.safetensors").read_bytes() == b"weights of %d" % number
        card = (folder / "README.md").read_text()
        front = yaml.safe_load(card.split("---\n")[1])
        assert front["library_name"] == "transformers"
        for wanted in (
            f"# M{number} of ",
            "| base | embedded |",
            manifest["artefacts"][f"{number}/policy"]["sha256"],
            "## Whether to trust the judge".replace("## ", "### "),
            "presrm train config.presrm.yaml",
            "## Its training\n\n### Figures\n\nloss: 1",
            "eprint = {2503.03746}",
        ):
            assert wanted in card, wanted
        assert "| M3 |" in card
        told = json.loads((folder / "presrm.json").read_text())
        assert told["sha256"]["policy"] == manifest["artefacts"][f"{number}/policy"]["sha256"]
        lessons = out / "lessons" / f"M{number}"
        for name in ("pairs.jsonl", "trees.jsonl"):
            assert (lessons / name).read_bytes() == (made / f"iterations/{number}/{name}").read_bytes()
    assert "| M2 |" in (out / "lessons/README.md").read_text()
    assert is_publication(made, out)
    assert not list(tmp_path.glob(".published*"))


def test_the_lessons_are_loaded_by_datasets(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import load_dataset

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_publication(made, tmp_path / "published")
    for name in ("pairs", "trees"):
        rows = load_dataset(str(tmp_path / "published/lessons"), name, split="train", cache_dir=str(tmp_path / "cache"))
        files = [made / f"iterations/{number}/{name}.jsonl" for number in (2, 3)]
        assert len(rows) == sum(len(path.read_text().splitlines()) for path in files)


def test_no_path_of_this_machine_and_no_address_is_told(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret-folder/mine.jsonl"
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["config"]["problems"]["train"] = f"jsonl:{path}"
    manifest["config"]["judge"]["options"] = {"model": "http://secret-host/v1#m"}
    manifest["sha256"] = hash_manifest(manifest)
    (made / "manifest.json").write_text(json.dumps(manifest))
    (made / "config.yaml").write_text(yaml.safe_dump(manifest["config"]))
    write_publication(made, tmp_path / "published")
    for file in (tmp_path / "published").rglob("*"):
        if file.is_file():
            assert "secret" not in file.read_text(), file
            assert str(tmp_path) not in file.read_text(), file
    assert "jsonl:mine.jsonl" in (tmp_path / "published/model/M2/README.md").read_text()


def test_what_is_damaged_or_of_no_use_is_not_handed_on(made: Path, tmp_path: Path) -> None:
    bare = make_run(tmp_path / "bare", with_ledger=False, iterations=2, num_assessed=3)
    with pytest.raises(DataError, match="has made no policy yet"):
        write_publication(bare, tmp_path / "published")
    (made / "iterations/2/policy/model.safetensors").write_bytes(b"others")
    with pytest.raises(RunError, match=r"is not handed on: .*policy: changed since it was finished"):
        write_publication(made, tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_an_adapter_on_a_model_that_nobody_else_has_wants_to_be_merged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", with_ledger=False, iterations=2, num_assessed=3)
    with pytest.raises(RequestError, match="add --merge"):
        write_publication(with_policies(run, adapter=True), tmp_path / "published")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_an_adapter_on_a_model_of_the_hub_names_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", with_ledger=False, iterations=2, num_assessed=3)
    write_publication(with_policies(run, adapter=True, base="org/base"), tmp_path / "published")
    card = (tmp_path / "published/model/M2/README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "org/base"
    assert "AutoPeftModelForCausalLM" in card


def published(made: Path, folder: Path) -> Path:
    if not folder.exists():
        write_publication(made, folder)
    return folder


def test_every_iteration_is_a_revision(made: Path, tmp_path: Path, hub: Hub) -> None:
    told: list[str] = []
    out = published(made, tmp_path / "published")
    push(out, "me/mine", told.append)
    model, lessons = hub.repositories["model me/mine"], hub.repositories["dataset me/mine-lessons"]
    assert (model.visibility, lessons.visibility) == ("private", "private")
    for number in (2, 3):
        expected = {path.name: path.read_bytes() for path in (out / "model" / f"M{number}").iterdir()}
        assert model.at(f"M{number}") == expected
        assert (
            lessons.at(f"M{number}")[f"M{number}/pairs.jsonl"] == (out / f"lessons/M{number}/pairs.jsonl").read_bytes()
        )
    assert sorted(lessons.at("M2")) == ["M2/pairs.jsonl", "M2/presrm.json", "M2/trees.jsonl", "README.md"]
    assert {name.split("/")[0] for name in lessons.at("M3")} == {"M2", "M3", "README.md"}
    assert len(told) == 4

    before = hub.repositories["model me/mine"].commits[:]
    push(out, "me/mine", told.append)
    assert hub.repositories["model me/mine"].commits == before
    assert told[4] == "model me/mine has M2 already"


def test_a_push_that_was_stopped_anywhere_is_resumed(made: Path, tmp_path: Path, hub: Hub) -> None:
    out = published(made, tmp_path / "published")
    push(out, "me/whole", lambda _: None)
    num = len(hub.requests)
    for number in range(1, num):
        hub.requests.clear()
        hub.fail_at = number
        with pytest.raises(RunError, match="; run the same command again to resume"):
            push(out, f"me/n{number}", lambda _: None)
        hub.fail_at = None
        push(out, f"me/n{number}", lambda _: None)
        for kind, end in (("model", ""), ("dataset", "-lessons")):
            there, whole = (hub.repositories[f"{kind} me/{name}{end}"] for name in (f"n{number}", "whole"))
            assert {tag: there.at(tag) for tag in there.tags} == {tag: whole.at(tag) for tag in whole.tags}


def test_a_revision_of_another_run_is_not_taken_for_this_one(made: Path, tmp_path: Path, hub: Hub) -> None:
    out = published(made, tmp_path / "published")
    push(out, "me/mine", lambda _: None)
    told = json.loads((out / "model/M2/presrm.json").read_text())
    told["sha256"]["policy"] = "0" * 64
    (out / "model/M2/presrm.json").write_text(json.dumps(told))
    with pytest.raises(RequestError, match="model me/mine has a revision M2 of another run; choose another name"):
        push(out, "me/mine", lambda _: None)


def test_what_the_hub_refuses_is_told_without_the_token(
    made: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = published(made, tmp_path / "published")
    monkeypatch.setenv("HF_TOKEN", other := TOKEN.replace("0123", "9999"))
    with pytest.raises(
        RunError, match=r"the Hub refuses model me/mine: 401 .*set HF_TOKEN to a token that may write"
    ) as told:
        push(out, "me/mine", lambda _: None)
    assert other not in str(told.value)
    assert hub.repositories == {}


@pytest.mark.parametrize("name", ["mine", "a/b/c", "../x", "a/..", "https://hub/a/b", "a/b\n", "", "a /b"])
def test_what_is_no_repository_is_refused_before_any_work(name: str) -> None:
    with pytest.raises(RequestError, match="expected the name of a repository on the Hub"):
        check_repository(name)


def presrm(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "presrm", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", **env},
    )


def test_the_command_uploads_only_what_it_is_told_to(made: Path, tmp_path: Path) -> None:
    out, dead = tmp_path / "published", "http://127.0.0.1:9"
    with fake_hub(TOKEN) as served:
        ended = presrm("export", made, "--to", "hub", "--out", out, HF_ENDPOINT=served.url)
        assert (ended.returncode, ended.stderr, served.requests) == (0, "", [])
        again = presrm("export", made, "--to", "hub", "--out", out, HF_ENDPOINT=served.url)
        assert "is there already; choose a new folder" in again.stderr
        pushing = ("export", made, "--to", "hub", "--out", out, "--push-to-hub", "me/mine")
        offline = presrm(*pushing, HF_ENDPOINT=served.url, HF_HUB_OFFLINE="1")
        assert offline.stderr == (
            "presrm: nothing is uploaded while HF_HUB_OFFLINE is set; what was written is in the folder\n"
        )
        (out / "model/M3/README.md").write_text("my own words")
        pushed = presrm(*pushing, "--public", HF_ENDPOINT=served.url)
        assert (pushed.returncode, pushed.stderr) == (0, "")
        assert served.repositories["model me/mine"].visibility == "public"
        assert served.repositories["model me/mine"].at("M3")["README.md"] == b"my own words"
        assert TOKEN not in pushed.stdout
    gone = presrm(*pushing, HF_ENDPOINT=dead)
    assert gone.returncode == 1
    assert "the Hub cannot be reached for model me/mine: ConnectError; run the same command again" in gone.stderr
    for odd in (("--push-to-hub", "me/x"), ("--to", "trl", "--push-to-hub", "me/x"), ("--to", "hub", "--public")):
        assert "--push-to-hub goes with --to hub" in presrm("export", made, "--out", tmp_path / "x", *odd).stderr
