# How each server is started, told of, and stopped. Sourced by `run`.
#
# shellcheck disable=SC2034 # What start sets is read elsewhere.
#
# start NAME sets SERVER_PID (the process whose whole tree is counted), SUBSCRIBE_URL and PUBLISH_URL.

# Processes that this script started, and that must not outlive it.
STARTED=()

# In its own directory below .tools, emptied before: configuration, logs, sockets.
room() {
  local room=$TOOLS/run/$1
  rm -rf "$room"
  mkdir -p "$room"
  printf '%s' "$room"
}

free_port() {
  python3 -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}

# launch LOG COMMAND...: starts it on the servers' core, and leaves its process in LAUNCHED.
launch() {
  local log=$1
  shift
  : >"$log" # so that it is there to be read before the program has opened it
  "${ON_SERVER_CORE[@]}" "$@" >"$log" 2>&1 </dev/null &
  LAUNCHED=$!
  STARTED+=("$LAUNCHED")
}

# await_line LOG PATTERN: prints what the first group of the pattern matches in the log, once it does.
await_line() {
  local log=$1 pattern=$2 process=$LAUNCHED deadline=$((SECONDS + 20)) text
  while ((SECONDS < deadline)); do
    text=$(<"$log")
    if [[ $text =~ $pattern ]]; then
      printf '%s' "${BASH_REMATCH[1]}"
      return 0
    fi
    kill -0 "$process" 2>/dev/null || break
    sleep 0.05
  done
  cat "$log" >&2
  return 1
}

# await_answer CURL_ARGUMENT...: until what was launched last answers the request with success.
await_answer() {
  local deadline=$((SECONDS + 20))
  while ((SECONDS < deadline)); do
    kill -0 "$LAUNCHED" 2>/dev/null || return 1
    if curl --silent --fail --max-time 2 --output /dev/null "$@"; then return 0; fi
    sleep 0.05
  done
  return 1
}

