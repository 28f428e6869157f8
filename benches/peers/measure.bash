# What is measured of each server, and in which order. Sourced by `run`.
#
# A row is a server and a wire. All rows are gone through once in each repeat, so that what disturbs the
# machine for a while disturbs all of them. Each time the server is started anew and goes through the parts
# below in this order: memory first, while nothing was used and freed yet; the many messages before the
# few, so that a just-in-time compiler has seen them.

REPEATS=3
SUBSCRIBERS=10000
# Memory is the slope between these two.
FEW=2000
SECONDS_EACH=2
MESSAGE_BYTES=200
RESULTS=$TOOLS/results

# With two processors or more, the servers have one to themselves, and the generator another.
# shellcheck disable=SC2034 # servers.bash reads it.
ON_SERVER_CORE=()
ON_GENERATOR_CORE=()
if (($(nproc) > 1)) && command -v taskset >/dev/null; then
  # shellcheck disable=SC2034
  ON_SERVER_CORE=(taskset --cpu-list 0)
  ON_GENERATOR_CORE=(taskset --cpu-list 1)
fi

# The rows: SERVER:WIRE.
rows() {
  local row
  for row in tidings:websocket uwebsockets:websocket bun:websocket nchan:websocket ws:websocket \
    pushpin:websocket tidings:sse nchan:sse ws:sse pushpin:sse; do
    if wants "${row%:*}"; then printf '%s\n' "$row"; fi
  done
}

# subscribers_of SERVER: how many, and between which two memory is measured. Pushpin's proxy process ends when
# 10,000 subscribers have come and gone a few times.
subscribers_of() {
  if [[ $1 == pushpin && $SUBSCRIBERS -gt 2000 ]]; then echo 2000 500; else echo "$SUBSCRIBERS $FEW"; fi
}

# How many are on their way to being answered: Pushpin answers 502 to what is more than about a hundred.
connecting_to() {
  if [[ $1 == pushpin ]]; then echo 32; else echo 256; fi
}

# Nanoseconds of CPU that the server's processes have used.
server_cpu() {
  local process sum=0 used _
  for process in $(tree "$SERVER_PID"); do
    while read -r used _; do sum=$((sum + used)); done < <(cat "/proc/$process"/task/*/schedstat)
  done 2>/dev/null
  echo "$sum"
}

# Until the server has done with the subscribers of the part before: two looks with little work between.
await_rest() {
  local before after deadline=$((SECONDS + 20))
  after=$(server_cpu)
  while ((SECONDS < deadline)); do
    before=$after
    sleep 0.1
    after=$(server_cpu)
    if ((after - before < 3000000)); then return 0; fi
  done
}

# part SERVER WIRE NAME REPEAT SCENARIO FLAG...: one run of the load generator; a failure leaves no file.
part() {
  local server=$1 wire=$2 name=$3 repeat=$4 scenario=$5 file=$RESULTS/$1.$2.$3.$4.json
  shift 5
  local subscribers
  read -r subscribers _ < <(subscribers_of "$server")
  await_rest
  # In the background, as a signal to this script is only noticed while it waits by `wait`.
  timeout 180 "${ON_GENERATOR_CORE[@]}" "$TIDINGS_BIN" bench "$scenario" --json --quiet \
    --subscribe-url "$wire=$SUBSCRIBE_URL" --publish-url "$PUBLISH_URL" \
    --server-pid "$SERVER_PID" --wire "$wire" --subscribers "$subscribers" \
    --connecting "$(connecting_to "$server")" "$@" \
    >"$file.part" 2>"$file.errors" &
  STARTED+=("$!")
  local status=0
  wait "$!" || status=$?
  unset 'STARTED[-1]'
  if ((status)); then
    printf '%s, %s, %s: no figure: %s\n' "$server" "$wire" "$name" "$(tail -n 1 "$file.errors")" >&2
    return 0
  fi
  mv "$file.part" "$file"
}

# row SERVER WIRE REPEAT
row() {
  local server=$1 wire=$2 repeat=$3 few
  read -r _ few < <(subscribers_of "$server")
  say "$server, $wire, repeat $repeat of $REPEATS"
  start "$server"
  part "$server" "$wire" idle "$repeat" idle --few "$few" --duration 0.1
  part "$server" "$wire" connect "$repeat" connect
  part "$server" "$wire" sixteen "$repeat" fanout --size "$MESSAGE_BYTES" --outstanding 16 \
    --publishers 16 --duration "$SECONDS_EACH"
  part "$server" "$wire" pipelined "$repeat" fanout --size "$MESSAGE_BYTES" --outstanding 16 \
    --publishers 1 --duration "$SECONDS_EACH"
  part "$server" "$wire" one "$repeat" fanout --size "$MESSAGE_BYTES" --outstanding 1 \
    --duration "$SECONDS_EACH"
  stop_all
}

measure() {
  if [[ $QUICK == yes ]]; then REPEATS=1 SUBSCRIBERS=4000 FEW=1000 SECONDS_EACH=1; fi
  rm -rf "$RESULTS"
  mkdir -p "$RESULTS"
  local server repeat row count version
  for server in $SERVERS; do
    read -r count _ < <(subscribers_of "$server")
    version=$("version_$server")
    if ((count < SUBSCRIBERS)); then version+=" ($count subscribers)"; fi
    printf '%s\t%s\n' "$server" "$version" >>"$RESULTS/versions"
  done
  for ((repeat = 1; repeat <= REPEATS; repeat++)); do
    for row in $(rows); do row "${row%:*}" "${row#*:}" "$repeat"; done
  done
  say "the table: $SUBSCRIBERS subscribers, $MESSAGE_BYTES bytes, $REPEATS repeats; details in $RESULTS"
  "$TOOLS/node.bin" "$HERE/table.mjs" "$RESULTS"
}
