"""Seeds from seeds: everything random in a run derives from one number and a path of names."""

from hashlib import sha256


def derive_seed(*parts: int | str) -> int:
    """Hash `parts` to a seed below 2**63: equal parts give equal seeds, on every machine."""
    # Text from outside may hold half a surrogate pair, which plain UTF-8 refuses.
    digest = sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
