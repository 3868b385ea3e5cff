#!/usr/bin/env bash
# What the official image documents: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB (each also as _FILE),
# POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, PGDATA, /docker-entrypoint-initdb.d, and no root.
set -Eeuo pipefail

# NAME, or the content of the file that NAME_FILE names, or the default given.
setting() {
  local name=$1 file=${1}_FILE
  if [[ -n ${!name:-} && -n ${!file:-} ]]; then
    echo "error: both $name and $file are set" >&2
    exit 1
  fi
  if [[ -n ${!file:-} ]]; then
    export "$name=$(< "${!file}")"
  elif [[ -z ${!name:-} ]]; then
    export "$name=${2:-}"
  fi
  unset "$file"
}

drop_root() {
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA" || true
  chmod 3775 /var/run/postgresql || true
  find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres '{}' +
  exec gosu postgres "${BASH_SOURCE[0]}" "$@"
}

as_admin() {
  psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$POSTGRES_USER" "$@"
}

run_file() {
  case $1 in
    *.sh)
      echo "$0: running $1"
      # shellcheck disable=SC1090 # a script that is not executable is read, as in the official image
      if [[ -x $1 ]]; then "$1"; else . "$1"; fi ;;
    *.sql) echo "$0: running $1"; as_admin --dbname "$POSTGRES_DB" --file "$1" ;;
    *.sql.gz) echo "$0: running $1"; gunzip -c "$1" | as_admin --dbname "$POSTGRES_DB" ;;
    *) echo "$0: ignoring $1" ;;
  esac
}

first_start() {
  setting POSTGRES_PASSWORD
  setting POSTGRES_USER postgres
  setting POSTGRES_DB "$POSTGRES_USER"
  local method=${POSTGRES_HOST_AUTH_METHOD:-} initdb_args file
  if [[ -z $POSTGRES_PASSWORD && $method != trust ]]; then
    echo 'Error: Database is uninitialized and superuser password is not specified.' >&2
    exit 1
  fi
  eval "initdb_args=(${POSTGRES_INITDB_ARGS:-})"
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${initdb_args[@]}"
  printf '\nhost all all all %s\n' "${method:-$(postgres -C password_encryption)}" >> "$PGDATA/pg_hba.conf"
  export PGPASSWORD=$POSTGRES_PASSWORD
  PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
  if [[ $POSTGRES_DB != postgres ]]; then
    as_admin --dbname postgres --set name="$POSTGRES_DB" <<< 'create database :"name";'
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    if [[ -e $file ]]; then run_file "$file"; fi
  done
  PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
  printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

if [[ ${1:-} == -* ]]; then set -- postgres "$@"; fi
if [[ ${1:-} == postgres ]]; then
  if [[ $(id -u) == 0 ]]; then drop_root "$@"; fi
  if [[ -s $PGDATA/PG_VERSION ]]; then
    printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
  else
    first_start
  fi
fi
exec "$@"
