"""Who of the staff may do what: three groups, and the owners (superusers), who may do all of it.

Note [Groups are filled once]
    After every `migrate` each group gets the permissions below that it was never given before, and
    RoleGrant remembers them. So a new version brings its new permissions, and what an owner took
    away or added in the admin stays as it is. A migration could not do that: permissions are made
    after all migrations, and each new table would need another one.
"""

from typing import Any

from django.apps import AppConfig
from django.apps.registry import Apps

READ_ONLY, SUPPORT, BILLING = "Read-only", "Support", "Billing"

CREDITS = (
    "account", "adjustment", "checkoutstart", "creditlot", "hold", "inboxevent", "ledgerentry",
    "notice", "offer", "payment", "planclick", "planschedule", "promotionalcode", "reconciliation",
    "redemption", "refund", "refundrequest", "retailtoken", "staffaction", "subscription",
)  # fmt: skip
STRIPE = (
    "charge", "customer", "dispute", "invoice", "paymentintent", "price", "product", "refund",
    "subscription",
)  # fmt: skip

LOOK = frozenset(
    {f"credits.view_{name}" for name in CREDITS}
    | {"generation.view_generation", "generation.view_operationprice"}
    | {"accounts.view_user", "accounts.view_apikey", "account.view_emailaddress"}
)
HELP = frozenset({
    "credits.add_adjustment",  # within the limit of the group at once, above it with a second one
    "credits.change_account",  # freeze and unfreeze
    "credits.change_inboxevent",  # try an event again, ignore it
    "credits.change_notice",  # send a mail again
    "accounts.change_apikey",  # revoke a key
})  # fmt: skip
MONEY = frozenset({
    "credits.approve_adjustment",
    "credits.refund_payment",
    "credits.change_offer",  # drafts, publishing, retiring
    "credits.add_promotionalcode",
    "credits.change_promotionalcode",  # switch off
    "generation.add_operationprice",
} | {f"djstripe.view_{name}" for name in STRIPE})  # fmt: skip

ROLES: dict[str, frozenset[str]] = {
    READ_ONLY: LOOK,
    SUPPORT: LOOK | HELP,
    BILLING: LOOK | HELP | MONEY,
}


def fill_groups(sender: AppConfig, apps: Apps, using: str, **_more: Any) -> None:
    """Receiver of post_migrate, see Note [Groups are filled once]."""
    try:
        grants = apps.get_model("billing_site", "RoleGrant").objects.using(using)
    except LookupError:  # migrated back to before there were roles
        return
    known = {
        f"{app}.{codename}": pk
        for app, codename, pk in apps.get_model("auth", "Permission")
        .objects.using(using)
        .values_list("content_type__app_label", "codename", "pk")
    }
    given = set(grants.values_list("role", "permission"))
    for role, permissions in ROLES.items():
        new = sorted(name for name in permissions if name in known and (role, name) not in given)
        if new:
            group, _ = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=role)
            group.permissions.add(*[known[name] for name in new])
            for name in new:
                grants.create(role=role, permission=name)
