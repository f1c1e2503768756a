//! Charts as plain data, written as SVG and PNG.
//!
//! The crate `kuva` supplies text, shapes and the two file formats. Axes, legend and dashes are
//! laid out here: its log axis stops at 1e-10, its legend swatch is too short to show a dash
//! pattern, and its PNG output restarts the pattern at every vertex and coarsens rotated text.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kuva::backend::{png::PngBackend, svg::SvgBackend};
use kuva::plot::colormap::ColorMap;
use kuva::render::color::Color;
use kuva::render::render::TextAnchor::{self, End, Middle, Start};
use kuva::render::render::{PathData, Primitive, Scene};

/// Curves and single points over common axes.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Heading above the panel; may be empty.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Lines, drawn in this order, each with an entry in the legend.
    pub curves: Vec<Curve>,
    /// Single points with their label beside them, drawn last.
    pub points: Vec<Marker>,
}

/// Label (with the unit) and kind of an axis.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// Quantity and unit, such as `time (s)`.
    pub label: String,
    /// Whether equal steps are equal ratios; values that are not positive are then left out.
    pub log: bool,
}

impl Axis {
    /// Axis with equal steps.
    pub fn linear(label: impl Into<String>) -> Self {
        let label = label.into();
        Self { label, log: false }
    }

    /// Axis in decades; shows at most the 20 decades below the largest value.
    pub fn log(label: impl Into<String>) -> Self {
        let label = label.into();
        Self { label, log: true }
    }
}

/// Line through `(x[i], y[i])`, in axis units; values that cannot be shown leave a gap.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// Name in the legend.
    pub label: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates, one for each abscissa.
    pub y: Vec<f64>,
    /// Lower and upper edge of a translucent band, one value for each abscissa.
    pub band: Option<(Vec<f64>, Vec<f64>)>,
    /// Index that fixes colour, dashes and symbol; eight differ in colour, 64 in all.
    pub style: usize,
}

/// Single labelled point, in axis units.
#[derive(Clone, Debug, Default)]
pub struct Marker {
    /// Text beside the point.
    pub label: String,
    /// Abscissa.
    pub x: f64,
    /// Ordinate.
    pub y: f64,
    /// Index that fixes colour and symbol, as for curves.
    pub style: usize,
}

/// Field over a rectangle as coloured cells; values of both signs get colours centred at zero.
#[derive(Clone, Debug, Default)]
pub struct HeatMap {
    /// Heading above the panel; may be empty.
    pub title: String,
    /// Label of the horizontal axis.
    pub x: String,
    /// Label of the vertical axis.
    pub y: String,
    /// First and last edge of the columns, in axis units.
    pub x_range: (f64, f64),
    /// First and last edge of the rows, in axis units.
    pub y_range: (f64, f64),
    /// Rows from the bottom up, of equal length; cells that are not finite stay grey.
    pub values: Vec<Vec<f64>>,
    /// Label (with the unit) of the colour bar.
    pub bar: String,
}

/// One cell of a figure.
#[derive(Clone, Debug)]
pub enum Panel {
    /// Curves and points.
    Chart(Chart),
    /// Coloured cells.
    HeatMap(HeatMap),
}

/// Writes `{folder}/{name}.svg` and `{folder}/{name}.png` (two pixels per unit) and returns their
/// paths; panels fill rows of `columns`. One legend serves all panels, so a style should mean the
/// same in each. Long curves are thinned for drawing; their extremes survive.
pub fn save(folder: &Path, name: &str, panels: &[Panel], columns: usize) -> Result<[PathBuf; 2]> {
    let paths = ["svg", "png"].map(|kind| folder.join(format!("{name}.{kind}")));
    ensure!(!panels.is_empty(), "no panels for {paths:?}");
    let Pen(mut scene) = compose(panels, columns.clamp(1, panels.len()));
    // Without a view box, browsers crop the figure where they should scale it.
    let view = format!("<svg viewBox=\"0 0 {} {}\" ", scene.width, scene.height);
    let svg = SvgBackend::new().render_scene(&scene);
    let svg = svg.replacen("<svg ", &view, 1);
    scene.elements = scene.elements.into_iter().flat_map(cut_dashes).collect();
    let png = PngBackend::new()
        .with_scale(2.0)
        .render_scene(&scene)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("drawing {}", paths[1].display()))?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for (path, bytes) in paths.iter().zip([svg.as_bytes(), &png]) {
        let draft = folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let written = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            fs::remove_file(&draft).ok();
        }
        written.with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(paths)
}

type Point = (f64, f64);

const TICK: f64 = 14.0;
const TEXT: f64 = 15.0;
const TITLE: f64 = 17.0;
const INK: &str = "#222222";
/// Vertices of all curves of a figure together; keeps the SVG near 250 kB.
const VERTICES: usize = 12_000;
/// Cells of a heat map along each side; larger fields are averaged over blocks.
const CELLS: usize = 96;

/// Okabe-Ito, the yellow darkened because the original is too faint on white.
const COLOURS: [&str; 8] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#B3A500",
];
const DASHES: [&str; 8] = [
    "",
    "9 4",
    "2.5 3.5",
    "11 4 2.5 4",
    "17 5",
    "5.5 3.5",
    "11 4 2 3 2 4",
    "17 4 6 4",
];
/// Corners, turn of the first one (in turns), inner radius of a star (1: none).
const SYMBOLS: [(u32, f64, f64); 8] = [
    (16, 0.0, 1.0),
    (4, 0.125, 1.0),
    (3, 0.75, 1.0),
    (4, 0.0, 1.0),
    (5, 0.75, 0.45),
    (3, 0.25, 1.0),
    (4, 0.125, 0.35),
    (4, 0.0, 0.35),
];

