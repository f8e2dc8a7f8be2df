import pytest

from presrm.splitters.tags import TagSplitter


@pytest.mark.parametrize(
    "steps",
    [
        ["<chunk>a</chunk>\n", "<chunk>b</chunk>"],
        ["<think>a\n\nb</think>\n\n", "The answer is 5.\n"],
        ["before ", "<chunk>a</chunk> ", "between\n", "<chunk>b</chunk>\n\n", "after"],
        ["<think>\n<chunk>a</chunk>\n", "<chunk>b</chunk>\n", "</think>\nc"],
        ["<chunk></chunk><chunk>a</chunk>", "b"],
        ["<think>never closed"],
        ["<thinking>another tag</thinking> <Chunk>b"],
    ],
)
def test_a_step_is_the_text_in_or_between_tags(steps: list[str]) -> None:
    assert TagSplitter().split("".join(steps)) == steps


def test_other_tags_can_be_named() -> None:
    assert TagSplitter(["step"]).split("<step>a</step> <step>b</step>") == ["<step>a</step> ", "<step>b</step>"]
