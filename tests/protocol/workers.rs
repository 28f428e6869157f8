//! Connections over the workers: not a clause of the contract, but what makes several threads worth having.

use crate::support::Server;

#[test]
fn new_connections_end_up_evenly_spread_over_the_workers() {
    for workers in [2, 4] {
        let server = Server::start_with_workers(workers, &[]);
        let streams: Vec<_> = (0..80).map(|_| server.event_stream("/topics/a")).collect();
        let counts = || -> Vec<u64> {
            (0..workers)
                .map(|worker| {
                    server.metric(&format!("tidings_worker_connections{{worker=\"{worker}\"}}"))
                })
                .collect()
        };
        // The kernel's hash alone would leave them 10 apart and more; a handover is allowed to wait until
        // the difference is clear.
        let (least, most) = (counts().into_iter().min(), counts().into_iter().max());
        assert!(most.unwrap() - least.unwrap() <= 4, "{workers} workers: {:?}", counts());
        assert_eq!(streams.len(), 80);
    }
}
