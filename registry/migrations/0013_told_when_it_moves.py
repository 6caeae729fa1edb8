"""Whoever waits for a model is told by the database when it resolves anew, without a statement of its own."""

from django.db import migrations

TELL = """
CREATE FUNCTION registry_model_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('vouch_changed', replace(NEW.id::text, '-', ''));
    RETURN NULL;
END $$;
CREATE TRIGGER model_moved AFTER UPDATE OF generation ON registry_model
    FOR EACH ROW WHEN (NEW.generation <> OLD.generation) EXECUTE FUNCTION registry_model_moved();
"""
SILENT = """
DROP TRIGGER model_moved ON registry_model;
DROP FUNCTION registry_model_moved();
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0012_where_copies_lie")]

    operations = [migrations.RunSQL(TELL, SILENT)]
