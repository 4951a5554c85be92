//! Numbers and times as a reader expects them.

/// `0:12:34`: seconds from the start as hours, minutes and seconds; a negative or non-finite time is 0.
pub(crate) fn clock(seconds: f64) -> String {
    let total = whole_seconds(seconds);
    format!("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60)
}

/// `1 h 0 min`, `3 min 20 s`, `12 s`, `0.4 s`: a duration in its two largest units.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds.is_finite() && (0.0..9.95).contains(&seconds) {
        return format!("{seconds:.1} s");
    }
    let total = whole_seconds(seconds.round());
    match (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

fn whole_seconds(seconds: f64) -> u64 {
    if seconds.is_finite() { seconds.max(0.0) as u64 } else { 0 }
}

/// `18 066`: digits in groups of three, apart by a narrow no-break space.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let head = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && i % 3 == head {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1 video`, `12 videos`.
pub(crate) fn plural(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// Three significant digits without an exponent where that stays short: `0.0423`, `12.3`, `4.1e-7`.
pub(crate) fn number(value: f64) -> String {
    significant(value, 3)
}

/// `digits` significant digits, trailing zeros dropped.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return "–".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-4..7).contains(&magnitude) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    let decimals = (digits as i32 - 1 - magnitude).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// `0.934`: a figure between 0 and 1, or any other to three significant digits.
pub(crate) fn figure(value: f64) -> String {
    if (0.0..=1.0).contains(&value) { format!("{value:.3}") } else { number(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_clock_and_as_duration() {
        assert_eq!(clock(0.0), "0:00:00");
        assert_eq!(clock(754.99), "0:12:34");
        assert_eq!(clock(f64::NAN), "0:00:00");
        assert_eq!(duration(0.4), "0.4 s");
        assert_eq!(duration(9.97), "10 s");
        assert_eq!(duration(3600.0), "1 h 0 min");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(90_000.0), "1 d 1 h");
    }

    #[test]
    fn numbers_keep_their_significant_digits() {
        assert_eq!(count(18_066), "18\u{202f}066");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000_000), "1\u{202f}000\u{202f}000");
        assert_eq!(number(0.042_34), "0.0423");
        assert_eq!(number(12.0), "12");
        assert_eq!(number(-0.000_000_41), "-4.10e-7");
        assert_eq!(number(f64::INFINITY), "–");
        assert_eq!(figure(0.93), "0.930");
    }
}
