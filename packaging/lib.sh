# What quickstart, build, smoke, tests/run and .ci/run share: finding the toolchain, installing a compiler and cargo's tools, saying
# what is run. Sourced, with `root` set.

# where tools of cargo go that are not there, and in which versions
tools=${CHAT_CI_TOOLS:-${TMPDIR:-/tmp}/chat-ci-tools}
cargo_deny_version=0.20.2
cargo_deb_version=3.8.0
cargo_generate_rpm_version=0.21.1

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# A word as it can be typed.
quoted() {
  case $1 in
    '' | *[!A-Za-z0-9_./:=,@%+\$-]*) printf "'%s'" "${1//\'/\'\\\'\'}" ;;
    *) printf '%s' "$1" ;;
  esac
}

# Run a command and show it as typed, so that a newcomer can type it too.
typed() {
  local line='$' word
  for word in "$@"; do line+=" $(quoted "$word")"; done
  printf '%s\n' "$line"
  "$@"
}

target_dir() {
  local dir=${CARGO_TARGET_DIR:-$root/target}
  case $dir in /*) echo "$dir" ;; *) echo "$PWD/$dir" ;; esac
}

# Install Debian packages when we may; else say what to type.
install_packages() {
  local as=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null && as=(sudo -n) || fail "missing: $*; please type: sudo apt-get install $*"
  fi
  command -v apt-get >/dev/null || fail "missing: $*; please install them with your system's package manager"
  "${as[@]}" apt-get update -qq || true
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    fail "could not install: $*"
}

# What a systemd of one's own in a container needs (tests/systemd).
container_packages=(systemd-container dbus dbus-user-session libpam-systemd libnss-systemd openssl)

# Install those of these Debian packages that are missing. Where that cannot be the tests that need them say so and pass.
try_packages() {
  command -v dpkg-query >/dev/null || return 0
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -Wf "\${db:Status-Status}" "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] || (install_packages "${missing[@]}") || true
}

# A Rust toolchain must be there; a C compiler (for SQLite and the TLS library) is installed.
need_toolchain() {
  [ -n "${HOME:-}" ] && [ -d "$HOME/.cargo/bin" ] && PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null || fail "no Rust toolchain found; install one from https://rustup.rs and run this again"
  local want have
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
  have=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
    fail "Rust $have is too old, $want or newer is needed; please type: rustup update stable"
  if ! command -v cc >/dev/null || ! echo 'int main(void){return 0;}' | cc -xc - -o /dev/null 2>/dev/null; then
    install_packages gcc libc6-dev
  fi
}

# The path of a tool of cargo in just the version that is named above; it is built where it is not there.
cargo_tool() {
  local name=$1 version=${1//-/_}_version at
  version=${!version}
  for at in "$(command -v "$name")" "$tools/bin/$name"; do
    if [ -x "$at" ] && [[ $("$at" --version 2>/dev/null) = *"$version" ]]; then
      echo "$at"
      return
    fi
  done
  CARGO_TARGET_DIR=$tools/target typed cargo install --locked --root "$tools" --version "$version" "$name" >&2
  echo "$tools/bin/$name"
}
