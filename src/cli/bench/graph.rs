//! Graphs of what a bench measured, as SVG: a few lines over two axes, readable without colours.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Room for the axes' labels: left, right, above, below.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const ABOVE: f64 = 40.0;
const BELOW: f64 = 52.0;
/// Colours that differ in brightness too (after Okabe and Ito), each with dashes of its own.
const STYLES: [(&str, &str); 6] = [
    ("#0072b2", ""),
    ("#d55e00", "7 3"),
    ("#009e73", "2 3"),
    ("#cc79a7", "9 3 2 3"),
    ("#000000", "4 4"),
    ("#e69f00", "12 4"),
];
/// A logarithmic axis begins at this share of the greatest value at the earliest.
const LEAST_RATIO: f64 = 1e-5;
/// Points that a line is drawn with at most.
const MAX_POINTS: usize = 400;

/// How the values of an axis lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// By their differences, from 0 on.
    Linear,
    /// By their ratios; what is not above zero is left out.
    Logarithmic,
}

/// One line of a graph.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// What it is, for the legend.
    pub(super) name: String,
    /// Its points, by rising x.
    pub(super) points: Vec<(f64, f64)>,
}

impl Series {
    /// Draws which share of `values` is at most x, in per cent.
    pub(super) fn distribution(name: &str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let count = values.len().max(1) as f64;
        let points = values
            .into_iter()
            .enumerate()
            .map(|(at, value)| (value, (at + 1) as f64 * 100.0 / count));
        Self {
            name: name.to_owned(),
            points: points.collect(),
        }
    }

    /// The points to draw: the first, the last, and so many between.
    fn thinned(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let step = self.points.len().div_ceil(MAX_POINTS).max(1);
        let last = self.points.len().saturating_sub(1);
        let points = self.points.iter().enumerate();
        points
            .filter(move |(at, _)| at % step == 0 || *at == last)
            .map(|(_, point)| *point)
    }
}

/// A graph: lines over two axes.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// What stands above it.
    pub(super) title: String,
    /// What the x axis measures, with its unit.
    pub(super) x: &'static str,
    /// What the y axis measures, with its unit.
    pub(super) y: &'static str,
    /// How the x axis runs; the y axis is linear and begins at 0.
    pub(super) scale: Scale,
    /// The lines.
    pub(super) series: Vec<Series>,
}

impl Graph {
    /// Writes the graph to a file.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.to_svg())
            .with_context(|| format!("cannot write the graph {}", path.display()))
    }

    /// Draws the graph.
    pub(super) fn to_svg(&self) -> String {
        let axes = Axes::around(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        text(&mut svg, (WIDTH / 2.0, 22.0), "middle", &self.title);
        axes.draw(&mut svg);
        text(&mut svg, (WIDTH / 2.0, HEIGHT - 12.0), "middle", self.x);
        let (x, y) = (16.0, HEIGHT / 2.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">{}\
             </text>",
            escaped(self.y)
        );
        for (number, (series, style)) in self.series.iter().zip(STYLES.iter().cycle()).enumerate() {
            axes.draw_line(&mut svg, series, *style);
            legend(&mut svg, number, &series.name, *style);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// What part of the plane is shown.
struct Axes {
    scale: Scale,
    x: (f64, f64),
    y_max: f64,
}

impl Axes {
    fn around(graph: &Graph) -> Self {
        let points = graph.series.iter().flat_map(|series| &series.points);
        let shown = |x: f64| graph.scale == Scale::Linear || x > 0.0;
        let (mut low, mut high, mut top) = (f64::INFINITY, f64::NEG_INFINITY, 0.0_f64);
        for (x, y) in points.filter(|(x, _)| shown(*x)) {
            (low, high, top) = (low.min(*x), high.max(*x), top.max(*y));
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        low = low.max(high * LEAST_RATIO);
        let x = match graph.scale {
            Scale::Linear => (0.0, rounded_up(high)),
            Scale::Logarithmic => (
                10_f64.powf(low.log10().floor()),
                10_f64.powf(high.log10().ceil().max(low.log10().floor() + 1.0)),
            ),
        };
        Self {
            scale: graph.scale,
            x,
            y_max: rounded_up(top),
        }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let along = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(self.x.0).log10(),
        };
        let (low, high) = (along(self.x.0), along(self.x.1));
        let across = (along(x) - low) / (high - low).max(f64::MIN_POSITIVE);
        let up = y / self.y_max.max(f64::MIN_POSITIVE);
        (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BELOW - up * (HEIGHT - ABOVE - BELOW),
        )
    }

    fn draw(&self, svg: &mut String) {
        for x in self.x_ticks() {
            let (at, bottom) = self.place((x, 0.0));
            rule(svg, (at, ABOVE), (at, bottom));
            text(svg, (at, bottom + 16.0), "middle", &label(x));
        }
        for part in 0..=5 {
            let y = self.y_max * f64::from(part) / 5.0;
            let (left, at) = self.place((self.x.0, y));
            rule(svg, (left, at), (WIDTH - RIGHT, at));
            text(svg, (left - 6.0, at + 4.0), "end", &label(y));
        }
    }

    fn x_ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => (0..=5)
                .map(|part| self.x.0 + (self.x.1 - self.x.0) * f64::from(part) / 5.0)
                .collect(),
            Scale::Logarithmic => {
                let (from, to) = (self.x.0.log10().round(), self.x.1.log10().round());
                (from as i32..=to as i32)
                    .map(|power| 10_f64.powi(power))
                    .collect()
            }
        }
    }

    fn draw_line(&self, svg: &mut String, series: &Series, (colour, dashes): (&str, &str)) {
        let shown = |(x, _): &(f64, f64)| self.scale == Scale::Linear || *x > 0.0;
        let mut points = String::new();
        for point in series.thinned().filter(shown) {
            let (x, y) = self.place(point);
            let _ = write!(points, "{x:.1},{y:.1} ");
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dashes}\"/>",
            points.trim_end()
        );
    }
}

