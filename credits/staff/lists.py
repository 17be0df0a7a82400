"""Lists that stay quick with millions of rows.

Django's own count every row for each page, read all rows before the last page, search with LIKE
and offer to sort by any column. Here pages end after MOST rows, counting does too, a word that is
searched for is resolved to ids first, and the order is one that has an index. What is beyond the
last page is reached by filters, or taken along as a CSV file.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters, ShowFacets
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.views import ChangeList

from credits import services
from credits.models import Account
from credits.money import grouped
from credits.staff.base import ReadOnlyAdmin, actor_of
from credits.staff.links import link_to_row
from credits.staff.search import account_named
from credits.statement_files import csv_file

MOST = 10_000  # rows that can be paged through
CHUNK = 2000  # rows of a file that are read at a time
ACCOUNT, CUSTOMER = "account_id", "customer"  # columns of a file


class CappedPages(Paginator):  # type: ignore[type-arg]
    """Pages of the first MOST rows; `size` says in words how many there are."""

    template_name = "admin/credits/pages.html"
    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        return min(self._estimate or self._counted, MOST)

    @property
    def size(self) -> str:
        if self._estimate:
            return gettext("about %(count)s") % {"count": grouped(self._estimate)}
        if self._counted > MOST:
            return gettext("more than %(count)s") % {"count": grouped(MOST)}
        return grouped(self._counted)

    @cached_property
    def _estimate(self) -> int:
        """How many rows the table has, as PostgreSQL's statistics know it; 0: count them."""
        query = self.object_list.query
        if connection.vendor != "postgresql" or query.where or query.combinator:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass",
                [self.object_list.model._meta.db_table],
            )
            rows = int(cursor.fetchone()[0])
        return rows if rows > MOST else 0

    @cached_property
    def _counted(self) -> int:
        """Exact up to MOST; MOST + 1 means more."""
        return int(self.object_list.order_by().values("pk")[: MOST + 1].count())


