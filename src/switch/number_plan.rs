//! How a trunk writes numbers: each carrier has a form of its own, and all of ours are E.164 with `+`.

use super::number::Number;
use crate::config::{NumberForm as Form, TrunkConfig};

/// Digits below which a number is a short one, or an extension, and no subscriber's.
const SHORTEST: usize = 7;

/// A trunk's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberPlan {
    /// The form that it wants.
    pub form: Form,
    /// The form that it sends.
    pub incoming: Form,
    /// The country that it is in, such as `44`; without it nothing is known of national numbers.
    pub country_code: Option<String>,
}

impl NumberPlan {
    /// The plan of a configured trunk.
    #[must_use]
    pub fn of(trunk: &TrunkConfig) -> Self {
        Self {
            form: trunk.numbers,
            incoming: trunk.incoming_numbers,
            country_code: trunk.country_code.clone(),
        }
    }

    /// Reads a number as the trunk sends it: in E.164 with `+` where that can be told, else as it
    /// is.
    #[must_use]
    pub fn read(&self, text: &str) -> String {
        let Some(number) = Number::parse(text) else {
            return text.to_owned();
        };
        let digits = number.as_str();
        let is_whole = digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() >= SHORTEST;
        if !is_whole {
            return digits.to_owned();
        }
        if self.incoming == Form::Bare {
            return format!("+{digits}");
        }
        let Some(country) = self.country_code.as_deref() else {
            return digits.to_owned();
        };
        if let Some(rest) = digits.strip_prefix(abroad(country)) {
            return format!("+{rest}");
        }
        // North American numbers have ten digits, with or without their 1.
        if country == "1" {
            return match (digits.len(), digits.strip_prefix('1')) {
                (11, Some(rest)) => format!("+1{rest}"),
                (10, _) => format!("+1{digits}"),
                _ => digits.to_owned(),
            };
        }
        match digits.strip_prefix(trunk_prefix(country)) {
            Some(rest) => format!("+{country}{rest}"),
            None => digits.to_owned(),
        }
    }

    /// Writes a number as the trunk wants it.
    #[must_use]
    pub fn write(&self, number: &Number) -> String {
        if self.form == Form::AsIs {
            return number.to_string();
        }
        let known = match number.as_str().starts_with('+') {
            true => number.to_string(),
            false => Self {
                incoming: Form::AsIs,
                ..self.clone()
            }
            .read(number.as_str()),
        };
        let Some(digits) = known.strip_prefix('+') else {
            return known;
        };
        let country = self.country_code.as_deref().unwrap_or_default();
        let far = || format!("{}{digits}", abroad(country));
        match self.form {
            Form::AsIs | Form::Plus => known,
            Form::Bare => digits.to_owned(),
            Form::International => far(),
            Form::National => match digits.strip_prefix(country).filter(|_| !country.is_empty()) {
                None => far(),
                Some(rest) => format!("{}{rest}", trunk_prefix(country)),
            },
        }
    }
}

/// What is dialled before another country's code.
fn abroad(country: &str) -> &'static str {
    match country {
        "1" => "011",
        "81" => "010",
        "61" => "0011",
        _ => "00",
    }
}

/// What is dialled before a number within a country, and is no part of it.
fn trunk_prefix(country: &str) -> &'static str {
    match country {
        "1" => "1",
        // Closed plans: a number is dialled as it is, an Italian one with its 0 from abroad too.
        "30" | "34" | "39" | "45" | "47" | "48" | "65" | "351" | "352" | "378" | "420" | "852" => {
            ""
        }
        "7" => "8",
        "36" => "06",
        _ => "0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(form: Form, country: &str) -> NumberPlan {
        let country_code = Some(country.to_owned()).filter(|country| !country.is_empty());
        NumberPlan {
            form,
            incoming: form,
            country_code,
        }
    }

    fn written(form: Form, country: &str, number: &str) -> String {
        plan(form, country).write(&Number::parse(number).unwrap())
    }

    #[test]
    fn each_form_is_written_as_its_carriers_want_it() {
        for (form, country, number, wanted) in [
            (Form::AsIs, "44", "020 7946 0123", "02079460123"),
            (Form::Plus, "44", "020 7946 0123", "+442079460123"),
            (Form::Plus, "", "02079460123", "02079460123"),
            (Form::Bare, "", "+442079460123", "442079460123"),
            (Form::Bare, "44", "02079460123", "442079460123"),
            (Form::International, "49", "+442079460123", "00442079460123"),
            (Form::International, "1", "+442079460123", "011442079460123"),
            (Form::National, "44", "+442079460123", "02079460123"),
            (Form::National, "44", "+12025550123", "0012025550123"),
            (Form::National, "1", "+12025550123", "12025550123"),
            (Form::National, "39", "+390612345678", "0612345678"),
            (Form::National, "34", "+34911234567", "911234567"),
            (Form::Plus, "44", "*21#", "*21#"),
            (Form::Plus, "44", "999", "999"),
        ] {
            assert_eq!(
                written(form, country, number),
                wanted,
                "{form:?} {country} {number}"
            );
        }
    }

    #[test]
    fn what_a_carrier_sends_becomes_one_form() {
        for (form, country, sent, wanted) in [
            (Form::AsIs, "44", "02079460123", "+442079460123"),
            (Form::AsIs, "44", "0012025550123", "+12025550123"),
            (Form::AsIs, "44", "+12025550123", "+12025550123"),
            (Form::AsIs, "", "02079460123", "02079460123"),
            (Form::AsIs, "1", "2025550123", "+12025550123"),
            (Form::AsIs, "1", "12025550123", "+12025550123"),
            (Form::AsIs, "1", "011442079460123", "+442079460123"),
            (Form::AsIs, "39", "0612345678", "+390612345678"),
            (Form::AsIs, "39", "3471234567", "+393471234567"),
            (Form::Bare, "", "442079460123", "+442079460123"),
            (Form::Plus, "44", "100", "100"),
            (Form::Plus, "44", "alice", "alice"),
            (Form::Plus, "44", "anonymous", "anonymous"),
        ] {
            assert_eq!(
                plan(form, country).read(sent),
                wanted,
                "{form:?} {country} {sent}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let countries = ["44", "1", "49", "39", "34", "7", "36", "61", "81"];
        for country in countries {
            let forms = [Form::Plus, Form::Bare, Form::International, Form::National];
            for form in forms {
                for number in [
                    "+442079460123",
                    "+12025550123",
                    "+4930123456",
                    "+390612345678",
                ] {
                    let plan = plan(form, country);
                    let written = plan.write(&Number::parse(number).unwrap());
                    assert_eq!(plan.read(&written), number, "{form:?} {country} {written}");
                }
            }
        }
    }
}
