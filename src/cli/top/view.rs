//! Two looks at a server as lines of text, for a screen of any size.

use super::scrape::{Numbers, Snapshot, Subscriber, Topic};

/// A look at a server, and the one before it.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) url: &'a str,
    pub(super) before: Option<&'a Snapshot>,
    pub(super) now: &'a Snapshot,
    /// Why there is nothing newer.
    pub(super) trouble: Option<&'a str>,
}

/// How something is shown where there are colours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Tone {
    Strong,
    Quiet,
    Bad,
}

impl Tone {
    fn paint(self, text: &str, has_color: bool) -> String {
        let code = match self {
            Self::Strong => "1",
            Self::Quiet => "2",
            Self::Bad => "1;31",
        };
        if has_color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A name and a value, `bad` if it wants to be looked at.
struct Item {
    name: &'static str,
    value: String,
    is_bad: bool,
}

fn item(name: &'static str, value: String) -> Item {
    Item { name, value, is_bad: false }
}

fn item_if(name: &'static str, value: String, is_bad: bool) -> Item {
    Item { name, value, is_bad }
}

/// A column of a table: its head, its width, and whether it is to the right. The last takes what is left.
type Column = (&'static str, usize, bool);

impl View<'_> {
    /// At most `height` lines of at most `width` columns.
    pub(super) fn lines(&self, width: usize, height: usize, has_color: bool) -> Vec<String> {
        let mut lines = vec![self.title(width, has_color)];
        if let Some(trouble) = self.trouble {
            lines.push(Tone::Bad.paint(&fit(&format!("no news: {trouble}"), width), has_color));
        }
        for group in self.groups() {
            lines.extend(flow(&group, width, has_color));
        }
        // A blank line and two of heads for each table.
        let rows = height.saturating_sub(lines.len() + 6);
        let topics = rows.div_ceil(2).max(1);
        lines.push(String::new());
        lines.extend(self.topics(topics, width, has_color));
        lines.push(String::new());
        lines.extend(self.subscribers((rows / 2).max(1), width, has_color));
        lines.truncate(height);
        lines
    }

    fn title(&self, width: usize, has_color: bool) -> String {
        let numbers = &self.now.numbers;
        let version = numbers.each("tidings_build_info").next().map_or("?", |(version, _)| version);
        let workers = numbers.each("tidings_worker_connections").count();
        let title = format!("tidings {version} at {}, {workers} workers", self.url);
        Tone::Strong.paint(&fit(&title, width), has_color)
    }

    /// How much a counter has grown in a second.
    fn rate(&self, family: &str) -> f64 {
        let Some(before) = self.before else { return 0.0 };
        let seconds = self.now.at.duration_since(before.at).as_secs_f64().max(0.001);
        // A server that was started anew counts from 0.
        (self.now.numbers.sum(family) - before.numbers.sum(family)).max(0.0) / seconds
    }

    fn groups(&self) -> Vec<Vec<Item>> {
        let numbers = &self.now.numbers;
        let per_second = |family: &str| format!("{}/s", count(self.rate(family)));
        let bytes_per_second = |family: &str| format!("{}/s", bytes(self.rate(family)));
        let refused = self.rate("tidings_refusals_total");
        let gaps = self.rate("tidings_gaps_total");
        let mut connections = vec![item("connections", count(numbers.sum("tidings_connections")))];
        for (name, wire) in WIRES {
            let wires = numbers.each("tidings_wire_connections");
            let value = wires.filter(|(label, _)| *label == wire).map(|(_, value)| value).sum();
            connections.push(item(name, count(value)));
        }
        connections.push(item("opened", per_second("tidings_connections_opened_total")));
        connections.push(item("closed", per_second("tidings_connections_closed_total")));
        let messages = vec![
            item("published", per_second("tidings_messages_published_total")),
            item("", bytes_per_second("tidings_published_bytes_total")),
            item("delivered", per_second("tidings_messages_delivered_total")),
            item("", bytes_per_second("tidings_delivered_bytes_total")),
            item_if("gaps", format!("{}/s", count(gaps)), gaps > 0.0),
            item("to the last, 99 %", self.quantile("tidings_publish_to_last_write_seconds")),
        ];
        let traffic = vec![
            item("requests", per_second("tidings_requests_total")),
            item_if("refused", format!("{}/s", count(refused)), refused > 0.0),
            item("read", bytes_per_second("tidings_bytes_read_total")),
            item("written", bytes_per_second("tidings_bytes_written_total")),
            item("topics", count(numbers.sum("tidings_topics"))),
            item("behind", count(numbers.sum("tidings_lagging_subscriptions"))),
        ];
        let mut groups = vec![connections, messages, traffic, self.machine(numbers)];
        groups.extend(self.redis(numbers));
        groups
    }

    /// What carries the topics between servers, if anything does.
    fn redis(&self, numbers: &Numbers) -> Option<Vec<Item>> {
        let is_up = numbers.each("tidings_redis_up").next()?.1 > 0.0;
        let away = seconds(numbers.sum("tidings_redis_away_seconds"));
        let per_second = |family: &str| format!("{}/s", count(self.rate(family)));
        let (lost, holes) = ("tidings_redis_connections_lost_total", "tidings_redis_holes_total");
        let mut items = vec![
            item_if("redis", if is_up { "up".to_owned() } else { format!("away {away}") }, !is_up),
            item("connections", count(numbers.sum("tidings_redis_connections"))),
            item("publishes", per_second("tidings_redis_publishes_total")),
            item("in flight", count(numbers.sum("tidings_redis_in_flight"))),
            item("heard", per_second("tidings_redis_messages_heard_total")),
            item("channels", count(numbers.sum("tidings_redis_channels"))),
        ];
        for (name, family) in [("connections lost", lost), ("holes", holes)] {
            let rate = self.rate(family);
            if rate > 0.0 {
                items.push(item_if(name, format!("{}/s", count(rate)), true));
            }
        }
        Some(items)
    }

    fn machine(&self, numbers: &Numbers) -> Vec<Item> {
        let lag = numbers.most("tidings_worker_loop_lag_seconds");
        let panics = numbers.sum("tidings_worker_restarts_total");
        let busy = self.rate("tidings_worker_busy_seconds_total");
        let mut items = vec![
            item_if("loop lag", seconds(lag), lag > 0.25),
            item("busy", format!("{:.2} cores", busy)),
            item("memory", bytes(numbers.sum("process_resident_memory_bytes"))),
            item("logs", bytes(numbers.sum("tidings_log_bytes"))),
            item("outboxes", bytes(numbers.sum("tidings_outbox_bytes"))),
        ];
        let (open, most) = (numbers.sum("process_open_fds"), numbers.sum("process_max_fds"));
        if open > 0.0 {
            let value = format!("{} of {}", count(open), count(most));
            items.push(item_if("descriptors", value, open > 0.9 * most));
        }
        if panics > 0.0 {
            items.push(item_if("panics", count(panics), true));
        }
        items
    }

    fn quantile(&self, family: &str) -> String {
        let before = self.before.map(|before| &before.numbers);
        let value = before.and_then(|before| self.now.numbers.quantile(before, family, 0.99));
        value.map_or_else(|| "-".to_owned(), |value| format!("<{}", seconds(value)))
    }

    fn topics(&self, rows: usize, width: usize, has_color: bool) -> Vec<String> {
        let columns: &[Column] = if width < 60 {
            &[("in 10 s", 8, true), ("listen", 7, true), ("hottest topics", 0, false)]
        } else {
            &[
                ("in 10 s", 8, true),
                ("listen", 8, true),
                ("lag", 8, true),
                ("bytes", 8, true),
                ("hottest topics", 0, false),
            ]
        };
        let cells = |topic: &Topic| {
            let listening = count(topic.subscribers.values().sum::<u64>() as f64);
            let recent = count(topic.recent as f64);
            let name = topic.topic.clone();
            if width < 60 {
                vec![recent, listening, name]
            } else {
                vec![recent, listening, count(topic.lag as f64), bytes(topic.bytes as f64), name]
            }
        };
        let topics = self.now.topics.iter().take(rows).map(cells).collect();
        table(columns, topics, width, has_color)
    }

    fn subscribers(&self, rows: usize, width: usize, has_color: bool) -> Vec<String> {
        let columns: &[Column] = if width < 72 {
            &[("lag", 8, true), ("wire", 9, false), ("slowest subscribers", 0, false)]
        } else {
            &[
                ("lag", 8, true),
                ("queued", 8, true),
                ("age", 8, true),
                ("wire", 9, false),
                ("id", 12, false),
                ("slowest subscribers", 0, false),
            ]
        };
        let cells = |one: &Subscriber| {
            let (lag, wire) = (count(one.lag as f64), one.wire.clone());
            let name = format!("{} {}", one.peer, one.topics.join(","));
            if width < 72 {
                vec![lag, wire, name]
            } else {
                let (queued, age) = (bytes(one.outbox_bytes as f64), seconds(one.age as f64));
                vec![lag, queued, age, wire, one.id.clone(), name]
            }
        };
        let connections = self.now.connections.iter().take(rows).map(cells).collect();
        table(columns, connections, width, has_color)
    }
}

/// Wires as they are shown and as they are labelled.
const WIRES: [(&str, &str); 5] = [
    ("idle", "idle"),
    ("poll", "poll"),
    ("sse", "sse"),
    ("ndjson", "ndjson"),
    ("websocket", "websocket"),
];

/// Items side by side, on as many lines as it takes.
fn flow(items: &[Item], width: usize, has_color: bool) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for Item { name, value, is_bad } in items {
        let space = if used == 0 { 0 } else { 2 };
        let gap = usize::from(!name.is_empty());
        let length = name.chars().count() + gap + value.chars().count();
        if used > 0 && used + space + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        let space = if used == 0 { 0 } else { 2 };
        let tone = if *is_bad { Tone::Bad } else { Tone::Strong };
        line += &" ".repeat(space);
        if length <= width {
            line += &Tone::Quiet.paint(name, has_color);
            line += &" ".repeat(gap);
            line += &tone.paint(value, has_color);
        } else {
            line += &fit(&format!("{name} {value}"), width);
        }
        used += space + length.min(width);
    }
    lines.push(line);
    lines
}

fn table(columns: &[Column], rows: Vec<Vec<String>>, width: usize, has_color: bool) -> Vec<String> {
    let heads = columns.iter().map(|(head, ..)| (*head).to_owned()).collect();
    let mut lines = vec![Tone::Quiet.paint(&row(columns, heads, width), has_color)];
    if rows.is_empty() {
        lines.push(Tone::Quiet.paint(&fit("       -", width), has_color));
    }
    lines.extend(rows.into_iter().map(|cells| row(columns, cells, width)));
    lines
}

fn row(columns: &[Column], cells: Vec<String>, width: usize) -> String {
    let mut line = String::new();
    for ((_, wide, is_right), cell) in columns.iter().zip(cells) {
        let cell = if *wide == 0 { cell } else { fit(&cell, *wide) };
        let blank = " ".repeat(wide.saturating_sub(cell.chars().count()));
        if *is_right {
            line += &(blank + &cell);
        } else {
            line += &(cell + &blank);
        }
        line += "  ";
    }
    fit(line.trim_end(), width)
}

/// At most `width` characters of a text, none of which moves the cursor.
fn fit(text: &str, width: usize) -> String {
    let visible = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    let length = text.chars().count();
    let mut fitting: String = text.chars().take(width).map(visible).collect();
    if length > width && width > 0 {
        fitting.pop();
        fitting.push('…');
    }
    fitting
}

/// `7`, `1204`, `82.3k`, `1.2M`.
fn count(value: f64) -> String {
    scaled(value, 1_000.0, ["", "k", "M", "G", "T"])
}

/// `7 B`, `1.2 KiB` as `1.2K`.
fn bytes(value: f64) -> String {
    scaled(value, 1_024.0, ["B", "K", "M", "G", "T"])
}

fn scaled(value: f64, step: f64, units: [&str; 5]) -> String {
    if value > 0.0 && value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.1}{}", units[0]);
    }
    if value < 10.0 * step {
        return format!("{value:.0}{}", units[0]);
    }
    let (mut value, mut unit) = (value / step, 1);
    while value >= 1_000.0 && unit < 4 {
        value /= step;
        unit += 1;
    }
    let digits = usize::from(value < 100.0);
    format!("{value:.digits$}{}", units[unit])
}

