//! A duration as a person writes it.

use std::time::Duration;

/// The longest. No one waits for longer than a month, and sums of such durations stay far below the
/// limit of a [`Duration`] or a clock.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads a duration, of any flag or variable.
///
/// # Errors
///
/// The error in the text, with examples of valid durations.
pub fn parse(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err("30days at most, for example 15s, 2m or 1h 30m".to_owned()),
        Err(error) => {
            Err(format!("{error}; use a number and a unit, for example 500ms, 15s, 2m or 1h 30m"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_bounded_where_they_are_read() {
        assert_eq!(parse("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse("30days"), Ok(MAX_DURATION));
        for bad in [
            "",
            "15",
            "soon",
            "-1s",
            "31days",
            "584554years",
            "18446744073709551615s",
            "18446744073709551616s",
            "99999999999999999999999h",
            "1s 18446744073709551615s",
            "5849424173years",
            "1e30s",
            "NaN",
            "s",
        ] {
            let refused = parse(bad).unwrap_err();
            assert!(refused.contains("for example"), "{bad}: {refused}");
        }
    }
}
