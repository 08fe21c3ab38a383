# A container with a systemd of its own, whose files are this machine's, seen through an overlay that is thrown away: what is installed
# and broken in there is nowhere else. Sourced by tests/systemd/run and packaging/smoke, with `root` set.

# Why there can be none on this machine, on stdout; nothing when there can be one.
no_container() { # DIR
  [ "$(id -u)" -eq 0 ] || { echo 'a systemd can be booted by root alone'; return; }
  local tool
  for tool in systemd-nspawn:systemd-container dbus-daemon:dbus unshare:util-linux; do
    command -v "${tool%%:*}" >/dev/null || { echo "${tool%%:*} is missing (apt-get install ${tool#*:})"; return; }
  done
  nspawn "$1" /bin/true || echo "no container can be made here: $(tail -n 1 "$1/console")"
}

# nspawn DIR ARGUMENT…: a container with these arguments of systemd-nspawn. The repository is /ci in there and DIR is /out, with what
# the console says in DIR/console. It gets control groups of its own, of whichever kind this machine has.
nspawn() {
  group=chat-$$ dir=$1 root=$root unshare --mount --propagation private bash -euc '
    # what others have mounted for a while must not be held by a copy in here: they could not unmount it for good
    findmnt -rn -o TARGET | grep "^/tmp/" | while read -r at; do umount -l "$at" || true; done
    tree=$(mktemp -d)
    for at in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
      if [ -e "$at/cgroup.procs" ] && mkdir -p "$at/$group" 2>/dev/null; then echo $$ >"$at/$group/cgroup.procs"; fi
    done
    mount --bind / "$tree"
    code=0
    timeout -k 5 960 systemd-nspawn -q -D "$tree" --volatile=overlay --register=no --keep-unit --private-network -M "$group" \
      --bind-ro="$root:/ci" --bind="$dir:/out" "$@" </dev/null >"$dir/console" 2>&1 || code=$?
    umount "$tree"
    rmdir "$tree"
    for at in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
      if [ -e "$at/$group" ]; then
        echo $$ >"$at/cgroup.procs"
        find "$at/$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
      fi
    done
    exit $code' sh "${@:2}"
}

# boot DIR SCRIPT [OPTION…]: boots, lets bash run SCRIPT (a path in there, with its arguments) as root, and ends with whether it
# succeeded. What it prints is in DIR/told, what it complains of in DIR/trace.
boot() {
  local dir=$1 script=$2
  cat >"$dir/chat-test.service" <<UNIT
[Unit]
After=basic.target dbus.service systemd-logind.service
Wants=basic.target dbus.service systemd-logind.service
SuccessAction=exit
FailureAction=exit
FailureActionExitStatus=7
[Service]
Type=oneshot
ExecStart=/bin/bash $script
TimeoutStartSec=15min
StandardOutput=file:/out/told
StandardError=file:/out/trace
UNIT
  nspawn "$dir" --bind-ro="$dir/chat-test.service:/etc/systemd/system/chat-test.service" "${@:3}" -b systemd.unit=chat-test.service
}
