//! One plot as a figure of a page: SVG that takes its colours from the page's style, and a legend.
//!
//! The drawing is small (400 units) so that its text can be read on a telephone; a page may enlarge it.

use super::super::findings::{Plot, Series};
use super::axis::Layout;
use super::html::escaped;
use super::number;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 260.0;
/// Room for what is named above and below, and for half of the last name on the right.
const TOP: f64 = 26.0;
const BOTTOM: f64 = 44.0;
const RIGHT: f64 = 26.0;
/// A digit at the size of the style sheet, with something to spare.
const DIGIT: f64 = 7.2;
/// Looks of lines in the style sheet: `s0` to `s7`.
const LOOKS: usize = 8;
/// A line of so few points shows each of them.
const DOTS_MAX: usize = 24;

/// Where the drawing's lines end.
struct Area {
    left: f64,
    x: Layout,
    y: Layout,
}

impl Area {
    fn of(plot: &Plot) -> Area {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let x = Layout::of(plot.x.scale, points().map(|&(x, _)| x));
        let y = Layout::of(plot.y.scale, points().map(|&(_, y)| y));
        let widest = y.ticks.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
        Area { left: 14.0 + DIGIT * widest as f64, x, y }
    }

    fn x(&self, value: f64) -> Option<f64> {
        self.x.position(value).map(|at| self.left + at * (WIDTH - RIGHT - self.left))
    }

    fn y(&self, value: f64) -> Option<f64> {
        self.y.position(value).map(|at| HEIGHT - BOTTOM - at * (HEIGHT - BOTTOM - TOP))
    }

    /// Where the points of a series lie, without those that cannot be shown or fall on the one before.
    fn places(&self, series: &Series) -> Vec<String> {
        let place = |&(x, y): &(f64, f64)| Some(format!("{:.1},{:.1}", self.x(x)?, self.y(y)?));
        let mut places: Vec<String> = series.points.iter().filter_map(place).collect();
        places.dedup();
        places
    }
}

/// `plot` as a `<figure>`; `id` is like no other on the page.
pub(super) fn figure(plot: &Plot, id: &str) -> String {
    let mut out = format!("<figure>\n<figcaption>{}</figcaption>\n", escaped(&plot.title));
    let area = Area::of(plot);
    let empty = plot.series.iter().all(|series| area.places(series).is_empty());
    if empty {
        out.push_str("<p>There is nothing to show.</p>\n</figure>\n");
        return out;
    }
    if plot.series.len() > 1 || plot.series[0].name != plot.title {
        push_legend(&mut out, plot);
    }
    out.push_str(&format!(
        "<svg role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
        escaped(&plot.title),
        escaped(&description(plot)),
    ));
    push_grid(&mut out, &area, plot);
    for (index, series) in plot.series.iter().enumerate() {
        push_series(&mut out, &area, series, index % LOOKS);
    }
    out.push_str("</svg>\n</figure>\n");
    out
}

fn push_legend(out: &mut String, plot: &Plot) {
    out.push_str("<ul class=\"legend\">\n");
    for (index, series) in plot.series.iter().enumerate() {
        out.push_str(&format!(
            "<li><svg aria-hidden=\"true\" viewBox=\"0 0 32 8\"><path class=\"line s{}\" d=\"M1 4H31\"/></svg>{}</li>\n",
            index % LOOKS,
            escaped(&series.name),
        ));
    }
    out.push_str("</ul>\n");
}

/// What the lines say, in words: where each of them begins and ends, and its highest point.
fn description(plot: &Plot) -> String {
    let mut out = format!("{} over {}.", plot.y.label, plot.x.label);
    for Series { name, points } in &plot.series {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            out.push_str(&format!(" {name}: no points."));
            continue;
        };
        let most = points.iter().map(|&(_, y)| y).fold(f64::NEG_INFINITY, f64::max);
        let [x0, y0, x1, y1, most] = [first.0, first.1, last.0, last.1, most].map(number);
        out.push_str(&format!(" {name}: {y0} at {x0}, {y1} at {x1}, at most {most}."));
    }
    out
}