fn legend(svg: &mut String, number: usize, name: &str, (colour, dashes): (&str, &str)) {
    // Below on the right: where distributions are not.
    let y = HEIGHT - BELOW - 14.0 - 18.0 * number as f64;
    let (from, to) = (WIDTH - RIGHT - 190.0, WIDTH - RIGHT - 158.0);
    let _ = writeln!(
        svg,
        "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" stroke=\"{colour}\" \
         stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>"
    );
    text(svg, (to + 8.0, y + 4.0), "start", name);
}

fn rule(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    );
}

fn escaped(words: &str) -> String {
    let words = words.replace('&', "&amp;");
    words.replace('<', "&lt;").replace('>', "&gt;")
}

/// The next of 1, 2, 5, 10, … that is not below a value.
fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0].into_iter();
    let found = steps.map(|step| step * power).find(|step| *step >= value);
    found.unwrap_or(10.0 * power)
}

/// A value with as many places as its size calls for.
fn label(value: f64) -> String {
    let places = match value.abs() {
        size if size == 0.0 || size >= 10.0 => 0,
        size if size >= 1.0 => 1,
        size if size >= 0.1 => 2,
        size if size >= 0.001 => 3,
        _ => 5,
    };
    let written = format!("{value:.places$}");
    match written.contains('.') {
        true => written
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        false => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(scale: Scale, values: Vec<f64>) -> String {
        let series = vec![Series::distribution("a < b", values)];
        let graph = Graph {
            title: "How late".to_owned(),
            x: "ms",
            y: "%",
            scale,
            series,
        };
        graph.to_svg()
    }

    /// The points of the first line.
    fn points(svg: &str) -> Vec<(f64, f64)> {
        let line = svg.split("points=\"").nth(1).unwrap();
        let points = line.split('"').next().unwrap().split_whitespace();
        let parse = |point: &str| {
            let (x, y) = point.split_once(',').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        };
        points.map(parse).collect()
    }

    #[test]
    fn a_distribution_rises_from_left_to_right_within_its_axes() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let values = (1..=5_000).map(|n| f64::from(n) / 100.0).rev().collect();
            let svg = graph(scale, values);
            let points = points(&svg);
            assert!((2..=MAX_POINTS + 1).contains(&points.len()));
            for pair in points.windows(2) {
                assert!(pair[0].0 <= pair[1].0 && pair[0].1 >= pair[1].1);
            }
            let within = |(x, y): &(f64, f64)| {
                (LEFT..=WIDTH - RIGHT).contains(x) && (ABOVE..=HEIGHT - BELOW).contains(y)
            };
            assert!(points.iter().all(within));
            assert_eq!(points.last().unwrap().1, ABOVE, "it ends at all of them");
            assert!(svg.contains("a &lt; b"));
        }
    }

    #[test]
    fn what_was_not_measured_gives_an_empty_graph() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let svg = graph(scale, Vec::new());
            assert!(svg.contains("points=\"\"") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn labels_are_as_long_as_they_need_to_be() {
        let labels = [0.0, 0.001, 0.25, 1.5, 2.0, 20.0, 100.0].map(label);
        assert_eq!(labels, ["0", "0.001", "0.25", "1.5", "2", "20", "100"]);
        assert_eq!([3.0, 0.07, 100.0].map(rounded_up), [5.0, 0.1, 100.0]);
    }
}
