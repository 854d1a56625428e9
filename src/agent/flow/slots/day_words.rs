//! What a sentence says of a day and a time, before it is settled which moment is meant.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Span, ToSpan, Zoned};

use super::SlotContext;
use super::clock_words::{Clock, bare_hour, clock_at};
use super::date_words::{DayPart, month, weekday};
use super::number::{number_at, ordinal_at};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) day: Option<Date>,
    today: bool,
    /// Weeks to add to a weekday: "Tuesday next week".
    next_week: bool,
    weekday: Option<(Weekday, bool)>,
    /// Weeks to add to a weekday's next date: "Friday week", "two weeks from Friday".
    weeks_on: i32,
    clock: Option<Clock>,
    part: Option<DayPart>,
    pub(super) moment: Option<Zoned>,
    used: Vec<usize>,
}

impl Found {
    pub(super) fn scan(&mut self, words: &[String], wall: &Zoned) {
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

    pub(super) fn carry(&mut self, cx: &SlotContext<'_>) {
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

    pub(super) fn take_bare_hour(&mut self, words: &[String]) {
        if self.clock.is_none() && (self.day.is_some() || words.len() <= 3) {
            let free = (0..words.len()).filter(|i| !self.used.contains(i));
            self.clock = free.filter_map(|i| bare_hour(words, i)).next();
        }
    }

    pub(super) fn meridiem_known(&self) -> bool {
        self.part.is_some() || self.clock.is_none_or(|c| c.pm.is_some() || c.hour > 12)
    }

    pub(super) fn time(&self) -> Option<Time> {
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
