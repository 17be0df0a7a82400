from django.core.management import call_command
from django.db import migrations, models

import billing_site.accounts.zones


def make_cache_table(apps, schema_editor):
    """Where limits of sign-in are counted (CACHES); repeating changes nothing."""
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(make_cache_table, migrations.RunPython.noop),
        migrations.AddField(
            model_name="user",
            name="erased_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="user",
            name="timezone",
            field=models.CharField(
                blank=True,
                help_text="Times are shown in it; empty: UTC.",
                max_length=64,
                validators=[billing_site.accounts.zones.validate_zone],
                verbose_name="time zone",
            ),
        ),
    ]
