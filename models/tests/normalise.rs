//! What a voice says when a text holds more than words.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use offhook_models::voice::normalise::{normalise, plain, spelled};

#[track_caller]
fn says(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, expected)| (text, expected, normalise(text)))
        .filter(|(_, expected, said)| said != *expected)
        .map(|(text, expected, said)| format!("{text:?}\n  said {said:?}\n  not  {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn money_is_said_with_its_currency_last() {
    says(&[
        (
            "$1,249.99",
            "one thousand two hundred forty-nine dollars and ninety-nine cents",
        ),
        ("It costs $5.", "It costs five dollars."),
        ("$1", "one dollar"),
        ("$1.01", "one dollar and one cent"),
        ("$0.99", "ninety-nine cents"),
        ("$5.00 off", "five dollars off"),
        ("$1.5", "one dollar and fifty cents"),
        ("$1.5M", "one point five million dollars"),
        ("$3k", "three thousand dollars"),
        ("$2 billion", "two billion dollars"),
        ("$5-10", "five to ten dollars"),
        ("$5 - $10", "five dollars to ten dollars"),
        ("-$20", "minus twenty dollars"),
        ("$49/month", "forty-nine dollars per month"),
        (
            "$49.99/mo.",
            "forty-nine dollars and ninety-nine cents per month.",
        ),
        ("€20", "twenty euros"),
        ("20 €", "twenty euros"),
        ("£1.50", "one pound and fifty pence"),
        ("USD 20", "twenty U.S dollars"),
        ("20 EUR", "twenty euros"),
        ("$1,000,000", "one million dollars"),
        ("a $5,000 budget", "a five thousand dollars budget"),
    ]);
}

#[test]
fn numbers_are_said_as_numbers() {
    says(&[
        ("I have 3 cats", "I have three cats"),
        ("3.5", "three point five"),
        (".5", "zero point five"),
        ("-5 degrees", "minus five degrees"),
        (
            "1,234,567",
            "one million two hundred thirty-four thousand five hundred sixty-seven",
        ),
        ("1, 2, 3", "one, two, three"),
        ("1,2", "one,two"),
        ("It's 12.", "It's twelve."),
        ("99%", "ninety-nine percent"),
        ("12.5 %", "twelve point five percent"),
        ("9-5", "nine to five"),
        ("10–12 people", "ten to twelve people"),
        ("1/2", "one half"),
        ("3/4", "three quarters"),
        ("2 1/2 hours", "two and one half hours"),
        ("2½ hours", "two and a half hours"),
        ("24/7", "twenty-four seven"),
        ("#1", "number one"),
        ("version 2.0.1", "version two point zero point one"),
        (
            "192.168.1.10",
            "one nine two dot one six eight dot one dot one zero",
        ),
        ("100+ users", "one hundred plus users"),
        ("007", "zero zero seven"),
        (
            "order 12345678",
            "order one two three four, five six seven eight",
        ),
        ("code 4512", "code four five one two"),
        ("the 1990s", "the nineteen nineties"),
        ("2x faster", "two times faster"),
    ]);
}

#[test]
fn ordinals_are_said_as_places() {
    says(&[
        ("1st", "first"),
        ("the 22nd of", "the twenty-second of"),
        ("103rd", "one hundred third"),
        ("11th hour", "eleventh hour"),
    ]);
}

#[test]
fn telephone_numbers_are_said_digit_by_digit_in_groups() {
    let number = "two zero two, five five five, zero one zero zero";
    for text in [
        "202-555-0100",
        "(202) 555-0100",
        "202.555.0100",
        "202 555 0100",
        "2025550100",
    ] {
        assert_eq!(normalise(text), number, "{text}");
    }
    for text in ["+12025550100", "+1 (202) 555-0100", "+1-202-555-0100"] {
        assert_eq!(normalise(text), format!("plus one, {number}"), "{text}");
    }
    says(&[
        (
            "1-800-555-0199",
            "one, eight zero zero, five five five, zero one nine nine",
        ),
        ("555-0100", "five five five, zero one zero zero"),
        (
            "Call 202-555-0100.",
            "Call two zero two, five five five, zero one zero zero.",
        ),
        (
            "202-555-0100 ext. 123",
            "two zero two, five five five, zero one zero zero extension one two three",
        ),
        (
            "+44 20 7946 0958",
            "plus four four, two zero, seven nine four six, zero nine five eight",
        ),
        (
            "4111 1111 1111 1111",
            "four one one one, one one one one, one one one one, one one one one",
        ),
    ]);
}

#[test]
fn addresses_of_the_internet_are_said_with_their_signs() {
    says(&[
        ("jane.doe@example.com", "jane dot doe at example dot com"),
        (
            "Write to jane_doe+crm@mail.example.co.uk.",
            "Write to jane underscore doe plus C.R.M at mail dot example dot co dot U.K.",
        ),
        (
            "j.smith99@gmail.com",
            "J dot smith nine nine at gmail dot com",
        ),
        ("a-b@x.io", "eh dash B at X dot I.O"),
        (
            "https://www.example.com/help?x=1",
            "example dot com slash help",
        ),
        ("Visit www.example.org!", "Visit example dot org!"),
        ("example.com", "example dot com"),
        (
            "http://localhost:8080/healthz",
            "localhost port eight zero eight zero slash healthz",
        ),
        ("I came.Then I left", "I came.Then I left"),
        (
            "<spell>jd@gmail.com</spell>, right?",
            "J, D, at, gmail dot com, right?",
        ),
    ]);
}

#[test]
fn text_is_spelled_when_asked() {
    assert_eq!(
        spelled("jane.doe@example.com"),
        "J, eh, N, E, dot, D, O, E, at, example dot com"
    );
    assert_eq!(spelled("AB-12"), "eh, B, dash, one, two");
    assert_eq!(spelled("jo@acme.io"), "J, O, at, eh, C, M, E, dot I.O");
}

#[test]
fn dates_are_said_as_dates() {
    says(&[
        ("2026-11-23", "November twenty-third, twenty twenty-six"),
        ("11/23/2026", "November twenty-third, twenty twenty-six"),
        ("3/4/26", "March fourth, twenty twenty-six"),
        ("23.11.2026", "November twenty-third, twenty twenty-six"),
        ("Nov. 23, 2026", "November twenty-third, twenty twenty-six"),
        ("November 23rd", "November twenty-third"),
        ("May 5", "May fifth"),
        ("you may 5", "you may five"),
        ("March 2026", "March twenty twenty-six"),
        (
            "23 November 2026",
            "twenty-third of November, twenty twenty-six",
        ),
        ("in 2026", "in twenty twenty-six"),
        ("since 1999.", "since nineteen ninety-nine."),
        ("2000 people", "two thousand people"),
        ("Tues. at", "Tuesday at"),
        (
            "2026-11-23T14:30:00Z",
            "November twenty-third, twenty twenty-six at two thirty P.M",
        ),
    ]);
}

#[test]
fn times_are_said_as_times() {
    says(&[
        ("9:05", "nine oh five"),
        ("9:00", "nine o'clock"),
        ("9:00 am", "nine A.M"),
        ("2:30 PM.", "two thirty P.M."),
        ("5pm", "five P.M"),
        ("at 5 p.m. tomorrow", "at five P.M tomorrow"),
        ("at 5 p.m.", "at five P.M."),
        ("14:30", "two thirty P.M"),
        ("00:15", "twelve fifteen A.M"),
        ("9am-5pm", "nine A.M to five P.M"),
        ("9:00 - 17:00", "nine o'clock to five P.M"),
        ("Tuesday, 3 pm?", "Tuesday, three P.M?"),
        ("10:30 EST", "ten thirty E.S.T"),
    ]);
}

#[test]
fn units_are_said_in_full() {
    says(&[
        ("10 km", "ten kilometers"),
        ("1 km", "one kilometer"),
        ("5GB", "five gigabytes"),
        ("60 mph", "sixty miles per hour"),
        ("72°F", "seventy-two degrees Fahrenheit"),
        ("20 ms", "twenty milliseconds"),
        ("1,200 sq ft", "one thousand two hundred square feet"),
        ("5 lbs", "five pounds"),
        ("100 Mbps", "one hundred megabits per second"),
        ("$30/hr", "thirty dollars per hour"),
    ]);
}

#[test]
fn abbreviations_are_said_in_full() {
    says(&[
        ("Mr. Jones", "Mister Jones"),
        ("Dr. Smith", "Doctor Smith"),
        ("12 Mulholland Dr.", "twelve Mulholland Drive."),
        ("St. Louis", "Saint Louis"),
        (
            "123 Main St. today",
            "one hundred twenty-three Main Street today",
        ),
        ("e.g. this", "for example this"),
        ("i.e., that", "that is, that"),
        ("cats, dogs, etc.", "cats, dogs, et cetera."),
        ("No. 5", "number five"),
        ("I said no. Then", "I said no. Then"),
        ("Acme Inc. called", "Acme Incorporated called"),
        ("us vs. them", "us versus them"),
        ("w/o a fee", "without a fee"),
        ("the U.S. market", "the U.S market"),
        ("in the U.S.", "in the U.S."),
    ]);
}

#[test]
fn acronyms_are_spelled_and_words_in_capitals_are_not() {
    says(&[
        ("our CRM", "our C.R.M"),
        ("SIP trunk", "S.I.P trunk"),
        ("two APIs", "two A.P.I's"),
        ("VoIP", "voyp"),
        ("NASA", "nasa"),
        ("I do NOT agree", "I do not agree"),
        ("PLEASE HOLD THE LINE", "please hold the line"),
        ("THE CRM IS DOWN NOW", "the C.R.M is down now"),
        ("OK, go", "okay, go"),
        ("5G", "five G"),
        ("B2B", "B two B"),
        ("MP3", "M.P three"),
        ("World War II", "World War two"),
        ("R&D", "R and D"),
    ]);
}

#[test]
fn signs_and_mark_up_leave_words_only() {
    says(&[
        ("this & that", "this and that"),
        ("a + b", "a plus b"),
        ("press #", "press pound"),
        ("press * now", "press star now"),
        ("dial *67", "dial star six seven"),
        ("**bold** text", "bold text"),
        ("# Heading\nText", "Heading. Text"),
        ("- one\n- two", "one. two"),
        ("yes — really", "yes, really"),
        ("wait…", "wait."),
        ("(optional) thing", "optional, thing"),
        ("and/or", "and or"),
        ("\u{201c}Hi\u{201d} she said", "Hi she said"),
        ("well-known", "well-known"),
        ("What?! No", "What? No"),
        ("\u{1f600} hello", "hello"),
        ("it's John's", "it's John's"),
        ("it\u{2019}s", "it's"),
        ("", ""),
        ("...", ""),
    ]);
}

#[test]
fn other_languages_keep_their_words() {
    assert_eq!(plain("Das **kostet** 5 €."), "Das kostet 5 €.");
}

#[test]
fn any_text_is_taken() {
    let pieces = [
        "1",
        ",",
        ".",
        "-",
        "$",
        "(",
        ")",
        "/",
        ":",
        "@",
        "a",
        "Z",
        " ",
        "é",
        "½",
        "²",
        "\u{1f600}",
        "#",
        "*",
        "%",
        "am",
        "http://",
        "<spell>",
        "</spell>",
        "\n",
        "999999999999999999999999",
    ];
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..8 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
        }
        let said = normalise(&text);
        assert!(said.len() < 4000, "{text:?} became {said:?}");
    }
}
