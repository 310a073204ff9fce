//! How the benchmarks show their figures.

use std::time::Duration;

pub fn print(what: &str, figure: &str) {
    println!("{what:<58} {figure}");
}

/// The median and the worst of them, and the 99th percentile where there are enough for one.
pub fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    // By the nearest rank.
    let at = |part: usize| ms(times[(times.len() * part).div_ceil(100).saturating_sub(1)]);
    let most = format!("{:.1} ms at most, of {}", at(100), times.len());
    if times.len() < 100 {
        return format!("{:.1} ms median, {most}", at(50));
    }
    format!("{:.1} ms median, {:.1} ms 99th percentile, {most}", at(50), at(99))
}
