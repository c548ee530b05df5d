//! Dates, and times of day in zones.

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone, Timelike};

use crate::EvalError;

/// A date and a time of day.
pub(super) struct Civil {
    pub(super) year: i64,
    /// From 1.
    pub(super) month: i64,
    /// From 1.
    pub(super) day: i64,
    /// From 0.
    pub(super) day_of_year: i64,
    /// From 0, which is Sunday.
    pub(super) day_of_week: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

/// The date and time of a second since 1970.
pub(super) fn civil(seconds: i64) -> Civil {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
    Civil {
        year: i64::from(time.year()),
        month: i64::from(time.month()),
        day: i64::from(time.day()),
        day_of_year: i64::from(time.ordinal0()),
        day_of_week: i64::from(time.weekday().num_days_from_sunday()),
        hour: i64::from(time.hour()),
        minute: i64::from(time.minute()),
        second: i64::from(time.second()),
    }
}

/// Days from 1970 to a date, if there is such a date.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let date =
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days())
}

/// A second since 1970, moved as clocks in a zone are: `Europe/Berlin`, `+01:00`, `-8:30`.
///
/// # Errors
///
/// There is no such zone.
pub(super) fn local(seconds: i64, zone: &str) -> Result<i64, EvalError> {
    let unknown = || EvalError::failed("unknown time zone");
    let offset = match zone.split_once(':') {
        None if zone.is_empty() => 0,
        None => {
            let zone: chrono_tz::Tz = zone.parse().map_err(|_| unknown())?;
            let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
            i64::from(zone.offset_from_utc_datetime(&time).fix().local_minus_utc())
        }
        // "HH:MM", with a sign that counts for both.
        Some((hours, minutes)) => {
            let negative = hours.starts_with('-');
            let hours: i64 = hours.parse::<i16>().map_err(|_| unknown())?.into();
            let minutes: i64 = minutes.parse::<i16>().map_err(|_| unknown())?.into();
            let minutes = if negative { minutes.saturating_neg() } else { minutes };
            hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60))
        }
    };
    Ok(seconds.saturating_add(offset))
}
