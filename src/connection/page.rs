//! Resources of the server's own: health, the page that shows it at work, and its client.

use std::borrow::Cow;

use super::Connection;
use super::context::Context;
use super::problem::DRAINING;
use super::readiness::{Readiness, WAITING};
use super::respond;
use super::route::{Exchange, Page};
use crate::topic::Topics;
use crate::wire::http1::Status;

/// The page asks nothing of any other host, and runs nothing that is not in its own files.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; worker-src 'self'; img-src 'self' data:; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

impl Connection {
    /// Answers a request for one of the server's own resources.
    pub(super) fn answer_page<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        page: Page,
    ) {
        let text = "text/plain; charset=utf-8";
        let entrance = self.entrance();
        let (status, content_type, body): (_, _, Cow<'static, str>) = match page {
            Page::Health => (Status::OK, text, "ok\n".into()),
            Page::Ready if context.draining => {
                return self.refuse(context, exchange, &DRAINING);
            }
            Page::Ready if *context.readiness == Readiness::Waiting => {
                return self.refuse(context, exchange, &WAITING);
            }
            Page::Ready => {
                let is_operator = entrance.serves_operator(context.config);
                let body = context.readiness.text(context.now.instant, is_operator);
                (Status::OK, text, body.into())
            }
            // Shown by whoever reads Markdown, and as text by everybody else.
            Page::Errors => {
                let errors = include_str!("../../docs/errors.md");
                (Status::OK, "text/markdown; charset=utf-8", errors.into())
            }
            Page::File(file) => (Status::OK, file.content_type, file.text.into()),
        };
        let exchange = self.settled(context, exchange);
        self.outbox.write(|out| {
            let mut head = respond::begin_head(out, context, &exchange, status)
                .field("Content-Type", content_type)
                .field("Cache-Control", "no-cache")
                .field("X-Content-Type-Options", "nosniff");
            if let Page::File(file) = page {
                head = if file.of_the_page {
                    head.field("Content-Security-Policy", CONTENT_SECURITY_POLICY)
                } else {
                    // Any page may have the client; what it may do with it is up to the origins' rule.
                    head.field("Access-Control-Allow-Origin", "*")
                };
            }
            head.field_integer("Content-Length", body.len() as u64).end();
        });
        if !exchange.head_only {
            match body {
                Cow::Borrowed(body) => self.outbox.push_static(body.as_bytes()),
                Cow::Owned(body) => self.outbox.write(|out| out.extend_from_slice(body.as_bytes())),
            }
        }
        self.finish(context, exchange);
    }
}
