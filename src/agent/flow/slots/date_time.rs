//! Days and times in the future, as people say them.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Span, ToSpan, Zoned};
use serde_json::json;

use super::clock_words::{Clock, bare_hour, clock_at};
use super::date_words::{DayPart, month, month_name, ordinal, weekday, weekday_name};
use super::number::{number_at, ordinal_at};
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

#[derive(Debug, Default)]
struct Found {
    day: Option<Date>,
    today: bool,
    /// Weeks to add to a weekday: "Tuesday next week".
    next_week: bool,
    weekday: Option<(Weekday, bool)>,
    /// Weeks to add to a weekday's next date: "Friday week", "two weeks from Friday".
    weeks_on: i32,
    clock: Option<Clock>,
    part: Option<DayPart>,
    moment: Option<Zoned>,
    used: Vec<usize>,
}

impl Found {
    fn scan(&mut self, words: &[String], wall: &Zoned) {
        let mut i = 0;
        while i < words.len() {
            let taken = self.take(words, i, wall);
            self.used.extend(i..i + taken);
            i += taken.max(1);
        }
        // "Friday the twelfth": the date says more than the weekday.
        if let (None, Some((day, next))) = (self.day, self.weekday) {
            let day = next_weekday(wall.date(), day, next || self.next_week);
            self.day = day.checked_add(self.weeks_on.weeks()).ok();
        }
    }

    fn take(&mut self, words: &[String], i: usize, wall: &Zoned) -> usize {
        let word = |n: usize| words.get(i + n).map(String::as_str).unwrap_or_default();
        let today = wall.date();
        let taken = self.relative(words, i, wall);
        if taken > 0 {
            return taken;
        }
        match (word(0), word(1), word(2)) {
            ("day", "after", "tomorrow") => return self.on(today, 2, 3),
            ("tomorrow", "week", _) => return self.on(today, 8, 2),
            ("tomorrow" | "tomorrow's" | "tmrw", _, _) => return self.on(today, 1, 1),
            ("today" | "tonight", _, _) => {
                self.today = true;
                self.part = DayPart::of(word(0)).or(self.part);
                return self.on(today, 0, 1);
            }
            ("next", "week", _) => {
                self.next_week = true;
                return 2;
            }
            ("this", "coming", _) => return 1,
            ("next" | "this" | "coming", w, _) if weekday(w).is_some() => {
                self.weekday = weekday(w).map(|d| (d, word(0) == "next"));
                return 2;
            }
            (w, _, _) if weekday(w).is_some() => {
                self.weekday = weekday(w).map(|d| (d, false));
                // "Friday week" is the Friday after the next one.
                let week = i32::from(word(1) == "week");
                self.weeks_on = self.weeks_on.max(week);
                return 1 + usize::from(week == 1);
            }
            ("first", "thing", _) => {
                self.part = self.part.or(DayPart::of("morning"));
                return 2;
            }
            _ => {}
        }
        let taken = self.weeks_from(words, i, today);
        if taken > 0 {
            return taken;
        }
        let taken = self.calendar(words, i, today);
        if taken > 0 {
            return taken;
        }
        if let Some((clock, taken)) = clock_at(words, i) {
            self.clock.get_or_insert(clock);
            return taken;
        }
        if let Some(part) = DayPart::of(word(0)) {
            self.part = Some(part);
            return 1;
        }
        0
    }

    fn on(&mut self, today: Date, ahead: i32, taken: usize) -> usize {
        self.day = today.checked_add(ahead.days()).ok();
        taken
    }

    /// Reads "a week on Friday", "two weeks from Monday", "a week from tomorrow".
    fn weeks_from(&mut self, words: &[String], i: usize, today: Date) -> usize {
        let word = |n: usize| words.get(i + n).map(String::as_str).unwrap_or_default();
        if !matches!(word(0), "week" | "weeks") || !matches!(word(1), "on" | "from" | "after") {
            return 0;
        }
        let said = i.checked_sub(1).and_then(|at| number_at(words, at));
        let weeks = said.map_or(1, |(n, _)| n.clamp(1.0, 100.0) as i32);
        if word(2) == "tomorrow" {
            return self.on(today, 7 * weeks + 1, 3);
        }
        match weekday(word(2)) {
            Some(day) => {
                self.weekday = Some((day, false));
                self.weeks_on = weeks;
                3
            }
            None => 0,
        }
    }