fn colour(style: usize) -> &'static str {
    COLOURS[style % 8]
}

/// Index of dashes and symbol: moves on when the colours begin again.
fn pattern(style: usize) -> usize {
    (style + style / 8) % 8
}

/// Axis range, in decades if `log`, mapped onto the pixels from `start` to `end`.
#[derive(Clone, Copy)]
struct Scale {
    log: bool,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    fn new(log: bool, units: impl Iterator<Item = f64>, margin: f64) -> Self {
        let wider = |(low, high): Point, u: f64| (low.min(u), high.max(u));
        let (mut low, mut high) = units.fold((f64::INFINITY, f64::NEG_INFINITY), wider);
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if log {
            low = low.max(high - 20.0);
        }
        let size = low.abs().max(high.abs());
        if high - low <= if log { 1e-6 } else { 1e-9 * size } {
            let half = if log || size == 0.0 { 0.5 } else { 0.1 * size };
            (low, high) = (low - half, high + half);
        }
        let pad = margin * (high - low);
        let (low, high, start, end) = (low - pad, high + pad, 0.0, 1.0);
        Self {
            log,
            low,
            high,
            start,
            end,
        }
    }

    fn on(self, start: f64, end: f64) -> Self {
        Self { start, end, ..self }
    }

    /// The value in axis units (decades if `log`), if it can be shown at all.
    fn unit(log: bool, value: f64) -> Option<f64> {
        let shown = value.abs() < 1e300 && (!log || value > 0.0);
        shown.then(|| if log { value.log10() } else { value })
    }

    fn pixel(&self, unit: f64) -> f64 {
        self.start + (self.end - self.start) * (unit - self.low) / (self.high - self.low)
    }

    fn place(&self, value: f64) -> Option<f64> {
        let unit = Self::unit(self.log, value).filter(|&u| u >= self.low)?;
        Some(self.pixel(unit))
    }

    /// Like `place`, but values below a log axis stand at its low end.
    fn clamp(&self, value: f64) -> Option<f64> {
        let floored = self.log && value.is_finite();
        self.place(value).or(floored.then_some(self.start))
    }
}

/// Labelled positions (axis units), faint ones, and a factor common to all labels.
#[derive(Default)]
struct Ticks {
    labelled: Vec<(f64, String)>,
    faint: Vec<f64>,
    factor: String,
}

impl Ticks {
    /// The densest ticks whose labels do not touch.
    fn new(scale: &Scale, upright: bool) -> Self {
        let fits = |labelled: &Vec<(f64, String)>| {
            labelled.windows(2).all(|pair| {
                let gap = (scale.pixel(pair[1].0) - scale.pixel(pair[0].0)).abs();
                let across = (width(&pair[0].1, TICK) + width(&pair[1].1, TICK)) / 2.0;
                gap > if upright { 1.8 * TICK } else { across + 14.0 }
            })
        };
        let most = (scale.end - scale.start).abs() / if upright { 45.0 } else { 70.0 };
        let counts = (1..=most as usize + 1).rev();
        let mut ticks = Self::default();
        if scale.log {
            ticks.faint = multiples(scale, 1, 2..=9).map(|m| m.0).collect();
            if scale.high - scale.low > 5.0 {
                ticks.faint = multiples(scale, 1, 1..=1).map(|m| m.0).collect();
            }
            let fine = multiples(scale, 1, [1, 2, 5]).map(|(u, v, s)| (u, number(v, s)));
            let fine = Some(fine.collect()).filter(|f: &Vec<_>| (3..9).contains(&f.len()));
            let coarse = [1, 2, 3, 5, 10].into_iter().map(|stride| {
                let label = |u: f64| (u, power_of_ten(u.round() as i32));
                multiples(scale, stride, [1]).map(|m| label(m.0)).collect()
            });
            let coarse = coarse.filter(|c: &Vec<_>| c.len() > 1);
            let even = counts.map(|count| {
                let ends = (10f64.powf(scale.low), 10f64.powf(scale.high));
                let (values, step) = even_steps(ends, count);
                let values = values.into_iter().filter(|v| *v > 0.0);
                values.map(|v| (v.log10(), number(v, step))).collect()
            });
            let mut all = fine.into_iter().chain(coarse).chain(even);
            ticks.labelled = all.find(fits).unwrap_or_default();
            return ticks;
        }
        let exponent = scale.low.abs().max(scale.high.abs()).log10().floor() as i32;
        let mut unit = 1.0;
        if !(-2..6).contains(&exponent) {
            unit = 10f64.powi(exponent);
            ticks.factor = format!("×{}", power_of_ten(exponent));
        }
        let labelled = |count| -> Vec<_> {
            let (values, step) = even_steps((scale.low, scale.high), count);
            let label = |v| (v, decimal(v / unit, step / unit));
            values.into_iter().map(label).collect()
        };
        ticks.labelled = counts.map(labelled).find(fits).unwrap_or_default();
        ticks
    }

