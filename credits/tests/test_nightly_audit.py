"""The proof of the books is written down, and made every night."""

from datetime import UTC, datetime, timedelta

import pytest

from credits import nightly_audit
from credits.models import CreditLot, LedgerAudit, Notice
from credits.tests.commands import run_command

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 3, 11, 4, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(nightly_audit, "BATCH", 2)


@pytest.fixture
def customers(new_customer):
    found = [new_customer() for _ in range(5)]
    for one in found:
        one.grant(10)
    return found


def run_tonight(now=NIGHT):
    while nightly_audit.audit_tonight(now=now):
        pass
    return LedgerAudit.objects.get()


class TestTheNightlyAudit:
    def test_goes_through_all_accounts_in_batches(self, customers):
        assert nightly_audit.audit_tonight(now=NIGHT) == 2
        assert LedgerAudit.objects.get().finished_at is None
        night = run_tonight()
        assert (night.accounts, night.entries, night.found) == (5, 5, 0)
        assert night.finished_at == NIGHT

    def test_is_made_once_a_night_and_not_before_its_hour(self, customers):
        assert nightly_audit.audit_tonight(now=NIGHT - timedelta(hours=1)) == 0
        run_tonight()
        assert nightly_audit.audit_tonight(now=NIGHT + timedelta(hours=10)) == 0
        assert nightly_audit.audit_tonight(now=NIGHT + timedelta(days=1)) == 2

    def test_ends_where_there_are_no_accounts(self):
        assert run_tonight().finished_at == NIGHT

    def test_counts_a_batch_once_where_two_workers_do_it(self, customers, monkeypatch):
        audit = nightly_audit.audit

        def overtaken(ids):
            monkeypatch.setattr(nightly_audit, "audit", audit)
            nightly_audit.audit_tonight(now=NIGHT)  # the other worker, with the same batch
            return audit(ids)

        monkeypatch.setattr(nightly_audit, "audit", overtaken)
        nightly_audit.audit_tonight(now=NIGHT)
        assert LedgerAudit.objects.get().accounts == 2
        assert run_tonight().accounts == 5

    @pytest.mark.breaks_the_books
    def test_keeps_what_is_wrong_and_tells_staff_once(self, customers):
        CreditLot.objects.update(remaining=9)
        night = run_tonight()
        assert night.found == len(night.problems.splitlines()) == 10
        assert f"account {customers[0].account_id}: " in night.problems
        told = Notice.objects.get(kind="staff")
        assert "do not balance" in told.context["text"]

    @pytest.mark.breaks_the_books
    def test_keeps_only_so_many_sentences(self, customers, monkeypatch):
        monkeypatch.setattr(nightly_audit, "MOST_KEPT", 3)
        CreditLot.objects.update(remaining=9)
        night = run_tonight()
        assert (night.found, len(night.problems.splitlines())) == (10, 3)


@pytest.mark.breaks_the_books
def test_check_ledger_is_written_down_too(customers):
    CreditLot.objects.filter(account_id=customers[0].account_id).update(remaining=9)
    ran = run_command("check_ledger")
    kept = LedgerAudit.objects.get()
    assert kept.problems == ran.errors
    assert (kept.accounts, kept.found, kept.night) == (5, 2, None)
    assert kept.finished_at >= kept.started_at
