//! What a benchmark says.

/// What goes on, for the person who waits.
#[expect(clippy::print_stderr, reason = "a command speaks to its user")]
pub fn tell(text: &str) {
    eprintln!("{text}");
}

/// The result.
#[expect(clippy::print_stdout, reason = "a command speaks to its user")]
pub fn say(text: &str) {
    println!("{text}");
}
