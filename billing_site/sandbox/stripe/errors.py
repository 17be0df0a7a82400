"""Errors in Stripe's form. https://docs.stripe.com/api/errors"""

from typing import Any


class StripeError(Exception):
    """What a request is answered with instead of an object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str = "",
        param: str = "",
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        named = {"code": code, "param": param, **more}
        error = {"type": kind, "message": message}
        self.body = {"error": error | {name: value for name, value in named.items() if value}}


def missing(param: str) -> StripeError:
    """A parameter that must be there is not."""
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def invalid(param: str, message: str) -> StripeError:
    """A parameter has a value that cannot be."""
    return StripeError(message, code="parameter_invalid", param=param)


def not_found(object_name: str, object_id: str, param: str = "id") -> StripeError:
    """dj-stripe recognises the code and the words."""
    return StripeError(
        f"No such {object_name}: '{object_id}'", status=404, code="resource_missing", param=param
    )
