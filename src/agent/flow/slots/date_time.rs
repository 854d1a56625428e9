//! Days and times in the future, as people say them.

use jiff::civil::{Date, Time};
use jiff::{ToSpan, Zoned};
use serde_json::json;

use super::date_words::{month_name, ordinal, weekday_name};
use super::day_words::Found;
use super::number::number_at;
use super::words::tokens;
use super::{Filled, Missing, Reading, SlotContext};

/// How far ahead a date may lie.
const MAX_DAYS_AHEAD: i32 = 730;

/// Reads a moment (or, without `with_time`, a day) in the future.
pub(super) fn read(said: &str, cx: &SlotContext<'_>, with_time: bool) -> Reading {
    let words = spoken_words(said);
    let mut found = Found::default();
    found.scan(&words, cx.wall);
    found.carry(cx);
    if let Some(moment) = found.moment.take() {
        return settle_moment(&moment, cx.wall);
    }
    found.take_bare_hour(&words);
    if !with_time {
        return settle_day(found.day, cx.wall);
    }
    match (found.day, found.time()) {
        (Some(day), Some(time)) => settle(day, time, &found, cx.wall),
        (Some(day), None) if !plausible(day, cx.wall) => past(day),
        (Some(day), None) => Reading::Partial {
            carry: json!({"day": day.to_string()}),
            spoken: speak_day(day, cx.wall),
            missing: Missing::Time,
        },
        (None, Some(time)) => Reading::Partial {
            carry: json!({"time": time.to_string(), "clear": found.meridiem_known()}),
            spoken: speak_time(time),
            missing: Missing::Day,
        },
        (None, None) => Reading::Nothing,
    }
}

/// "I am free" holds no "a.m.".
fn spoken_words(said: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in tokens(said) {
        if word == "am" && out.last().is_some_and(|w| w == "i") {
            continue;
        }
        // "threeish"
        match word
            .strip_suffix("ish")
            .filter(|hour| number_at(&[(*hour).to_owned()], 0).is_some())
        {
            Some(hour) => out.push(hour.to_owned()),
            None => out.push(word),
        }
    }
    out
}

fn plausible(day: Date, wall: &Zoned) -> bool {
    let limit = wall
        .date()
        .checked_add(MAX_DAYS_AHEAD.days())
        .unwrap_or(Date::MAX);
    day >= wall.date() && day <= limit
}

fn past(day: Date) -> Reading {
    Reading::Partial {
        carry: serde_json::Value::Null,
        spoken: format!("{} {}", month_name(day.month()), ordinal(day.day())),
        missing: Missing::Future,
    }
}

fn settle_day(day: Option<Date>, wall: &Zoned) -> Reading {
    match day {
        None => Reading::Nothing,
        Some(day) if !plausible(day, wall) => past(day),
        Some(day) => Reading::Filled(Filled::new(day.to_string(), speak_day(day, wall))),
    }
}

fn settle(day: Date, time: Time, found: &Found, wall: &Zoned) -> Reading {
    let zone = wall.time_zone();
    let Ok(mut moment) = day.to_datetime(time).to_zoned(zone.clone()) else {
        return Reading::Nothing;
    };
    // "today at nine", said at ten in the morning, means the evening.
    if moment <= *wall
        && !found.meridiem_known()
        && time.hour() < 12
        && let Ok(later) = moment.checked_add(12.hours())
    {
        moment = later;
    }
    if moment <= *wall || !plausible(day, wall) {
        return past(day);
    }
    settle_moment(&moment, wall)
}

fn settle_moment(moment: &Zoned, wall: &Zoned) -> Reading {
    let whole = moment
        .round(jiff::ZonedRound::new().smallest(jiff::Unit::Minute))
        .unwrap_or_else(|_| moment.clone());
    let value = whole.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let spoken = format!(
        "{} at {}",
        speak_day(whole.date(), wall),
        speak_time(whole.time())
    );
    let mut filled = Filled::new(value, spoken);
    filled
        .extras
        .push(("date", whole.date().to_string().into()));
    filled
        .extras
        .push(("time", whole.strftime("%H:%M").to_string().into()));
    Reading::Filled(filled)
}

fn speak_day(day: Date, wall: &Zoned) -> String {
    let ahead = wall.date().until(day).map(|s| s.get_days()).unwrap_or(99);
    let name = weekday_name(day.weekday());
    let date = format!("{} {}", month_name(day.month()), ordinal(day.day()));
    match ahead {
        0 => "today".to_owned(),
        1 => format!("tomorrow, {name}"),
        _ if day.year() != wall.year() => format!("{name}, {date}, {}", day.year()),
        _ => format!("{name}, {date}"),
    }
}

