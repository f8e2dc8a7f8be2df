"""The public names: adding one is a decision, removing one breaks somebody."""

import pytest

import presrm

NAMES = """
__version__
Attempt CHECKERS Candidate Candidates Checker Checkpoint Completion Config ConfigError DataError Demonstration ENGINES
Engine Expansion GRADERS Generator Grade Grader Improved JUDGES Judge Judgement METHODS Method NoLessonsError PROBLEMS
PreferencePair PresrmError Problem Prompt PromptSet Request RequestError SEARCHERS SPLITTERS Sampling Scorer SearchTree
Searcher Status Step StepSplitter Stop Trainer Trajectory judge_file load_config mine_pairs train
""".split()


def test_public_names_are_these():
    assert sorted(presrm.__all__) == sorted(NAMES)
    assert dir(presrm) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_resolves(name):
    assert getattr(presrm, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Reward'"):
        _ = presrm.Reward
