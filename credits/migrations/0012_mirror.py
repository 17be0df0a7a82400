# Rows of before are due at once: dj-stripe gets them too.

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("credits", "0011_plan_changes"),
    ]

    operations = [
        migrations.AddField(
            model_name="inboxevent",
            name="mirror_attempts",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="inboxevent",
            name="mirror_error",
            field=models.TextField(blank=True, help_text="Why dj-stripe could not take it."),
        ),
        migrations.AddField(
            model_name="inboxevent",
            name="mirrored_at",
            field=models.DateTimeField(help_text="When dj-stripe had taken it.", null=True),
        ),
        migrations.AddField(
            model_name="inboxevent",
            name="next_mirror_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now,
                help_text="Empty when dj-stripe has it, or when it is given up.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="inboxevent",
            index=models.Index(fields=["next_mirror_at"], name="credits_inbox_mirror_due"),
        ),
        migrations.AddConstraint(
            model_name="inboxevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("mirror_error", ""),
                        ("mirrored_at__isnull", False),
                        ("next_mirror_at__isnull", True),
                    ),
                    models.Q(("mirrored_at__isnull", True), ("next_mirror_at__isnull", False)),
                    models.Q(
                        ("mirrored_at__isnull", True),
                        ("next_mirror_at__isnull", True),
                        models.Q(("mirror_error", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="credits_inbox_mirrored_due_or_given_up",
            ),
        ),
    ]
