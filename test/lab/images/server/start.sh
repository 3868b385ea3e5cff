#!/bin/bash
# What init does on a real server: name server, sshd, cron, the Docker engine. /run is a tmpfs, as after a real boot.
set -eu
mkdir -p /run/sshd /run/lock
echo "nameserver ${NAME_SERVER:?}" > /etc/resolv.conf
/usr/sbin/sshd
cron
# A machine that has just booted does not forward. The engine turns that on and then closes the FORWARD chain, so that no
# route to a container leads past the ports that are published; where forwarding is on already it leaves the chain open.
echo 0 > /proc/sys/net/ipv4/ip_forward
dockerd --cgroup-parent /everyskill-lab --bip 172.28.0.1/24 \
  --default-address-pool base=172.27.0.0/16,size=24 >> /var/log/dockerd.log 2>&1 &
trap 'kill "$(cat /run/docker.pid)"; exit 0' TERM
while :; do sleep infinity & wait $!; done
