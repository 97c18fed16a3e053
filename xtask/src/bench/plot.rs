//! Curves as a picture that any browser shows.

use plotters::prelude::*;

/// A curve with its points, of which the first number is drawn by its logarithm.
pub(super) struct Curve {
    pub(super) title: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Size of one curve's field, in pixels.
const FIELD: (u32, u32) = (460, 300);

/// The curves beside each other, as SVG.
pub(super) fn draw(curves: &[Curve]) -> String {
    let mut text = String::new();
    let width = FIELD.0 * u32::try_from(curves.len()).unwrap_or(1);
    {
        let area = SVGBackend::with_string(&mut text, (width, FIELD.1)).into_drawing_area();
        // Drawing into a string fails where a curve has no extent: then that field stays white.
        let _ = area.fill(&WHITE);
        for (curve, field) in curves.iter().zip(area.split_evenly((1, curves.len()))) {
            let _ = one(curve, &field);
        }
        let _ = area.present();
    }
    text
}

fn one(
    Curve { title, points }: &Curve,
    field: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), Box<dyn std::error::Error>> {
    let most = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).fold(1.0, f64::max);
    let (right, top) = (most(|point| point.0), most(|point| point.1) * 1.1);
    let mut chart = ChartBuilder::on(field)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(40)
        .build_cartesian_2d((1.0..right).log_scale(), 0.0..top)?;
    chart.configure_mesh().x_labels(6).y_labels(6).x_label_formatter(&|x| format!("{x:.0}")).draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, BLUE.filled())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_each_title_and_each_point() {
        let curve = |title| Curve { title, points: vec![(1.0, 2.0), (100.0, 7.0), (10_000.0, 30.0)] };
        let text = draw(&[curve("memory"), curve("processor")]);
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        assert!(text.contains("memory") && text.contains("processor"), "{text}");
        assert_eq!(text.matches("<circle").count(), 6, "{text}");
    }
}