class InOrder(ChangeList):  # type: ignore[misc]
    """One order, which has an index; `?o=` is not asked for."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        return list(self.model_admin.ordering)


class Days(admin.ListFilter):
    """From one day to another, both included (UTC), of the list's `moment`."""

    title = _("day (UTC)")
    template = "admin/credits/days_filter.html"
    NAMES = ("since", "until")

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: "BookList",
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.moment = model_admin.moment
        for name in self.NAMES:
            if (given := params.pop(name, [""])[-1]) and (day := self._day(request, given)):
                self.used_parameters[name] = day

    def _day(self, request: HttpRequest, given: str) -> date | None:
        try:
            return date.fromisoformat(given)
        except ValueError:
            messages.error(request, _("“%s” is not a day such as 2026-03-31.") % given[:20])
            return None

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.NAMES)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """One: what the template needs."""
        today = timezone.now().astimezone(UTC).date()
        ahead = [(_("Today"), 0), (_("7 days"), 6), (_("30 days"), 29)]
        yield {
            **self.used_parameters,
            "others": [
                (name, value)
                for name, values in changelist.filter_params.items()
                if name not in self.NAMES
                for value in (values if isinstance(values, list) else [values])
            ],
            "any": changelist.get_query_string(remove=list(self.NAMES)),
            "ranges": [
                (
                    label,
                    changelist.get_query_string(
                        {"since": today - timedelta(days=days)}, ["since", "until"]
                    ),
                )
                for label, days in ahead
            ],
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since: Any = self.used_parameters.get("since")
        until: Any = self.used_parameters.get("until")
        if since:
            queryset = queryset.filter(**{f"{self.moment}__gte": _midnight(since)})
        if until and until < date.max:
            queryset = queryset.filter(
                **{f"{self.moment}__lt": _midnight(until + timedelta(days=1))}
            )
        return queryset


class BookList(ReadOnlyAdmin):
    """Looking only; newest first by `moment`, which has an index, or by id where it is empty."""

    moment: ClassVar[str] = "created_at"
    paginator = CappedPages
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    search_fields = ("pk",)  # shows the box; find() does the work
    # What a file has besides the fields, each by the field that it stands behind.
    also_in_file: ClassVar[dict[str, str]] = {ACCOUNT: CUSTOMER}
    search_help_text = _("A whole email address, an account number, or a Stripe customer.")

    @property
    def ordering(self) -> tuple[str, ...]:
        return (f"-{self.moment}", "-pk") if self.moment else ("-pk",)

    def find(self, word: str) -> Q:
        """The rows of the account that a word names, or else those that it names otherwise."""
        account_id = account_named(word)
        return self.find_named(word) if account_id is None else self.find_of(account_id)

    def find_of(self, account_id: int) -> Q:
        """The rows of an account."""
        return Q(account_id=account_id)

    def find_named(self, word: str) -> Q:
        """The rows that a word names; by whole values, for which there is an index."""
        return Q(pk=None)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return InOrder

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the customers of a page, in two queries instead of a join over everything."""
        found: QuerySet[Any] = super().get_queryset(request)
        return found.prefetch_related("account__user") if "customer" in self.list_display else found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        word = search_term.strip()
        return (queryset.filter(self.find(word)) if word else queryset), False

    @admin.display(description=_("customer"), empty_value="-")
    def customer(self, row: Any) -> SafeString | None:
        """The email address, which leads to the account."""
        if row.account is None:
            return None
        return link_to_row(row.account, row.account.user)

    # The list as a file -----------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export)
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/", view, name=name), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """All rows that the filters and the search leave, as CSV. Written into the audit log."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        services.record_action(
            actor=actor_of(request),
            action="list.export",
            target=str(self.opts.label_lower),
            reason=request.META.get("QUERY_STRING", "")[:1000],
            now=timezone.now(),
        )
        columns = self._columns(request)
        rows = self._in_chunks(found.prefetch_related(None), columns)
        name = f"{self.opts.verbose_name_plural}.csv".replace(" ", "-")
        return csv_answer(name, columns, rows)

    def _columns(self, request: HttpRequest) -> list[str]:
        """All fields that the person may see, and what the list knows besides."""
        hidden = self.get_exclude(request) or ()
        fields = [f.attname for f in self.opts.concrete_fields if f.name not in hidden]
        also = self.also_in_file
        return [name for field in fields for name in (field, also.get(field)) if name]

    def _in_chunks(self, found: QuerySet[Any], columns: list[str]) -> Iterator[list[Any]]:
        """The rows in the list's order, each chunk beginning after the last: nothing stays open."""
        have_account = ACCOUNT in columns
        place = [self.moment, "pk"] if self.moment else ["pk"]
        read = {*place, *columns} - ({CUSTOMER} if have_account else set())
        chunk = list(found.values(*read)[:CHUNK])
        while chunk:
            if have_account:
                _add_customers(chunk)
            yield from ([_plain(row[name]) for name in columns] for row in chunk)
            after = self._after(*(chunk[-1][name] for name in place))
            chunk = list(found.filter(after).values(*read)[:CHUNK])

    def _after(self, *place: Any) -> Q:
        *moment, pk = place
        if not moment:
            return Q(pk__lt=pk)
        earlier = Q(**{f"{self.moment}__lt": moment[0]})
        same = Q(**{self.moment: moment[0]}, pk__lt=pk)
        return Q(**{f"{self.moment}__lte": moment[0]}) & (earlier | same)  # the first has an index


def _add_customers(rows: list[dict[str, Any]]) -> None:
    """What the list shows of them; in one query instead of a join over everything."""
    accounts = Account.objects.filter(pk__in={row[ACCOUNT] for row in rows})
    names = {account.pk: str(account.user) for account in accounts.select_related("user")}
    for row in rows:
        row[CUSTOMER] = names.get(row[ACCOUNT], "")


def csv_answer(
    name: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]
) -> StreamingHttpResponse:
    """Rows as a CSV file to keep; no cell of text is a formula."""
    return StreamingHttpResponse(
        csv_file(columns, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _plain(value: Any) -> Any:
    """As it stands in a file: moments in UTC."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
