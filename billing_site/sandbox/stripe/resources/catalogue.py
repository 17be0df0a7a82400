"""Products, prices, coupons and promotion codes."""

from billing_site.sandbox.stripe import forms, shapes
from billing_site.sandbox.stripe.errors import StripeError, invalid
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.rest import cut, listed, page, route
from billing_site.sandbox.stripe.store import Object, Store

INTERVALS = ("month", "day", "week", "year")


@route("POST", "/v1/products", "ProductCreateParams")
def create_product(store: Store, params: Params) -> Object:
    wanted = forms.text(params, "id")
    if wanted in store.objects:
        raise StripeError(f"Product already exists: {wanted}", code="resource_already_exists")
    product = shapes.product(
        wanted or store.new_id("prod", 14),
        store.now(),
        name=forms.required(params, "name"),
        description=forms.text(params, "description") or None,
        metadata=forms.metadata(params),
        active=forms.flag(params, "active", default=True),
    )
    emit(store, "product.created", store.add(product))
    return product


@route("GET", "/v1/products", "ProductListParams")
def list_products(store: Store, params: Params) -> Object:
    if "ids" in params:
        wanted = forms.rows(params, "ids")
        found = [row for row in store.find("product") if row["id"] in wanted]
        return cut("/v1/products", found, params)
    return page(store, "/v1/products", "product", params, "active")


@route("GET", "/v1/products/*")
def retrieve_product(store: Store, params: Params, product_id: str) -> Object:
    return store.get("product", product_id)


@route("GET", "/v1/products/*/features")
def list_features(store: Store, params: Params, product_id: str) -> Object:
    return listed(f"/v1/products/{product_id}/features", [])


@route("POST", "/v1/products/*", "ProductUpdateParams")
def update_product(store: Store, params: Params, product_id: str) -> Object:
    product = store.get("product", product_id)
    product |= {
        name: forms.text(params, name) or None
        for name in ("name", "description", "default_price")
        if name in params
    }
    if "active" in params:
        product["active"] = forms.flag(params, "active")
    product["metadata"] = forms.metadata(params, product["metadata"])
    product["updated"] = store.now()
    emit(store, "product.updated", product)
    return product


@route("POST", "/v1/prices", "PriceCreateParams")
def create_price(store: Store, params: Params) -> Object:
    forms.required(params, "unit_amount")
    forms.required(params, "currency")
    if "product_data" in params:
        product = create_product(store, forms.table(params, "product_data"))
    else:
        product = store.get("product", forms.required(params, "product"), "product")
    price = make_price(store, params, product["id"])
    price["nickname"] = forms.text(params, "nickname") or None
    _take_lookup_key(store, price, params)
    emit(store, "price.created", store.add(price))
    return price


def make_price(store: Store, params: Params, product_id: str) -> Object:
    """A price that is not kept yet, from `unit_amount`, `currency` and `recurring`."""
    amount = forms.whole(params, "unit_amount", -1)
    if amount < 0:
        forms.required(params, "unit_amount")
        raise invalid("unit_amount", "Invalid non-negative integer.")
    currency = forms.required(params, "currency").lower()
    price = shapes.price(
        store.new_id("price"), store.now(), product=product_id, currency=currency, amount=amount
    )
    price["metadata"] = forms.metadata(params)
    price["active"] = forms.flag(params, "active", default=True)
    if recurring := forms.table(params, "recurring"):
        forms.required(recurring, "interval")
        price["type"] = "recurring"
        price["recurring"] = {
            "interval": forms.choice(recurring, "interval", *INTERVALS),
            "interval_count": forms.positive(recurring, "interval_count", 1),
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        }
    return price


def _take_lookup_key(store: Store, price: Object, params: Params) -> None:
    key = forms.text(params, "lookup_key")
    if not key:
        return
    for other in store.find("price", lookup_key=key):
        if other is price:
            continue
        if not forms.flag(params, "transfer_lookup_key"):
            raise invalid(
                "lookup_key",
                f"A price (`{other['id']}`) already uses that lookup key.",
            )
        other["lookup_key"] = None
    price["lookup_key"] = key


