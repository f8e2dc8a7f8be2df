"""A setting that would have no effect is refused, not ignored."""

import time
from pathlib import Path

import pytest

from presrm.config import ObjectiveConfig, fields, load_config
from presrm.errors import ConfigError, UnknownNameError
from presrm.training.objectives import OBJECTIVES, make_objective


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "dpo",
            {"bta": 1},
            "'objective.options.bta'; did you mean 'objective.options.beta'. the keys of objective.options are weight",
        ),
        (
            "dpo",
            {"pack_tokens": 1},
            "'objective.options.pack_tokens'; the keys of objective.options are weight, beta, label_smoothing",
        ),
        ("dpo", {"beta": 0}, "objective.options.beta should be greater than 0, found 0"),
        (
            "ipo",
            {"label_smoothing": 0.1},
            "'objective.options.label_smoothing'; the keys of objective.options are weight, beta",
        ),
        ("imitation", {"beta": 0.1}, "'objective.options.beta'; objective.options has no keys here"),
    ],
)
def test_what_an_objective_does_not_read_is_refused(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_objective(ObjectiveConfig(kind=kind, options=options))


@pytest.mark.parametrize("kind", OBJECTIVES.names())
def test_whatever_is_registered_can_be_named_in_a_config(kind: str) -> None:
    config = load_config("embedded", [f"objective.kind={kind}"])

    assert make_objective(config.objective).name == kind


def test_options_reach_the_objective_as_values() -> None:
    made = make_objective(load_config(None, ["objective.options.beta=0.3"]).objective)

    assert made == OBJECTIVES.create("dpo", beta=0.3)
    assert made != OBJECTIVES.create("dpo", beta=0.2)


def test_an_unknown_objective_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown objective 'dop'; did you mean 'dpo'"):
        make_objective(ObjectiveConfig(kind="dop"))


@pytest.mark.parametrize(
    ("overrides", "options"),
    [
        ([], {"max_rollbacks": 5, "unanimous": "accept"}),
        (["search.kind=greedy"], {"max_rollbacks": 5, "unanimous": "accept"}),
        (["search.kind=beam"], {}),
        (["search.options.beam_width=2", "search.kind=beam"], {"beam_width": 2}),
    ],
)
def test_another_part_does_not_inherit_the_options_of_the_one_before(overrides: list[str], options: object) -> None:
    assert load_config("embedded", overrides).search.options == options


def test_another_file_of_the_same_problem_set_keeps_its_options(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("problems: {train: 'gsm8k:a', train_options: {x: 1}}\nsplitter: marker\nsplitter_options: {y: 2}\n")

    assert load_config(file, ["problems.train=gsm8k:b"]).problems.train_options == {"x": 1}
    assert load_config(file, ["problems.train=arithmetic"]).problems.train_options == {}
    assert load_config(file, ["splitter=newline"]).splitter_options == {}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("search.widht=3", ["'search.widht'", "keys of search are kind,", "options of the chosen kind belong under"]),
        ("problems.nun_train=3", ["'problems.nun_train'", "did you mean 'problems.num_train'?"]),
        ("serach.x=1", ["unknown key 'serach'", "did you mean 'search'?", "keys of the config are name,"]),
        ("search=3", ["search is a section of keys and values, found 3"]),
        ("search.temperature=hot", ["search.temperature should be a valid number", "found 'hot'"]),
        ("search.temperature=[", ["--set search.temperature: '[' is not valid YAML", "line 1, column 2"]),
        ("search", ["expected key=value, for example search.num_candidates=4"]),
    ],
)
def test_a_wrong_override_is_explained(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("embedded", [override])

    assert all(part in str(error.value) for part in parts), str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: [1,\n b: {", "is not valid YAML: .* in line 2, column 6"),
        (b"hello\n", "must hold keys and values"),
        (b"\xff\xfe", "is not a text file in UTF-8"),
    ],
)
def test_a_file_that_is_no_config_is_explained(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=f"mine.yaml {reason}"):
        load_config(file)


def test_every_setting_is_described_in_a_sentence() -> None:
    for key, field in fields():
        if field.description is None:  # a section; its docstring describes it
            assert not isinstance(field.default, str | int | float), key
            continue
        assert field.description.endswith("."), key


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]\n" for number in range(1, 10)
)


@pytest.mark.parametrize("text", [BOMB, "seed: &a [*a]", "name: &a {x: *a}", "[" * 5000, "x: &x {<<: *x}"])
def test_a_file_that_would_grow_without_end_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"config\.yaml is not valid YAML: it (stands for more|is nested too deeply)"):
        load_config(path)
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_config(None, [f"name={text}"])
    assert time.process_time() - began < 5


def test_aliases_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("splitter_options: &none {}\njudge: {options: *none}\nseed: 3\n")
    assert load_config(path).seed == 3


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/x", "a/b", "a\\\\b", ".", "..", "", " ", "x\\ny", "x" * 101])
def test_a_name_that_would_lead_out_of_the_folder_of_runs_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="name should be the name of a folder, without a path"):
        load_config(None, [f'name="{name}"'])


@pytest.mark.parametrize("name", ["gsm8k-small", "my config (2)", "été", ".hidden", "v1.2"])
def test_a_plain_name_is_one(name: str) -> None:
    assert load_config(None, [f'name="{name}"']).name == name


def test_a_key_that_stands_twice_is_refused_and_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("problems: {num_train: 5}\nseed: 0\n'problems': {num_held_out: 5}\n")

    with pytest.raises(ConfigError, match=r"mine\.yaml is not valid YAML: a second 'problems' in line 3, column 1"):
        load_config(file)
    with pytest.raises(ConfigError, match=r"--set objective\.options: .* a second 'beta' in line 1, column 11"):
        load_config("embedded", ["objective.options={beta: 1, beta: 2}"])
