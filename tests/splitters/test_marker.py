import pytest

from presrm.splitters.marker import MarkerSplitter


@pytest.mark.parametrize(
    "steps",
    [
        ["Step 1: 2 + 3 = 5\n", "Step 2: 5 * 4 = 20\n\nThe answer is 20."],
        ["\n\nStep 1: a\n", "Step 10. b"],
        ["## Step 1: a\n\n", "**Step 2:** b\n", "**Step 3**\nc\n", "step 4) d\r\n", "STEP 5\r\ne"],
        ["no marker at all\nin two lines"],
    ],
)
def test_a_step_begins_with_its_marker(steps: list[str]) -> None:
    assert MarkerSplitter().split("".join(steps)) == steps


def test_text_before_the_first_marker_is_a_step_of_its_own() -> None:
    assert MarkerSplitter().split("Let us see.\n\nStep 1: a") == ["Let us see.\n\n", "Step 1: a"]


def test_the_rest_of_a_step_whose_marker_was_generated_with_the_step_before_stays_alone() -> None:
    assert MarkerSplitter().split(" 2: b\nStep 3: c") == [" 2: b\n", "Step 3: c"]


@pytest.mark.parametrize("text", ["a\nsee Step 2: b", "a\nStep two: b", "a\nStep 2 is b", "a\nSteps 2: b"])
def test_a_mention_is_no_marker(text: str) -> None:
    assert MarkerSplitter().split(text) == [text]