# The process and all below it, the deepest first.
tree() {
  local child
  local -a children
  read -ra children < <(cat "/proc/$1"/task/*/children 2>/dev/null) || true
  for child in "${children[@]}"; do tree "$child"; done
  printf '%s\n' "$1"
}

# stop PROCESS: asks it to end, waits, and ends what is left of its tree.
stop() {
  local all one deadline=$((SECONDS + 5))
  mapfile -t all < <(tree "$1")
  kill -TERM "$1" 2>/dev/null || return 0
  while kill -0 "$1" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.05; done
  for one in "${all[@]}"; do kill -KILL "$one" 2>/dev/null || true; done
  wait "$1" 2>/dev/null || true
}

stop_all() {
  local process
  for process in "${STARTED[@]}"; do stop "$process"; done
  STARTED=()
}

# fill TEMPLATE TARGET NAME=VALUE...: the template with @NAME@ replaced.
fill() {
  local text pair
  text=$(<"$HERE/$1")
  for pair in "${@:3}"; do text=${text//@${pair%%=*}@/${pair#*=}}; done
  printf '%s\n' "$text" >"$2"
}

start() {
  local attempt
  for attempt in 1 2 3 4 5; do
    if "start_$1"; then return 0; fi
    stop_all
    # Most likely another program took the port between its choice and its use.
    printf '%s did not start (attempt %s)\n' "$1" "$attempt" >&2
  done
  fail "$1 does not start: see $TOOLS/run/$1"
}

# served_at PORT [PUBLISH_PORT]: the addresses that all peers share.
served_at() {
  SERVER_PID=$LAUNCHED
  SUBSCRIBE_URL=http://127.0.0.1:$1/subscribe
  PUBLISH_URL=http://127.0.0.1:${2:-$1}/publish
}

start_tidings() {
  local room address
  room=$(room tidings)
  # Its defaults but for limits that are there for strangers, and that a generator would meet.
  launch "$room/log" "$TIDINGS_BIN" serve --listen 127.0.0.1:0 --workers 1 \
    --connections-per-address 1000000 --reads-per-second 1000000 --requests-max 4294967295
  address=$(await_line "$room/log" 'http://(127\.0\.0\.1:[0-9]+)') || return 1
  SERVER_PID=$LAUNCHED
  SUBSCRIBE_URL=http://$address/topics/bench
  PUBLISH_URL=$SUBSCRIBE_URL
}

version_tidings() {
  "$TIDINGS_BIN" --version
}

start_nchan() {
  local room port module=
  room=$(room nchan)
  port=$(free_port)
  # Debian's own configuration, which is not used here, loads it from modules-enabled.
  module='load_module /usr/lib/nginx/modules/ngx_nchan_module.so;'
  fill nchan.conf "$room/nginx.conf" "MODULE=$module" "USER=$(id -un)" "PORT=$port" \
    "DIRECTORY=$room" "DESCRIPTORS=$DESCRIPTORS"
  launch "$room/log" nginx -e "$room/error.log" -c "$room/nginx.conf"
  await_answer "http://127.0.0.1:$port/ready" || return 1
  served_at "$port"
}

version_nchan() {
  local package
  package=$(dpkg-query --show --showformat '${Version}' libnginx-mod-nchan)
  package=${package#*:}
  printf 'nginx %s + nchan %s\n' "$(nginx -v 2>&1 | sed 's|.*/||')" "${package%%[+-]*}"
}

start_ws() {
  local room port
  room=$(room ws)
  cp "$HERE/ws.mjs" "$TOOLS/node/"
  launch "$room/log" "$TOOLS/node.bin" "$TOOLS/node/ws.mjs"
  port=$(await_line "$room/log" 'listening on ([0-9]+)') || return 1
  served_at "$port"
}

version_ws() {
  printf 'ws %s on Node.js %s\n' "$(sed -n 's/^    "ws": "\(.*\)".*/\1/p' "$HERE/package.json")" \
    "$("$TOOLS/node.bin" --version)"
}

bun() {
  printf '%s' "$TOOLS"/node/node_modules/@oven/bun-linux-*/bin/bun
}

start_bun() {
  local room port
  room=$(room bun)
  launch "$room/log" "$(bun)" "$HERE/bun.mjs"
  port=$(await_line "$room/log" 'listening on ([0-9]+)') || return 1
  served_at "$port"
}

version_bun() {
  printf 'Bun %s\n' "$("$(bun)" --version)"
}

start_uwebsockets() {
  local room port
  room=$(room uwebsockets)
  launch "$room/log" "$TOOLS/uwebsockets/broadcast"
  port=$(await_line "$room/log" 'listening on ([0-9]+)') || return 1
  served_at "$port"
}

version_uwebsockets() {
  printf 'uWebSockets (libuwebsockets-sys %s)\n' \
    "$(sed -n 's/^libuwebsockets-sys = "=\(.*\)"/\1/p' "$HERE/uwebsockets/Cargo.toml")"
}

# Pushpin asks an application (pushpin-origin.mjs) whom to hold open, by way of zurl, which Debian runs as a
# service of its own. Pushpin's processes are counted, the other two are not.
start_pushpin() {
  local room port control origin
  room=$(room pushpin)
  mkdir "$room/run" "$room/log"
  port=$(free_port)
  control=$(free_port)
  launch "$room/origin.log" "$TOOLS/node.bin" "$HERE/pushpin-origin.mjs" "$control"
  origin=$(await_line "$room/origin.log" 'listening on ([0-9]+)') || return 1
  printf '* 127.0.0.1:%s,over_http\n' "$origin" >"$room/routes"
  fill zurl.conf "$room/zurl.conf" "DIRECTORY=$room" "DESCRIPTORS=$DESCRIPTORS"
  launch "$room/zurl.log" zurl --loglevel=1 "--config=$room/zurl.conf"
  fill pushpin.conf "$room/pushpin.conf" "INTERNAL=/usr/lib/pushpin/internal.conf" "PORT=$port" \
    "CONTROL=$control" "DIRECTORY=$room" "DESCRIPTORS=$DESCRIPTORS"
  launch "$room/pushpin.log" pushpin "--config=$room/pushpin.conf"
  # Both ways in: a client's request that is passed on, and a message that is handed over.
  await_answer "http://127.0.0.1:$port/ready" || return 1
  await_answer --data ready "http://127.0.0.1:$origin/publish" || return 1
  served_at "$port" "$origin"
}

version_pushpin() {
  pushpin --version | sed 's/^pushpin/Pushpin/; 1q'
}
