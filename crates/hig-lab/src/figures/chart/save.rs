//! A figure as two files.

use super::Panel;
use super::compose::compose;
use super::dashes::cut_dashes;
use anyhow::{Context, Result, ensure};
use kuva::backend::{png::PngBackend, svg::SvgBackend};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `{folder}/{name}.svg` and `{folder}/{name}.png` (two pixels per unit) and returns their
/// paths; panels fill rows of `columns`. One legend serves all panels, so a style should mean the
/// same in each. Long curves are thinned for drawing; their extremes survive.
pub fn save(folder: &Path, name: &str, panels: &[Panel], columns: usize) -> Result<[PathBuf; 2]> {
    let paths = ["svg", "png"].map(|kind| folder.join(format!("{name}.{kind}")));
    ensure!(!panels.is_empty(), "no panels for {paths:?}");
    let mut scene = compose(panels, columns.clamp(1, panels.len()));
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

#[cfg(test)]
mod tests {
    use super::super::{Axis, Chart, Curve, HeatMap, Marker};
    use super::*;

    fn chart(log: bool, curves: Vec<Curve>) -> Panel {
        let y = Axis {
            label: "loss".into(),
            log,
            cut: false,
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
    fn saved_files_hold_every_label_and_stay_small() -> Result<()> {
        let folder = folder("labels");
        let names = "Adam Gauss–Newton L-BFGS half-inverse a b c d".split(' ');
        let noise = |k: usize| move |i: usize| 10f64.powf(((i * i + k) % 97) as f64 / 10.0 - 9.0);
        let curves = names.clone().enumerate().map(|(k, name)| {
            let y: Vec<f64> = (0..100_000).map(noise(k)).collect();
            Curve {
                style: k,
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