    /// Reads "in two hours", "in 3 days", "a week from now", "in a month".
    fn relative(&mut self, words: &[String], i: usize, wall: &Zoned) -> usize {
        let word = |n: usize| words.get(n).map(String::as_str).unwrap_or_default();
        let prefixed = matches!(word(i), "in" | "within");
        let at = i + usize::from(prefixed);
        let (n, taken) = match (word(at), word(at + 1)) {
            ("half", "an") => (0.5, 2),
            ("a" | "an", "couple") => (2.0, 2 + usize::from(word(at + 2) == "of")),
            ("a" | "an", "few") => (3.0, 2),
            ("a" | "an", _) => (1.0, 1),
            _ => match number_at(words, at) {
                Some(found) => found,
                None => return 0,
            },
        };
        let after = at + taken;
        let suffixed = word(after + 1) == "from" && matches!(word(after + 2), "now" | "today");
        if !(prefixed || suffixed) || !(0.0..1000.0).contains(&n) {
            return 0;
        }
        let end = after + 1 + if suffixed { 2 } else { 0 } - i;
        let whole = n as i32;
        let ahead = |span: Span| wall.date().checked_add(span).ok();
        match word(after).trim_end_matches('s') {
            "minute" | "min" => self.moment = wall.checked_add(whole.minutes()).ok(),
            "hour" => {
                self.moment = wall.checked_add(((n * 60.0) as i32).minutes()).ok();
            }
            "day" => self.day = ahead(whole.days()),
            "week" => self.day = ahead(whole.weeks()),
            "fortnight" => self.day = ahead((2 * whole).weeks()),
            "month" => self.day = ahead(whole.months()),
            _ => return 0,
        }
        end
    }

    /// Reads "the fifth of June", "June 5", "6/5", "2026-06-05", "the 5th".
    fn calendar(&mut self, words: &[String], i: usize, today: Date) -> usize {
        let word = |n: usize| words.get(n).map(String::as_str).unwrap_or_default();
        if let Some(date) = numeric_date(word(i), today) {
            self.day = Some(date);
            return 1;
        }
        let year_at = |n: usize| {
            word(n)
                .parse::<i16>()
                .ok()
                .filter(|y| (2000..2100).contains(y))
        };
        if let Some((number, _)) = month(word(i)) {
            let skip = usize::from(word(i + 1) == "the");
            if let Some((day, taken)) = day_at(words, i + 1 + skip) {
                let next = i + 1 + skip + taken;
                let year = year_at(next);
                self.day = date_in(today, number, day, year);
                return next + usize::from(year.is_some()) - i;
            }
            return 0;
        }
        let Some((day, taken)) = day_at(words, i) else {
            return 0;
        };
        let skip = usize::from(word(i + taken) == "of");
        if let Some((number, _)) = month(word(i + taken + skip)) {
            let next = i + taken + skip + 1;
            let year = year_at(next);
            self.day = date_in(today, number, day, year);
            return next + usize::from(year.is_some()) - i;
        }
        let is_ordinal = ordinal_at(words, i).is_some();
        let named = i > 0 && word(i - 1) == "the";
        let written = word(i).starts_with(|c: char| c.is_ascii_digit());
        if is_ordinal && (named || written || word(i).ends_with("th")) {
            self.day = self.day.or_else(|| next_day_of_month(today, day));
            return taken;
        }
        0
    }

