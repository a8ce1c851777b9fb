//! What texts say of the moment and of the machine. Other layers have no clock of their own: they ask here, and only for a
//! text that says so.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::access_log::seconds;

/// Nanoseconds since the epoch.
pub fn nanos() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())).cast_signed()
}

/// `$msec`: seconds since the epoch with milliseconds, as in `1795764460.949`.
pub fn msec(out: &mut Vec<u8>, nanos: i64) {
    seconds(out, Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)));
}

/// `$time_iso8601`, in UTC: `2026-11-25T23:10:55+00:00`.
pub fn iso(nanos: i64) -> Vec<u8> {
    let time = jiff::Timestamp::from_second(nanos.div_euclid(1_000_000_000)).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string().into_bytes()
}

/// `$hostname`: the name of this machine, which in a Pod is the Pod's, in lower case as in nginx. Read once.
pub fn hostname() -> &'static str {
    static NAME: LazyLock<Box<str>> = LazyLock::new(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().to_ascii_lowercase().into()
    });
    &NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_nginx_writes_it() {
        let mut text = Vec::new();
        msec(&mut text, 1_795_764_460_949_999_999);
        assert_eq!(text, b"1795764460.949");
        assert_eq!(iso(1_795_764_460_949_999_999), b"2026-11-27T07:27:40+00:00");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        assert!(since.abs_diff(nanos().cast_unsigned().into()) < 1_000_000_000 && !hostname().is_empty());
    }
}
