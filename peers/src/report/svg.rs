//! Scalable vector graphics: the few shapes that the charts are made of.
//!
//! Colours follow the reader's light or dark preference where the viewer tells it.

use std::fmt::Write as _;

/// Where a text is anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// A picture while it is drawn.
#[derive(Debug)]
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Text that stands for itself in XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Svg {
    /// An empty picture of the given size.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// A rounded rectangle.
    pub(crate) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let radius = (height / 4.0).min(width / 2.0).min(3.0);
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             rx=\"{radius:.1}\" fill=\"{fill}\"/>"
        );
    }

    /// A thin line of the grid.
    pub(crate) fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.body,
            "<line class=\"rule\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A curve through points, with a dot on each.
    pub(crate) fn curve(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
            path.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(
                self.body,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.1}\" fill=\"{stroke}\"/>",
                width + 0.8
            );
        }
    }

    /// A text; `class` is one of `title`, `label`, `strong` and `faint`.
    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        );
    }

    /// The finished picture, named for readers who cannot see it.
    pub(crate) fn finish(self, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" \
             width=\"{w:.0}\" height=\"{h:.0}\" role=\"img\" aria-label=\"{title}\">\n\
             <style>\n\
             text {{ font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; \
             fill: #24292f }}\n\
             .title {{ font-size: 16px; font-weight: 600 }}\n\
             .strong {{ font-weight: 600 }}\n\
             .faint {{ font-size: 11px; fill: #6e7781 }}\n\
             .page {{ fill: #ffffff }}\n\
             .rule {{ stroke: #d8dee4; stroke-width: 1 }}\n\
             @media (prefers-color-scheme: dark) {{\n\
             text {{ fill: #e6edf3 }} .faint {{ fill: #8b949e }} .page {{ fill: #0d1117 }} \
             .rule {{ stroke: #30363d }}\n\
             }}\n\
             </style>\n\
             <rect class=\"page\" width=\"{w:.0}\" height=\"{h:.0}\" rx=\"8\"/>\n{body}</svg>\n",
            w = self.width,
            h = self.height,
            title = escape(title),
            body = self.body
        )
    }
}

/// A logarithmic scale from data to pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// A scale that maps `low` to `start` and `high` to `end`. Both must be above 0.
    pub(crate) fn new(low: f64, high: f64, start: f64, end: f64) -> Self {
        let high = if high > low { high } else { low * 2.0 };
        Self { low: low.ln(), high: high.ln(), start, end }
    }

    /// The pixel of a value.
    pub(crate) fn at(self, value: f64) -> f64 {
        let share = (value.ln() - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_scale_gives_every_decade_the_same_room() {
        let scale = Scale::new(10.0, 1_000.0, 0.0, 200.0);
        assert!((scale.at(10.0) - 0.0).abs() < 1e-9);
        assert!((scale.at(100.0) - 100.0).abs() < 1e-9);
        assert!((scale.at(1_000.0) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn texts_cannot_break_the_picture() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text(0.0, 0.0, Anchor::Start, "label", "a < b & \"c\"");
        assert!(svg.finish("t").contains(">a &lt; b &amp; &quot;c&quot;</text>"));
    }
}
