//! Bars as SVG: readable in light and dark, and by a reader that sees none.

use std::fmt::Write as _;

/// A bar for each row that has a figure.
pub struct Bar {
    pub name: String,
    pub value: f64,
    /// The figure in words.
    pub label: String,
    pub is_ours: bool,
}

const NAMES: f64 = 200.0;
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 26.0;

/// The bars, on a logarithmic scale where they differ by orders of magnitude.
pub fn plot(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let least = bars.iter().map(|bar| bar.value).filter(|v| *v > 0.0).fold(most, f64::min);
    let is_logarithmic = most / least > 50.0;
    // The smallest bar has a length too.
    let length = |value: f64| match is_logarithmic {
        true if value <= 0.0 => 0.0,
        true => WIDTH * (value / least * 1.5).ln() / (most / least * 1.5).ln(),
        false => WIDTH * value / most,
    };
    let scale = if is_logarithmic { ", logarithmic" } else { "" };
    let words: Vec<_> = bars.iter().map(|bar| format!("{}: {}", bar.name, bar.label)).collect();
    let height = HEIGHT * (f64::from(u32::try_from(bars.len()).unwrap()) + 1.5);
    let width = NAMES + WIDTH + 140.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"title words\">\n<title id=\"title\">{title}</title>\n\
         <desc id=\"words\">{}</desc>\n<style>\n\
         text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}\n\
         .ours {{ fill: #0969da }} .peer {{ fill: #8c959f }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .ours {{ fill: #58a6ff }} \
         .peer {{ fill: #6e7681 }} }}\n</style>\n\
         <text x=\"0\" y=\"17\" font-weight=\"bold\">{title}{scale}</text>\n",
        words.join("; ")
    );
    let mut y = HEIGHT * 1.5;
    for bar in bars {
        let (length, class) = (length(bar.value), if bar.is_ours { "ours" } else { "peer" });
        let (text, top) = (y + 13.0, y + 1.0);
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{NAMES}\" y=\"{top}\" width=\"{length:.1}\" height=\"16\"/>\
             <text x=\"{:.1}\" y=\"{text}\">{}</text>",
            NAMES - 8.0,
            bar.name,
            NAMES + length + 6.0,
            bar.label,
        )
        .unwrap();
        y += HEIGHT;
    }
    svg + "</svg>\n"
}
