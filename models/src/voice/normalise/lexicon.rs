//! The word lists of the rules.

/// A currency and the words for it.
pub(super) struct Currency {
    /// Signs before or after an amount, longer ones first.
    pub(super) signs: &'static [&'static str],
    /// ISO 4217 code.
    pub(super) code: &'static str,
    pub(super) one: &'static str,
    pub(super) many: &'static str,
    /// The hundredth.
    pub(super) part: &'static str,
    pub(super) parts: &'static str,
}

const fn currency(
    signs: &'static [&'static str],
    code: &'static str,
    whole: [&'static str; 2],
    part: [&'static str; 2],
) -> Currency {
    let ([one, many], [part, parts]) = (whole, part);
    Currency {
        signs,
        code,
        one,
        many,
        part,
        parts,
    }
}

/// Signs that begin with another's come first.
pub(super) const CURRENCIES: &[Currency] = &[
    currency(
        &["US$"],
        "USD",
        ["U.S dollar", "U.S dollars"],
        ["cent", "cents"],
    ),
    currency(
        &["CA$", "C$"],
        "CAD",
        ["Canadian dollar", "Canadian dollars"],
        ["cent", "cents"],
    ),
    currency(
        &["AU$", "A$"],
        "AUD",
        ["Australian dollar", "Australian dollars"],
        ["cent", "cents"],
    ),
    currency(&["$"], "USD", ["dollar", "dollars"], ["cent", "cents"]),
    currency(&["\u{20ac}"], "EUR", ["euro", "euros"], ["cent", "cents"]),
    currency(&["\u{a3}"], "GBP", ["pound", "pounds"], ["penny", "pence"]),
    currency(&["\u{a5}"], "JPY", ["yen", "yen"], ["sen", "sen"]),
    currency(
        &["\u{20b9}"],
        "INR",
        ["rupee", "rupees"],
        ["paisa", "paise"],
    ),
    currency(
        &["CHF"],
        "CHF",
        ["Swiss franc", "Swiss francs"],
        ["centime", "centimes"],
    ),
];

/// What may follow a number to make it larger; with a blank before whole words.
pub(super) const MAGNITUDES: &[(&str, &str)] = &[
    (" hundred", "hundred"),
    (" thousand", "thousand"),
    (" million", "million"),
    (" billion", "billion"),
    (" trillion", "trillion"),
    ("k", "thousand"),
    ("K", "thousand"),
    ("M", "million"),
    ("mn", "million"),
    ("bn", "billion"),
    ("B", "billion"),
];

/// What may follow a quantity after a slash.
pub(super) const PER: &[(&str, &str)] = &[
    ("mo", "month"),
    ("yr", "year"),
    ("hr", "hour"),
    ("h", "hour"),
    ("min", "minute"),
    ("sec", "second"),
    ("s", "second"),
    ("d", "day"),
    ("wk", "week"),
    ("ea", "piece"),
    ("mi", "mile"),
    ("km", "kilometer"),
    ("lb", "pound"),
    ("kg", "kilogram"),
];

/// A unit of measure.
pub(super) struct Unit {
    pub(super) sign: &'static str,
    pub(super) one: &'static str,
    pub(super) many: &'static str,
}

const fn unit(sign: &'static str, one: &'static str, many: &'static str) -> Unit {
    Unit { sign, one, many }
}

/// Units; one that begins with another's sign comes first.
pub(super) const UNITS: &[Unit] = &[
    unit("km/h", "kilometer per hour", "kilometers per hour"),
    unit("kph", "kilometer per hour", "kilometers per hour"),
    unit("mph", "mile per hour", "miles per hour"),
    unit("sq ft", "square foot", "square feet"),
    unit("sqft", "square foot", "square feet"),
    unit("m\u{b2}", "square meter", "square meters"),
    unit("\u{b0}F", "degree Fahrenheit", "degrees Fahrenheit"),
    unit("\u{b0}C", "degree Celsius", "degrees Celsius"),
    unit("\u{b0}", "degree", "degrees"),
    unit("kWh", "kilowatt hour", "kilowatt hours"),
    unit("kW", "kilowatt", "kilowatts"),
    unit("Gbps", "gigabit per second", "gigabits per second"),
    unit("Mbps", "megabit per second", "megabits per second"),
    unit("kbps", "kilobit per second", "kilobits per second"),
    unit("TB", "terabyte", "terabytes"),
    unit("GB", "gigabyte", "gigabytes"),
    unit("MB", "megabyte", "megabytes"),
    unit("KB", "kilobyte", "kilobytes"),
    unit("kB", "kilobyte", "kilobytes"),
    unit("GHz", "gigahertz", "gigahertz"),
    unit("MHz", "megahertz", "megahertz"),
    unit("kHz", "kilohertz", "kilohertz"),
    unit("Hz", "hertz", "hertz"),
    unit("km", "kilometer", "kilometers"),
    unit("cm", "centimeter", "centimeters"),
    unit("mm", "millimeter", "millimeters"),
    unit("mi", "mile", "miles"),
    unit("ft", "foot", "feet"),
    unit("yd", "yard", "yards"),
    unit("kg", "kilogram", "kilograms"),
    unit("mg", "milligram", "milligrams"),
    unit("lbs", "pound", "pounds"),
    unit("lb", "pound", "pounds"),
    unit("oz", "ounce", "ounces"),
    unit("gal", "gallon", "gallons"),
    unit("ml", "milliliter", "milliliters"),
    unit("ms", "millisecond", "milliseconds"),
    unit("secs", "second", "seconds"),
    unit("sec", "second", "seconds"),
    unit("mins", "minute", "minutes"),
    unit("min", "minute", "minutes"),
    unit("hrs", "hour", "hours"),
    unit("hr", "hour", "hours"),
    unit("yrs", "year", "years"),
    unit("yr", "year", "years"),
    unit("dB", "decibel", "decibels"),
    unit("m", "meter", "meters"),
    unit("s", "second", "seconds"),
    unit("h", "hour", "hours"),
    unit("g", "gram", "grams"),
    unit("L", "liter", "liters"),
    unit("W", "watt", "watts"),
    unit("V", "volt", "volts"),
    unit("x", "time", "times"),
];

/// Months with their abbreviations, in order.
pub(super) const MONTHS: [(&str, &str); 12] = [
    ("January", "Jan"),
    ("February", "Feb"),
    ("March", "Mar"),
    ("April", "Apr"),
    ("May", "May"),
    ("June", "Jun"),
    ("July", "Jul"),
    ("August", "Aug"),
    ("September", "Sep"),
    ("October", "Oct"),
    ("November", "Nov"),
    ("December", "Dec"),
];

/// Abbreviations that end in a point.
pub(super) const ABBREVIATIONS: &[(&str, &str)] = &[
    ("Mr", "Mister"),
    ("Mrs", "Missus"),
    ("Ms", "Miz"),
    ("Prof", "Professor"),
    ("Rev", "Reverend"),
    ("Gen", "General"),
    ("Sen", "Senator"),
    ("Rep", "Representative"),
    ("Gov", "Governor"),
    ("Capt", "Captain"),
    ("Sgt", "Sergeant"),
    ("Lt", "Lieutenant"),
    ("Jr", "Junior"),
    ("Sr", "Senior"),
    ("Inc", "Incorporated"),
    ("Ltd", "Limited"),
    ("Corp", "Corporation"),
    ("Co", "Company"),
    ("Bros", "Brothers"),
    ("Dept", "Department"),
    ("dept", "department"),
    ("Ave", "Avenue"),
    ("Blvd", "Boulevard"),
    ("Rd", "Road"),
    ("Ln", "Lane"),
    ("Hwy", "Highway"),
    ("Pkwy", "Parkway"),
    ("Apt", "Apartment"),
    ("apt", "apartment"),
    ("Ste", "Suite"),
    ("Fl", "Floor"),
    ("Mt", "Mount"),
    ("Ft", "Fort"),
    ("etc", "et cetera"),
    ("vs", "versus"),
    ("approx", "approximately"),
    ("appt", "appointment"),
    ("est", "estimated"),
    ("incl", "including"),
    ("excl", "excluding"),
    ("max", "maximum"),
    ("min", "minimum"),
    ("misc", "miscellaneous"),
    ("tel", "telephone"),
    ("Tel", "telephone"),
    ("ext", "extension"),
    ("Ext", "extension"),
    ("mo", "months"),
    ("hr", "hour"),
    ("hrs", "hours"),
    ("mins", "minutes"),
    ("secs", "seconds"),
    ("lbs", "pounds"),
    ("Mon", "Monday"),
    ("Tue", "Tuesday"),
    ("Tues", "Tuesday"),
    ("Wed", "Wednesday"),
    ("Thu", "Thursday"),
    ("Thur", "Thursday"),
    ("Thurs", "Thursday"),
    ("Fri", "Friday"),
    ("Jan", "January"),
    ("Feb", "February"),
    ("Apr", "April"),
    ("Aug", "August"),
    ("Sept", "September"),
    ("Oct", "October"),
    ("Nov", "November"),
    ("Dec", "December"),
];

/// Acronyms that are said as words.
pub(super) const SAID_ACRONYMS: &[&str] = &[
    "NASA", "NATO", "COVID", "RAM", "ROM", "SIM", "PIN", "LAN", "WAN", "ZIP", "UNICEF", "RADAR",
    "SCUBA", "OPEC", "FEMA", "OSHA", "COBRA", "GIF", "NASDAQ", "BIOS", "IKEA", "SWAT", "UNIX",
    "MIDI", "CAPTCHA", "AIDS", "FIFA", "NAFTA", "YAML", "ASCII",
];

/// Acronyms that are spelled even in a text all in capitals.
pub(super) const TECHNICAL_ACRONYMS: &[&str] = &[
    "API", "SIP", "IP", "IVR", "AI", "ID", "IT", "US", "USA", "UK", "EU", "CEO", "CFO", "CTO",
    "COO", "URL", "USB", "FAQ", "ETA", "EST", "UTC", "AM", "ASAP", "ACH", "ATM", "IOU", "IRS",
    "SEO", "ERP", "UI", "UX", "VOIP",
];

/// Words that are often written in capitals for emphasis and must not be spelled.
pub(super) const SHOUTED_WORDS: &[&str] = &[
    "AN", "AND", "ANY", "ALL", "ARE", "AS", "AT", "BE", "BEST", "BIG", "BUT", "BUY", "BY", "CALL",
    "CAN", "COME", "DID", "DO", "DONE", "DOES", "DON", "EVER", "EVERY", "FAST", "FIRST", "FOR",
    "FREE", "FROM", "FULL", "GET", "GO", "GOOD", "GREAT", "HAS", "HAVE", "HE", "HELP", "HER",
    "HERE", "HIGH", "HIM", "HIS", "HOT", "HOW", "IF", "IN", "IS", "JUST", "KEEP", "KNOW", "LAST",
    "LATE", "LESS", "LET", "LIKE", "LIVE", "LONG", "LOVE", "LOW", "MADE", "MAKE", "MANY", "ME",
    "MORE", "MOST", "MUST", "MY", "NEED", "NEVER", "NEW", "NEXT", "NO", "NONE", "NOT", "NOTE",
    "NOW", "OF", "OFF", "OLD", "ON", "ONCE", "ONE", "ONLY", "OPEN", "OR", "OUR", "OUT", "OVER",
    "OWN", "PART", "PAY", "PLEASE", "PRESS", "READ", "REAL", "RUN", "SAFE", "SALE", "SAME", "SAVE",
    "SAY", "SEE", "SEND", "SHE", "SO", "SOME", "SOON", "STOP", "SURE", "TAKE", "TELL", "THAN",
    "THAT", "THE", "THEM", "THEN", "THEY", "THIS", "TIME", "TO", "TODAY", "TOO", "TOP", "TWO",
    "UP", "URGENT", "USE", "VERY", "WAIT", "WANT", "WAS", "WE", "WELL", "WHAT", "WHEN", "WHERE",
    "WHO", "WHY", "WILL", "WITH", "WORK", "YES", "YOU", "YOUR",
];

/// Words that espeak-ng says wrongly as they are written.
pub(super) const RESPELLED: &[(&str, &str)] = &[
    ("VoIP", "voyp"),
    ("VOIP", "voyp"),
    ("VoIp", "voyp"),
    ("WiFi", "Wi-Fi"),
    ("WIFI", "Wi-Fi"),
    ("iOS", "eye O.S"),
    ("SaaS", "sass"),
    ("JSON", "jay-son"),
    ("JPEG", "jay-peg"),
    ("OAuth", "oh auth"),
    ("HIPAA", "hippa"),
    ("OK", "okay"),
    ("Ok", "okay"),
    ("ok", "okay"),
];

/// Top-level domains that make a bare name a web address.
pub(super) const TOP_LEVEL_DOMAINS: &[&str] = &[
    "com", "org", "net", "edu", "gov", "io", "ai", "co", "dev", "app", "info", "biz", "us", "uk",
    "ca", "de", "fr", "eu", "au", "tv", "ly",
];

/// Two-letter domains that are said as a word.
pub(super) const SAID_AS_WORD_TLDS: &[&str] = &["co", "me", "us", "am", "so", "to", "is", "it"];
