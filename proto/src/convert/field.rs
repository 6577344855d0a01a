//! Reading one field of a message: each function gives the value or a refusal that names the field.

use std::fmt::Display;
use std::str::FromStr;

use super::Refusal;

/// A message field that must be there.
pub(super) fn required<W, M>(field: &str, message: Option<W>) -> Result<M, Refusal>
where
    M: TryFrom<W, Error = Refusal>,
{
    let message = message.ok_or_else(|| Refusal::new(field, "is required"))?;
    M::try_from(message).map_err(|refusal| refusal.within(field))
}

/// A message field that may be absent.
pub(super) fn optional<W, M>(field: &str, message: Option<W>) -> Result<Option<M>, Refusal>
where
    M: TryFrom<W, Error = Refusal>,
{
    message
        .map(|message| required(field, Some(message)))
        .transpose()
}

pub(super) fn list<W, M>(field: &str, messages: Vec<W>) -> Result<Vec<M>, Refusal>
where
    M: TryFrom<W, Error = Refusal>,
{
    let read = |(index, message)| {
        M::try_from(message)
            .map_err(|refusal: Refusal| refusal.within(&format!("{field}[{index}]")))
    };
    messages.into_iter().enumerate().map(read).collect()
}

/// A text with a form of its own.
pub(super) fn parsed<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Refusal> {
    if text.is_empty() {
        return Err(Refusal::new(field, "is required"));
    }
    text.parse()
        .map_err(|error: T::Err| Refusal::new(field, error.to_string()))
}

pub(super) fn parsed_list<T: FromStr<Err: Display>>(
    field: &str,
    texts: &[String],
) -> Result<Vec<T>, Refusal> {
    let read = |(index, text): (usize, &String)| parsed(&format!("{field}[{index}]"), text);
    texts.iter().enumerate().map(read).collect()
}

/// A text with a form of its own; empty means absent.
pub(super) fn parsed_optional<T: FromStr<Err: Display>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Refusal> {
    if text.is_empty() {
        Ok(None)
    } else {
        parsed(field, text).map(Some)
    }
}

/// A text that must not be empty.
pub(super) fn text(field: &str, text: String) -> Result<String, Refusal> {
    if text.is_empty() {
        Err(Refusal::new(field, "is required"))
    } else {
        Ok(text)
    }
}

/// The wire has no absent text, only an empty one.
pub(super) fn optional_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// An enum field that must have a value. `W` is the generated enum, `number` what travelled.
pub(super) fn enumeration<W, M>(field: &str, number: i32) -> Result<M, Refusal>
where
    W: TryFrom<i32>,
    M: TryFrom<W, Error = Refusal>,
{
    let value = W::try_from(number)
        .map_err(|_| Refusal::new(field, format!("{number} is not a value of this version")))?;
    M::try_from(value).map_err(|refusal| refusal.within(field))
}

/// An enum field whose zero means absent.
pub(super) fn optional_enumeration<W, M>(field: &str, number: i32) -> Result<Option<M>, Refusal>
where
    W: TryFrom<i32>,
    M: TryFrom<W, Error = Refusal>,
{
    if number == 0 {
        Ok(None)
    } else {
        enumeration::<W, M>(field, number).map(Some)
    }
}

/// A time that must be there.
pub fn timestamp(
    field: &str,
    time: Option<prost_types::Timestamp>,
) -> Result<jiff::Timestamp, Refusal> {
    optional_timestamp(field, time)?.ok_or_else(|| Refusal::new(field, "is required"))
}

pub(super) fn optional_timestamp(
    field: &str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<jiff::Timestamp>, Refusal> {
    let read = |time: prost_types::Timestamp| {
        jiff::Timestamp::new(time.seconds, time.nanos)
            .map_err(|error| Refusal::new(field, error.to_string()))
    };
    time.map(read).transpose()
}

pub fn wire_timestamp(time: jiff::Timestamp) -> prost_types::Timestamp {
    // The wire counts nanoseconds forward from the second, jiff away from zero.
    let nanos = time.as_nanosecond();
    let billion = 1_000_000_000;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "jiff's range of years is far inside i64 seconds"
    )]
    let seconds = nanos.div_euclid(billion) as i64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a remainder below one billion fits in i32"
    )]
    let nanos = nanos.rem_euclid(billion) as i32;
    prost_types::Timestamp { seconds, nanos }
}

pub(super) fn wire_list<M, W: From<M>>(values: Vec<M>) -> Vec<W> {
    values.into_iter().map(W::from).collect()
}

pub(super) fn strings<T: Display>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

/// Both directions of an enum, from one table.
macro_rules! enumeration_pairs {
    ($wire:ty, $model:ty, $($wire_name:ident <=> $model_name:ident),+ $(,)?) => {
        impl TryFrom<$wire> for $model {
            type Error = $crate::convert::Refusal;

            fn try_from(value: $wire) -> Result<Self, Self::Error> {
                match value {
                    <$wire>::Unspecified => Err($crate::convert::Refusal::new("", "is required")),
                    $(<$wire>::$wire_name => Ok(Self::$model_name)),+
                }
            }
        }

        impl From<$model> for $wire {
            fn from(value: $model) -> Self {
                match value {
                    $(<$model>::$model_name => Self::$wire_name),+
                }
            }
        }
    };
}
pub(super) use enumeration_pairs;
