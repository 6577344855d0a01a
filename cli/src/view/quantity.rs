//! Sizes, rates and times in words that people read.

use std::time::Duration;

use bytesize::ByteSize;
use indicatif::HumanDuration;
use jiff::Timestamp;

/// "4.9 GiB".
pub fn bytes(count: u64) -> String {
    ByteSize::b(count).display().iec().to_string()
}

/// "48.2 MiB/s"; nothing before there is something to divide by.
pub fn rate(count: u64, time: Duration) -> Option<String> {
    let seconds = time.as_secs_f64();
    if seconds < 0.5 || count == 0 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people, not negative and far below 2^53"
    )]
    let per_second = (count as f64 / seconds) as u64;
    Some(format!("{}/s", bytes(per_second)))
}

/// "2m" or "45s".
pub fn duration(time: Duration) -> String {
    format!("{:#}", HumanDuration(time))
}

/// "2m ago".
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    let passed = Duration::try_from(now.duration_since(time)).unwrap_or_default();
    if passed < Duration::from_secs(1) {
        "now".to_owned()
    } else {
        format!("{} ago", duration(passed))
    }
}

/// To the second, UTC: "2026-11-24T03:20:00Z".
pub fn moment(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