    fn widest(&self) -> f64 {
        let widths = self.labelled.iter().map(|t| width(&t.1, TICK));
        widths.fold(0.0, f64::max)
    }
}

/// Position, value and power of ten of the multiples of every `stride`-th decade on a log axis.
fn multiples(
    scale: &Scale,
    stride: i32,
    of: impl IntoIterator<Item = i32> + Clone,
) -> impl Iterator<Item = (f64, f64, f64)> {
    let inside = scale.low - 1e-9..=scale.high + 1e-9;
    let decades = scale.low.floor() as i32..=scale.high.ceil() as i32;
    let decades = decades.filter(move |e| e % stride == 0);
    let all = decades.flat_map(move |e| of.clone().into_iter().map(move |m| (f64::from(m), e)));
    let all = all.map(|(m, e)| (m.log10() + f64::from(e), m * 10f64.powi(e), 10f64.powi(e)));
    all.filter(move |(unit, ..)| inside.contains(unit))
}

/// At most about `count` round values of a range, and the step between them.
fn even_steps((low, high): Point, count: usize) -> (Vec<f64>, f64) {
    let raw = (high - low) / count as f64;
    let power = 10f64.powf(raw.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
    let step = round.into_iter().find(|s| *s >= 0.999 * raw).unwrap_or(raw);
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let all = 0..=(last - first).clamp(-1.0, 50.0) as i64;
    (all.map(|k| (first + k as f64) * step).collect(), step)
}

/// A positive value, as a multiple of a power of ten unless it is of moderate size.
fn number(value: f64, step: f64) -> String {
    let exponent = (value.log10() + 1e-9).floor() as i32;
    if exponent.abs() <= 3 {
        return decimal(value, step);
    }
    let unit = 10f64.powi(exponent);
    match decimal(value / unit, step / unit).as_str() {
        "1" => power_of_ten(exponent),
        digits => format!("{digits}·{}", power_of_ten(exponent)),
    }
}

/// The value with as many digits as steps of this size need.
fn decimal(value: f64, step: f64) -> String {
    let digits = (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
    let nought = value.abs() < 1e-6 * step;
    let text = format!("{:.digits$}", if nought { 0.0 } else { value });
    text.replace('-', "−")
}

fn power_of_ten(exponent: i32) -> String {
    let raised = |c: char| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    let digits = exponent.to_string();
    std::iter::once('1')
        .chain(['0'])
        .chain(digits.chars().map(raised))
        .collect()
}

/// Estimated width in pixels, from rounded widths of the letters of DejaVu Sans.
fn width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '·' => 0.32,
        't' | 'f' | 'r' | ' ' | '(' | ')' | '-' => 0.41,
        '⁰'..='⁹' | '⁻' | '¹' | '²' | '³' => 0.41,
        's' | 'c' | 'z' | 'k' | 'v' | 'x' | 'y' | '–' => 0.58,
        'm' | 'w' | 'M' | 'W' | '−' | '+' | '=' | '×' | '→' => 0.90,
        c if c.is_uppercase() => 0.71,
        _ => 0.635,
    };
    size * text.chars().map(em).sum::<f64>()
}