    fn carry(&mut self, cx: &SlotContext<'_>) {
        let text = |key: &str| cx.carry.and_then(|c| c.get(key)).and_then(|v| v.as_str());
        if self.day.is_none() {
            self.day = text("day").and_then(|d| d.parse().ok());
        }
        if self.clock.is_none()
            && self.part.is_none()
            && let Some(time) = text("time").and_then(|t| t.parse::<Time>().ok())
        {
            self.clock = Some(Clock {
                hour: time.hour(),
                minute: time.minute(),
                pm: Some(time.hour() >= 12),
            });
        }
    }

    fn take_bare_hour(&mut self, words: &[String]) {
        if self.clock.is_none() && (self.day.is_some() || words.len() <= 3) {
            let free = (0..words.len()).filter(|i| !self.used.contains(i));
            self.clock = free.filter_map(|i| bare_hour(words, i)).next();
        }
    }

    fn meridiem_known(&self) -> bool {
        self.part.is_some() || self.clock.is_none_or(|c| c.pm.is_some() || c.hour > 12)
    }

    fn time(&self) -> Option<Time> {
        let Some(clock) = self.clock else {
            return self.part.and_then(|p| Time::new(p.hour(), 0, 0, 0).ok());
        };
        let hour = match clock.pm {
            _ if clock.hour > 12 || clock.hour == 0 => clock.hour,
            Some(pm) => on_clock(clock.hour, pm),
            None => match self.part {
                Some(part) => on_clock(clock.hour, part.is_pm(clock.hour)),
                // Business hours: seven to eleven in the morning, twelve to six after noon.
                None => on_clock(clock.hour, !(7..12).contains(&clock.hour)),
            },
        };
        Time::new(hour, clock.minute, 0, 0).ok()
    }
}

fn on_clock(hour: i8, pm: bool) -> i8 {
    match (hour, pm) {
        (12, false) => 0,
        (12, true) => 12,
        (h, true) => h + 12,
        (h, false) => h,
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

fn day_at(words: &[String], at: usize) -> Option<(i8, usize)> {
    let (n, taken) = ordinal_at(words, at).or_else(|| {
        let plain = super::number::below_hundred(words, at);
        plain.or_else(|| words.get(at)?.parse::<u32>().ok().map(|n| (n, 1)))
    })?;
    i8::try_from(n)
        .ok()
        .filter(|d| (1..=31).contains(d))
        .map(|d| (d, taken))
}

fn numeric_date(word: &str, today: Date) -> Option<Date> {
    if word.len() == 10
        && let Ok(date) = word.parse::<Date>()
    {
        return Some(date);
    }
    let mut parts = word.split('/');
    let month = parts.next()?.parse::<i8>().ok()?;
    let day = parts.next()?.parse::<i8>().ok()?;
    let year = match parts.next() {
        Some(year) => Some(
            year.parse::<i16>()
                .ok()
                .map(|y| if y < 100 { y + 2000 } else { y })?,
        ),
        None => None,
    };
    date_in(today, month, day, year)
}

/// Returns the date in the given year, or the next one from today.
fn date_in(today: Date, month: i8, day: i8, year: Option<i16>) -> Option<Date> {
    if let Some(year) = year {
        return Date::new(year, month, day).ok();
    }
    let this = Date::new(today.year(), month, day).ok();
    let next = || Date::new(today.year() + 1, month, day).ok();
    this.filter(|d| *d >= today).or_else(next)
}

fn next_day_of_month(today: Date, day: i8) -> Option<Date> {
    let first = today.first_of_month();
    (0..4_i32)
        .filter_map(|ahead| first.checked_add(ahead.months()).ok())
        .filter_map(|month| Date::new(month.year(), month.month(), day).ok())
        .find(|date| *date >= today)
}

/// Returns the weekday after today; with `next`, the one of the next calendar week.
fn next_weekday(today: Date, day: Weekday, next: bool) -> Date {
    let ahead = i32::from(today.weekday().until(day));
    let ahead = if next {
        let monday = 7 - i32::from(today.weekday().to_monday_zero_offset());
        monday + i32::from(day.to_monday_zero_offset())
    } else if ahead == 0 {
        7
    } else {
        ahead
    };
    today.checked_add(ahead.days()).unwrap_or(today)
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
