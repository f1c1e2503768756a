//! Layout of panels and legend on a page.

use super::pen::Pen;
use super::scale::Scale;
use super::text::TITLE;
use super::ticks::Ticks;
use super::{Axis, Chart, Curve, DECADES, HeatMap, Panel};
use super::{axes, curves, heat_map, legend, markers};
use kuva::render::render::{Scene, TextAnchor::Middle};

/// Vertices of all curves of a figure together; keeps the SVG near 250 kB.
const VERTICES: usize = 12_000;

/// The page with all panels in rows of `columns`, and the legend below them.
pub fn compose(panels: &[Panel], columns: usize) -> Scene {
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
    let keep = vertices_each(curves.clone());

    let mut pen = Pen::new(cell * columns as f64);
    for (panels, plans) in panels.chunks(columns).zip(plans.chunks(columns)) {
        let top = pen.scene.height + 62.0;
        for (k, (panel, [x, y])) in panels.iter().zip(plans).enumerate() {
            let left = cell * k as f64;
            let right = match panel {
                Panel::Chart(_) => 24.0,
                Panel::HeatMap(_) => 108.0,
            };
            let x = x.on(left + margin, left + cell - right);
            draw(&mut pen, panel, x, y.on(top + height, top), keep);
        }
        pen.scene.height = top + height + 60.0;
    }
    legend::draw(&mut pen, curves);
    pen.scene.height += 10.0;
    pen.scene
}

/// Draws one panel.
fn draw(pen: &mut Pen, panel: &Panel, x: Scale, y: Scale, keep: usize) {
    let (title, labels) = match panel {
        Panel::Chart(c) => (&c.title, [&*c.x.label, &c.y.label]),
        Panel::HeatMap(m) => (&m.title, [&*m.x, &m.y]),
    };
    let centre = ((x.start + x.end) / 2.0, y.end - 36.0);
    pen.text(centre, title, TITLE, x.end - x.start, Middle);
    axes::draw(pen, labels, x, y);
    match panel {
        Panel::Chart(chart) => {
            curves::draw(pen, chart, x, y, keep);
            markers::draw(pen, &chart.points, x, y);
        }
        Panel::HeatMap(map) => heat_map::draw(pen, map, x, y),
    }
}

/// Vertices that each line may keep; a band counts as two more lines.
fn vertices_each<'a>(curves: impl Iterator<Item = &'a Curve>) -> usize {
    let lines = |c: &Curve| if c.band.is_some() { 3 } else { 1 };
    let sizes: Vec<_> = curves.map(|c| (c.x.len(), lines(c))).collect();
    let total = |keep: usize| sizes.iter().map(|s| s.0.min(keep) * s.1).sum::<usize>();
    let mut keeps = [2000, 1500, 1000, 700, 500, 300, 200, 100].into_iter();
    keeps.find(|k| total(*k) <= VERTICES).unwrap_or(60)
}

/// Scales of a panel, still without a place on the page.
fn scales(panel: &Panel) -> [Scale; 2] {
    match panel {
        Panel::Chart(chart) => chart_scales(chart),
        Panel::HeatMap(map) => heat_map_scales(map),
    }
}