/// Pixels of the curve, cut where values cannot be shown; one with very many gaps is joined up.
fn runs<T>(items: impl Iterator<Item = Option<T>>) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for item in items {
        match (item, runs.last_mut()) {
            (Some(item), Some(run)) => run.push(item),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    if runs.len() > 50 {
        runs = vec![runs.into_iter().flatten().collect()];
    }
    runs
}

/// How far along a line each vertex lies, from 0 to 1: half by horizontal travel, so that log
/// axes are served, and half by index, so that vertical strokes are.
fn shares(line: &[Point]) -> Vec<f64> {
    let steps = line.windows(2).map(|pair| (pair[1].0 - pair[0].0).abs());
    let travel = steps.clone().sum::<f64>().max(1e-9);
    let even = 1.0 / line.len().max(2).saturating_sub(1) as f64;
    let mut share = 0.0;
    let mut shares = vec![share; line.len().min(1)];
    shares.extend(steps.map(|step| {
        share += 0.5 * (step / travel + even);
        share
    }));
    shares
}

/// At most about `keep` vertices: both ends, and the extremes in x and y of every bucket. Smooth
/// lines have fewer distinct extremes, so finer buckets are tried first.
fn thin(line: &[Point], keep: usize) -> Vec<Point> {
    if line.len() <= keep.max(2) {
        return line.to_vec();
    }
    let shares = shares(line);
    let mut kept = Vec::new();
    for extremes in 2..=4 {
        kept = bucket_extremes(line, &shares, (keep / extremes).max(1));
        if kept.len() <= keep {
            break;
        }
    }
    kept.into_iter().map(|i| line[i]).collect()
}

fn bucket_extremes(line: &[Point], shares: &[f64], buckets: usize) -> Vec<usize> {
    let mut kept = vec![0, line.len() - 1];
    let mut start = 0;
    let bucket = |share: &f64| (share * buckets as f64 * 0.999_999) as usize;
    for group in shares.chunk_by(|a, b| bucket(a) == bucket(b)) {
        let range = start..start + group.len();
        start = range.end;
        for key in [|p: Point| p.0, |p: Point| p.1] {
            let by = |a: &usize, b: &usize| key(line[*a]).total_cmp(&key(line[*b]));
            kept.extend(range.clone().min_by(by));
            kept.extend(range.clone().max_by(by));
        }
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

/// Replaces a dashed line by its dashes, the pattern running on across vertices. PNG lines have
/// round ends, hence the shorter dashes.
fn cut_dashes(shape: Primitive) -> Vec<Primitive> {
    let (points, colour, width, dash) = match shape {
        Primitive::PolyLine {
            points,
            stroke,
            stroke_width,
            stroke_dasharray: Some(dash),
        } => (points, stroke, stroke_width, dash),
        other => return vec![other],
    };
    let lengths = dash.split(' ').filter_map(|n| n.parse::<f64>().ok());
    let rounded = lengths.zip([-width, width].into_iter().cycle());
    let pattern: Vec<f64> = rounded.map(|(n, cap)| (n + cap).max(0.2)).collect();
    let mut dashes = vec![vec![points[0]]];
    let (mut k, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
        let length = (bx - ax).hypot(by - ay);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let part = done / length;
            let cut = (ax + (bx - ax) * part, ay + (by - ay) * part);
            match dashes.last_mut() {
                Some(last) if k % 2 == 0 => last.push(cut),
                _ => dashes.push(vec![cut]),
            }
            k += 1;
            left = pattern[k % pattern.len()];
        }
        left -= length - done;
        if let (0, Some(last)) = (k % 2, dashes.last_mut()) {
            last.push((bx, by));
        }
    }
    let solid = |points| line(points, colour.clone(), width, "");
    dashes.into_iter().map(solid).collect()
}

fn line(points: Vec<Point>, stroke: Color, width: f64, dash: &str) -> Primitive {
    Primitive::PolyLine {
        points,
        stroke,
        stroke_width: width,
        stroke_dasharray: (!dash.is_empty()).then(|| dash.to_owned()),
    }
}

fn polygon(corners: impl IntoIterator<Item = Point>) -> String {
    let corners = corners.into_iter().map(|(x, y)| format!("{x:.1} {y:.1}"));
    format!("M{}Z", corners.collect::<Vec<_>>().join("L"))
}

struct Pen(Scene);

impl Pen {
    fn curve(&mut self, points: Vec<Point>, style: usize) {
        let dash = DASHES[pattern(style)];
        self.0.add(line(points, colour(style).into(), 1.8, dash));
    }

    fn rule(&mut self, from: Point, to: Point, colour: &str) {
        self.0.add(line(vec![from, to], colour.into(), 1.0, ""));
    }

    /// Fills an SVG path; a visible `edge` is white.
    fn fill(&mut self, d: String, colour: &str, opacity: f64, edge: f64) {
        self.0.add(Primitive::Path(Box::new(PathData {
            d,
            fill: Some(Color::from(colour)),
            stroke: Color::from(if edge > 0.0 { "white" } else { "none" }),
            stroke_width: edge,
            opacity: Some(opacity),
            stroke_dasharray: None,
        })));
    }

    fn symbol(&mut self, (x, y): Point, radius: f64, style: usize) {
        let (corners, turn, inner) = SYMBOLS[pattern(style)];
        let star = inner < 1.0;
        let (corners, radius) = if star {
            (2 * corners, 1.35 * radius)
        } else {
            (corners, radius)
        };
        let shape = polygon((0..corners).map(|k| {
            let angle = TAU * (turn + f64::from(k) / f64::from(corners));
            let reach = radius * if k % 2 == 1 { inner } else { 1.0 };
            (x + reach * angle.cos(), y + reach * angle.sin())
        }));
        self.fill(shape, colour(style), 1.0, 0.7);
    }

    /// Text on a baseline, smaller if it would be wider than `room`.
    fn text(&mut self, (x, y): Point, text: &str, size: f64, room: f64, anchor: TextAnchor) {
        let size = size * (room / width(text, size)).min(1.0);
        self.0.add(Primitive::Text {
            x,
            y,
            content: text.to_owned(),
            size: size.max(8.0) as u32,
            anchor,
            rotate: None,
            bold: false,
            color: Some(Color::from(INK)),
        });
    }

    /// Labels beside a vertical edge at `x`; `side` is -1 on the left and 1 on the right.
    fn upright_ticks(&mut self, ticks: &Ticks, scale: &Scale, x: f64, side: f64) {
        for (unit, label) in &ticks.labelled {
            let y = scale.pixel(*unit);
            self.rule((x, y), (x + 5.0 * side, y), INK);
            let (spot, anchor) = (
                (x + 8.0 * side, y + 5.0),
                if side > 0.0 { Start } else { End },
            );
            self.text(spot, label, TICK, 200.0, anchor);
        }
    }

    fn axes(&mut self, labels: [&str; 2], x: Scale, y: Scale) {
        let (along, up) = (Ticks::new(&x, false), Ticks::new(&y, true));
        let grid = |ticks: &Ticks| -> Vec<(f64, &str)> {
            let faint = ticks.faint.iter().map(|&u| (u, "#f0f0f0"));
            faint
                .chain(ticks.labelled.iter().map(|t| (t.0, "#d9d9d9")))
                .collect()
        };
        for (unit, colour) in grid(&along) {
            self.rule((x.pixel(unit), y.start), (x.pixel(unit), y.end), colour);
        }
        for (unit, colour) in grid(&up) {
            self.rule((x.start, y.pixel(unit)), (x.end, y.pixel(unit)), colour);
        }
        for (unit, label) in &along.labelled {
            let at = x.pixel(*unit);
            self.rule((at, y.start), (at, y.start + 5.0), INK);
            self.text((at, y.start + 21.0), label, TICK, 200.0, Middle);
        }
        self.upright_ticks(&up, &y, x.start, -1.0);
        self.rule((x.start, y.start), (x.start, y.end), INK);
        self.rule((x.start, y.start), (x.end, y.start), INK);
        let (room, above) = (x.end - x.start, y.end - 12.0);
        let below = (x.start + room / 2.0, y.start + 45.0);
        self.text(below, labels[0], TEXT, room - 90.0, Middle);
        self.text((x.start - 2.0, above), labels[1], TEXT, 0.65 * room, Start);
        self.text((x.end, y.start + 45.0), &along.factor, TICK, 80.0, End);
        self.text((x.start - 8.0, above), &up.factor, TICK, 80.0, End);
    }

    fn chart(&mut self, chart: &Chart, x: Scale, y: Scale, keep: usize) {
        for curve in &chart.curves {
            let Some((low, high)) = &curve.band else {
                continue;
            };
            let edges = curve.x.iter().zip(low.iter().zip(high));
            let runs = runs(edges.map(|(&at, (&low, &high))| {
                let at = x.place(at)?;
                Some(((at, y.clamp(low)?), (at, y.clamp(high)?)))
            }));
            let total: usize = runs.iter().map(Vec::len).sum();
            for run in runs {
                let part = (keep * run.len() / total).max(8);
                let (low, high): (Vec<_>, Vec<_>) = run.into_iter().unzip();
                let back = thin(&high, part).into_iter().rev();
                let shape = polygon(thin(&low, part).into_iter().chain(back));
                self.fill(shape, colour(curve.style), 0.2, 0.0);
            }
        }
        let mut marks = Vec::new();
        for curve in &chart.curves {
            let pixels = curve.x.iter().zip(&curve.y);
            let runs = runs(pixels.map(|(&a, &b)| Some((x.place(a)?, y.place(b)?))));
            let total: usize = runs.iter().map(Vec::len).sum();
            // Symbols of different styles are shifted against each other along the curves.
            let shift = (0.35 + 0.381_966 * curve.style as f64).fract();
            for run in runs {
                let line = thin(&run, (keep * run.len() / total).max(8));
                let slots = shares(&line)
                    .into_iter()
                    .map(|s| (6.0 * s + shift) as usize);
                let mut last = 0;
                for (point, slot) in line.iter().zip(slots) {
                    let next = slot > last && chart.curves.len() > 1;
                    if next || total <= 12 || line.len() == 1 {
                        marks.push((*point, curve.style));
                    }
                    last = slot;
                }
                self.curve(line, curve.style);
            }
        }
        for (point, style) in marks {
            self.symbol(point, 4.5, style);
        }
        for marker in &chart.points {
            let (Some(at), Some(height)) = (x.place(marker.x), y.place(marker.y)) else {
                continue;
            };
            self.symbol((at, height), 7.0, marker.style);
            let room = width(&marker.label, TICK);
            let left = if at + room + 14.0 > x.end {
                at - room - 12.0
            } else {
                at + 10.0
            };
            let base = if height - 24.0 < y.end {
                height + 21.0
            } else {
                height - 10.0
            };
            let (top, right) = (base - 13.0, left + room + 2.0);
            let shade = [
                (left - 2.0, top),
                (right, top),
                (right, top + 18.0),
                (left - 2.0, top + 18.0),
            ];
            let shade = polygon(shade);
            self.fill(shade, "white", 0.75, 0.0);
            self.text((left, base), &marker.label, TICK, room, Start);
        }
    }

    fn heat_map(&mut self, map: &HeatMap, x: Scale, y: Scale) {
        let (rows, columns) = (
            map.values.len(),
            map.values.iter().map(Vec::len).max().unwrap_or(0),
        );
        let (tall, wide) = (rows.div_ceil(CELLS).max(1), columns.div_ceil(CELLS).max(1));
        let mean = |rows: &[Vec<f64>], from: usize| {
            let cells = rows.iter().flat_map(|row| row.iter().skip(from).take(wide));
            let add = |(sum, count): Point, v: &f64| (sum + v, count + 1.0);
            let (sum, count) = cells.filter(|v| v.abs() < 1e300).fold((0.0, 0.0), add);
            sum / count
        };
        let row = |rows: &[Vec<f64>]| (0..columns).step_by(wide).map(|c| mean(rows, c)).collect();
        let cells: Vec<Vec<f64>> = map.values.chunks(tall).map(row).collect();

        let finite = cells.iter().flatten().copied().filter(|v| v.is_finite());
        let mut bar = Scale::new(false, finite, 0.0).on(y.start, y.end);
        let signed = bar.low < -0.05 * bar.high && bar.high > -0.05 * bar.low;
        let colours = if signed {
            ColorMap::RedBlue
        } else {
            ColorMap::Viridis
        };
        if signed {
            bar.high = bar.high.max(-bar.low);
            bar.low = -bar.high;
        }
        // Few enough shades that equal neighbours merge.
        let shade = |v: f64| match ((v - bar.low) / (bar.high - bar.low) * 64.0).round() / 64.0 {
            share if share.is_nan() => "#bbbbbb".into(),
            share if signed => colours.map(1.0 - share),
            share => colours.map(share),
        };
        // Whole pixels leave no seams; one path for each shade keeps the file small.
        let edge = |scale: &Scale, k: usize, of: usize| {
            let share = (k as f64 / of.max(1) as f64).min(1.0);
            (scale.start + (scale.end - scale.start) * share).round()
        };
        let mut paths: BTreeMap<String, String> = BTreeMap::new();
        for (r, row) in cells.iter().enumerate() {
            let (low, high) = (edge(&y, r * tall, rows), edge(&y, (r + 1) * tall, rows));
            let shades: Vec<String> = row.iter().map(|&v| shade(v)).collect();
            let mut c = 0;
            for run in shades.chunk_by(|a, b| a == b) {
                let from = edge(&x, c * wide, columns);
                c += run.len();
                let to = edge(&x, c * wide, columns);
                let path = paths.entry(run[0].clone()).or_default();
                path.push_str(&format!("M{from} {low}H{to}V{high}H{from}z"));
            }
        }
        for (shade, d) in paths {
            self.fill(d, &shade, 1.0, 0.0);
        }

        let left = (x.end + 16.0).round();
        for k in 0..64 {
            let (low, high) = (edge(&y, k, 64), edge(&y, k + 1, 64));
            let shade = shade(bar.low + (bar.high - bar.low) * (k as f64 + 0.5) / 64.0);
            self.fill(format!("M{left} {low}h14V{high}h-14z"), &shade, 1.0, 0.0);
        }
        let ticks = Ticks::new(&bar, true);
        self.upright_ticks(&ticks, &bar, left + 14.0, 1.0);
        let (right, below) = (x.end + 92.0, (left + 14.0, y.start + 21.0));
        self.text(below, &ticks.factor, TICK, 60.0, Start);
        let room = 0.5 * (right - x.start);
        self.text((right, y.end - 12.0), &map.bar, TEXT, room, End);
    }

    /// Draws the entries in centred rows at the foot of the page.
    fn legend(&mut self, entries: &[Entry]) {
        let room = self.0.width - 40.0;
        let columns = |count: usize| -> Vec<f64> {
            let all = |k| entries.iter().skip(k).step_by(count);
            let widths = |k| all(k).map(|e| width(e.0, TEXT) + 66.0);
            (0..count).map(|k| widths(k).fold(0.0, f64::max)).collect()
        };
        let mut rows = (1..=entries.len()).map(|rows| columns(entries.len().div_ceil(rows)));
        let fitting = rows.find(|columns| columns.iter().sum::<f64>() < room);
        let columns = fitting.unwrap_or_else(|| vec![room]);
        let left = 20.0 + (room - columns.iter().sum::<f64>()) / 2.0;
        let top = self.0.height + 10.0;
        for (k, &(label, style, band)) in entries.iter().enumerate() {
            let x = left + columns[..k % columns.len()].iter().sum::<f64>();
            let y = top + 1.5 * TEXT * ((k / columns.len()) as f64 + 0.5);
            if band {
                let shade = format!("M{x:.1} {:.1}h42v14h-42z", y - 7.0);
                self.fill(shade, colour(style), 0.2, 0.0);
            }
            self.curve(vec![(x, y), (x + 42.0, y)], style);
            self.symbol((x + 21.0, y), 4.5, style);
            self.text((x + 49.0, y + 5.0), label, TEXT, room - 50.0, Start);
            self.0.height = y + TEXT;
        }
    }
}

/// Label, style and presence of a band.
type Entry<'a> = (&'a str, usize, bool);

fn entries<'a>(curves: impl Iterator<Item = &'a Curve>) -> Vec<Entry<'a>> {
    let mut list: Vec<Entry> = Vec::new();
    for curve in curves.filter(|curve| !curve.label.is_empty()) {
        let entry: Entry = (&curve.label, curve.style, curve.band.is_some());
        match list.iter_mut().find(|e| (e.0, e.1) == (entry.0, entry.1)) {
            Some(known) => known.2 |= entry.2,
            None => list.push(entry),
        }
    }
    list
}

