r"""Splitters: text -> steps.

How to add one: write a class with `stop` and `split` (see `presrm.protocols.StepSplitter`) and name it with
``@SPLITTERS.register("mine")``, or in the entry-point group ``presrm.splitters`` of your package. An object of it
can be passed wherever a splitter is asked for. `presrm.testing.check_splitter` tests its laws.

The law: ``"".join(split(text)) == text`` for any text, no step is empty, and the time is linear in the text, because
the text comes from a model. The aim: a boundary stays where it is once text other than white space follows it, because
an engine splits what it has written so far and takes the first of two pieces as the step. What delimits a step ends it.

>>> SPLITTERS.create("newline").split("2 + 3 = 5\n\n#### 5\n")
['2 + 3 = 5\n\n', '#### 5\n']
"""

from presrm.protocols import StepSplitter
from presrm.registry import Registry

SPLITTERS: Registry[StepSplitter] = Registry(
    "splitter",
    {
        "code": "presrm.splitters.code:CodeSplitter",
        "marker": "presrm.splitters.marker:MarkerSplitter",
        "newline": "presrm.splitters.newline:NewlineSplitter",
        "paragraph": "presrm.splitters.paragraph:ParagraphSplitter",
        "sentence": "presrm.splitters.sentence:SentenceSplitter",
        "tags": "presrm.splitters.tags:TagSplitter",
    },
    group="presrm.splitters",
)
