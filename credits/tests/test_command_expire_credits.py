from datetime import UTC, datetime, timedelta

import pytest

from credits import queries
from credits.models import Hold
from credits.services import holds
from credits.tests.commands import run_command
from credits.tests.conftest import Customer

pytestmark = pytest.mark.django_db


class TestExpireCredits:
    def test_writes_off_what_has_ended_and_gives_back_what_is_overdue(
        self, customer: Customer
    ) -> None:
        customer.now = datetime.now(UTC) - timedelta(days=2)
        customer.gift(7, days=1)
        customer.grant(20)
        customer.spend(2)
        late = customer.hold(6, deadline=customer.in_days(1.5))

        ran = run_command("expire_credits")

        # 7 - 2 - 5: the hold took what was left of the gift, and gives it back to be spent.
        late.refresh_from_db()
        assert late.state == Hold.State.RELEASED
        balance = queries.balance(account_id=customer.account_id, now=datetime.now(UTC))
        assert balance.available == 25
        assert ran.output == "0 credits of 0 accounts expired, 1 overdue holds given back.\n"

    def test_a_second_run_finds_nothing(self, customer: Customer) -> None:
        customer.now = datetime.now(UTC) - timedelta(days=2)
        customer.gift(7, days=1)

        first, second = run_command("expire_credits"), run_command("expire_credits")

        assert first.summary == "7 credits of 1 accounts expired, 0 overdue holds given back."
        assert second.summary == "0 credits of 0 accounts expired, 0 overdue holds given back."

    def test_fails_if_an_account_could_not_be_swept(
        self, customer: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        customer.now = datetime.now(UTC) - timedelta(days=2)
        customer.gift(7, days=1)
        monkeypatch.setattr(holds, "locked", None)

        ran = run_command("expire_credits")

        assert "1 accounts or holds could not be swept" in ran.refusal
