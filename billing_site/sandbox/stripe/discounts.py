"""Coupons and promotion codes."""

from decimal import ROUND_HALF_UP, Decimal

from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.store import Object, Store


def amount_off(coupon: Object | None, amount: int) -> int:
    """What a coupon takes off `amount`, never more than all of it."""
    if coupon is None or amount <= 0:
        return 0
    if coupon["percent_off"] is not None:
        part = Decimal(str(coupon["percent_off"])) / 100
        return min(amount, int((amount * part).to_integral_value(ROUND_HALF_UP)))
    return min(amount, int(coupon["amount_off"]))


def find_code(store: Store, code: str) -> Object:
    """The promotion code that a customer has typed. Raises StripeError."""
    wanted = code.strip().lower()
    for found in store.find("promotion_code", active=True):
        if found["code"].lower() == wanted and is_valid(store, found):
            return found
    raise StripeError("This code is invalid.", code="resource_missing", param="promotion_code")


def is_valid(store: Store, promotion: Object) -> bool:
    """Whether it may still be used."""
    most, ends = promotion["max_redemptions"], promotion["expires_at"]
    coupon = store.get("coupon", promotion["promotion"]["coupon"])
    used_up = most is not None and promotion["times_redeemed"] >= most
    over = ends is not None and ends <= store.now()
    return bool(promotion["active"] and coupon["valid"]) and not used_up and not over


def redeem(store: Store, coupon_id: str, promotion_id: str) -> None:
    """Counts a use."""
    coupon = store.get("coupon", coupon_id)
    coupon["times_redeemed"] += 1
    most = coupon["max_redemptions"]
    coupon["valid"] = most is None or coupon["times_redeemed"] < most
    if promotion_id:
        store.get("promotion_code", promotion_id)["times_redeemed"] += 1