/// Scales of a panel, still without a place on the page.
fn scales(panel: &Panel) -> [Scale; 2] {
    let chart = match panel {
        Panel::Chart(chart) => chart,
        Panel::HeatMap(map) => {
            return [map.x_range, map.y_range].map(|(a, b)| {
                let ends =
                    [(a, 0.0), (b, 1.0)].map(|(v, other)| if v.abs() < 1e300 { v } else { other });
                Scale::new(false, ends.into_iter(), 0.0)
            });
        }
    };
    let (curves, points) = (|| chart.curves.iter(), || chart.points.iter());
    let unit = |axis: &Axis, v: &f64| Scale::unit(axis.log, *v);
    let x = curves().flat_map(|c| &c.x).chain(points().map(|p| &p.x));
    let y = curves().flat_map(|c| &c.y).chain(points().map(|p| &p.y));
    let x = x.filter_map(|v| unit(&chart.x, v));
    let y = y.filter_map(|v| unit(&chart.y, v));
    // Mean less deviation may be next to nothing: on a log axis it must not choose the range.
    let least = y.clone().fold(f64::INFINITY, f64::min) - 0.7;
    let bands = curves().filter_map(|c| c.band.as_ref());
    let edges = bands.flat_map(|(low, high)| low.iter().chain(high));
    let edges = edges.filter_map(|v| unit(&chart.y, v));
    let edges = edges.map(|u| if chart.y.log { u.max(least) } else { u });
    let margin = if chart.points.is_empty() { 0.0 } else { 0.06 };
    let x = Scale::new(chart.x.log, x, margin);
    [x, Scale::new(chart.y.log, y.chain(edges), margin.max(0.04))]
}

