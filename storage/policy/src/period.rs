//! When a retention that is counted in days or years ends.

use kovcheg_format::units::TimestampMs;
use time::{Date, Month, OffsetDateTime};

/// Milliseconds of a day: S3's days are 24 hours, whatever the calendar says.
pub const DAY_MS: u64 = 24 * 3600 * 1000;
/// Most days of a default retention (S3: a hundred years).
pub const DAYS_MAX: u32 = 36_500;
/// Most years of a default retention (S3).
pub const YEARS_MAX: u32 = 100;

/// When a retention of some days ends that begins at `from`.
#[must_use]
pub fn after_days(from: TimestampMs, days: u32) -> TimestampMs {
    from.saturating_add(u64::from(days).saturating_mul(DAY_MS))
}

/// When a retention of some calendar years ends that begins at `from`: at the same moment of the same day (UTC), and of a 29 February, where
/// there is none, on 1 March: never earlier than the years have passed. A moment beyond the year 9999 is the end of time.
#[must_use]
pub fn after_years(from: TimestampMs, years: u32) -> TimestampMs {
    let nanos = i128::from(from).saturating_mul(1_000_000);
    let moved = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|moment| {
        let year = moment.year().checked_add(i32::try_from(years).ok()?)?;
        let date = Date::from_calendar_date(year, moment.month(), moment.day())
            .or_else(|_| Date::from_calendar_date(year, Month::March, 1))
            .ok()?;
        u64::try_from(moment.replace_date(date).unix_timestamp_nanos() / 1_000_000).ok()
    });
    moved.unwrap_or(TimestampMs::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::{after_days, after_years};

    fn ms(moment: OffsetDateTime) -> u64 {
        u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap()
    }

    #[test]
    fn years_are_those_of_the_calendar() {
        for (from, years, until) in [
            (datetime!(2026-11-30 12:34:56.789 UTC), 1, datetime!(2027-11-30 12:34:56.789 UTC)),
            (datetime!(2024-02-29 00:00 UTC), 1, datetime!(2025-03-01 00:00 UTC)),
            (datetime!(2024-02-29 23:59:59.999 UTC), 4, datetime!(2028-02-29 23:59:59.999 UTC)),
            (datetime!(2096-02-29 1:00 UTC), 4, datetime!(2100-03-01 1:00 UTC)),
            (datetime!(2023-02-28 1:00 UTC), 1, datetime!(2024-02-28 1:00 UTC)),
            (datetime!(2023-12-31 23:59 UTC), 100, datetime!(2123-12-31 23:59 UTC)),
            (datetime!(1970-01-01 0:00 UTC), 0, datetime!(1970-01-01 0:00 UTC)),
        ] {
            assert_eq!(after_years(ms(from), years), ms(until), "{from} and {years} years");
        }
        assert_eq!(after_years(ms(datetime!(9950-01-01 0:00 UTC)), 100), u64::MAX);
        assert_eq!(after_years(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn days_are_of_24_hours() {
        let from = datetime!(2024-02-28 5:00 UTC);
        assert_eq!(after_days(ms(from), 2), ms(datetime!(2024-03-01 5:00 UTC)));
        assert_eq!(after_days(ms(from), 36_500), ms(from) + 36_500 * 86_400_000);
        assert_eq!(after_days(u64::MAX - 5, 1), u64::MAX);
    }
}
