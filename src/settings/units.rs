//! Durations and sizes as flags and annotations write them.

use std::time::Duration;

/// The longest time that is taken, some 35,000 years: from now on it ends at a time that a clock can tell.
pub const LONGEST: Duration = Duration::from_secs(1 << 40);

/// `250ms`, `10s`, `5m`, `1h`; a bare number is seconds. `Err` says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is not a duration; write it as 250ms, 10s, 5m or 1h");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs).ok_or_else(wrong);
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "" | "s" => seconds(1)?,
        "m" => seconds(60)?,
        "h" => seconds(3600)?,
        _ => return Err(wrong()),
    };
    if duration <= LONGEST { Ok(duration) } else { Err(format!("{text:?} is too long")) }
}

/// The shortest text that [`duration`] reads as `value`.
pub fn show_duration(value: Duration) -> String {
    let ms = value.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

/// Digits with an optional `k`, `m` or `g` of either case (powers of 1024). `Err` says what is wrong.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is not a size; write it as 512, 16k, 8m or 1g");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// The shortest text that [`size`] reads as `value`.
pub fn show_size(value: u64) -> String {
    for (shift, unit) in [(30, "g"), (20, "m"), (10, "k")] {
        if value != 0 && value.trailing_zeros() >= shift {
            return format!("{}{unit}", value >> shift);
        }
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_what_they_show() {
        for text in ["250ms", "10s", "5m", "1h", "90s"] {
            let value = duration(text).unwrap();
            assert_eq!(duration(&show_duration(value)).unwrap(), value, "{text}");
        }
        assert_eq!(duration("7").unwrap(), Duration::from_secs(7));
        assert_eq!(size("16k").unwrap(), 16 << 10);
        assert_eq!(show_size(1 << 20), "1m");
        assert_eq!(show_size(1000), "1000");
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "s", "1d", "-1s", "1.5s", "99999999999999999999", "9999999999999999999h"] {
            assert!(duration(text).unwrap_err().contains("250ms"), "{text}");
        }
        assert_eq!(duration("1099511627776").unwrap(), LONGEST);
        for text in ["1099511627777", "18446744073709551615", "18446744073709551615ms"] {
            assert!(duration(text).unwrap_err().ends_with("too long"), "{text}");
        }
        for text in ["", "k", "1t", "-1", "99999999999g"] {
            assert!(size(text).unwrap_err().contains("16k"), "{text}");
        }
    }
}
