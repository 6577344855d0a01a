//! The expression's grammar:
//!
//! ```text
//! any        = all { "||" all }
//! all        = term { "&&" term }
//! term       = "!" term | "(" any ")" | field [ comparison value ]
//! comparison = "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~"
//! value      = word | '"' text '"'
//! ```
//!
//! One token decides every branch, so whatever fails is an error at its place and nothing is tried twice.

use winnow::ascii::multispace0;
use winnow::combinator::{alt, delimited, opt, preceded, separated};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location as _};
use winnow::token::take_while;

use super::{
    AmountField, ExpressionError, Flag, Node, Relation, TextComparison, TextField, Version,
    VersionField,
};

const FIELDS: &str = "name, connected, label.KEY, driver, cuda, gpu, gpu.count, gpu.name, gpu.uuid, gpu.memory, \
                      gpu.capability, gpu.mig, engine, engine.storage, architecture, distribution, kernel, memory, \
                      cpu.count, cpu.flag, disk.free";

/// Longer ones are refused before the parser, which recurses, sees them.
const LONGEST_CHARACTERS: usize = 2000;
const DEEPEST: usize = 100;

type Input<'i> = LocatingSlice<&'i str>;
type Parsed<T> = Result<T, ErrMode<Fault>>;

/// What went wrong at a byte offset.
#[derive(Debug)]
struct Fault {
    offset: usize,
    why: String,
}

/// A field, by what it can be compared with.
enum Field {
    Flag(Flag),
    Text(TextField),
    /// Alone it asks whether the host has one.
    Version(VersionField, Option<Flag>),
    Number(AmountField),
    Bytes(AmountField),
    Label(String),
}

enum Comparison {
    Is(Relation),
    IsNot,
    Contains,
}

pub(super) fn parse(text: &str) -> Result<Node, ExpressionError> {
    let error = |fault: Fault| ExpressionError {
        expression: text.to_owned(),
        column: text.get(..fault.offset).unwrap_or(text).chars().count() + 1,
        why: fault.why,
    };
    let nesting = text.matches(['(', '!']).count();
    if text.chars().count() > LONGEST_CHARACTERS || nesting > DEEPEST {
        let why = format!(
            "the expression is too long: at most {LONGEST_CHARACTERS} characters and {DEEPEST} `(` and `!`"
        );
        return Err(error(Fault { offset: 0, why }));
    }
    let mut input = LocatingSlice::new(text);
    let whole = |input: &mut Input<'_>| {
        let node = any_of(input)?;
        if input.is_empty() {
            Ok(node)
        } else {
            fail_here(input, "expected `&&`, `||` or the end")
        }
    };
    match whole(&mut input) {
        Ok(node) => Ok(node),
        Err(ErrMode::Backtrack(fault) | ErrMode::Cut(fault)) => Err(error(fault)),
        Err(ErrMode::Incomplete(_)) => Err(error(Fault {
            offset: text.len(),
            why: "the expression is not complete".to_owned(),
        })),
    }
}

fn any_of(input: &mut Input<'_>) -> Parsed<Node> {
    let nodes: Vec<Node> = separated(1.., all_of, symbol("||")).parse_next(input)?;
    Ok(one_or(nodes, Node::Any))
}

fn all_of(input: &mut Input<'_>) -> Parsed<Node> {
    let nodes: Vec<Node> = separated(1.., term, symbol("&&")).parse_next(input)?;
    Ok(one_or(nodes, Node::All))
}

fn one_or(mut nodes: Vec<Node>, many: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        last => {
            nodes.extend(last);
            many(nodes)
        }
    }
}

fn term(input: &mut Input<'_>) -> Parsed<Node> {
    multispace0.parse_next(input)?;
    if opt("!").parse_next(input)?.is_some() {
        return Ok(Node::Not(Box::new(term(input)?)));
    }
    if opt("(").parse_next(input)?.is_some() {
        let node = any_of(input)?;
        if opt(symbol(")")).parse_next(input)?.is_none() {
            return fail_here(input, "expected `&&`, `||` or `)`");
        }
        return Ok(node);
    }
    test(input)
}

fn test(input: &mut Input<'_>) -> Parsed<Node> {
    let offset = input.current_token_start();
    let name = opt(word).parse_next(input)?;
    let Some(name) = name else {
        return fail_here(input, &format!("expected a field: {FIELDS}"));
    };
    let field = Field::named(name).ok_or_else(|| {
        cut(
            offset,
            format!("there is no field `{name}`; the fields are {FIELDS}"),
        )
    })?;
    let comparison_offset = input.current_token_start();
    match opt(comparison).parse_next(input)? {
        None => field.alone().ok_or_else(|| {
            cut(
                comparison_offset,
                format!("`{name}` needs a comparison, such as `{name} = …`"),
            )
        }),
        Some(comparison) => {
            multispace0.parse_next(input)?;
            let offset = input.current_token_start();
            let value = opt(value).parse_next(input)?;
            let Some(value) = value else {
                return fail_here(input, "expected a value");
            };
            field
                .compared(name, comparison, value)
                .map_err(|why| cut(offset, why))
        }
    }
}

/// Space, then the symbol.
fn symbol<'i>(text: &'static str) -> impl Parser<Input<'i>, &'i str, ErrMode<Fault>> {
    preceded(multispace0, text)
}