fn compose(panels: &[Panel], columns: usize) -> Pen {
    // Shown 700 pixels wide, a figure of up to three columns keeps letters about 9 pixels high.
    let sizes = [(700.0, 380.0), (470.0, 290.0), (370.0, 250.0)];
    let (cell, height) = sizes[columns.min(3) - 1];
    let plans: Vec<_> = panels.iter().map(scales).collect();
    let labels = plans
        .iter()
        .map(|[_, y]| Ticks::new(&y.on(height, 0.0), true).widest());
    let margin = 26.0 + labels.fold(24.0, f64::max);

    let curves = panels.iter().flat_map(|panel| match panel {
        Panel::Chart(chart) => &chart.curves[..],
        Panel::HeatMap(_) => &[],
    });
    let lines = |c: &Curve| if c.band.is_some() { 3 } else { 1 };
    let sizes: Vec<_> = curves.clone().map(|c| (c.x.len(), lines(c))).collect();
    let total = |keep: usize| sizes.iter().map(|s| s.0.min(keep) * s.1).sum::<usize>();
    let mut keeps = [2000, 1500, 1000, 700, 500, 300, 200, 100].into_iter();
    let keep = keeps.find(|k| total(*k) <= VERTICES).unwrap_or(60);

    let mut pen = Pen(Scene::new(cell * columns as f64, 0.0));
    pen.0.font_family = Some("DejaVu Sans, Verdana, Liberation Sans, Arial, sans-serif".into());
    for (panels, plans) in panels.chunks(columns).zip(plans.chunks(columns)) {
        let top = pen.0.height + 62.0;
        for (k, (panel, [x, y])) in panels.iter().zip(plans).enumerate() {
            let (left, y) = (cell * k as f64, y.on(top + height, top));
            let (title, labels, right) = match panel {
                Panel::Chart(c) => (&c.title, [&*c.x.label, &c.y.label], 24.0),
                Panel::HeatMap(m) => (&m.title, [&*m.x, &m.y], 108.0),
            };
            let x = x.on(left + margin, left + cell - right);
            let centre = ((x.start + x.end) / 2.0, top - 36.0);
            pen.text(centre, title, TITLE, x.end - x.start, Middle);
            pen.axes(labels, x, y);
            match panel {
                Panel::Chart(chart) => pen.chart(chart, x, y, keep),
                Panel::HeatMap(map) => pen.heat_map(map, x, y),
            }
        }
        pen.0.height = top + height + 60.0;
    }
    pen.legend(&entries(curves));
    pen.0.height += 10.0;
    pen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(log: bool, curves: Vec<Curve>) -> Panel {
        let y = Axis {
            label: "loss".into(),
            log,
        };
        Panel::Chart(Chart {
            x: Axis::linear("time (s)"),
            y,
            curves,
            ..Chart::default()
        })
    }

    fn curve(label: &str, y: &[f64]) -> Curve {
        Curve {
            label: label.into(),
            x: (0..y.len()).map(|k| k as f64).collect(),
            y: y.to_vec(),
            ..Curve::default()
        }
    }

    fn folder(name: &str) -> PathBuf {
        let unique = format!("hig-chart-{name}-{}", std::process::id());
        std::env::temp_dir().join(unique)
    }

    #[test]
    fn log_scale_leaves_out_what_has_no_logarithm() {
        let values = [1e-8, 0.0, -3.0, f64::NAN, f64::INFINITY, 1.0];
        let units = values.iter().filter_map(|v| Scale::unit(true, *v));
        let scale = Scale::new(true, units, 0.0);
        assert_eq!((scale.low, scale.high), (-8.0, 0.0));
        let shown = values.map(|v| scale.place(v).is_some());
        assert_eq!(shown, [true, false, false, false, false, true]);
        let pieces = runs(values.iter().map(|v| scale.place(*v)));
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn log_ticks_are_decades_or_round_values() {
        let labels = |low: f64, high: f64| -> Vec<String> {
            let ends = [low.log10(), high.log10()];
            let mut scale = Scale::new(true, ends.into_iter(), 0.0);
            (scale.start, scale.end) = (380.0, 0.0);
            let ticks = Ticks::new(&scale, true).labelled;
            ticks.into_iter().map(|t| t.1).collect()
        };
        let decades = labels(1e-8, 1.0);
        assert_eq!(decades.len(), 9);
        assert_eq!((&*decades[0], &*decades[8]), ("10⁻⁸", "10⁰"));
        assert_eq!(
            labels(1e-14, 1e-13),
            ["10⁻¹⁴", "2·10⁻¹⁴", "5·10⁻¹⁴", "10⁻¹³"]
        );
        assert_eq!(labels(0.1, 10.0)[..3], ["0.1", "0.2", "0.5"]);
        assert!(labels(0.31, 0.33).len() > 2);
    }

    #[test]
    fn linear_ticks_stay_exact_and_few() {
        for (low, high) in [(0.0, 1.0), (-3e-9, 7e-9), (1e6, 1e6 + 1.0), (-1e250, 1e299)] {
            let mut scale = Scale::new(false, [low, high].into_iter(), 0.0);
            (scale.start, scale.end) = (0.0, 600.0);
            let ticks = Ticks::new(&scale, false).labelled;
            assert!((2..12).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(
                ticks.iter().all(|t| (low..=high).contains(&t.0)),
                "{ticks:?}"
            );
        }
    }

    #[test]
    fn thinning_keeps_ends_and_spikes_and_never_grows() {
        let mut line: Vec<Point> = (0..100_000)
            .map(|k| (k as f64 * 0.006, 100.0 + (k as f64 * 0.7).sin()))
            .collect();
        line[33_333].1 = 250.0;
        line[77_777].1 = -40.0;
        let short = thin(&line, 800);
        assert!(short.len() <= 802, "{}", short.len());
        for kept in [line[0], line[99_999], line[33_333], line[77_777]] {
            assert!(short.contains(&kept));
        }
        for length in [0, 1, 2, 3, 50, 500] {
            for keep in [0, 1, 8, 100] {
                assert!(thin(&line[..length], keep).len() <= length);
            }
        }
    }

    #[test]
    fn dashes_run_on_across_vertices() {
        let points = (0..=100).map(|k| (f64::from(k), 0.0)).collect();
        let dashes = cut_dashes(Primitive::PolyLine {
            points,
            stroke: Color::None,
            stroke_width: 1.0,
            stroke_dasharray: Some("7 3".into()),
        });
        assert_eq!(dashes.len(), 10);
        let Primitive::PolyLine { points, .. } = &dashes[1] else {
            panic!("not a line");
        };
        assert_eq!((points[0].0, points[points.len() - 1].0), (10.0, 16.0));
    }

    #[test]
    fn saved_files_hold_every_label_and_stay_small() -> Result<()> {
        let folder = folder("labels");
        let names = [
            "Adam",
            "Gauss–Newton",
            "L-BFGS",
            "half-inverse",
            "a",
            "b",
            "c",
            "d",
        ];
        let noise = |k: usize| move |i: usize| 10f64.powf(((i * i + k) % 97) as f64 / 10.0 - 9.0);
        let curves = names.iter().enumerate().map(|(k, name)| {
            let y: Vec<f64> = (0..100_000).map(noise(k)).collect();
            let style = k;
            Curve {
                style,
                ..curve(name, &y)
            }
        });
        let panels = [chart(true, curves.collect())];
        let [svg, png] = save(&folder, "loss.v1", &panels, 1)?;
        let text = fs::read_to_string(&svg)?;
        for name in names {
            assert!(text.contains(&format!(">{name}<")), "{name}");
        }
        assert!(text.starts_with("<svg viewBox"));
        assert!(text.len() < 300_000, "{}", text.len());
        assert!(fs::read(&png)?.starts_with(b"\x89PNG\r\n\x1a\n"));
        assert_eq!(fs::read_dir(&folder)?.count(), 2);
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn degenerate_panels_are_drawn_without_panic() -> Result<()> {
        let folder = folder("degenerate");
        let nan = f64::NAN;
        let samples: [&[f64]; 9] = [
            &[],
            &[2.0],
            &[0.0],
            &[nan, nan],
            &[5.0, 5.0, 5.0],
            &[-1.0, nan, 1.0],
            &[1e-320, 1e308],
            &[f64::MAX, f64::MIN, f64::INFINITY],
            &[1.0, 1.0 + f64::EPSILON],
        ];
        let mut panels = vec![chart(true, Vec::new()), Panel::HeatMap(HeatMap::default())];
        for (k, y) in samples.iter().enumerate() {
            let band = Some((vec![nan; y.len()], vec![0.1; y.len() / 2]));
            let style = 7 + 9 * k;
            let odd = Curve {
                band,
                style,
                ..curve("odd", y)
            };
            panels.extend([true, false].map(|log| chart(log, vec![odd.clone()])));
            let values = vec![y.to_vec(), Vec::new(), vec![nan; 3]];
            let x_range = (nan, y.first().copied().unwrap_or(0.0));
            panels.push(Panel::HeatMap(HeatMap {
                values,
                x_range,
                ..HeatMap::default()
            }));
        }
        if let Panel::Chart(chart) = &mut panels[0] {
            chart.points = vec![Marker {
                label: "lost".into(),
                x: nan,
                y: 0.0,
                style: 3,
            }];
        }
        save(&folder, "all", &panels, 4)?;
        for panel in &panels {
            save(&folder, "one", std::slice::from_ref(panel), 0)?;
        }
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn errors_name_the_path() -> Result<()> {
        let blocked = folder("blocked");
        fs::write(&blocked, "a file, not a folder")?;
        let panels = [chart(false, vec![curve("a", &[1.0, 2.0])])];
        let error = save(&blocked, "x", &panels, 1).map_err(|e| e.to_string());
        assert!(error.is_err_and(|text| text.contains("hig-chart-blocked")));
        assert!(save(&blocked, "none", &[], 1).is_err());
        fs::remove_file(&blocked)?;
        Ok(())
    }
}
