"""A run as it is handed on: its policies with model cards, its lessons with a data-set card, and both on the Hub.

```
model/M<t>       the policy of iteration t: safetensors, tokenizer, README.md, config.yaml, presrm.json (hashes)
lessons/M<t>     what it was made from: trees.jsonl, pairs.jsonl or the method's lessons, presrm.json (hashes)
lessons/README.md
```
On the Hub ``model`` is a model repository and ``lessons`` a data set, each with a revision an iteration: tag ``M<t>``.
No file holds a path of this machine.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from presrm.engines.hf_files import find_base, locate
from presrm.errors import DataError, PresrmError, RequestError, RunError
from presrm.files.lock import lock_beside, refuse_link
from presrm.files.manifest import check_run
from presrm.report.cards import data_card, model_card
from presrm.report.facts import LESSONS, TREES, RunFacts, read_facts
from presrm.types import Checkpoint

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_HASHES = "presrm.json"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_PREFIXED = re.compile(r"(?s)([\w-]+:)?(.*)")


def write_publication(run: Path, out: Path, *, merge: bool = False, dtype: str = "float32") -> list[int]:
    """Write the policies and lessons of a run as they are handed on.

    Args:
        run: The run folder; iterations that are not finished are left out.
        out: A new folder.
        merge: Whether adapters are added to their base: whole models.
        dtype: Of merged weights.

    Returns:
        The numbers of the iterations, each T of an M(T).

    Raises:
        RunError: if anything of the run is not what the run wrote.
        DataError: if the run has made no policy yet.
        RequestError: if the base of an adapter is on no Hub, where nobody else can find it.
    """
    facts = read_facts(run)
    _, differences = check_run(run)
    if differences:
        raise RunError(f"{run} is not handed on: {differences[0]}; 'presrm verify {run}' shows all")
    numbers = _published(facts)
    if not numbers:
        raise DataError(f"{run} has made no policy yet: there is nothing to hand on")
    hide, partial = _hider(facts), out.with_name(f".{out.name}.partial")
    refuse_link(out, partial)
    with lock_beside(out):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for number in numbers:
                _write_policy(facts, number, partial / "model" / f"M{number}", hide, merge, dtype)
                _write_lessons(facts, number, partial / "lessons" / f"M{number}")
            (partial / "lessons" / "README.md").write_text(hide(data_card(facts, numbers)), "utf-8")
            partial.replace(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return numbers


def is_publication(run: Path, out: Path) -> bool:
    """Whether a folder is what `write_publication` makes of a run as it is now; its cards may have been edited."""
    if not (out / "model").is_dir():
        return False
    facts = read_facts(run)
    try:
        return all(
            json.loads((folder / f"M{number}" / _HASHES).read_bytes())["sha256"] == _hashes(facts, number)
            for folder in (out / "model", out / "lessons")
            for number in _published(facts)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _published(facts: RunFacts) -> list[int]:
    return [summary.number for summary in facts.summaries if _entry(facts, summary.number, "policy")]


def _write_policy(
    facts: RunFacts, number: int, folder: Path, hide: Callable[[str], str], merge: bool, dtype: str
) -> None:
    source, entry = facts.path / "iterations" / str(number) / "policy", _entry(facts, number, "policy")
    base = str(entry.get("model") or facts.config.model.id)
    training = (source / "README.md").read_text("utf-8") if (source / "README.md").is_file() else ""
    if entry.get("adapter") and merge:
        from presrm.training.merging import merge_adapter

        merge_adapter(Checkpoint(base, source), folder, dtype)
    else:
        if entry.get("adapter") and locate(base).is_local:
            raise RequestError(
                f"M{number} is an adapter on a model of this machine, which nobody else has; add --merge"
            )
        folder.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, folder / path.name)
    weights = find_base(base).sha256
    is_adapter = bool(entry.get("adapter")) and not merge
    card = model_card(facts, number, training, is_adapter=is_adapter, base=base, base_sha256=weights)
    (folder / "README.md").write_text(hide(card), "utf-8")
    settings = facts.config.model_dump(mode="json")
    (folder / "config.presrm.yaml").write_text(
        hide(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)), "utf-8"
    )
    _write_hashes(facts, number, folder)


def _write_lessons(facts: RunFacts, number: int, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in (TREES, *LESSONS):
        if _entry(facts, number, name):
            shutil.copyfile(facts.path / "iterations" / str(number) / name, folder / name)
    _write_hashes(facts, number, folder)


def _write_hashes(facts: RunFacts, number: int, folder: Path) -> None:
    """Write what the run's manifest says of everything that the iteration made: it names the revision."""
    told = {"iteration": number, "versions": facts.manifest["versions"], "sha256": _hashes(facts, number)}
    (folder / _HASHES).write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _hashes(facts: RunFacts, number: int) -> dict[str, str]:
    return {
        name.partition("/")[2]: entry["sha256"]
        for name, entry in sorted(facts.manifest["artefacts"].items())
        if name.startswith(f"{number}/") and "sha256" in entry
    }


def _entry(facts: RunFacts, number: int, name: str) -> Mapping[str, Any]:
    """What the manifest says of a finished artefact; nothing where it is none."""
    entry: Mapping[str, Any] = facts.manifest["artefacts"].get(f"{number}/{name}", {})
    return entry if "sha256" in entry else {}


