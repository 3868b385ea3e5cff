#!/bin/sh
# Two accounts with one owner: the main one sees the whole box, the sub-account only its own directory. Both see theirs as /home.
# MAIN and SUB are account names, SUB_DIR the sub-account's directory below the main account's.
set -eu
: "${MAIN:?}" "${SUB:?}" "${SUB_DIR:?}"

jail() { # account, directory
  mkdir -p "/jail/$1/home" "/jail/$1/usr" "/jail/$1/dev" "/jail/$1/etc"
  ln -sfn usr/bin "/jail/$1/bin"
  ln -sfn usr/lib "/jail/$1/lib"
  [ ! -e /lib64 ] || ln -sfn usr/lib64 "/jail/$1/lib64"
  [ -e "/jail/$1/dev/null" ] || mknod -m 666 "/jail/$1/dev/null" c 1 3
  grep -E "^($MAIN|$SUB):" /etc/passwd > "/jail/$1/etc/passwd"
  echo '/dev/storage /home ext4 rw 0 0' > "/jail/$1/etc/mtab"
  mount --bind /usr "/jail/$1/usr"
  mount -o remount,bind,ro "/jail/$1/usr"
  mount --bind "$2" "/jail/$1/home"
}

if ! id "$MAIN" > /dev/null 2>&1; then
  useradd -u 2001 -M -d /home -s /usr/bin/box-shell "$MAIN"
  useradd -o -u 2001 -g "$MAIN" -M -d /home -s /usr/bin/box-shell "$SUB"
  usermod -p '*' "$MAIN"
  usermod -p '*' "$SUB"
fi
for home in /box "/box/$SUB_DIR"; do
  mkdir -p "$home/.ssh"
  chown "$MAIN:$MAIN" "$home" "$home/.ssh"
  chmod 700 "$home" "$home/.ssh"
done
for pair in "main:/box" "sub:/box/$SUB_DIR"; do
  keys=${pair#*:}/.ssh/authorized_keys
  [ -e "$keys" ] || install -o "$MAIN" -g "$MAIN" -m 600 "/keys/${pair%%:*}.pub" "$keys"
done
jail "$MAIN" /box
jail "$SUB" "/box/$SUB_DIR"
mkdir -p /run/sshd
/usr/sbin/sshd -p 22
exec /usr/sbin/sshd -D -e -p 23
