//! The files that are part of the server: the page at `/`, and the browser client.

use super::browser_client;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Where it is served.
    pub path: &'static str,
    pub content_type: &'static str,
    pub text: &'static str,
    /// Whether it is of the page at `/`, and served under the page's policy; the client is not.
    pub of_the_page: bool,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

const fn page(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File { path, content_type, text, of_the_page: true }
}

const fn client(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File { path, content_type, text, of_the_page: false }
}

static FILES: [File; 17] = [
    page("/", "text/html; charset=utf-8", include_str!("../page/index.html")),
    page("/page.css", "text/css; charset=utf-8", include_str!("../page/page.css")),
    page("/page.js", SCRIPT, include_str!("../page/page.js")),
    page("/page/ledger.js", SCRIPT, include_str!("../page/ledger.js")),
    page("/page/seat.js", SCRIPT, include_str!("../page/seat.js")),
    page("/page/lane.js", SCRIPT, include_str!("../page/lane.js")),
    page("/page/timeline.js", SCRIPT, include_str!("../page/timeline.js")),
    page("/page/slow.js", SCRIPT, include_str!("../page/slow.js")),
    page("/page/feed.js", SCRIPT, include_str!("../page/feed.js")),
    page("/page/chat.js", SCRIPT, include_str!("../page/chat.js")),
    page("/page/log.js", SCRIPT, include_str!("../page/log.js")),
    page("/page/progress.js", SCRIPT, include_str!("../page/progress.js")),
    page("/page/job.js", SCRIPT, include_str!("../page/job.js")),
    client("/tidings.js", SCRIPT, browser_client::MODULE),
    client("/tidings.classic.js", SCRIPT, browser_client::CLASSIC),
    client("/tidings-share.js", SCRIPT, browser_client::SHARE),
    client("/tidings.d.ts", "application/typescript; charset=utf-8", browser_client::TYPES),
];

/// The file that is served at a path.
pub(super) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_host() {
        for file in FILES.iter().filter(|file| file.of_the_page) {
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{}", file.path);
        }
    }

    #[test]
    fn what_the_page_imports_is_there() {
        for file in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            for line in file.text.lines().filter(|line| line.starts_with("import ")) {
                let name = line.rsplit('\'').nth(1).expect("a path in quotes");
                let (folder, _) = file.path.rsplit_once('/').expect("paths begin with a slash");
                let path = match name.strip_prefix("../") {
                    Some(name) => format!("/{name}"),
                    None => format!("{folder}/{}", name.trim_start_matches("./")),
                };
                assert!(find(&path).is_some(), "{} imports {name}", file.path);
            }
        }
    }
}
