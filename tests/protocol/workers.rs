//! Connections over the workers: not a clause of the contract, but what makes several threads worth having.

use crate::support::{Server, family};

#[test]
fn attack_227_new_connections_end_up_evenly_spread_over_the_workers() {
    for workers in [2, 4] {
        let server = Server::start_with_workers(workers, &[]);
        let streams: Vec<_> = (0..80).map(|_| server.event_stream("/topics/a")).collect();
        let text = server.get("/metrics").text();
        let counts: Vec<u64> = (0..workers)
            .map(|worker| format!("tidings_worker_connections{{worker=\"{worker}\"}}"))
            .map(|name| family(&text, &name).unwrap())
            .collect();
        // The kernel's hash alone would leave them 10 apart and more; a handover is allowed to wait until
        // the difference is clear.
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 4, "{workers} workers: {counts:?}");
        assert_eq!(streams.len(), 80);
    }
}
