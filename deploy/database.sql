-- Makes Vouch's role and database on a PostgreSQL that has neither. For psql (15 or newer) as superuser, with the
-- password for the role in VOUCH_DB_PASSWORD. The role owns its tables, so that it can migrate, and nothing else.
\set ON_ERROR_STOP on
\getenv password VOUCH_DB_PASSWORD
CREATE ROLE vouch LOGIN PASSWORD :'password';
CREATE DATABASE vouch OWNER vouch ENCODING 'UTF8' TEMPLATE template0;
