#!/bin/sh
# Installs chat from the directory that this file lies in, or takes away what it installed.
# usage: ./install.sh [install|uninstall] [--user] [--prefix DIR] [--destdir DIR] [--only server|client]
#   --user         for this user alone, under ~/.local: chatctl and chatd (needs no root)
#   --prefix DIR   under DIR (default: /usr/local)
#   --destdir DIR  write into DIR what belongs to /, for those who make packages of it; nothing of this machine is touched
#   --only WHAT    chat-server alone, or chatctl and chatd alone (default: all three)
# Installing again is how to upgrade. What was installed is listed in PREFIX/share/chat/installed; uninstall removes just that, and
# nothing of configuration, accounts, messages or history.
set -eu

die() {
  echo "install.sh: $1" >&2
  exit "${2:-1}"
}
usage() { sed -n '2,7s/^# //p' "$0"; }

here=$(cd "$(dirname "$0")" && pwd)
verb=install user=no prefix='' destdir=${DESTDIR:-} only=all
while [ $# -gt 0 ]; do
  case $1 in
    install | uninstall) verb=$1 ;;
    --user) user=yes ;;
    --prefix | --destdir | --only)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case $1 in --prefix) prefix=$2 ;; --destdir) destdir=$2 ;; *) only=$2 ;; esac
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
case $only in all | server | client) ;; *) usage >&2; exit 2 ;; esac

if [ "$user" = yes ]; then
  [ "$only" != server ] || die 'chat-server is for a whole machine: leave --user out' 2
  only=client
  : "${prefix:=${HOME:?is not set}/.local}"
  user_units=${XDG_DATA_HOME:-$HOME/.local/share}/systemd/user
else
  : "${prefix:=/usr/local}"
  # systemd looks into these two by itself
  case $prefix in
    /usr | /usr/local) lib=$prefix/lib ;;
    *) lib=/etc ;;
  esac
  user_units=$lib/systemd/user
  if [ -z "$destdir" ] && [ "$(id -u)" -ne 0 ] && ! [ -w "$prefix" ]; then
    die "$prefix is not yours to write; next: ./install.sh --user, or as root: ./install.sh"
  fi
fi
case $prefix in /*) ;; *) die "--prefix $prefix: use a path that starts with /" 2 ;; esac
case $destdir in '' | /*) ;; *) destdir=$PWD/$destdir ;; esac
share=$prefix/share
list=$share/chat/installed

# --- what is written down -------------------------------------------------------------------------

# A directory and those above it; the ones that were not there are written down, the deepest last.
make_dir() {
  [ -d "$destdir$1" ] || {
    make_dir "$(dirname "$1")"
    mkdir -m 755 "$destdir$1"
    printf '%s/\n' "$1" >>"$new"
  }
}

# put FILE PLACE MODE: in one piece, so that what runs goes on running
put() {
  make_dir "$(dirname "$2")"
  cp "$1" "$destdir$2.new"
  chmod "$3" "$destdir$2.new"
  mv -f "$destdir$2.new" "$destdir$2"
  printf '%s\n' "$2" >>"$new"
}

# units DIRECTORY FILE…: with the place of the programs in them
units() {
  dir=$1
  shift
  for unit in "$@"; do
    sed "s|=/usr/bin/|=$prefix/bin/|" "$unit" >"$work/unit"
    put "$work/unit" "$dir/${unit##*/}" 644
  done
}

papers() { # PACKAGE
  for page in "$here/$1"/man/man*/*.gz; do
    section=${page%/*}
    put "$page" "$share/man/${section##*/}/${page##*/}" 644
  done
  put "$here/$1/completions/$1" "$share/bash-completion/completions/$1" 644
  put "$here/$1/completions/_$1" "$share/zsh/site-functions/_$1" 644
  put "$here/$1/completions/$1.fish" "$share/fish/vendor_completions.d/$1.fish" 644
  for file in THIRD-PARTY.gz schema.json; do put "$here/$1/$file" "$share/doc/$1/$file" 644; done
  for file in LICENSE-MIT LICENSE-APACHE changelog.gz; do put "$here/$file" "$share/doc/$1/$file" 644; done
}

# --- install --------------------------------------------------------------------------------------

