"""YAML from anywhere, as long as what it stands for is of bounded size."""

from typing import Any

import yaml

_MOST_VALUES = 100_000


def read_yaml(text: str) -> Any:
    """Read plain data; as ``yaml.safe_load``, but for what grows without end.

    Aliases of lists of aliases make an exponential number of values of a few lines.

    Raises:
        YAMLError: also for more than 100,000 values, for a value that holds itself, for what is nested too deeply, and
            for a key that stands twice in one mapping, of which YAML's own reader keeps the last.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > _MOST_VALUES:
            raise yaml.YAMLError(f"it stands for more than {_MOST_VALUES} values")
        return loader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply, or holds itself") from error
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """Count the values that a node stands for, those behind aliases every time, and refuse keys that stand twice."""
    if id(node) not in counts:
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        counts[id(node)] = 1 + sum(_count(part, counts) for part in inner)
    return counts[id(node)]


def _check_keys(node: yaml.MappingNode) -> None:
    keys: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in keys:
                raise yaml.MarkedYAMLError(problem=f"a second {key.value!r:.80}", problem_mark=key.start_mark)
            keys.add((key.tag, key.value))
