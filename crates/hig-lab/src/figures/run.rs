//! The figures of a run.

use crate::experiment::Experiment;
use crate::experiment::Finished;
use crate::experiment::recorder::PROBE;
use crate::figures::chart::{self, Axis, Chart, Curve, HeatMap, Marker, Panel};
use crate::figures::styles;
use anyhow::Result;
use hig::systems::Picture;
use hig::systems::picture::{Field, Lines};
use std::path::{Path, PathBuf};

/// Draws everything there is to see of a run; returns the files.
pub fn draw(experiment: &Experiment, finished: &[Finished], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    files.extend(chart::save(folder, "loss", &loss(finished), 2)?);
    let panels = saturation(finished);
    if !panels.is_empty() {
        files.extend(chart::save(folder, "saturation", &panels, 2)?);
    }
    if experiment.problem.objective.rows(1) == 2 {
        let panel = path(experiment, finished);
        files.extend(chart::save(folder, "path", &[panel], 1)?);
    }
    let panels = pictures(experiment, finished);
    if let Some((columns, panels)) = panels {
        files.extend(chart::save(folder, "sample", &panels, columns)?);
    }
    Ok(files)
}

/// Each training with the style of its name.
fn styled(finished: &[Finished]) -> Vec<(usize, &Finished)> {
    let names: Vec<&str> = finished.iter().map(|f| f.name.as_str()).collect();
    styles::of_labels(&names)
        .into_iter()
        .zip(finished)
        .collect()
}

/// Test loss, and what else the system measures, over wall-clock time and over updates. The weights that
/// were returned are marked where they are not the last.
fn loss(finished: &[Finished]) -> Vec<Panel> {
    let mut panels = over_time_and_updates(finished, &Axis::loss("test loss"), |f| {
        f.curves.history.test_loss.clone()
    });
    let series: [fn(&Finished) -> &Vec<f64>; 2] =
        [|f| &f.curves.history.seconds, |f| &f.curves.history.updates];
    for (panel, x) in panels.iter_mut().zip(series) {
        let Panel::Chart(chart) = panel else { continue };
        for (style, f) in styled(finished) {
            let outcome = &f.outcome;
            let earlier = outcome.returned != outcome.updates;
            let place = f.curves.history.place(outcome.returned).filter(|_| earlier);
            let x = place.and_then(|place| x(f).get(place).copied());
            chart.points.extend(x.map(|x| Marker {
                label: format!("{} returned", f.name),
                x,
                y: outcome.test_loss,
                style,
            }));
        }
    }
    let first = finished
        .first()
        .and_then(|f| f.curves.observed.measures.first());
    for (i, (name, _)) in first.into_iter().flatten().enumerate() {
        let label = name.replace('_', " ");
        panels.extend(over_time_and_updates(finished, &Axis::log(label), |f| {
            f.curves.observed.measures.iter().map(|m| m[i].1).collect()
        }));
    }
    panels
}

fn over_time_and_updates(
    finished: &[Finished],
    quantity: &Axis,
    values: impl Fn(&Finished) -> Vec<f64>,
) -> Vec<Panel> {
    let panel = |title: &str, axis: Axis, x: fn(&Finished) -> &Vec<f64>| {
        let mut points = Vec::new();
        let mut curves = Vec::new();
        for (style, f) in styled(finished) {
            let (x, y) = (x(f).clone(), values(f));
            for (place, method) in &f.curves.changes {
                points.push(Marker {
                    label: format!("{method} goes on"),
                    x: x[*place],
                    y: y[*place],
                    style,
                });
            }
            curves.push(Curve {
                label: f.name.clone(),
                x,
                y,
                band: None,
                style,
            });
        }
        Panel::Chart(Chart {
            title: title.into(),
            x: axis,
            y: quantity.clone(),
            curves,
            points,
        })
    };
    vec![
        panel(
            "over wall-clock time",
            Axis::linear("training time (s)"),
            |f| &f.curves.history.seconds,
        ),
        panel("over updates", Axis::log("updates"), |f| {
            &f.curves.history.updates
        }),
    ]
}

