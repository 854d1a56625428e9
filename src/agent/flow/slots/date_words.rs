//! Words for days and times.

use jiff::civil::Weekday;

/// Reads a weekday's name.
pub(super) fn weekday(word: &str) -> Option<Weekday> {
    Some(match word.trim_end_matches("'s").trim_end_matches('s') {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" | "tue." => Weekday::Tuesday,
        "wednesday" | "wed" | "wedne" => Weekday::Wednesday,
        "thursday" | "thu" | "thur" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// Returns a weekday's English name.
pub(super) fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

const MONTHS: [(&str, &str); 12] = [
    ("january", "January"),
    ("february", "February"),
    ("march", "March"),
    ("april", "April"),
    ("may", "May"),
    ("june", "June"),
    ("july", "July"),
    ("august", "August"),
    ("september", "September"),
    ("october", "October"),
    ("november", "November"),
    ("december", "December"),
];

/// Reads a month's name: its number from 1 and its English name.
pub(super) fn month(word: &str) -> Option<(i8, &'static str)> {
    let at = MONTHS.iter().position(|(full, _)| {
        *full == word || (matches!(word.len(), 3 | 4) && full.starts_with(word))
    })?;
    let (_, name) = MONTHS.get(at)?;
    Some((i8::try_from(at + 1).ok()?, name))
}

/// Returns a month's English name by its number from 1.
pub(super) fn month_name(number: i8) -> &'static str {
    let at = usize::try_from(number - 1).unwrap_or(0);
    MONTHS.get(at).map_or("", |(_, name)| name)
}

/// Names a part of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayPart {
    Morning,
    Noon,
    Afternoon,
    Evening,
    Night,
}

impl DayPart {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "morning" | "mornings" => Self::Morning,
            "lunchtime" | "lunch" => Self::Noon,
            "afternoon" | "afternoons" => Self::Afternoon,
            "evening" | "evenings" => Self::Evening,
            "night" | "tonight" => Self::Night,
            _ => return None,
        })
    }

    /// Returns the hour that is proposed when only the part was said.
    pub(super) fn hour(self) -> i8 {
        match self {
            Self::Morning => 10,
            Self::Noon => 12,
            Self::Afternoon => 14,
            Self::Evening => 18,
            Self::Night => 20,
        }
    }

    /// Says whether an hour of the clock face is in the afternoon, given the part.
    pub(super) fn is_pm(self, hour: i8) -> bool {
        match self {
            Self::Morning => false,
            Self::Noon => hour != 11,
            Self::Afternoon | Self::Evening => true,
            Self::Night => (5..12).contains(&hour),
        }
    }
}

/// Writes an ordinal: 1st, 2nd, 3rd, 4th.
pub(super) fn ordinal(day: i8) -> String {
    let suffix = match (day % 10, day % 100) {
        (1, d) if d != 11 => "st",
        (2, d) if d != 12 => "nd",
        (3, d) if d != 13 => "rd",
        _ => "th",
    };
    format!("{day}{suffix}")
}
