import pytest
from hypothesis import given
from hypothesis import strategies as st

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


FORMS = [
    "Step {}：",  # noqa: RUF001
    "Step {}:",
    "step{}.",
    "STEP {})",
    "## Step {} - Add",
    "### **Step {} — Add**",
    "#Step {} – Add",  # noqa: RUF001
    "步骤{}：",  # noqa: RUF001
    "步驟 {}、",
    "第{}步：",  # noqa: RUF001
    "ステップ{}:",
    "{}단계:",
    "- Step {}:",
    "* **Step {}**",
    "3. Step {}:",
    "> Step {}:",
    "**Step {}** add",
    "__Step {}:__ add",
    "*Step {}*: add",
    "[Step {}] add",
    "(Step {}) add",
    "【步骤{}】",
    "Step #{}:",
    "Step-{}:",
    "STEP_{}:",
    "Step ({}):",
    "Step [{}] add",
    "Step {} → add",
    "Step {} | add",
    "第{}步，加",  # noqa: RUF001
    "Step No. {}:",
    "Step {} (the sum):",
    "Step {}.1:",
    "Step {}/3:",
    "Step {}a:",
    "Étape {} :",
    "Schritt {}:",
    "Paso {}.",
    "Шаг {}:",
    "Step {}; add",
    "✅ Step {}: add",
    "🔹 **Step {}:** add",
    r"\textbf{{Step {}:}} add",
    r"$\textbf{{Step {}}}$ add",
    r"\section*{{Step {}}}",
    "<b>Step {}:</b> add",
    "<h3>Step {}</h3>",
    "الخطوة {}: add",
    "चरण {}: add",
]


@pytest.mark.parametrize("form", FORMS)
def test_markers_of_other_hands_and_languages_are_known(form: str) -> None:
    steps = [f"{form.format(number)} and {number}.\nMore.\n\n" for number in (1, 2, 13)]
    assert MarkerSplitter().split("".join(steps)) == steps


@pytest.mark.parametrize("form", ["Step {}:", "## Step {} - Add", "**Step {}**"])
@pytest.mark.parametrize("numbers", [("One", "Two"), ("one", "twelve"), ("I", "IV")])
def test_a_number_may_be_a_word(form: str, numbers: tuple[str, str]) -> None:
    steps = [f"{form.format(number)} so.\n" for number in numbers]
    assert MarkerSplitter().split("".join(steps)) == steps


def test_chinese_numbers() -> None:
    steps = ["步骤一：加。\n", "第十二步：得7。"]  # noqa: RUF001
    assert MarkerSplitter().split("".join(steps)) == steps


def test_text_before_the_first_marker_is_a_step_of_its_own() -> None:
    assert MarkerSplitter().split("Let us see.\n\nStep 1: a") == ["Let us see.\n\n", "Step 1: a"]


def test_the_rest_of_a_step_whose_marker_was_generated_with_the_step_before_stays_alone() -> None:
    assert MarkerSplitter().split(" 2: b\nStep 3: c") == [" 2: b\n", "Step 3: c"]


@pytest.mark.parametrize(
    "line",
    [
        "see Step 2: b",
        "Step two is b",
        "Step 2 is b",
        "Steps 2: b",
        "Step 2-3 give b",
        "Step 2.5 apples",
        "step by step: b",
        "Step I think: b",
        "Stepone: b",
        "Footstep 2: b",
        "So step 2: b",
        "1. **Count** them",
        "第二步很难。",
    ],
)
def test_a_mention_is_no_marker(line: str) -> None:
    assert MarkerSplitter().split(f"a\n{line}") == [f"a\n{line}"]


@given(st.lists(st.sampled_from([*(form.format(2) for form in FORMS), "Step", "Step 2", "a", "\n", ".", " 5"])))
def test_a_cut_stays_while_the_text_grows(pieces: list[str]) -> None:
    text = "".join(pieces)
    firsts = {steps[0] for end in range(len(text) + 1) if len(steps := MarkerSplitter().split(text[:end])) > 1}
    assert len(firsts) <= 1
