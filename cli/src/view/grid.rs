//! A table before it has a form.

use std::borrow::Cow;

use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// Between two columns.
const GAP: u16 = 2;

/// A word that is longer, an address mostly, may break.
const LONGEST_WHOLE_WORD: u16 = 40;

/// Of a column with such words alone.
const LEAST_WIDTH: u16 = 20;

/// Title, columns and rows.
#[derive(Debug, Default)]
pub struct Grid {
    title: Option<String>,
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// Said instead of an empty table.
    when_empty: &'static str,
    /// The column whose texts stand below the table.
    noted: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Attention,
    Bad,
    Faint,
}

impl Grid {
    pub fn new(header: impl Into<Vec<&'static str>>) -> Self {
        Self {
            header: header.into(),
            when_empty: "nothing",
            ..Self::default()
        }
    }

    /// Names and values below each other.
    pub fn of_pairs(pairs: impl IntoIterator<Item = (&'static str, Cell)>) -> Self {
        let row =
            |(name, value): (&'static str, Cell)| vec![Cell::from(name).toned(Tone::Faint), value];
        Self {
            rows: pairs.into_iter().map(row).collect(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    #[must_use]
    pub fn when_empty(mut self, text: &'static str) -> Self {
        self.when_empty = text;
        self
    }

    #[must_use]
    pub fn with_rows(mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// For a person the texts of this column stand below the table, each once, with a number in their place: addresses
    /// stay whole, and what is read line by line gets the room.
    #[must_use]
    pub fn noting(mut self, column: usize) -> Self {
        self.noted = Some(column);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it has rows, or a title whose emptiness says something.
    pub fn has_something_to_say(&self) -> bool {
        !self.is_empty() || self.title.is_some()
    }

    pub(super) fn to_table(&self, width: Option<u16>, colour: bool) -> String {
        let title = self
            .title
            .as_ref()
            .map(|title| format!("{title}\n"))
            .unwrap_or_default();
        if self.rows.is_empty() {
            return format!("{title}{}\n", self.when_empty);
        }
        let (rows, notes) = self.with_notes();
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        if let Some(width) = width {
            table
                .set_width(width)
                .set_content_arrangement(ContentArrangement::Dynamic);
        }
        if colour {
            table.enforce_styling();
        }
        if !self.header.is_empty() {
            let header = |name: &&str| comfy_table::Cell::new(name).add_attribute(Attribute::Bold);
            table.set_header(self.header.iter().map(header).collect::<Vec<_>>());
        }
        table.add_rows(
            rows.iter()
                .map(|row| row.iter().map(Cell::styled).collect::<Vec<_>>()),
        );
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        let least = self.least_widths(&rows);
        if width.is_some_and(|width| least.iter().sum::<u16>() <= width) {
            for (column, least) in table.column_iter_mut().zip(least) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        let lines: Vec<String> = table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        let numbered = notes.iter().zip(1..);
        let notes: String = numbered
            .map(|(note, number)| format!("[{number}] {note}\n"))
            .collect();
        format!("{title}{}\n{notes}", lines.join("\n"))
    }

    /// The rows as they stand in the table, and the notes below it.
    fn with_notes(&self) -> (Cow<'_, [Vec<Cell>]>, Vec<String>) {
        let Some(column) = self.noted else {
            return (Cow::Borrowed(&self.rows), Vec::new());
        };
        let mut notes: Vec<String> = Vec::new();
        let mut rows = self.rows.clone();
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            let known = notes.iter().position(|note| *note == cell.text);
            let index = known.unwrap_or_else(|| {
                notes.push(cell.text.clone());
                notes.len() - 1
            });
            cell.text = format!("[{}]", index + 1);
        }
        (Cow::Owned(rows), notes)
    }

    /// Of each column, gap included: as wide as its longest word, so that names do not break where prose can.
    fn least_widths(&self, rows: &[Vec<Cell>]) -> Vec<u16> {
        let longest = |text: &str| {
            let words = text.split_whitespace();
            let lengths = words.map(|word| u16::try_from(word.chars().count()).unwrap_or(u16::MAX));
            lengths
                .map(|length| match length > LONGEST_WHOLE_WORD {
                    true => LEAST_WIDTH,
                    false => length,
                })
                .max()
                .unwrap_or(0)
        };
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for (width, name) in widths.iter_mut().zip(&self.header) {
            *width = longest(name);
        }
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = longest(&cell.text).max(*width);
            }
        }
        widths.into_iter().map(|width| width + GAP).collect()
    }

    pub(super) fn to_text(&self) -> String {
        let line = |row: &Vec<Cell>| {
            let cells: Vec<String> = row
                .iter()
                .map(|cell| cell.text.replace(['\t', '\n'], " "))
                .collect();
            cells.join("\t") + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

impl Cell {
    #[must_use]
    pub fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// A value that may be missing.
    pub fn maybe(value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => Self::from(value.to_string()),
            None => Self::from("-").toned(Tone::Faint),
        }
    }

    #[must_use]
    pub fn suffixed(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Whether there is nothing to see.
    pub fn is_missing(&self) -> bool {
        self.text.is_empty() || self.text == "-"
    }

    fn styled(&self) -> comfy_table::Cell {
        let cell = comfy_table::Cell::new(&self.text);
        match self.tone {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::Green),
            Tone::Attention => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Plain,
        }
    }
}