fn speak_time(time: Time) -> String {
    let (hour, minute) = (time.hour(), time.minute());
    if minute == 0 && hour == 12 {
        return "noon".to_owned();
    }
    let half = if hour < 12 { "AM" } else { "PM" };
    let clock = match hour % 12 {
        0 => 12,
        h => h,
    };
    if minute == 0 {
        format!("{clock} {half}")
    } else {
        format!("{clock}:{minute:02} {half}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::SlotKind;
    use super::super::fixtures::{read_at_ten, with_context};
    use super::*;

    fn at(said: &str) -> Option<String> {
        let filled = read_at_ten(SlotKind::DateTime, said).filled()?;
        filled.value.as_str().map(str::to_owned)
    }

    #[test]
    fn moments_are_read_as_people_say_them() {
        // Today is Thursday, 4 June 2026, ten in the morning.
        for (said, want) in [
            ("Tomorrow at three.", "2026-06-05T15:00"),
            ("tomorrow at 3 p.m.", "2026-06-05T15:00"),
            ("next Tuesday afternoon", "2026-06-09T14:00"),
            ("the fifth of June at half past ten", "2026-06-05T10:30"),
            ("June 12th at 10:30 AM", "2026-06-12T10:30"),
            ("Friday at nine", "2026-06-05T09:00"),
            ("on Monday at quarter to five", "2026-06-08T16:45"),
            ("the day after tomorrow at noon", "2026-06-06T12:00"),
            ("Wednesday of next week at ten thirty", "2026-06-10T10:30"),
            ("today at 4", "2026-06-04T16:00"),
            ("tonight at eight", "2026-06-04T20:00"),
            ("tomorrow morning at 8", "2026-06-05T08:00"),
            ("eleven a.m. on the tenth", "2026-06-10T11:00"),
            ("in two hours", "2026-06-04T12:00"),
            ("How about Monday, say two o'clock?", "2026-06-08T14:00"),
            ("I am free tomorrow at ten past four", "2026-06-05T16:10"),
            ("6/15 at 2pm", "2026-06-15T14:00"),
            ("March 3rd at 9", "2027-03-03T09:00"),
            ("in three days at 15:00", "2026-06-07T15:00"),
            ("tomorrow at 330", "2026-06-05T15:30"),
            ("tomorrow evening", "2026-06-05T18:00"),
            ("Friday week at ten", "2026-06-12T10:00"),
            ("a week on Friday at ten", "2026-06-12T10:00"),
            ("a week from tomorrow at noon", "2026-06-12T12:00"),
            ("two weeks from Monday at two", "2026-06-22T14:00"),
            ("Friday the 12th at 2", "2026-06-12T14:00"),
            ("the 3rd at half past two", "2026-07-03T14:30"),
            ("on 9th June, quarter past three", "2026-06-09T15:15"),
            ("tomorrow around threeish", "2026-06-05T15:00"),
            ("nine oh five tomorrow", "2026-06-05T09:05"),
            ("first thing on Monday", "2026-06-08T10:00"),
            ("in a fortnight at eleven", "2026-06-18T11:00"),
            ("this coming Friday at one thirty", "2026-06-05T13:30"),
            (
                "june fifth, three thirty in the afternoon",
                "2026-06-05T15:30",
            ),
        ] {
            assert_eq!(
                at(said),
                Some(format!(
                    "{want}:00{}",
                    if want.starts_with("2027-03-03") {
                        "-05:00"
                    } else {
                        "-04:00"
                    }
                )),
                "{said}"
            );
        }
    }

    #[test]
    fn half_an_answer_says_what_is_missing_and_can_be_completed() {
        with_context(|cx| {
            let Reading::Partial {
                carry,
                missing,
                spoken,
            } = read("next Tuesday", cx, true)
            else {
                panic!()
            };
            assert_eq!(
                (missing, spoken.as_str()),
                (Missing::Time, "Tuesday, June 9th")
            );
            let cx2 = SlotContext {
                carry: Some(&carry),
                ..*cx
            };
            let filled = read("three would be good", &cx2, true).filled().unwrap();
            assert_eq!(filled.value, "2026-06-09T15:00:00-04:00");
            assert_eq!(filled.spoken, "Tuesday, June 9th at 3 PM");
            let Reading::Partial { carry, missing, .. } = read("at 3 p.m.", cx, true) else {
                panic!()
            };
            assert_eq!(missing, Missing::Day);
            let cx3 = SlotContext {
                carry: Some(&carry),
                ..*cx
            };
            let filled = read("tomorrow", &cx3, true).filled().unwrap();
            assert_eq!(filled.value, "2026-06-05T15:00:00-04:00");
        });
    }

    #[test]
    fn the_past_and_nonsense_are_refused() {
        with_context(|cx| {
            let missing = |said| match read(said, cx, true) {
                Reading::Partial { missing, .. } => Some(missing),
                _ => None,
            };
            assert_eq!(missing("today at 9 a.m."), Some(Missing::Future));
            assert_eq!(missing("January 1st 2020 at noon"), Some(Missing::Future));
        });
        for said in [
            "blue",
            "",
            "the thirty first of February at nine",
            "as soon as possible",
        ] {
            assert_eq!(at(said), None, "{said}");
        }
    }

    #[test]
    fn a_time_that_the_clock_skips_still_resolves() {
        // 8 March 2026, 02:30 does not exist in New York.
        let wall: Zoned = "2026-03-07T10:00:00-05:00[America/New_York]"
            .parse()
            .unwrap();
        with_context(|cx| {
            let cx = SlotContext { wall: &wall, ..*cx };
            let filled = read("tomorrow at 2:30 a.m.", &cx, true).filled().unwrap();
            assert_eq!(filled.value, "2026-03-08T03:30:00-04:00");
        });
    }
}
