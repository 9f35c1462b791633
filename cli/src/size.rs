//! Sizes and times as people write and read them.

use std::time::Duration;

const UNITS: [(&str, u64); 12] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
];

/// Reads `4096`, `64MiB`, `1.5G` or `10MB`: KiB and K are 1024 bytes, KB is 1000.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let plain = lower.strip_suffix("bytes").or_else(|| lower.strip_suffix('b').filter(|n| ends_in_digit(n)));
    let (number, unit) = match UNITS.iter().find(|(name, _)| lower.ends_with(name)) {
        Some((name, unit)) => (lower.trim_end_matches(name), *unit),
        None => (plain.unwrap_or(&lower), 1),
    };
    let number = number.trim();
    let complaint = || format!("{text:?} is no size; write it as 4096, 64MiB or 1.5G");
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(complaint());
    }
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(unit),
        Err(_) => number.parse::<f64>().ok().map(|n| n * unit as f64).filter(|n| *n < 2f64.powi(63)).map(|n| n as u64),
    };
    bytes.and_then(|n| usize::try_from(n).ok()).ok_or_else(complaint)
}

fn ends_in_digit(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit())
}

/// Reads a time in seconds, with a fraction if need be: `2`, `0.5`.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.strip_suffix('s').unwrap_or(text).parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is no time that can be waited"))
}

/// Writes a size with three digits or more and its unit.
pub(crate) fn bytes(n: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| n >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", n as f64 / (1u64 << shift) as f64),
        None => format!("{n} B"),
    }
}

/// Writes an age with the unit that suits it.
pub(crate) fn age(age: Duration) -> String {
    match age.as_secs() {
        0 => format!("{} ms", age.as_millis()),
        s @ 1..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let read = |text| parse_bytes(text).unwrap();
        assert_eq!(read("4096"), 4096);
        assert_eq!(read("12 bytes"), 12);
        assert_eq!(read("7b"), 7);
        assert_eq!(read("1GiB"), 1 << 30);
        assert_eq!(read("64 MiB"), 64 << 20);
        assert_eq!(read("1.5k"), 1536);
        assert_eq!(read("2MB"), 2_000_000);
        for nonsense in ["", "G", "1x", "-1", "1e400G", "NaN", "inf", "99999999999T", "1..5K", "mibmib"] {
            assert!(parse_bytes(nonsense).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(parse_seconds("0.5").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_seconds("2s").unwrap(), Duration::from_secs(2));
        assert!(parse_seconds("-1").is_err() && parse_seconds("soon").is_err() && parse_seconds("1e99").is_err());
        assert_eq!(age(Duration::from_millis(20)), "20 ms");
        assert_eq!(age(Duration::from_secs(150)), "2 min");
    }
}