fn push_grid(out: &mut String, area: &Area, plot: &Plot) {
    let (left, right, bottom) = (area.left, WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, name) in &area.y.ticks {
        let Some(y) = area.y(*value) else { continue };
        out.push_str(&format!(
            "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>\
             <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>\n",
            left - 6.0,
            y + 4.0,
        ));
    }
    for (value, name) in &area.x.ticks {
        let Some(x) = area.x(*value) else { continue };
        out.push_str(&format!(
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom:.1}\"/>\
             <text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{name}</text>\n",
            bottom + 16.0,
        ));
    }
    out.push_str(&format!(
        "<path class=\"axis\" d=\"M{left:.1} {TOP}V{bottom:.1}H{right:.1}\"/>\n\
         <text x=\"2\" y=\"12\">{}</text>\n\
         <text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        escaped(&plot.y.label),
        f64::midpoint(left, right),
        HEIGHT - 8.0,
        escaped(&plot.x.label),
    ));
}

fn push_series(out: &mut String, area: &Area, series: &Series, look: usize) {
    let places = area.places(series);
    out.push_str(&format!("<g class=\"s{look}\"><title>{}</title>", escaped(&series.name)));
    out.push_str(&format!("<polyline class=\"line s{look}\" points=\"{}\"/>", places.join(" ")));
    if places.len() <= DOTS_MAX {
        for place in &places {
            if let Some((x, y)) = place.split_once(',') {
                out.push_str(&format!("<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"2.5\"/>"));
            }
        }
    }
    out.push_str("</g>\n");
}

#[cfg(test)]
mod tests {
    use super::super::super::findings::{Axis, Scale};
    use super::*;

    fn plot(series: Vec<Series>) -> Plot {
        let axis = |label: &str| Axis { label: label.to_owned(), scale: Scale::Linear };
        Plot { title: "a < b".to_owned(), x: axis("seconds"), y: axis("bytes"), series }
    }

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec() }
    }

    #[test]
    fn points_lie_where_the_axes_say() {
        let plot = plot(vec![series("one", &[(0.0, 0.0), (10.0, 100.0), (20.0, 50.0)])]);
        let area = Area::of(&plot);
        let places = area.places(&plot.series[0]);
        let left = 14.0 + 3.0 * DIGIT;
        let want = [
            format!("{left:.1},216.0"),
            format!("{:.1},{TOP:.1}", f64::midpoint(left, WIDTH - RIGHT)),
            format!("{:.1},121.0", WIDTH - RIGHT),
        ];
        assert_eq!(places, want);
    }

    #[test]
    fn points_that_cannot_be_shown_are_passed_over() {
        let points = [(0.0, f64::NAN), (1.0, 2.0), (1.0, 2.000_001), (f64::INFINITY, 1.0)];
        let plot = plot(vec![series("one", &points)]);
        assert_eq!(Area::of(&plot).places(&plot.series[0]).len(), 1);
        assert!(!figure(&plot, "p").contains("NaN"));
    }

    #[test]
    fn a_figure_says_in_words_what_it_shows() {
        let text = figure(&plot(vec![series("x & y", &[(0.0, 1.0), (5.0, 3.0)])]), "p");
        assert!(text.contains("<figcaption>a &lt; b</figcaption>"), "{text}");
        assert!(text.contains("aria-labelledby=\"p-title p-desc\""), "{text}");
        let desc = "bytes over seconds. x &amp; y: 1 at 0, 3 at 5, at most 3.";
        assert!(text.contains(desc), "{text}");
        assert!(text.contains("</svg>x &amp; y</li>"), "{text}");
        assert_eq!(text.matches("<circle").count(), 2);
    }

    #[test]
    fn a_figure_without_points_says_so() {
        for lines in [vec![], vec![series("one", &[])], vec![series("one", &[(f64::NAN, 1.0)])]] {
            let text = figure(&plot(lines), "p");
            assert!(text.contains("There is nothing to show."), "{text}");
            assert!(!text.contains("<svg"), "{text}");
        }
    }

    #[test]
    fn each_line_has_its_look_and_looks_come_again() {
        let many = (0..LOOKS + 1).map(|_| series("one", &[(1.0, 1.0)])).collect();
        let text = figure(&plot(many), "p");
        assert_eq!(text.matches("<polyline class=\"line s0\"").count(), 2);
        assert_eq!(text.matches("<polyline class=\"line s7\"").count(), 1);
    }
}
