"""The options of a part, validated by the part itself: by what its factory takes, and of which type."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError, create_model
from pydantic_core import SchemaError

from presrm.config import explain_invalid
from presrm.errors import ConfigError

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def takes(factory: Callable[..., Any], name: str) -> bool:
    """Whether a factory takes the keyword `name`, or any keyword."""
    parameters = inspect.signature(factory).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def arguments_of(
    factory: Callable[..., Any], options: Mapping[str, Any], offered: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Give the arguments of a factory: what we offer and it takes, and its options.

    What else the factory takes by keyword are its options, and their annotations say what they may be (a pydantic
    ``Annotated[int, Field(gt=0)]`` gives bounds). So no option is silently unread.

    Args:
        factory: Makes the part.
        options: As the config has them.
        offered: What we give to every part of its family.
        where: The key of the options in the config, for messages.

    Raises:
        ConfigError: naming each wrong option and the nearest valid one.
    """
    if clash := sorted(offered.keys() & options.keys()):
        raise ConfigError(f"{where}: {', '.join(clash)} cannot be set here; other keys of the config decide")
    parameters = inspect.signature(factory).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    hints = _hints(factory)
    fields: dict[str, Any] = {
        name: (_checkable(hints.get(name, Any)), ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in parameters.items()
        if name not in offered and parameter.kind in _NAMED
    }
    config = ConfigDict(extra="allow" if open_ended else "forbid", protected_namespaces=())
    section = create_model("Options", __config__=config, **fields)
    try:
        valid = section.model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(explain_invalid(error, section, where)) from error
    return {name: value for name, value in offered.items() if takes(factory, name)} | {
        name: getattr(valid, name) for name in options
    }


def _checkable(hint: Any) -> Any:
    """The annotation itself, or anything where values cannot be checked against it, such as a protocol."""
    try:
        TypeAdapter(hint)
    except (PydanticUserError, SchemaError):
        return Any
    return hint


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    factory = factory.func if isinstance(factory, partial) else factory
    try:
        return get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    except (NameError, AttributeError, TypeError):  # annotations that only a type checker can read
        return {}
