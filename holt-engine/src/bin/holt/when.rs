//! Moments as text: seconds since 1970 as a calendar date and time of day in UTC.

use std::fmt;

const SECONDS_PER_DAY: i64 = 86_400;
/// The Gregorian calendar repeats after this many days…
const DAYS_PER_CYCLE: i64 = 146_097;
/// …which are this many years.
const YEARS_PER_CYCLE: i64 = 400;
/// Days from 1 March 2000, where a cycle begins, back to 1 January 1970.
const CYCLE_START: i64 = 11_017;
const DAYS_PER_CENTURY: i64 = 36_524;
const DAYS_PER_FOUR_YEARS: i64 = 1_461;
const DAYS_PER_YEAR: i64 = 365;
/// Lengths of the months of a year that begins in March, so that a leap day is its last day.
const MONTHS: [i64; 12] = [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29];

/// Displays a moment as `YYYY-MM-DD hh:mm:ss` in UTC.
pub(crate) struct Utc {
    /// Seconds since the beginning of 1970; negative before.
    pub(crate) seconds: i64,
}

impl fmt::Display for Utc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Year, month (1–12) and day of the month (1–31) of a day counted from 1 January 1970.
fn date(day: i64) -> (i64, i64, i64) {
    let since_start = day - CYCLE_START;
    let cycle = since_start.div_euclid(DAYS_PER_CYCLE);
    let mut left = since_start.rem_euclid(DAYS_PER_CYCLE);
    // The last century of a cycle and the last year of four are a day longer than the others:
    // without the bound that day would open a fifth one.
    let centuries = (left / DAYS_PER_CENTURY).min(3);
    left -= centuries * DAYS_PER_CENTURY;
    let quadrennia = left / DAYS_PER_FOUR_YEARS;
    left -= quadrennia * DAYS_PER_FOUR_YEARS;
    let years = (left / DAYS_PER_YEAR).min(3);
    left -= years * DAYS_PER_YEAR;

    let mut month = 0;
    for length in MONTHS {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let march_year = 2000 + cycle * YEARS_PER_CYCLE + centuries * 100 + quadrennia * 4 + years;
    // Months 10 and 11 after March are January and February of the next calendar year.
    (march_year + month / 10, (month + 2) % 12 + 1, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_read_right() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_000_000_000, "2001-09-09 01:46:40"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
            (-62_167_219_200, "0000-01-01 00:00:00"),
        ] {
            assert_eq!(Utc { seconds }.to_string(), text);
        }
    }

    #[test]
    fn every_day_of_a_cycle_follows_the_day_before_it() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut expected = (1970, 1, 1);
        for day in 0..DAYS_PER_CYCLE {
            assert_eq!(date(day), expected, "day {day}");
            let (year, month, date) = expected;
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, date) {
                (12, 31) => (year + 1, 1, 1),
                (_, date) if date == length => (year, month + 1, 1),
                _ => (year, month, date + 1),
            };
        }
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        assert!(Utc { seconds: i64::MAX }.to_string().starts_with("292277026596-12-04 15:30:07"));
        assert!(Utc { seconds: i64::MIN }.to_string().starts_with("-292277022657-01-27 08:29:52"));
    }
}