def _hider(facts: RunFacts) -> Callable[[str], str]:
    """Make what takes paths of this machine, and addresses, out of a text."""
    found: dict[str, str] = {}

    def walk(value: object) -> None:
        if isinstance(value, str) and (shown := _without_path(value)) != value:
            found[value] = shown
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    walk(facts.config.model_dump(mode="json"))
    longest_first = sorted(found, key=len, reverse=True)

    def hide(text: str) -> str:
        for value in longest_first:
            text = text.replace(value, found[value])
        return text

    return hide


def _without_path(value: str) -> str:
    r"""Name a file without its folder, and an address as such.

    >>> _without_path("jsonl:/home/me/problems.jsonl"), _without_path("org/model"), _without_path("http://h/v1#m")
    ('jsonl:problems.jsonl', 'org/model', 'an-address')
    """
    if "://" in value:
        return "an-address"
    prefix, rest = _PREFIXED.fullmatch(value).groups("")  # type: ignore[union-attr]
    if "/" not in rest or "\n" in rest or len(rest) > 1000:
        return value
    is_path = rest.startswith(("/", "~", ".")) or Path(rest).exists()
    return f"{prefix}{Path(rest).name}" if is_path else value


def check_repository(name: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        RequestError: saying what is expected.
    """
    if not _REPOSITORY.fullmatch(name) or any(part.strip(".-") == "" for part in name.split("/")):
        raise RequestError("--push-to-hub: expected the name of a repository on the Hub, such as USER/NAME")


def push(folder: Path, repository: str, note: Callable[[str], None], *, public: bool = False) -> None:
    """Upload what `write_publication` wrote: a revision an iteration, tagged ``M<t>``, of a model and of a data set.

    A revision that is there already, with the same hashes, is left as it is: the same call resumes, and a longer run
    adds its further iterations. The token is that of huggingface_hub (``HF_TOKEN``, or of ``hf auth login``).

    Args:
        folder: What was written.
        repository: ``USER/NAME``; the data set is ``USER/NAME-lessons``.
        note: Is told what was uploaded, in a line each.
        public: Whether repositories that are made here can be seen by everybody.

    Raises:
        RunError: if the Hub cannot be reached, or refuses.
        RequestError: if it has a revision of that name with another content.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="presrm")
    for what, kind, name in (("model", "model", repository), ("lessons", "dataset", f"{repository}-lessons")):
        with _plainly(f"{kind} {name}"):
            api.create_repo(name, repo_type=kind, private=not public, exist_ok=True)
            have = {tag.name for tag in api.list_repo_refs(name, repo_type=kind).tags}
            for source in sorted((folder / what).glob("M*"), key=lambda path: int(path.name[1:])):
                if source.name in have:
                    _require_same(api, name, kind, source, "" if what == "model" else f"{source.name}/")
                    note(f"{kind} {name} has {source.name} already")
                    continue
                title = f"{source.name}, by presrm"
                if what == "model":  # a revision is one policy, and holds nothing of the one before
                    made = api.upload_folder(
                        repo_id=name, folder_path=source, repo_type=kind, commit_message=title, delete_patterns="*"
                    )
                else:  # lessons add up
                    made = api.upload_folder(
                        repo_id=name,
                        folder_path=folder / what,
                        allow_patterns=["README.md", f"{source.name}/*"],
                        repo_type=kind,
                        commit_message=title,
                    )
                api.create_tag(name, tag=source.name, revision=made.oid, repo_type=kind)
                note(f"{kind} {name} has {source.name} now, as a revision of that name")


def _require_same(api: "HfApi", name: str, kind: str, source: Path, inside: str) -> None:
    """Refuse to take another run's revision for this one's."""
    with tempfile.TemporaryDirectory(prefix="presrm-") as folder:
        path = api.hf_hub_download(name, f"{inside}{_HASHES}", repo_type=kind, revision=source.name, local_dir=folder)
        there = json.loads(Path(path).read_bytes())
    if there.get("sha256") != json.loads((source / _HASHES).read_bytes())["sha256"]:
        raise RequestError(f"{kind} {name} has a revision {source.name} of another run; choose another name")


@contextmanager
def _plainly(what: str) -> Iterator[None]:
    """Say in a line what the Hub refused; no token is ever in it."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    # The error of the HTTP client that huggingface_hub is built on: that has been another one with every major version.
    unreachable: type[Exception] = HfHubHTTPError.__bases__[0]
    again = "run the same command again to resume"

    def hide(text: str) -> str:
        return text.replace(get_token() or "\0", "***")

    try:
        yield
    except PresrmError:
        raise
    except OfflineModeIsEnabled as error:
        raise RunError("nothing is uploaded while HF_HUB_OFFLINE is set; what was written is in the folder") from error
    except LocalTokenNotFoundError as error:
        raise RunError("no token for the Hub: set HF_TOKEN, or use 'hf auth login'") from error
    except EntryNotFoundError as error:
        raise RequestError(f"{what} has a revision that presrm did not write; choose another name") from error
    except HfHubHTTPError as error:
        said = error.server_message or error.response.reason_phrase
        advice = "set HF_TOKEN to a token that may write" if error.response.status_code in (401, 403) else again
        text = f"the Hub refuses {what}: {error.response.status_code} {said}; {advice}"
        raise RunError(hide(text)) from error
    except (
        ValueError,
        RuntimeError,
    ) as error:  # a card whose front matter the Hub does not take, an answer that is none
        said = " ".join(str(error).split())
        raise RunError(f"the Hub refuses {what}: {hide(said)}; {again}") from error
    except (unreachable, ConnectionError) as error:
        raise RunError(f"the Hub cannot be reached for {what}: {type(error).__name__}; {again}") from error
