//! What a person, or a script, gets to see.

pub mod change;
pub mod compat;
pub mod container;
pub mod done;
pub mod explanation;
pub mod fleet;
pub mod grid;
pub mod host;
pub mod operator;
pub mod plan;
pub mod progress;
pub mod quantity;
pub mod release;
pub mod report;
pub mod token;
pub mod transfer;
pub mod vault;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

pub use grid::{Cell, Grid, Tone};

use crate::error::Error;

/// The form of a command's result on standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables for people.
    #[default]
    Table,
    /// One JSON document; `--watch` prints one per line.
    Json,
    /// The tables' rows alone, columns separated by a tab.
    Text,
}

/// Anything that can be printed as tables.
pub trait Tabular {
    fn grids(&self) -> Vec<Grid>;
}

/// Standard output, and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub format: Format,
    /// Columns of the terminal; `None` when it is none.
    width: Option<u16>,
    colour: bool,
}

impl Output {
    /// Colours need a terminal and no `NO_COLOR` (https://no-color.org).
    pub fn to_stdout(format: Format) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            format,
            width: terminal.then(|| crossterm::terminal::size().map_or(80, |(columns, _)| columns)),
            colour: terminal && colour_is_wanted(),
        }
    }

    /// Prints a command's result.
    pub fn print<T: Tabular + Serialize>(&self, value: &T) -> Result<(), Error> {
        let text = match self.format {
            Format::Json => json(value, true)?,
            Format::Table => self.tables(value),
            Format::Text => value.grids().iter().map(Grid::to_text).collect(),
        };
        write_stdout(&text)
    }

    /// Reports what was done where there is nothing to show: a line for people beside the result, or a document.
    pub fn report<T: Serialize>(&self, done: &T, words: &str) -> Result<(), Error> {
        match self.format {
            Format::Json => write_stdout(&json(done, true)?),
            Format::Table | Format::Text => {
                note(words);
                Ok(())
            }
        }
    }

    /// Prints one line of a text that is the result itself, for programs inside a document of its own.
    pub fn print_line<T: Serialize>(&self, document: &T, line: &str) -> Result<(), Error> {
        match self.format {
            Format::Json => write_stdout(&json(document, false)?),
            Format::Table | Format::Text => write_stdout(&format!("{line}\n")),
        }
    }

    /// Prints one of a sequence of results: a table each time, or one line of JSON.
    pub fn print_next<T: Tabular + Serialize>(&self, value: &T) -> Result<(), Error> {
        match self.format {
            Format::Json => write_stdout(&json(value, false)?),
            Format::Table | Format::Text => self.print(value),
        }
    }

    fn tables(&self, value: &impl Tabular) -> String {
        let rendered: Vec<String> = value
            .grids()
            .iter()
            .map(|grid| grid.to_table(self.width, self.colour))
            .collect();
        rendered.join("\n")
    }
}

/// Prints one line that is not part of the result, for people.
pub fn note(text: &str) {
    // Nothing can be told to a person whose terminal is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints an error with its reason and its remedy.
pub fn report(error: &Error) {
    let coloured = io::stderr().is_terminal() && colour_is_wanted();
    let label = |text: &str| {
        if coloured {
            format!("\x1b[1;31m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    note(&format!("{} {error}", label("error:")));
    if let Some(why) = error.why() {
        note(&format!(
            "  because: {}",
            why.trim_end().replace('\n', "\n    ")
        ));
    }
    if let Some(remedy) = error.remedy() {
        note(&format!("  next: {remedy}"));
    }
}

fn colour_is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn json<T: Serialize>(value: &T, pretty: bool) -> Result<String, Error> {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    text.map(|text| text + "\n")
        .map_err(|error| Error::Output(error.into()))
}

/// A reader that leaves early (`tfleet hosts | head -1`) is no error worth words, but ends the command.
pub fn write_stdout(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Error::Output)
}
