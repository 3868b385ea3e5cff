#!/usr/bin/env bash
# Runs once, when the database is made. `everyskill` owns everything and cannot log in; the app logs in as everyskill_a
# or everyskill_b and becomes everyskill. Two seats, so that a password is changed while the other seat still works.
# The image's entrypoint runs this file, or reads it if it is not executable.
set -Eeuo pipefail

# The entrypoint skips every script once the data directory has a version: without this, the next start would
# serve a database without roles.
trap 'rm -f -- "$PGDATA/PG_VERSION"; echo "10-roles.sh failed: remove the volume and start again" >&2' ERR

# A restore that died between its two renames leaves the volume without a cluster, but not without data.
for other in "$PGDATA"/../before-* "$PGDATA"/../undone-* "$PGDATA"/../restoring; do
  if [[ -d $other ]]; then
    echo "10-roles.sh: ${other##*/} is here: a restore was cut short. tsx ops/restore.ts --undo, or --in-place again" >&2
    false
  fi
done

for password in db_password db_app_password; do
  if [[ ! -s /run/secrets/$password ]]; then
    echo "10-roles.sh: /run/secrets/$password is missing, empty or not readable by uid $(id -u)" >&2
    false
  fi
done

# psql reads the passwords itself, so they stand in no argument list and no environment; the settings keep
# a statement out of the server's log even if it fails. The entrypoint would export the administrator's password to
# every process, the server included, so Compose gives it a placeholder that is replaced here, before any port is open.
psql --quiet --no-psqlrc --no-password -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
set log_statement = 'none';
set log_min_duration_statement = -1;
set log_min_error_statement = 'panic';
set password_encryption = 'scram-sha-256';
\set password `cat /run/secrets/db_password`
\set app_password `cat /run/secrets/db_app_password`
alter role current_user password :'password';

create role everyskill nologin;
create role everyskill_a login in role everyskill;
create role everyskill_b nologin in role everyskill;
alter role everyskill_a set role to everyskill;
alter role everyskill_b set role to everyskill;
alter role everyskill_a password :'app_password';

select current_database() as db \gset
alter database :"db" owner to everyskill;
revoke all on database :"db" from public;
alter schema public owner to everyskill;
create extension vector;
SQL

trap - ERR
