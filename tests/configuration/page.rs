//! `--no-page`.

use crate::support::*;

#[test]
fn without_the_page_the_client_and_health_remain() {
    let server = Server::start(&["--no-page"]);
    for path in ["/", "/page.js", "/page.css", "/page/lane.js"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(answer.text().contains("--no-page"), "{path}: {answer:?}");
    }
    for path in ["/tidings.js", "/healthz", "/metrics"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(Server::start(&["--no-page=false"]).get("/").status, 200);
}
