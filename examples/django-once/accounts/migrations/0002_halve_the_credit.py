from django.db import migrations
from django.db.models import F


def double_balances(apps, schema_editor):
    apps.get_model("accounts", "Account").objects.update(credits=F("credits") * 2)


def halve_balances(apps, schema_editor):
    apps.get_model("accounts", "Account").objects.update(credits=F("credits") / 2)


class Migration(migrations.Migration):
    """Release 2: a credit is worth half of what it was, so all accounts get twice as many."""

    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunPython(double_balances, halve_balances)]
