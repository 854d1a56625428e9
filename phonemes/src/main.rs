//! Text in, phonemes out.
fn main() {}
