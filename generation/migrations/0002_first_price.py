from django.db import migrations
from django.utils import timezone


def add_first_price(apps, schema_editor):
    apps.get_model("generation", "OperationPrice").objects.create(
        operation="text", version=1, cost=1, created_at=timezone.now()
    )


class Migration(migrations.Migration):
    dependencies = [("generation", "0001_initial")]

    operations = [migrations.RunPython(add_first_price, migrations.RunPython.noop)]
