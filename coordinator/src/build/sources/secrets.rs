//! What tells that a site's credentials or its CA bundle got into an image.

use std::collections::BTreeSet;

use memchr::memmem;

use crate::artifact::Secret;

/// Texts by which certificates of a file are known again, as [`certificate_marks`] finds them.
pub type CertificateMarks = BTreeSet<Vec<u8>>;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// So many certificates are a site's own; more are a trust store, whose public ones stand in many packages.
const LARGEST_OWN_BUNDLE: usize = 4;

/// A bundle is in an image as a whole, and each mark is looked for in every byte.
const MARKS_LOOKED_FOR: usize = 4;

/// Bytes of either certificate in a mark of two neighbours: as random as any key, for they are of a signature and of a
/// serial number.
const NEIGHBOUR_BYTES: usize = 40;

/// The part of a URL between `://` and `@`.
pub fn user_info(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(user_info, _)| user_info)
}

/// The host of a URL, with its port where that is said.
pub fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    (!host.is_empty()).then_some(host)
}

/// A password and the pair as it would stand in a configuration, each as the URL has it and as it is meant: programs
/// write down what they decoded.
pub fn of_url(what: &str, url: &str) -> Vec<Secret> {
    let Some(user_info) = user_info(url) else {
        return Vec::new();
    };
    let password = user_info
        .split_once(':')
        .map_or(user_info, |(_, password)| password);
    let texts = [
        (format!("the password of {what}"), password),
        (format!("the credentials of {what}"), user_info),
    ];
    texts
        .into_iter()
        .flat_map(|(name, text)| {
            let decoded = percent_decoded(text);
            let decoded = (decoded != text.as_bytes()).then_some(decoded);
            [Some(text.as_bytes().to_vec()), decoded]
                .into_iter()
                .flatten()
                .filter_map(move |text| Secret::new(name.clone(), text))
        })
        .collect()
}

/// What of a CA bundle tells that it is in an image, unless the base has it itself.
///
/// Of a few certificates each counts. Of a trust store, which holds public ones that `certifi` brings too, two that
/// follow one another: packages have others in between.
pub fn of_bundle(bundle: &[u8], of_base: &CertificateMarks) -> Vec<Secret> {
    let own = lines(bundle);
    let marks = if own.len() <= LARGEST_OWN_BUNDLE {
        own
    } else {
        neighbours(bundle)
    };
    marks
        .into_iter()
        // A site's own certificates are appended to the public ones.
        .rev()
        .filter(|mark| !of_base.contains(mark))
        .take(MARKS_LOOKED_FOR)
        .filter_map(|mark| Secret::new("the CA bundle", mark))
        .collect()
}

/// Every mark of the certificates in a file, if it holds any.
pub fn certificate_marks(content: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    lines(content).into_iter().chain(neighbours(content))
}

/// Of each certificate the line in its middle, where its key is.
fn lines(content: &[u8]) -> Vec<Vec<u8>> {
    let middle = |body: &[u8]| -> Option<Vec<u8>> {
        let lines: Vec<_> = body
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .collect();
        lines.get(lines.len() / 2).map(|line| line.to_vec())
    };
    memmem::find_iter(content, BEGIN)
        .filter_map(|at| {
            let body = content.get(at + BEGIN.len()..)?;
            middle(&body[..memmem::find(body, END)?])
        })
        .collect()
}

/// Of each two certificates that follow one another, where one ends and the other begins.
fn neighbours(content: &[u8]) -> Vec<Vec<u8>> {
    memmem::find_iter(content, END)
        .filter_map(|end| {
            let next = end + memmem::find(&content[end..], BEGIN)? + BEGIN.len();
            let from = end.checked_sub(NEIGHBOUR_BYTES)?;
            Some(content.get(from..next + NEIGHBOUR_BYTES)?.to_vec())
        })
        .collect()
}

/// `p%40ss` is `p@ss`; what is no escape stays.
fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        let escaped = match others {
            [high, low, ..] if *first == b'%' => digit(high).zip(digit(low)),
            _ => None,
        };
        match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &others[2..];
            }
            None => decoded.push(*first),
        }
    }
    decoded
}

#[cfg(test)]
mod tests;