@route("GET", "/v1/prices", "PriceListParams")
def list_prices(store: Store, params: Params) -> Object:
    params = dict(params)
    keys = forms.rows(params, "lookup_keys")
    if "lookup_keys" not in params:
        return page(store, "/v1/prices", "price", params, "active", "currency", "product", "type")
    active = params.pop("active", None)
    found = [row for row in store.find("price") if row["lookup_key"] in keys]
    if active is not None:
        found = [row for row in found if row["active"] == (active == "true")]
    return cut("/v1/prices", found, params)


@route("GET", "/v1/prices/*")
def retrieve_price(store: Store, params: Params, price_id: str) -> Object:
    return store.get("price", price_id)


@route("POST", "/v1/prices/*", "PriceUpdateParams")
def update_price(store: Store, params: Params, price_id: str) -> Object:
    price = store.get("price", price_id)
    _take_lookup_key(store, price, params)
    if "active" in params:
        price["active"] = forms.flag(params, "active")
    if "nickname" in params:
        price["nickname"] = forms.text(params, "nickname") or None
    price["metadata"] = forms.metadata(params, price["metadata"])
    emit(store, "price.updated", price)
    return price


@route("POST", "/v1/coupons", "CouponCreateParams")
def create_coupon(store: Store, params: Params) -> Object:
    percent = forms.text(params, "percent_off")
    amount = forms.whole(params, "amount_off")
    if bool(percent) == bool(amount):
        raise invalid("percent_off", "You must pass either percent_off or amount_off.")
    try:
        part = float(percent) if percent else None
    except ValueError:
        raise invalid("percent_off", f"Invalid decimal: {percent}") from None
    coupon = shapes.coupon(
        forms.text(params, "id") or store.new_id("", 8)[1:],
        store.now(),
        percent_off=part,
        amount_off=amount or None,
        currency=forms.text(params, "currency") or None,
        duration=forms.choice(params, "duration", "once", "repeating", "forever"),
        duration_in_months=forms.whole(params, "duration_in_months") or None,
        max_redemptions=forms.whole(params, "max_redemptions") or None,
        name=forms.text(params, "name") or None,
        metadata=forms.metadata(params),
    )
    emit(store, "coupon.created", store.add(coupon))
    return coupon


@route("GET", "/v1/coupons", "CouponListParams")
def list_coupons(store: Store, params: Params) -> Object:
    return page(store, "/v1/coupons", "coupon", params)


@route("GET", "/v1/coupons/*")
def retrieve_coupon(store: Store, params: Params, coupon_id: str) -> Object:
    return store.get("coupon", coupon_id)


@route("POST", "/v1/promotion_codes", "PromotionCodeCreateParams")
def create_promotion_code(store: Store, params: Params) -> Object:
    coupon = store.get("coupon", forms.required(forms.table(params, "promotion"), "coupon"))
    promotion = shapes.promotion_code(
        store.new_id("promo"),
        store.now(),
        code=forms.text(params, "code") or store.new_id("", 8)[1:].upper(),
        coupon=coupon["id"],
    )
    promotion |= {
        "max_redemptions": forms.whole(params, "max_redemptions") or None,
        "expires_at": forms.whole(params, "expires_at") or None,
        "metadata": forms.metadata(params),
    }
    emit(store, "promotion_code.created", store.add(promotion))
    return promotion


@route("GET", "/v1/promotion_codes", "PromotionCodeListParams")
def list_promotion_codes(store: Store, params: Params) -> Object:
    return page(store, "/v1/promotion_codes", "promotion_code", params, "active", "code")


@route("GET", "/v1/promotion_codes/*")
def retrieve_promotion_code(store: Store, params: Params, promotion_id: str) -> Object:
    return store.get("promotion_code", promotion_id)
