from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("credits", "0015_inbox_by_state"),
    ]

    operations = [
        migrations.AddField(
            model_name="offer",
            name="trial_days",
            field=models.PositiveIntegerField(
                default=0, help_text="Days that a first plan costs nothing. 0: no trial."
            ),
        ),
        migrations.AddField(
            model_name="offer",
            name="trial_credits",
            field=models.BigIntegerField(
                default=0, help_text="What these days bring, once per account."
            ),
        ),
        migrations.AddConstraint(
            model_name="offer",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("trial_credits", 0), ("trial_days", 0)),
                    models.Q(
                        ("amount__gt", 0),
                        ("kind", "plan"),
                        ("trial_credits__gt", 0),
                        ("trial_days__gt", 0),
                    ),
                    _connector="OR",
                ),
                name="credits_offer_trial_of_a_plan",
            ),
        ),
        migrations.AlterField(
            model_name="notice",
            name="kind",
            field=models.CharField(
                choices=[
                    ("welcome", "Welcome"),
                    ("purchase", "Purchase"),
                    ("trial", "Trial begun"),
                    ("renewal", "Renewal"),
                    ("plan_changed", "Plan changed"),
                    ("payment_failed", "Payment failed"),
                    ("subscription_ended", "Subscription ended"),
                    ("low_balance", "Low balance"),
                    ("expiring", "Credits about to end"),
                    ("refund", "Refund"),
                    ("dispute_opened", "Dispute opened"),
                    ("dispute_closed", "Dispute closed"),
                    ("staff", "For staff"),
                ],
                max_length=20,
            ),
        ),
    ]
