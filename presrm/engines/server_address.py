"""The addresses that name a model behind a server, ``http://host:port/v1#name``, or several, ``http://a/v1,http://b/v1#name``."""

import re
from urllib.parse import urlsplit

from presrm.errors import RequestError

_WELL_FORMED = re.compile(r"https?://([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?(/[^\s@?]*)?", re.I)
_EXPECTED = "expected http://host:port/v1#name"


def split_address(address: str) -> tuple[list[str], str]:
    """Split an address into the URL of each server, at least one, and the name of the model.

    Raises:
        RequestError: if it is malformed, or names no model. What is malformed is not echoed: it may hold a password,
            and would stand in run folders and messages.
    """
    where, _, name = address.strip().partition("#")
    urls = [url.strip().rstrip("/") for url in where.split(",")]
    if not all(map(_is_well_formed, urls)) or "#" in name:
        raise RequestError(
            f"the address of the model is malformed (it is not shown here); {_EXPECTED}, without a user, password or "
            "query: a key goes into the environment variable PRESRM_API_KEY"
        )
    if not name:
        raise RequestError(f"{where} names no model; {_EXPECTED}")
    return [*dict.fromkeys(urls)], name


def _is_well_formed(url: str) -> bool:
    try:
        return _WELL_FORMED.fullmatch(url) is not None and urlsplit(url).port != 0
    except ValueError:  # a port or an IPv6 address out of range
        return False
