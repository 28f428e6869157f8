//! What the help of each scenario shows to begin with.

pub(super) const BENCH: &str = "\
Examples:
  tidings bench fanout                                10,000 SSE subscribers, 5 messages a second
  tidings bench fanout --outstanding 16 --wire websocket --server-flag='--workers 1'
                                                      as fast as possible, 16 publishes under way
  tidings bench fanout --wire sse,websocket --report fanout.html
  tidings bench idle --json > idle.json
  tidings bench fanout --url http://127.0.0.1:8080 --server-pid $(pidof tidings)
                                                      a server that runs already
  tidings bench fanout --target nchan --url http://127.0.0.1:80 --server-pid $(cat /run/nginx.pid)
  tidings bench fanout --wire sse --subscribe-url http://127.0.0.1:3000/events \\
      --publish-url http://127.0.0.1:3000/publish     any server that takes a POST and streams it on

Without a URL a server is started for the time of the measurement, and its CPU and memory are part
of the result. `tidings bench SCENARIO --help` says what each one does; docs/bench.md what each
figure means.";

pub(super) const IDLE: &str = "\
Examples:
  tidings bench idle                                  all wires, 2,000 to 15,000 connections
  tidings bench idle --wire websocket -n 19000 --duration 60";

pub(super) const CONNECT: &str = "\
Examples:
  tidings bench connect --wire sse,websocket
  tidings bench connect -n 19000 --server-flag='--workers 1'";

pub(super) const FANOUT: &str = "\
Examples:
  tidings bench fanout --rate 20 --duration 30        open loop: what users would feel
  tidings bench fanout --outstanding 1                closed loop: what a delivery costs
  tidings bench fanout --outstanding 16 --wire sse,websocket -n 19000 --report fanout.html";

pub(super) const PUBLISH: &str = "\
Examples:
  tidings bench publish -n 1000                       alone, and with 1,000 subscribers
  tidings bench publish --way pipelined --outstanding 64 --size 1000";

pub(super) const TOPICS: &str = "\
Examples:
  tidings bench topics --topics 1,1000,1000000
  tidings bench topics --topics 100000 --active 10000 -n 10000";

pub(super) const HERD: &str = "\
Examples:
  tidings bench herd -n 15000
  tidings bench herd --behind 1000 --wire sse,long-poll
  tidings bench herd --url http://127.0.0.1:3000 --target plain --server-pid 17 \\
      --restart-command './restart && cat server.pid'";

pub(super) const FAIRNESS: &str = "\
Examples:
  tidings bench fairness
  tidings bench fairness --small-rate 500 --outstanding 16
  taskset -c 1 tidings bench fairness --server-cpus 0 --server-flag='--workers 1'";

pub(super) const COMPARE: &str = "\
Examples:
  tidings bench compare --write comparison.md
  tidings bench compare --rate 0.2 --duration 60 --short-poll 1,5,30";
