"""Stripe's form encoding, `items[0][price]=price_1&metadata[slug]=starter`, and typed reading."""

from typing import Any
from urllib.parse import parse_qsl

from billing_site.sandbox.stripe.errors import StripeError, invalid, missing

Params = dict[str, Any]

DEEPEST = 8  # `a[b][c]…`: nothing that Stripe takes is nested deeper


class Asked(Params):
    """The parameters of a request; remembers which of them anything has looked at."""

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.unread = set(params)

    def get(self, name: str, default: Any = None) -> Any:
        self.unread.discard(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.unread.discard(str(name))
        return super().__contains__(name)


def decode(encoded: str) -> Params:
    """Raises StripeError for keys that contradict each other."""
    tree: Params = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True, max_num_fields=1000):
        _place(tree, _path(key), value, key)
    return {name: _with_lists(value) for name, value in tree.items()}


def _path(key: str) -> list[str]:
    head, *rest = key.split("[")
    return [head, *(part.removesuffix("]") for part in rest)][:DEEPEST]


def _place(tree: Params, path: list[str], value: str, key: str) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise invalid(key, f"Invalid parameter: {key}.")
    tree[path[-1] or str(len(tree))] = value


def _with_lists(value: Any) -> Any:
    """Tables whose keys are all numbers are lists."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isdecimal() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(found) for key, found in value.items()}


def text(params: Params, name: str, default: str = "") -> str:
    """A string; absent and empty are the same."""
    value = params.get(name)
    if value is None or value == "":
        return default
    if not isinstance(value, str):
        raise invalid(name, f"Invalid string: {name}.")
    return value


def required(params: Params, name: str) -> str:
    """A string that must be there."""
    if value := text(params, name):
        return value
    raise missing(name)


def whole(params: Params, name: str, default: int = 0) -> int:
    """A whole number; also a negative one."""
    value = text(params, name)
    if not value:
        return default
    if not value.removeprefix("-").isdecimal() or len(value) > 12:
        raise StripeError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def positive(params: Params, name: str, default: int = 0) -> int:
    """A whole number from 1. Without a default it must be there."""
    if not default:
        required(params, name)
    value = whole(params, name, default)
    if value < 1:
        raise StripeError(
            f"Invalid positive integer: {value}", code="parameter_invalid_integer", param=name
        )
    return value


def flag(params: Params, name: str, *, default: bool = False) -> bool:
    """`true` or `false`."""
    value = text(params, name)
    if value.lower() not in ("", "true", "false"):
        raise invalid(name, f"Invalid boolean: {value}")
    return value.lower() == "true" if value else default


def choice(params: Params, name: str, *allowed: str) -> str:
    """One of `allowed`; the first is the default."""
    value = text(params, name, allowed[0])
    if value not in allowed:
        raise invalid(name, f"Invalid {name}: must be one of {', '.join(allowed)}")
    return value


def table(params: Params, name: str) -> Params:
    """A nested table, empty where there is none."""
    value = params.get(name) or {}
    if not isinstance(value, dict):
        raise invalid(name, f"Invalid object: {name}.")
    return value


def rows(params: Params, name: str) -> list[Any]:
    """A list, empty where there is none."""
    value = params.get(name) or []
    if not isinstance(value, list):
        raise invalid(name, f"Invalid array: {name}.")
    return value


def tables(params: Params, name: str) -> list[Params]:
    """A list of tables."""
    found = rows(params, name)
    if not all(isinstance(row, dict) for row in found):
        raise invalid(name, f"Invalid array: {name}.")
    return found


def metadata(params: Params, old: dict[str, str] | None = None) -> dict[str, str]:
    """The old metadata with what is given; an empty value takes a key away."""
    if params.get("metadata") == "":
        return {}
    given = table(params, "metadata")
    if not all(isinstance(value, str) for value in given.values()):
        raise invalid("metadata", "Metadata values must be strings.")
    return {key: value for key, value in {**(old or {}), **given}.items() if value != ""}