fn comparison(input: &mut Input<'_>) -> Parsed<Comparison> {
    // The longer ones first: `<` is the beginning of `<=`.
    let comparison = alt((
        alt(("==", "=")).map(|_| Comparison::Is(Relation::Equal)),
        "!=".map(|_| Comparison::IsNot),
        "<=".map(|_| Comparison::Is(Relation::LessOrEqual)),
        "<".map(|_| Comparison::Is(Relation::Less)),
        ">=".map(|_| Comparison::Is(Relation::GreaterOrEqual)),
        ">".map(|_| Comparison::Is(Relation::Greater)),
        "~".map(|_| Comparison::Contains),
    ));
    preceded(multispace0, comparison).parse_next(input)
}

fn word<'i>(input: &mut Input<'i>) -> Parsed<&'i str> {
    let in_word = |c: char| !c.is_whitespace() && !"()!&|=<>~\"".contains(c);
    take_while(1.., in_word).parse_next(input)
}

fn value<'i>(input: &mut Input<'i>) -> Parsed<&'i str> {
    alt((
        delimited('"', take_while(0.., |c: char| c != '"'), '"'),
        word,
    ))
    .parse_next(input)
}

fn fail_here<T>(input: &mut Input<'_>, why: &str) -> Parsed<T> {
    multispace0.parse_next(input)?;
    Err(cut(input.current_token_start(), why.to_owned()))
}

fn cut(offset: usize, why: String) -> ErrMode<Fault> {
    ErrMode::Cut(Fault { offset, why })
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "connected" => Self::Flag(Flag::Connected),
            "gpu" => Self::Flag(Flag::Gpu),
            "gpu.mig" => Self::Flag(Flag::Mig),
            "name" => Self::Text(TextField::Name),
            "architecture" => Self::Text(TextField::Architecture),
            "distribution" => Self::Text(TextField::Distribution),
            "cpu.flag" => Self::Text(TextField::CpuFlag),
            "gpu.name" => Self::Text(TextField::GpuName),
            "gpu.uuid" => Self::Text(TextField::GpuUuid),
            "engine.storage" => Self::Text(TextField::EngineStorage),
            "driver" => Self::Version(VersionField::Driver, Some(Flag::Driver)),
            "cuda" => Self::Version(VersionField::Cuda, None),
            "gpu.capability" => Self::Version(VersionField::GpuCapability, None),
            "engine" => Self::Version(VersionField::Engine, None),
            "kernel" => Self::Version(VersionField::Kernel, None),
            "gpu.count" => Self::Number(AmountField::GpuCount),
            "cpu.count" => Self::Number(AmountField::CpuCount),
            "gpu.memory" => Self::Bytes(AmountField::GpuMemory),
            "memory" => Self::Bytes(AmountField::Memory),
            "disk.free" => Self::Bytes(AmountField::DiskFree),
            _ => Self::Label(
                name.strip_prefix("label.")
                    .filter(|key| !key.is_empty())?
                    .to_owned(),
            ),
        })
    }

    /// What the field says without a comparison.
    fn alone(self) -> Option<Node> {
        match self {
            Self::Flag(flag) | Self::Version(_, Some(flag)) => Some(Node::Flag(flag)),
            Self::Label(key) => Some(Node::Flag(Flag::Label(key))),
            Self::Version(_, None) | Self::Text(_) | Self::Number(_) | Self::Bytes(_) => None,
        }
    }

    fn compared(self, name: &str, comparison: Comparison, value: &str) -> Result<Node, String> {
        let relation = match comparison {
            Comparison::IsNot => {
                let equal = self.compared(name, Comparison::Is(Relation::Equal), value)?;
                return Ok(Node::Not(Box::new(equal)));
            }
            Comparison::Contains => {
                return match self {
                    Self::Text(field) => Ok(text(field, TextComparison::Contains, value)),
                    Self::Label(key) => {
                        Ok(text(TextField::Label(key), TextComparison::Contains, value))
                    }
                    _ => Err(format!("`{name}` is not a text; use =, !=, <, <=, > or >=")),
                };
            }
            Comparison::Is(relation) => relation,
        };
        match self {
            Self::Flag(_) => Err(format!(
                "`{name}` stands alone: write `{name}` or `!{name}`"
            )),
            Self::Text(field) if relation == Relation::Equal => {
                Ok(text(field, TextComparison::Equals, value))
            }
            Self::Text(_) => Err(format!(
                "`{name}` is a text and has no order; use =, != or ~"
            )),
            Self::Label(key) if relation == Relation::Equal => {
                Ok(text(TextField::Label(key), TextComparison::Equals, value))
            }
            Self::Label(key) => version(name, VersionField::Label(key), relation, value),
            Self::Version(field, _) => version(name, field, relation, value),
            Self::Number(field) => {
                let value = value
                    .parse()
                    .map_err(|_| format!("`{name}` is a number, `{value}` is not"))?;
                Ok(Node::Amount {
                    field,
                    relation,
                    value,
                })
            }
            Self::Bytes(field) => {
                let size: bytesize::ByteSize = value
                    .parse()
                    .map_err(|_| format!("`{name}` is a size such as 16GiB, `{value}` is not"))?;
                Ok(Node::Amount {
                    field,
                    relation,
                    value: size.as_u64(),
                })
            }
        }
    }
}

fn text(field: TextField, comparison: TextComparison, value: &str) -> Node {
    Node::Text {
        field,
        comparison,
        value: value.to_owned(),
    }
}

fn version(
    name: &str,
    field: VersionField,
    relation: Relation,
    value: &str,
) -> Result<Node, String> {
    let value = Version::whole(value).ok_or_else(|| {
        format!("`{name} {relation}` takes numbers with dots such as 470.82, `{value}` is not")
    })?;
    Ok(Node::Version {
        field,
        relation,
        value,
    })
}

impl ParserError<Input<'_>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'_>) -> Self {
        Self {
            offset: input.current_token_start(),
            why: "unexpected text".to_owned(),
        }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}
