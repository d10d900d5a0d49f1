#!/bin/sh
# The cloud-init NoCloud seed on Debian: what tiny's seed.sh does, where Debian does it otherwise. `read` before the net and ssh come up,
# `finish` when the machine is up.
. /usr/lib/tiny/seed.sh
state=/var/lib/lagotui-seed

say() { echo "seed: $*" >/dev/kmsg; }

seed_hostname() {  # NAME FQDN
  echo "$1" >/etc/hostname
  echo "$1" >/proc/sys/kernel/hostname
  local names=$1
  [ -n "$2" ] && [ "$2" != "$1" ] && names="$2 $1"
  printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost ip6-loopback\n' "$names" >/etc/hosts
  chmod 644 /etc/hostname /etc/hosts
}

seed_host_key() {  # TYPE PRIVATE-KEY
  [ -n "$host_keys_fresh" ] || rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
  host_keys_fresh=yes
  printf '%s\n' "$2" >"/etc/ssh/ssh_host_$1_key"
  ssh-keygen -y -f "/etc/ssh/ssh_host_$1_key" >"/etc/ssh/ssh_host_$1_key.pub" || say "the seed's $1 host key cannot be used"
  chmod 644 "/etc/ssh/ssh_host_$1_key.pub"
}

seed_user() {  # NAME SHELL
  if ! account "$1"; then
    useradd --create-home --shell "$2" "$1" || return 0
    printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$1" >"/etc/sudoers.d/90-$1"
    chmod 440 "/etc/sudoers.d/90-$1"
    account "$1"
  fi
  mkdir -p "$home/.ssh"
  : >"$home/.ssh/authorized_keys"
  [ "$uid" = 0 ] || chown -R "$uid:$gid" "$home/.ssh"
}

seed_password() {  # NAME text|hash VALUE
  account "$1" || return 0
  if [ "$2" = hash ]; then printf '%s:%s\n' "$1" "$3" | chpasswd --encrypted; else printf '%s:%s\n' "$1" "$3" | chpasswd; fi
}

seed_ssh_passwords() {  # true|false
  local login=prohibit-password allowed=no
  [ "$1" = true ] && login=yes allowed=yes
  printf 'PermitRootLogin %s\nPasswordAuthentication %s\n' $login $allowed >/etc/ssh/sshd_config.d/10-seed.conf
  chmod 644 /etc/ssh/sshd_config.d/10-seed.conf
}

case $1 in
  read)
    seed_read
    [ -z "$instance" ] || echo "$instance" >/run/seed-instance
    ;;
  finish)
    instance=
    [ ! -r /run/seed-instance ] || IFS= read -r instance </run/seed-instance
    seed_finish
    ;;
esac
