"""A customer's life over HTTP, with the sandbox as Stripe: the end of `quickstart --check`."""

import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from billing_site.sandbox import journey
from billing_site.sandbox.stripe import Sandbox
from billing_site.sandbox.visitor import JourneyFailed, Visitor
from credits import queries
from credits.models import Offer

CARD = "4242 4242 4242 4242"
SECONDS = 30  # until what happened at Stripe is booked
MONTH = 32  # days: past the longest one, and the hour before an invoice is final


class Newcomer:
    """Signs up, buys, spends, is refunded, disputes, and leaves; looks at the balance each time."""

    def __init__(
        self,
        address: str,
        stripe: Sandbox,
        output: Iterable[str],
        wait: Callable[[float], None],
    ) -> None:
        """`output` has the mails that the site prints; `wait` is called with seconds."""
        self.visitor = Visitor(address)
        self.stripe, self.output, self.wait = stripe, output, wait
        self.email = f"newcomer-{secrets.token_hex(4)}@example.com"
        self.password = secrets.token_urlsafe(12)
        self.plan = _first(Offer.Kind.PLAN, interval=Offer.Interval.MONTH)
        self.pack = _first(Offer.Kind.PACK)

    def live(self, step: Callable[[str], None]) -> None:
        """From the sign-up to the deletion of the account. Raises JourneyFailed."""
        plan, pack = self.plan.credits, self.pack.credits
        self._sign_up()
        step(f"{self.email} signed up with the code from the mail")
        self._buy(self.plan)
        self._has(plan, 0)
        step(f"bought {self.plan.name} on the hosted page: {plan} credits arrived")
        asked = journey.request(self.visitor)
        journey.watch(self.visitor, asked["id"], lambda: self.wait(0.1))
        left = plan - asked["cost"]
        self._has(left, 0)
        step(f"spent {asked['cost']} on a text: {left} left")
        for _number in range(2):
            self._buy(self.pack)
        self._has(left, 2 * pack)
        step(f"bought two packs: {2 * pack} bulk credits arrived")
        self.stripe.advance(MONTH)
        renewed = plan + min(left, self.plan.rollover_cap)
        self._has(renewed, 2 * pack)
        step(f"{MONTH} days later the plan was renewed: {renewed} credits, the packs untouched")
        refunded, disputed = self.stripe.charges(self.email, amount=self.pack.amount)
        self.stripe.refund(refunded)
        self._has(renewed, pack)
        step(f"a pack was refunded: its {pack} credits were taken back")
        dispute = self.stripe.open_dispute(disputed)
        self._has(renewed, 0)
        step(f"the other pack is disputed: its {pack} credits are set aside")
        self.stripe.close_dispute(dispute, won=True)
        self._has(renewed, pack)
        step("the dispute was won: they can be spent again")
        self._leave()
        step("the account is deleted, and its plan has ended at Stripe")

    def _sign_up(self) -> None:
        self.visitor.open("/accounts/signup/")
        self.visitor.submit("password1", email=self.email, password1=self.password)
        self.visitor.submit("code", code=self._wait_for(self._code, "No mail with a code arrived."))

    def _code(self) -> str:
        """From the newest mail to us."""
        said = "\n".join(line.partition("| ")[2] for line in list(self.output))
        mail = said.rpartition(f"To: {self.email}")[2] if self.email in said else ""
        found = re.search(r"^\s*([A-Z0-9-]{6,12})\s*$", mail, re.M)
        return found[1] if found else ""

    def _buy(self, offer: Offer) -> None:
        self.visitor.open("/prices/")
        self.visitor.submit(f"offer={offer.slug}")
        self.visitor.submit("action=pay", card=CARD)
        if "/purchases/done/" not in self.visitor.url:
            raise JourneyFailed(f"Checkout led to {self.visitor.url}.")

    def _has(self, subscription: int, bulk: int) -> None:
        """Waits until that is the balance."""

        def agrees() -> bool:
            pools = self.visitor.get("balance")["pools"]
            self._seen = (pools["subscription"], pools["bulk"])
            return self._seen == (subscription, bulk)

        try:
            self._wait_for(agrees, "")
        except JourneyFailed:
            raise JourneyFailed(
                f"Subscription and bulk credits are {self._seen}, expected {(subscription, bulk)}."
            ) from None

    def _leave(self) -> None:
        self.visitor.open("/account/delete/")
        self.visitor.submit("password", password=self.password)
        plans = self.stripe.store.find("subscription")
        own = {row["id"] for row in self.stripe.store.find("customer", email=self.email)}
        if [plan for plan in plans if plan["customer"] in own and plan["status"] != "canceled"]:
            raise JourneyFailed("The account is gone and its plan goes on.")

    def _wait_for(self, look: Callable[[], Any], complaint: str) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := look()):
            if time.monotonic() > deadline:
                raise JourneyFailed(complaint)
            self.wait(0.1)
        return found


def _first(kind: Offer.Kind, **equal: str) -> Offer:
    """The first such offer of the price list. Raises JourneyFailed."""
    for offer in queries.offers():
        if offer.kind == kind and all(getattr(offer, name) == equal[name] for name in equal):
            return offer
    raise JourneyFailed(f"The price list has no {kind.label.lower()} to try the site with.")
