//! The names of the log's files.

/// What a segment's name begins with; sixteen hexadecimal digits of its start address follow.
const PREFIX: &str = "LOG-";

/// Name of a segment in the making. Of no account to anybody who finds it.
pub(super) const MAKING: &str = "LOG.tmp";

/// Name of the file with the log's marks.
pub(crate) const MARK: &str = "LOG.mark";

/// Name of the segment that starts at an address.
pub(super) fn segment(start: u64) -> String {
    format!("{PREFIX}{start:016x}")
}

/// The start address that a name says, if it is a segment's.
pub(super) fn start_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let start = u64::from_str_radix(digits, 16).ok()?;
    // One spelling only: no sign, no capitals, no other length.
    (segment(start) == name).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_start_address_stand_for_each_other() {
        for start in [4096, 1 << 40, u64::MAX] {
            assert_eq!(start_of(&segment(start)), Some(start));
        }
        for other in [
            "LOG-",
            "LOG-1000",
            "LOG-000000000000100A",
            "LOG-+00000000000100a",
            MAKING,
            MARK,
            "LOCK",
            "",
        ] {
            assert_eq!(start_of(other), None, "{other}");
        }
    }
}
