# The cloud-init NoCloud seed: sourced by rcS. seed_read takes in what ssh needs; seed_finish does what can wait.
# seed.awk turns the seed's YAML into calls of the seed_* functions below, every value quoted for the shell.
state=/var/lib/tiny

say() { echo "tiny: $*" >/dev/console; }

iso_label() { dd if="$1" bs=1 skip=32808 count=6 2>/dev/null; }  # 40 bytes into the volume descriptor in sector 16

seed_device() {
  for device in /dev/vd? /dev/sd? /dev/sr?; do
    [ -b "$device" ] || continue
    case $(iso_label "$device") in cidata | CIDATA) return 0 ;; esac
  done
  return 1
}

# The raw line is enough to tell one instance from another.
instance_line() {
  while IFS= read -r line; do
    case $line in *instance-id*) echo "$line" && return ;; esac
  done <"$1"
}

seed_read() {
  instance=
  seed_device || { say "no seed"; return 0; }
  mkdir -p /run/seed
  mount -t iso9660 -o ro "$device" /run/seed 2>/dev/null || { say "the seed on $device cannot be read"; return 0; }
  if [ -r /run/seed/meta-data ]; then
    instance=$(instance_line /run/seed/meta-data)
    if [ -r $state/instance ] && IFS= read -r known <$state/instance && [ "$known" = "$instance" ]; then
      instance=
    else
      seed_apply
    fi
  fi
  umount /run/seed
  say "seed read"
}

seed_apply() {
  umask 077
  mkdir -p $state
  rm -f $state/runcmd $state/runcmd.done
  eval "$(LC_ALL=C awk -f /lib/tiny/seed.awk /run/seed/meta-data /run/seed/user-data 2>/dev/null)"
  umask 022
}

# The mark is written when all it stands for is on the disk: a machine that is switched off before takes the seed in again.
seed_finish() {
  if [ -n "$instance" ]; then
    sync
    echo "$instance" >$state/.instance && mv $state/.instance $state/instance
  fi
  [ -e $state/runcmd ] && [ ! -e $state/runcmd.done ] || return 0
  : >$state/runcmd.done
  sync
  sh $state/runcmd >/var/log/runcmd.log 2>&1 </dev/null
  say "runcmd done, exit code $?"
}

seed_hostname() {  # NAME FQDN
  echo "$1" >/etc/hostname
  echo "$1" >/proc/sys/kernel/hostname
  local names=$1
  [ -n "$2" ] && [ "$2" != "$1" ] && names="$2 $1"
  printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$names" >/etc/hosts
}

seed_host_key() {  # TYPE PRIVATE-KEY
  [ -n "$host_keys_fresh" ] || rm -f /etc/dropbear/dropbear_*_host_key
  host_keys_fresh=yes
  printf '%s\n' "$2" >/run/host-key
  dropbearconvert openssh dropbear /run/host-key "/etc/dropbear/dropbear_$1_host_key" >/dev/null 2>&1 || say "the seed's $1 host key cannot be used"
  rm -f /run/host-key
}

account() {  # NAME: sets uid, gid, home; false when there is no such user
  while IFS=: read -r user _ uid gid _ home _; do
    [ "$user" = "$1" ] && return 0
  done </etc/passwd
  return 1
}

next_uid() {
  next=1000
  while IFS=: read -r _ _ uid _; do
    [ "$uid" -ge $next ] && [ "$uid" -lt 60000 ] && next=$((uid + 1))
  done </etc/passwd
}

seed_user() {  # NAME SHELL
  if ! account "$1"; then
    next_uid
    uid=$next gid=$next home=/home/$1
    echo "$1:x:$uid:$gid::$home:$2" >>/etc/passwd
    echo "$1:x:$gid:" >>/etc/group
    echo "$1:*:19000:0:99999:7:::" >>/etc/shadow
  fi
  mkdir -p "$home/.ssh"
  : >"$home/.ssh/authorized_keys"
  [ "$uid" = 0 ] || chown -R "$uid:$gid" "$home"
}

seed_authorized_key() {  # NAME KEY
  account "$1" && printf '%s\n' "$2" >>"$home/.ssh/authorized_keys"
}

seed_password() {  # NAME text|hash VALUE
  account "$1" || return 0
  local hash=$3
  [ "$2" = hash ] || hash=$(printf '%s\n' "$3" | mkpasswd -m sha512 -P 0)
  while IFS=: read -r user old rest; do
    [ "$user" = "$1" ] && old=$hash
    printf '%s\n' "$user:$old:$rest"
  done </etc/shadow >/etc/.shadow && mv /etc/.shadow /etc/shadow
}

seed_ssh_passwords() {  # true|false
  if [ "$1" = true ]; then : >/etc/dropbear/passwords-allowed; else rm -f /etc/dropbear/passwords-allowed; fi
}

seed_file() {  # PATH MODE plain|base64 write|append CONTENT
  mkdir -m 755 -p "${1%/*}"
  [ "$4" = append ] || rm -f "$1"
  if [ "$3" = base64 ]; then printf '%s' "$5" | base64 -d >>"$1"; else printf '%s' "$5" >>"$1"; fi
  chmod "$2" "$1"
}

seed_runcmd() {  # SCRIPT
  printf '%s' "$1" >$state/runcmd
}