/// Mean of |activation| with a band of one standard deviation, a panel a method, where the network
/// can saturate.
fn saturation(finished: &[Finished]) -> Vec<Panel> {
    let known = |f: &Finished| f.curves.observed.saturation.iter().any(|v| v.is_finite());
    let panel = |(style, f): (usize, &Finished)| {
        let c = &f.curves;
        let edge = |sign: f64| {
            let pairs = c
                .observed
                .saturation
                .iter()
                .zip(&c.observed.saturation_deviation);
            pairs.map(|(m, d)| m + sign * d).collect()
        };
        Panel::Chart(Chart {
            title: format!("{}: saturation of neurons", f.name),
            x: Axis::log("updates"),
            y: Axis::linear("mean and standard deviation of |activation|"),
            curves: vec![Curve {
                label: f.name.clone(),
                x: c.history.updates.clone(),
                y: c.observed.saturation.clone(),
                band: Some((edge(-1.0), edge(1.0))),
                style,
            }],
            points: Vec::new(),
        })
    };
    let of_all = styled(finished).into_iter();
    of_all.filter(|(_, f)| known(f)).map(panel).collect()
}

/// The way of one test sample's y from start to target.
fn path(experiment: &Experiment, finished: &[Finished]) -> Panel {
    let target = &experiment.problem.test.target;
    let mut points = vec![Marker {
        label: "target".into(),
        x: target[(PROBE, 0)],
        y: target[(PROBE, 1)],
        style: styles::of_place(0),
    }];
    if let Some(start) = finished
        .first()
        .and_then(|f| f.curves.observed.probe.first())
    {
        points.push(Marker {
            label: "start".into(),
            x: start[0],
            y: start[1],
            style: styles::of_place(1),
        });
    }
    // A diverged method would shrink all others to a point.
    let near = |y: &&Vec<f64>| y.iter().all(|v| v.abs() < 2.0);
    let curve = |(style, f): (usize, &Finished)| {
        let visible: Vec<&Vec<f64>> = f.curves.observed.probe.iter().filter(near).collect();
        Curve {
            label: f.name.clone(),
            x: visible.iter().map(|y| y[0]).collect(),
            y: visible.iter().map(|y| y[1]).collect(),
            band: None,
            style,
        }
    };
    Panel::Chart(Chart {
        title: "one input on its way through the space of y".into(),
        x: Axis::linear("y₁"),
        y: Axis::linear("y₂"),
        curves: styled(finished).into_iter().map(curve).collect(),
        points,
    })
}

/// The system's own pictures of one test sample, a row of panels for each method.
fn pictures(experiment: &Experiment, finished: &[Finished]) -> Option<(usize, Vec<Panel>)> {
    let mut columns = 0;
    let mut panels = Vec::new();
    for f in finished {
        let system = &experiment.system;
        let pictures = system.pictures(&experiment.problem, &f.parameters, PROBE);
        columns = pictures.len();
        let mut style = 0;
        for picture in pictures {
            panels.push(match picture {
                Picture::Lines(lines) => {
                    let first = style;
                    style += lines.lines.len();
                    line_panel(&f.name, lines, first)
                }
                Picture::Field(field) => field_panel(&f.name, field),
            });
        }
    }
    (!panels.is_empty()).then_some((columns, panels))
}

fn line_panel(method: &str, picture: Lines, first_style: usize) -> Panel {
    let lines = picture.lines.into_iter().enumerate();
    let points = picture.points.into_iter().enumerate();
    Panel::Chart(Chart {
        title: format!("{method}: {}", picture.title),
        x: Axis::linear(picture.x),
        y: Axis::linear(picture.y),
        curves: lines
            .map(|(i, (label, x, y))| Curve {
                label,
                x,
                y,
                band: None,
                style: first_style + i,
            })
            .collect(),
        points: points
            .map(|(style, (label, x, y))| Marker { label, x, y, style })
            .collect(),
    })
}

fn field_panel(method: &str, field: Field) -> Panel {
    Panel::HeatMap(HeatMap {
        title: format!("{method}: {}", field.title),
        x: field.x,
        y: field.y,
        x_range: field.x_range,
        y_range: field.y_range,
        values: field.values,
        bar: field.quantity,
    })
}