client() {
  for program in chatctl chatd; do put "$here/bin/$program" "$prefix/bin/$program" 755; done
  papers chatctl
  units "$user_units" "$here"/systemd/user/*
}

server() {
  put "$here/bin/chat-server" "$prefix/bin/chat-server" 755
  papers chat-server
  units "$lib/systemd/system" "$here"/systemd/chat-server*
  put "$here/systemd/sysusers.d/chat-server.conf" "$lib/sysusers.d/chat-server.conf" 644
  put "$here/systemd/tmpfiles.d/chat-server.conf" "$lib/tmpfiles.d/chat-server.conf" 644
  put "$here/certbot/chat-server" "$share/chat-server/certbot-deploy-hook" 755
  examples=$share/doc/chat-server/examples
  put "$here/chat-server/chat-server.toml" "$examples/chat-server.toml" 644
  put "$here/config/classic.toml" "$examples/classic.toml" 644
  put "$here/fail2ban/chat-server.conf" "$examples/fail2ban/chat-server.conf" 644
  for file in chat-server.json alerts.yml; do put "$here/grafana/$file" "$examples/grafana/$file" 644; done
}

# remove LIST: what it names, directories only when nothing else is in them
remove() {
  sort -r "$1" | while IFS= read -r path; do
    case $path in
      */) rmdir "$destdir$path" 2>/dev/null || true ;;
      *) rm -f "$destdir$path" ;;
    esac
  done
}

live() { [ -z "$destdir" ] && [ -d /run/systemd/system ]; }

install() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  new=$work/installed
  : >"$new"
  make_dir "$share/chat"
  [ "$only" = server ] || client
  [ "$only" = client ] || server
  put "$here/install.sh" "$share/chat/install.sh" 755
  printf '%s\n' "$list" >>"$new"
  if [ -e "$destdir$list" ]; then
    # what an earlier version had and this one has not; its directories stay known, and what of it was not asked for now stays
    grep '/$' "$destdir$list" >>"$new" || true
    grep -vxF -f "$new" "$destdir$list" >"$work/gone" || true
    if [ "$only" = all ]; then remove "$work/gone"; else cat "$work/gone" >>"$new"; fi
  fi
  LC_ALL=C sort -u "$new" >"$destdir$list"
  chmod 644 "$destdir$list"
  [ -z "$destdir" ] || return 0
  if [ "$user" = yes ]; then
    ! live || systemctl --user daemon-reload 2>/dev/null || true
    case :$PATH: in *:$prefix/bin:*) ;; *) echo "$prefix/bin is not in PATH; next: export PATH=$prefix/bin:\$PATH" ;; esac
    echo "chatctl is installed below $prefix. next: chatctl register NAME --server HOST"
    return 0
  fi
  if [ "$only" != server ] && live; then
    systemctl --quiet --global enable chatd.socket || true
  fi
  if [ "$only" != client ] && live; then
    systemd-sysusers "$lib/sysusers.d/chat-server.conf"
    systemd-tmpfiles --create "$lib/tmpfiles.d/chat-server.conf"
    systemctl daemon-reload
    systemctl try-restart chat-server.service || die 'the new server does not run; next: journalctl -u chat-server -n 20'
  fi
  [ "$only" = server ] || echo "chatctl is installed below $prefix. next, as the user who wants to chat: chatctl register NAME --server HOST"
  if [ "$only" != client ] && [ ! -e /etc/chat-server/chat-server.toml ]; then
    echo "chat-server is installed below $prefix and not started. next: chat-server init --name HOST --self-signed"
  fi
}

uninstall() {
  [ -e "$destdir$list" ] || die "nothing is installed below $destdir$prefix: $destdir$list is not there"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cp "$destdir$list" "$work/installed"
  if live && grep -q '/chat-server\.service$' "$work/installed"; then
    systemctl disable --now chat-server.socket chat-server-http.socket chat-server-relay.socket chat-server-backup.timer \
      chat-server.service 2>/dev/null || true
  fi
  if live && [ "$user" = no ] && grep -q '/chatd\.socket$' "$work/installed"; then
    systemctl --quiet --global disable chatd.socket 2>/dev/null || true
  fi
  if live && [ "$user" = yes ]; then
    systemctl --user disable --now chatd.socket chatd.service 2>/dev/null || true
  fi
  remove "$work/installed"
  if live && [ "$user" = no ]; then systemctl daemon-reload || true; fi
  echo "removed from $destdir$prefix; configuration, accounts, messages and history stay where they are"
}

"$verb"