fn chart_scales(chart: &Chart) -> [Scale; 2] {
    let (curves, points) = (|| chart.curves.iter(), || chart.points.iter());
    let unit = |axis: &Axis, v: &f64| Scale::unit(axis.log, *v);
    let x = curves().flat_map(|c| &c.x).chain(points().map(|p| &p.x));
    let y = curves().flat_map(|c| &c.y).chain(points().map(|p| &p.y));
    let x = x.filter_map(|v| unit(&chart.x, v));
    let starts = curves().filter_map(|c| c.y.iter().find_map(|v| unit(&chart.y, v)));
    let most = match chart.y.cut {
        true => starts
            .reduce(f64::max)
            .map_or(f64::INFINITY, |start| start + DECADES),
        false => f64::INFINITY,
    };
    let y = y.filter_map(|v| unit(&chart.y, v)).filter(|u| *u <= most);
    // Mean less deviation may be next to nothing: on a log axis it must not choose the range.
    let least = y.clone().fold(f64::INFINITY, f64::min) - 0.7;
    let bands = curves().filter_map(|c| c.band.as_ref());
    let edges = bands.flat_map(|(low, high)| low.iter().chain(high));
    let edges = edges
        .filter_map(|v| unit(&chart.y, v))
        .filter(|u| *u <= most);
    let edges = edges.map(|u| if chart.y.log { u.max(least) } else { u });
    let margin = if chart.points.is_empty() { 0.0 } else { 0.06 };
    let x = Scale::new(chart.x.log, x, margin);
    let y = Scale {
        cut: chart.y.cut,
        ..Scale::new(chart.y.log, y.chain(edges), margin.max(0.04))
    };
    [x, y]
}

fn heat_map_scales(map: &HeatMap) -> [Scale; 2] {
    let shown = |v, otherwise| Scale::unit(false, v).unwrap_or(otherwise);
    [map.x_range, map.y_range].map(|(first, last)| {
        let ends = [shown(first, 0.0), shown(last, 1.0)];
        Scale::new(false, ends.into_iter(), 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_long_curves_keep_fewer_vertices() {
        let curve = Curve {
            x: vec![0.0; 100_000],
            ..Curve::default()
        };
        let each = |count| vertices_each(std::iter::repeat_n(&curve, count));
        assert_eq!([1, 8, 1000].map(each), [2000, 1500, 60]);
    }

    #[test]
    fn a_band_near_zero_does_not_choose_a_log_range() {
        let chart = Chart {
            y: Axis::log("loss"),
            curves: vec![Curve {
                x: vec![0.0, 1.0],
                y: vec![0.1, 1.0],
                band: Some((vec![1e-30, 0.5], vec![0.2, 2.0])),
                ..Curve::default()
            }],
            ..Chart::default()
        };
        let [_, y] = scales(&Panel::Chart(chart));
        assert!((-2.0..-1.0).contains(&y.low), "{}", y.low);
    }

    #[test]
    fn a_diverging_curve_does_not_choose_the_range() {
        let curve = |y: [f64; 4]| Curve {
            x: vec![0.0, 1.0, 2.0, 3.0],
            y: y.to_vec(),
            ..Curve::default()
        };
        let chart = |y| Chart {
            y,
            curves: vec![
                curve([0.9, 0.5, 6e139, f64::INFINITY]),
                curve([1.0, 1e-4, 1e-8, 1e-9]),
            ],
            ..Chart::default()
        };
        let [_, y] = scales(&Panel::Chart(chart(Axis::loss("test loss"))));
        assert!(y.low < -9.0 && y.high < 1.0, "{} to {}", y.low, y.high);
        assert!(y.is_above(6e139) && y.is_above(f64::INFINITY) && !y.is_above(0.5));
        assert_eq!((y.place(6e139), y.place(f64::NAN)), (None, None));
        assert!([0.9, 0.5, 1e-9].iter().all(|v| y.place(*v).is_some()));
        // A rise within three decades is shown.
        let risen = Chart {
            curves: vec![curve([1.0, 20.0, 900.0, 1.0])],
            ..chart(Axis::loss("test loss"))
        };
        let [_, y] = scales(&Panel::Chart(risen));
        assert!(y.place(900.0).is_some());
        let [_, y] = scales(&Panel::Chart(chart(Axis::log("test loss"))));
        assert!(y.high > 100.0 && y.place(6e139).is_some());
    }

    #[test]
    fn rows_add_to_the_height() {
        let panels = vec![Panel::Chart(Chart::default()); 3];
        let [row, column] = [3, 1].map(|columns| compose(&panels, columns));
        assert!(row.width > column.width);
        assert!(row.height < column.height);
    }
}
