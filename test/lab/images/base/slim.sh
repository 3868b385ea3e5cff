#!/bin/sh
# Slims a fresh debootstrap root ($1): no documentation, no package lists; apt on mirror $2; the host's CA bundle baked in,
# because HTTPS may leave this machine through a proxy whose CA only the host knows.
set -eu
root=$1 mirror=$2
cat > "$root/etc/dpkg/dpkg.cfg.d/01slim" <<'X'
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
X
cat > "$root/etc/apt/apt.conf.d/01slim" <<'X'
Acquire::Languages "none";
Acquire::Retries "3";
APT::Install-Recommends "false";
X
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cd "$root"
rm -rf usr/share/doc/* usr/share/man/* usr/share/info/* usr/share/locale/* usr/share/lintian \
  var/lib/apt/lists/* var/cache/apt/archives/*.deb var/cache/apt/*.bin var/log/* etc/apt/sources.list.d/*
printf 'deb %s trixie main\n' "$mirror" > etc/apt/sources.list
mkdir -p etc/ssl/certs
cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ca-certificates.crt
