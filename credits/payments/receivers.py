"""Events that reach dj-stripe by another road than our door go into the inbox all the same.

`djstripe_process_events`, a backfill, dj-stripe's own view: what it processes is stored in the
inbox, under the same unique event id, and applied from there. An event that the mirror feeds to
dj-stripe is in the inbox already, and nothing happens.

Django keeps receivers by weak reference: they must be functions of a module.
"""

import json
import logging
from typing import Any

from djstripe.event_handlers import _handle_crud_like_event, djstripe_receiver
from djstripe.models import Event, Refund

from credits.payments import intake
from credits.payments.rules import RULES

logger = logging.getLogger(__name__)


@djstripe_receiver(list(RULES))
def put_into_inbox(sender: type[Event], event: Event, **kwargs: Any) -> None:
    """In dj-stripe's transaction: either both know the event, or neither does."""
    try:
        intake.store(intake.parse(json.dumps(event.stripe_data)))
    except intake.NotAnEvent as error:
        logger.warning("%s %s is not ours to apply: %s", event.type, event.id, error)


@djstripe_receiver(["refund.created", "refund.updated", "refund.failed"])
def keep_refund(sender: type[Event], event: Event, **kwargs: Any) -> None:
    """dj-stripe 2.11 does with refunds what it does with charges only where it is told to."""
    _handle_crud_like_event(target_cls=Refund, event=event)