/// `0.3 ms`, `12 ms`, `1.2 s`, `3 h`.
fn seconds(value: f64) -> String {
    match value {
        value if value < 0.01 => format!("{:.1} ms", value * 1_000.0),
        value if value < 1.0 => format!("{:.0} ms", value * 1_000.0),
        value if value < 10.0 => format!("{value:.1} s"),
        value if value < 600.0 => format!("{value:.0} s"),
        value if value < 36_000.0 => format!("{:.0} min", value / 60.0),
        value if value < 864_000.0 => format!("{:.0} h", value / 3_600.0),
        value => format!("{:.0} d", value / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let counts = [0.0, 0.4, 7.0, 9_999.0, 10_000.0, 82_310.0, 123_456.0, 1_200_000.0];
        let shown = counts.map(count);
        assert_eq!(shown, ["0", "0.4", "7", "9999", "10.0k", "82.3k", "123k", "1.2M"]);
        let sizes = [0.0, 512.0, 10_239.0, 10_240.0, 1_572_864.0, 5e12];
        assert_eq!(sizes.map(bytes), ["0B", "512B", "10239B", "10.0K", "1.5M", "4.5T"]);
        let times = [0.0003, 0.012, 1.25, 90.0, 7_200.0, 90_000.0, 900_000.0];
        assert_eq!(
            times.map(seconds),
            ["0.3 ms", "12 ms", "1.2 s", "90 s", "120 min", "25 h", "10 d"]
        );
    }

    #[test]
    fn nothing_is_wider_than_the_screen_and_nothing_moves_the_cursor() {
        assert_eq!(fit("a\x1b[2Jb\n", 9), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("abc", 0), "");
        let items = [item("name", "value".to_owned()), item_if("more", "x".repeat(30), true)];
        for width in 0..60 {
            for line in flow(&items, width, false) {
                assert!(line.chars().count() <= width, "{width}: {line:?}");
            }
        }
        let columns: [Column; 2] = [("n", 5, true), ("name", 0, false)];
        let rows = vec![vec!["123456789".to_owned(), "y".repeat(50)]];
        for width in 0..60 {
            for line in table(&columns, rows.clone(), width, false) {
                assert!(line.chars().count() <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn colours_are_there_when_they_are_wanted() {
        assert_eq!(Tone::Bad.paint("x", false), "x");
        assert_eq!(Tone::Bad.paint("x", true), "\x1b[1;31mx\x1b[0m");
    }
}
