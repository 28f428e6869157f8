//! Resources of the server's own: health, the page that shows it at work, and its client.

use super::Connection;
use super::browser_client;
use super::context::Context;
use super::problem::DRAINING;
use super::respond;
use super::route::{Exchange, Page};
use crate::topic::Topics;
use crate::wire::http1::Status;

/// The page asks nothing of any other host, and runs nothing that is not in its own files.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// The type of scripts.
const SCRIPT: &str = "text/javascript; charset=utf-8";

impl Connection {
    /// Answers a request for one of the server's own resources.
    pub(super) fn answer_page<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        page: Page,
    ) {
        let text = "text/plain; charset=utf-8";
        let (status, content_type, body): (_, _, &'static str) = match page {
            Page::Health => (Status::OK, text, "ok\n"),
            Page::Ready if context.draining => {
                return self.refuse(context, exchange, &DRAINING);
            }
            Page::Ready => (Status::OK, text, "ready\n"),
            Page::Index => {
                (Status::OK, "text/html; charset=utf-8", include_str!("../page/index.html"))
            }
            Page::Script => (Status::OK, SCRIPT, include_str!("../page/page.js")),
            Page::Style => {
                (Status::OK, "text/css; charset=utf-8", include_str!("../page/page.css"))
            }
            Page::Client => (Status::OK, SCRIPT, browser_client::MODULE),
            Page::ClassicClient => (Status::OK, SCRIPT, browser_client::CLASSIC),
            Page::ClientShare => (Status::OK, SCRIPT, browser_client::SHARE),
            Page::ClientTypes => {
                (Status::OK, "application/typescript; charset=utf-8", browser_client::TYPES)
            }
        };
        let exchange = self.settled(context, exchange);
        self.outbox.write(|out| {
            let mut head = respond::begin_head(out, context, &exchange, status)
                .field("Content-Type", content_type)
                .field("Cache-Control", "no-cache")
                .field("X-Content-Type-Options", "nosniff");
            if page == Page::Index {
                head = head.field("Content-Security-Policy", CONTENT_SECURITY_POLICY);
            }
            // Any page may have the client; what it may do with it is up to the origins' rule.
            if matches!(page, Page::Client | Page::ClientShare) {
                head = head.field("Access-Control-Allow-Origin", "*");
            }
            head.field_integer("Content-Length", body.len() as u64).end();
        });
        if !exchange.head_only {
            self.outbox.push_static(body.as_bytes());
        }
        self.finish(context, exchange);
    }
}
