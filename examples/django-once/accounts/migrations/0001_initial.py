from django.db import migrations, models


class Migration(migrations.Migration):
    """Release 1."""

    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("email", models.EmailField(max_length=254, unique=True)),
                ("credits", models.IntegerField(default=0)),
            ],
        ),
    ]
