from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generation", "0002_first_price")]

    operations = [
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(
                name="generation_open",
                fields=["account"],
                condition=models.Q(finished_at__isnull=True),
            ),
        ),
    ]
