//! When a route is open: days, dates and times of day.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::reader::{Reader, Section};
use super::value::text_value;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Some days, and a time on each: `mon-fri 09:00-17:30`, `sat sun 10:00-14:00`, `22:00-06:00`,
/// `12-25`, `2026-12-31 09:00-12:00`. A time that ends before it begins ends on the next day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    text: String,
    days: Vec<Day>,
    /// From and until, in minutes of the day.
    time: (u16, u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    Every,
    Week(Weekday),
    Date {
        year: Option<i16>,
        month: i8,
        day: i8,
    },
}

/// When a route is open, where it is not always.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    hours: Vec<Hours>,
    zone: TimeZone,
}

impl Opening {
    pub(super) fn read(r: &mut Reader<'_>, s: &mut Section) -> Option<Self> {
        let hours = s.one_or_list::<Hours>(r, "when");
        let origin = s.origin_of("time_zone");
        let zone = s.opt::<String>(r, "time_zone");
        let known = zone.as_deref().map(TimeZone::get).transpose();
        let zone = known.unwrap_or_else(|_| {
            let message = "is no time zone; one is \"Europe/Berlin\"";
            s.wrong(r, "time_zone", &origin, message);
            None
        });
        if hours.is_none() && zone.is_some() {
            s.wrong(
                r,
                "time_zone",
                &origin,
                "is the time zone of `when`, which is missing",
            );
        }
        if hours.as_ref().is_some_and(Vec::is_empty) {
            let origin = s.origin_of("when");
            s.wrong(
                r,
                "when",
                &origin,
                "is empty: the route would never be open",
            );
        }
        let zone = zone.unwrap_or_else(TimeZone::system);
        hours.map(|hours| Self { hours, zone })
    }

    /// Whether a moment lies within it.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        self.hours.iter().any(|hours| hours.hold(local))
    }
}

impl Hours {
    fn hold(&self, at: DateTime) -> bool {
        let minute = at.hour() as u16 * 60 + at.minute() as u16;
        let (from, until) = self.time;
        let today = || self.days.iter().any(|day| day.is(at));
        if from < until {
            return (from..until).contains(&minute) && today();
        }
        // It began yesterday, or goes on into tomorrow.
        let yesterday = at.checked_sub(1.day());
        let began = || yesterday.is_ok_and(|at| self.days.iter().any(|day| day.is(at)));
        (minute >= from && today()) || (minute < until && began())
    }
}

impl Day {
    fn is(self, at: DateTime) -> bool {
        match self {
            Self::Every => true,
            Self::Week(day) => at.weekday() == day,
            Self::Date { year, month, day } => {
                year.is_none_or(|year| at.year() == year) && (at.month(), at.day()) == (month, day)
            }
        }
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no days and time: write \"mon-fri 09:00-17:30\", \"sat 10:00-14:00\", \
                 \"22:00-06:00\" or \"12-25\""
            )
        };
        let mut words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let time = words.pop_if(|word| word.contains(':'));
        let time = match time {
            Some(time) => span(&time).ok_or_else(wrong)?,
            None if words.is_empty() => return Err(wrong()),
            None => (0, DAY),
        };
        let mut days = Vec::new();
        for word in &words {
            days.extend(read_days(word).ok_or_else(wrong)?);
        }
        if days.is_empty() {
            days.push(Day::Every);
        }
        Ok(Self {
            text: text.trim().to_owned(),
            days,
            time,
        })
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_value!(Hours, "days and a time such as \"mon-fri 09:00-17:30\"");

/// Reads `09:00-17:30`; `24:00` ends a day.
fn span(text: &str) -> Option<(u16, u16)> {
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minutes(from)?, minutes(until)?);
    (from != until && from < DAY).then_some((from, until))
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= DAY).then_some(at)
}

/// Reads `mon`, `mon-fri`, `daily`, `12-25` or `2026-12-25`.
fn read_days(word: &str) -> Option<Vec<Day>> {
    if word == "daily" {
        return Some(vec![Day::Every]);
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return date(word).map(|date| vec![date]);
    }
    let place = |name: &str| DAYS.iter().position(|(day, _)| *day == name);
    let (first, last) = match word.split_once('-') {
        Some((first, last)) => (place(first)?, place(last)?),
        None => (place(word)?, place(word)?),
    };
    // `fri-mon` goes round.
    let count = (last + DAYS.len() - first) % DAYS.len() + 1;
    let days = DAYS.iter().cycle().skip(first).take(count);
    Some(days.map(|(_, day)| Day::Week(*day)).collect())
}

fn date(word: &str) -> Option<Day> {
    let (year, rest) = match word.split_once('-')? {
        (year, rest) if year.len() == 4 => (Some(year.parse().ok()?), rest),
        _ => (None, word),
    };
    let (month, day) = rest.split_once('-')?;
    // `9-17` is an attempt at a time.
    if month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    // A leap year has them all.
    jiff::civil::Date::new(year.unwrap_or(2_024), month, day).ok()?;
    Some(Day::Date { year, month, day })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(hours: &[&str], at: &str) -> bool {
        let opening = Opening {
            hours: hours.iter().map(|text| text.parse().unwrap()).collect(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
        };
        let at: jiff::Zoned = format!("{at}[Europe/Berlin]").parse().unwrap();
        opening.holds(at.timestamp())
    }

    #[test]
    fn a_route_is_open_on_its_days_and_at_its_times() {
        let hours = ["mon-fri 09:00-17:30", "sat 10:00-14:00"];
        for (at, holds) in [
            ("2026-11-30T09:00", true), // a Monday
            ("2026-11-30T17:29", true),
            ("2026-11-30T17:30", false),
            ("2026-11-30T08:59", false),
            ("2026-12-05T13:59", true), // a Saturday
            ("2026-12-05T09:30", false),
            ("2026-12-06T12:00", false),
        ] {
            assert_eq!(open(&hours, at), holds, "{at}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let hours = ["fri-sat 22:00-06:00"];
        assert!(open(&hours, "2026-12-04T23:00"));
        assert!(open(&hours, "2026-12-05T05:59"), "Friday's night");
        assert!(open(&hours, "2026-12-06T05:00"), "Saturday's night");
        assert!(!open(&hours, "2026-12-06T22:30"));
        assert!(!open(&hours, "2026-12-04T05:00"), "Thursday's night");
        assert!(open(&["20:00-24:00"], "2026-12-04T23:59"));
    }

    #[test]
    fn a_date_is_open_each_year_or_once() {
        assert!(open(&["12-25", "12-26"], "2031-12-26T00:00"));
        assert!(open(&["2026-12-31 09:00-12:00"], "2026-12-31T11:00"));
        assert!(!open(&["2026-12-31"], "2027-12-31T11:00"));
        assert!(open(&["sun-mon"], "2026-11-30T00:00"), "it goes round");
        assert!(open(&["daily 08:00-9:30"], "2026-11-30T09:00"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "mo 9-5",
            "mon 9-17",
            "mon 25:00-26:00",
            "9:60-10:00",
            "02-30",
            "10:00-10:00",
            "fry",
            "2026-13-01",
            "mon 24:00-06:00",
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }
}
