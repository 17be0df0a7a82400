"""Offers made in the admin: drafts, that are published, replaced and retired.

A draft may be changed as often as wished; nobody sees it. Once published its terms are fixed: new
terms are a successor, a draft that takes the place of the old offer when it is published. Who has
the old one keeps it.
"""

from dataclasses import asdict
from datetime import datetime

from django.db import IntegrityError, transaction

from credits import queries
from credits.models import Offer
from credits.pricing import Listed, PricingError, problems_of
from credits.services import record_action


def listed(offer: Offer) -> Listed:
    """The offer as the price list would have it."""
    return Listed(**{name: getattr(offer, name) for name in Listed.__dataclass_fields__})


def save_draft(
    entry: Listed,
    *,
    actor: str,
    now: datetime,
    offer_id: int | None = None,
    replaces_id: int | None = None,
) -> Offer:
    """A new draft, or what the draft `offer_id` says from now on.

    Raises PricingError with everything that is wrong with it.
    """
    if wrong := problems_of(entry):
        raise PricingError(*wrong)
    try:
        with transaction.atomic():
            draft = _draft(offer_id) if offer_id else _new_draft(replaces_id)
            before = asdict(listed(draft)) if offer_id else {}
            for name, value in asdict(entry).items():
                setattr(draft, name, value)
            draft.save()
            _log("offer.draft", draft, actor, now, before)
    except IntegrityError:
        raise PricingError(f"There is an offer {entry.slug} already: take another slug.") from None
    return draft


def price_list_with(draft: Offer) -> list[Offer]:
    """What would be for sale if this draft were published, in the order of the price list."""
    replaced = draft.replaces
    if replaced is not None:
        draft.order = replaced.order
    kept = [offer for offer in queries.offers() if offer != replaced]
    return sorted([*kept, draft], key=lambda offer: (offer.order, offer.slug))


def publish(*, offer_id: int, price_id: str, seen: Listed, actor: str, now: datetime) -> Offer:
    """Puts a draft on sale, instead of the offer that it replaces. `price_id` is Stripe's, or "".

    Raises PricingError unless it is a draft that still says what was `seen`.
    """
    with transaction.atomic():
        draft = _draft(offer_id)
        if listed(draft) != seen:
            raise PricingError("The draft was changed meanwhile: please look again.")
        draft.draft, draft.active, draft.stripe_price_id = False, True, price_id
        if draft.replaces is not None:
            draft.order = draft.replaces.order
        draft.save()
        _log("offer.publish", draft, actor, now, {})
        if draft.replaces is not None:
            _set_active(draft.replaces.pk, False, actor, now)
    return draft


def set_for_sale(*, offer_id: int, for_sale: bool, actor: str, now: datetime) -> None:
    """Retires a published offer, or puts it back. Repeating changes nothing.

    Raises PricingError for a draft.
    """
    with transaction.atomic():
        _set_active(offer_id, for_sale, actor, now)


def rename(*, offer_id: int, name: str, order: int, actor: str, now: datetime) -> None:
    """What may change of a published offer: its name, and its place in the list."""
    with transaction.atomic():
        offer = _locked(offer_id)
        before = {"name": offer.name, "order": offer.order}
        if wrong := problems_of(Listed(**{**asdict(listed(offer)), "name": name})):
            raise PricingError(*wrong)
        offer.name, offer.order = name, order
        offer.save(update_fields=["name", "order"])
        _log("offer.rename", offer, actor, now, before)


def discard(*, offer_id: int, actor: str, now: datetime) -> None:
    """Throws a draft away. Raises PricingError for what was published."""
    with transaction.atomic():
        draft = _draft(offer_id)
        _log("offer.discard", draft, actor, now, asdict(listed(draft)))
        draft.delete()


def _locked(offer_id: int) -> Offer:
    offer = Offer.objects.select_for_update().filter(pk=offer_id).first()
    if offer is None:
        raise PricingError("There is no such offer: perhaps it was discarded.")
    return offer


def _draft(offer_id: int) -> Offer:
    offer = _locked(offer_id)
    if not offer.draft:
        raise PricingError("Its terms are fixed, because it was published: make a successor.")
    return offer


def _new_draft(replaces_id: int | None) -> Offer:
    return Offer(draft=True, active=False, replaces_id=replaces_id, order=Offer.objects.count() + 1)


def _set_active(offer_id: int, active: bool, actor: str, now: datetime) -> None:
    offer = _locked(offer_id)
    if offer.draft:
        raise PricingError("A draft is published, not put on sale.")
    if offer.active != active:
        offer.active = active
        offer.save(update_fields=["active"])
        _log("offer.sell" if active else "offer.retire", offer, actor, now, {})


def _log(action: str, offer: Offer, actor: str, now: datetime, before: dict[str, object]) -> None:
    after = {name: getattr(offer, name) for name in ("name", "order", "active", *Offer.TERMS)}
    record_action(
        actor=actor,
        action=action,
        target=offer.slug,
        reason="",
        before=before,
        after=after,
        now=now,
    )
