"""Trunks that put the same around every step: what they show of many steps follows from what they show of two."""

from jinja2 import Environment, nodes


def repeats_steps(source: str) -> bool:
    """Whether the ``trunk`` of a template writes all steps in one plain loop that nothing else depends on.

    Then its text for many steps is that for two, and what stands between those two stands between all. A loop that
    counts, chooses or changes its steps is not plain.

    Args:
        source: The template.

    >>> repeats_steps("{% block trunk %}{{ question }} {% for step in steps %}- {{ step }}{% endfor %}{% endblock %}")
    True
    >>> repeats_steps("{% block trunk %}{% for step in steps %}{{ loop.index }} {{ step }}{% endfor %}{% endblock %}")
    False
    """
    for trunk in Environment().parse(source).find_all(nodes.Block):
        if trunk.name == "trunk":
            names = [name.name for name in trunk.find_all(nodes.Name)]
            loops = [node for node in trunk.body if isinstance(node, nodes.For)]
            return len(loops) == 1 and names.count("steps") == 1 and "self" not in names and _is_plain(loops[0])
    return False


def _is_plain(loop: nodes.For) -> bool:
    if loop.iter != nodes.Name("steps", "load") or loop.test or loop.else_ or loop.recursive:
        return False
    if not isinstance(loop.target, nodes.Name) or not all(isinstance(node, nodes.Output) for node in loop.body):
        return False
    pieces = [piece for node in loop.body for piece in node.iter_child_nodes()]
    shown = [piece for piece in pieces if not isinstance(piece, nodes.TemplateData)]
    return shown == [nodes.Name(loop.target.name, "load")]


def repeat_steps(pieces: list[str], first: int, num: int) -> list[str]:
    """Show more steps in a trunk that `repeats_steps`, cut at the places of its content.

    Args:
        pieces: Text and number of a content in turn, of the trunk with two steps.
        first: Number of the first step; that of the second is the next.
        num: Steps that are to be shown, two or more.

    >>> repeat_steps(["Question: ", "0", " Steps: ", "1", ", ", "2", "."], first=1, num=3)
    ['Question: ', '0', ' Steps: ', '1', ', ', '2', ', ', '3', '.']
    """
    end = 2 * pieces[1::2].index(str(first + 1)) + 2
    more = [piece for number in range(first + 2, first + num) for piece in (pieces[end - 2], str(number))]
    return pieces[:end] + more + pieces[end:]
